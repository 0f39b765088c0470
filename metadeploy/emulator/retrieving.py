"""What an org tells about its metadata: list, retrieve, with sections filtered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from metadeploy import schema
from metadeploy.emulator import ids, records
from metadeploy.emulator.components import files_of
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.jobs import user_name
from metadeploy.emulator.rights import require_metadata_rights
from metadeploy.emulator.sections import filtered
from metadeploy.emulator.state import OrgState, Session, StoredComponent
from metadeploy.emulator.tree import Tree, parse, tree_of, write_file
from metadeploy.emulator.zips import write_zip
from metadeploy.model import METADATA_NS, Ref, id18


@dataclass(frozen=True)
class FileProperties:
    """What listMetadata and retrieve tell about one component's file."""

    created_by_id: str
    created_by_name: str
    created_date: str
    file_name: str
    full_name: str
    id: str
    last_modified_by_id: str
    last_modified_by_name: str
    last_modified_date: str
    type: str
    namespace: str = ""


@dataclass(frozen=True)
class RetrieveRequest:
    """What to retrieve. members: "*" stands for all that the type allows."""

    members: Mapping[str, tuple[str, ...]]
    version: float
    single_package: bool = False
    specific_files: tuple[str, ...] = ()
    package_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class RetrieveJob:
    """One retrieve. zip_bytes: None unless it was handed over just now.

    messages: (file, problem); the retrieve still succeeds with them.
    """

    id: str
    status: str
    files: tuple[FileProperties, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()
    zip_bytes: bytes | None = None
    error_code: str = ""
    error_message: str = ""

    @property
    def done(self) -> bool:
        return self.status not in ("Pending", "InProgress")

    @property
    def success(self) -> bool:
        return self.status == "Succeeded"


# -- retrieve


def submit_retrieve(session: Session, request: RetrieveRequest) -> str:
    """Note a retrieve and return its id; with retrieve_polls=0 it is done at once.

    Raises Fault for a request that contradicts itself (documented).
    """
    require_metadata_rights(session)
    if request.specific_files and not request.single_package:
        raise Fault(
            "INVALID_OPERATION", "specificFiles requires singlePackage to be true"
        )
    if request.specific_files and request.package_names:
        raise Fault(
            "INVALID_OPERATION", "specificFiles and packageNames exclude each other"
        )
    org = session.org
    retrieve_id = ids.new_id("RetrieveRequest")
    body = {
        "members": {k: list(v) for k, v in request.members.items()},
        "version": request.version,
        "single": request.single_package,
        "specific": list(request.specific_files),
        "packages": list(request.package_names),
        "polls": 0,
    }
    with org.world.transaction():
        org.world.store.write(
            "INSERT INTO jobs VALUES (?, ?, 'retrieve', ?, 'Pending', ?, NULL, NULL)",
            (
                retrieve_id,
                org.key,
                int(org.world.clock() * 1e6),
                json.dumps(body, separators=(",", ":")),
            ),
        )
        if org.settings.retrieve_polls == 0:
            _finish(org, retrieve_id, request)
    return retrieve_id


def retrieve_status(
    session: Session, retrieve_id: str, *, include_zip: bool = True
) -> RetrieveJob:
    """Move a retrieve on by one step and return it; the zip is handed over once.

    Raises Fault for an unknown id, and once the zip was taken (observed).
    """
    org = session.org
    with org.world.transaction():
        status, body = _load(org, retrieve_id)
        if status in ("Pending", "InProgress"):
            status = _step(org, id18(retrieve_id), body)
        if status in ("Pending", "InProgress"):
            return RetrieveJob(id18(retrieve_id), status)
        if status == "Taken":
            raise Fault("INVALID_LOCATOR", "Retrieve result has been deleted")
        return _result(org, id18(retrieve_id), status, include_zip=include_zip)


def is_retrieve(org: OrgState, job_id: str) -> bool:
    """Whether that id is one of a retrieve."""
    del org
    return job_id.startswith(ids.PREFIXES["RetrieveRequest"])


def _load(org: OrgState, retrieve_id: str) -> tuple[str, str]:
    try:
        wanted = id18(retrieve_id)
    except ValueError:
        raise Fault("INVALID_ID_FIELD", f"invalid id: {retrieve_id[:40]}") from None
    row = org.world.store.one(
        "SELECT status, body FROM jobs WHERE org = ? AND id = ? AND kind = 'retrieve'",
        (org.key, wanted),
    )
    if row is None:
        raise Fault("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    return str(row[0]), str(row[1])


def _step(org: OrgState, retrieve_id: str, body: str) -> str:
    raw = json.loads(body)
    raw["polls"] += 1
    if raw["polls"] < org.settings.retrieve_polls:
        org.world.store.write(
            "UPDATE jobs SET status = 'InProgress', body = ? WHERE id = ?",
            (json.dumps(raw), retrieve_id),
        )
        return "InProgress"
    request = RetrieveRequest(
        {k: tuple(v) for k, v in raw["members"].items()},
        raw["version"],
        raw["single"],
        tuple(raw["specific"]),
        tuple(raw["packages"]),
    )
    _finish(org, retrieve_id, request)
    return "Succeeded"


def _finish(org: OrgState, retrieve_id: str, request: RetrieveRequest) -> None:
    files, properties, messages = collect(org, request)
    prefix = "" if request.single_package else "unpackaged/"
    names = {f"{prefix}{path}": body for path, body in files.items()}
    result = {
        "files": [
            [getattr(p, n) for n in _PROPERTY_FIELDS]
            for p in (
                replace(p, file_name=f"{prefix}{p.file_name}") for p in properties
            )
        ],
        "messages": [[f"{prefix}{name}", text] for name, text in messages],
    }
    org.world.store.write(
        "UPDATE jobs SET status = 'Succeeded', result = ?, data = ? WHERE id = ?",
        (json.dumps(result, separators=(",", ":")), write_zip(names), retrieve_id),
    )


def _result(
    org: OrgState, retrieve_id: str, status: str, *, include_zip: bool
) -> RetrieveJob:
    columns = "result, data" if include_zip else "result"
    row = org.world.store.one(
        f"SELECT {columns} FROM jobs WHERE id = ?",  # noqa: S608
        (retrieve_id,),
    )
    raw = json.loads(str(row[0])) if row else {"files": [], "messages": []}
    zip_bytes: bytes | None = None
    if include_zip and row and isinstance(row[1], bytes):
        zip_bytes = row[1]
        org.world.store.write(
            "UPDATE jobs SET status = 'Taken', data = NULL WHERE id = ?", (retrieve_id,)
        )
    return RetrieveJob(
        retrieve_id,
        status,
        tuple(FileProperties(*values) for values in raw["files"]),
        tuple((name, text) for name, text in raw["messages"]),
        zip_bytes,
    )


_PROPERTY_FIELDS = tuple(FileProperties.__dataclass_fields__)


def collect(
    org: OrgState, request: RetrieveRequest
) -> tuple[dict[str, bytes], list[FileProperties], list[tuple[str, str]]]:
    """Return files by path (package.xml among them), their properties, messages."""
    messages: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}
    properties: list[FileProperties] = []
    found: dict[str, list[str]] = {}
    teller = _Teller(org)
    for kind, names in request.members.items():
        for component in _wanted(org, kind, names, messages):
            own = _files_for(org, component, request)
            if request.specific_files:
                own = {p: b for p, b in own.items() if p in request.specific_files}
                if not own:
                    continue
            files |= own
            found.setdefault(kind, []).append(component.ref.full_name)
            properties += (teller.tell(component, path) for path in own)
    for name in request.package_names:
        # Recalled. No org here has a package of that name.
        messages.append((f"{name}/package.xml", f"No package named '{name}' found"))
    files = dict(sorted(files.items()))
    files["package.xml"] = _manifest(found, request.version)
    properties.append(_package_properties(org))
    return files, properties, messages


def _wanted(
    org: OrgState,
    kind: str,
    names: Iterable[str],
    messages: list[tuple[str, str]],
) -> list[StoredComponent]:
    if kind not in schema.metadata_types():
        messages.append(
            (
                "package.xml",
                f"Entity type: '{kind}' is unknown",
            )
        )
        return []
    found: dict[Ref, StoredComponent] = {}
    for name in dict.fromkeys(names):
        if name == "*":
            found |= {c.ref: c for c in org.components(kind) if _in_wildcard(c)}
            messages += _system_apps(org, kind)
            continue
        component = org.component(Ref(kind, name))
        if (
            component is None
            and kind == "ConnectedApp"
            and name in org.settings.system_apps
        ):
            # Inferred: by name they are as little readable as by `*`.
            messages += _unreadable([name])
        elif component is None:
            # Observed: SDR reads type and name out of this sentence.
            text = f"Entity of type '{kind}' named '{name}' cannot be found"
            messages.append(("package.xml", text))
        else:
            found[component.ref] = component
    return list(found.values())


def _in_wildcard(component: StoredComponent) -> bool:
    """Whether `*` covers it: not standard objects (documented)."""
    if component.ref.type != "CustomObject":
        return True
    return component.ref.full_name.endswith(("__c", "__mdt", "__e", "__x", "__b"))


def _system_apps(org: OrgState, kind: str) -> list[tuple[str, str]]:
    """Return a message for each app that `*` names but nobody can retrieve (§1.8)."""
    return _unreadable(org.settings.system_apps) if kind == "ConnectedApp" else []


def _unreadable(names: Iterable[str]) -> list[tuple[str, str]]:
    return [
        (
            "package.xml",
            "Metadata API received improper input. Please ensure file name and"
            " capitalization is correct. Load of metadata from db failed for metadata"
            f" of type:ConnectedApp and file name:{name}.",
        )
        for name in names
    ]


def _files_for(
    org: OrgState, component: StoredComponent, request: RetrieveRequest
) -> dict[str, bytes]:
    files = files_of(org, component)
    kind = component.ref.type
    if kind == "Profile" or (kind == "PermissionSet" and request.version < 40):
        files = {
            path: filtered(body, request.members, org.component)
            for path, body in files.items()
        }
    root = schema.root_name(component.ref)
    if schema.fields(root) is not None and _may_be_gated(root, request.version):
        return {
            path: write_file(
                root, for_version(tree_of(parse(body)), root, request.version)
            )
            for path, body in files.items()
        }
    return files


def _may_be_gated(struct: str, version: float) -> bool:
    return version < 66 or any(
        f.until is not None for f in (schema.fields(struct) or {}).values()
    )


def for_version(tree: Tree, struct: str, version: float) -> Tree:
    """Return the tree without what that API version does not know."""
    table = schema.fields(struct) or {}
    kept: Tree = {}
    for name, values in tree.items():
        field = table.get(name)
        if field is None:
            kept[name] = values
            continue
        too_new = field.since is not None and version < field.since
        too_old = field.until is not None and version > field.until
        if not too_new and not too_old:
            kept[name] = [
                n if isinstance(n, str) else for_version(n, field.kind, version)
                for n in values
            ]
    return kept


def _manifest(found: Mapping[str, list[str]], version: float) -> bytes:
    """Return package.xml as retrieve writes it: what came, then the version."""
    out = [f'<?xml version="1.0" encoding="UTF-8"?>\n<Package xmlns="{METADATA_NS}">\n']
    for kind in sorted(found):
        tree: Tree = {"members": [*sorted(found[kind])], "name": [kind]}
        content = write_file("types", tree).decode()
        inner = content.split("\n", 2)[2].rsplit("</types>", 1)[0]
        indented = re.sub("^    ", "        ", inner, flags=re.MULTILINE)
        out.append(f"    <types>\n{indented}    </types>\n")
    out.append(f"    <version>{version:.1f}</version>\n</Package>\n")
    return "".join(out).encode()


# -- list


def list_metadata(
    session: Session, kind: str, folder: str = ""
) -> list[FileProperties]:
    """Return the properties of all components of a type, by fullName.

    folder: for types in folders, those inside it. Raises Fault INVALID_TYPE.
    """
    require_metadata_rights(session)
    if kind not in schema.metadata_types():
        # Recalled.
        raise Fault("INVALID_TYPE", f"Unknown type:{kind}")
    teller = _Teller(session.org)
    return [
        teller.tell(component, _path(component))
        for component in session.org.components(kind)
        if not folder or component.ref.full_name.startswith(f"{folder}/")
    ]


def _path(component: StoredComponent) -> str:
    path = component.extra.get("path")
    return str(path) if path else schema.path_of(component.ref)


class _Teller:
    """Tells FileProperties, reading each user's name once."""

    def __init__(self, org: OrgState) -> None:
        self._org = org
        self._names: dict[str, str] = {}

    def _name(self, user_id: str) -> str:
        if user_id not in self._names:
            self._names[user_id] = user_name(self._org, user_id)
        return self._names[user_id]

    def tell(self, component: StoredComponent, path: str) -> FileProperties:
        return FileProperties(
            component.created_by,
            self._name(component.created_by),
            ids.timestamp(component.created),
            path,
            component.ref.full_name,
            component.id,
            component.modified_by,
            self._name(component.modified_by),
            ids.timestamp(component.modified),
            component.ref.type,
        )


def _package_properties(org: OrgState) -> FileProperties:
    """Return the row of package.xml itself: the org's own, id empty (observed)."""
    admin = str(org.records("Organization")[0]["CreatedById"])
    now = records.now_text(org)
    name = user_name(org, admin)
    return FileProperties(
        admin, name, now, "package.xml", "package.xml", "", admin, name, now, "Package"
    )
