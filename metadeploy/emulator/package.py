"""A deploy's zip, read and checked as far as that needs no org."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from lxml import etree
from msgspec import Struct, field

from metadeploy import schema
from metadeploy.emulator.judge import BadFile, read_file, root_of
from metadeploy.emulator.tree import Tree, XmlFault, local_name, parse
from metadeploy.emulator.versions import NEWEST, parse_version
from metadeploy.emulator.zips import read_zip
from metadeploy.model import METADATA_NS, Ref

MANIFEST = "package.xml"
DESTRUCTIVE = (
    "destructiveChangesPre.xml",
    "destructiveChanges.xml",
    "destructiveChangesPost.xml",
)
_NS = f"{{{METADATA_NS}}}"
_PACKAGE_FIELDS = frozenset(
    {
        "apiAccessLevel",
        "description",
        "fullName",
        "module",
        "namespacePrefix",
        "objectPermissions",
        "packageType",
        "postInstallClass",
        "setupWeblink",
        "types",
        "uninstallClass",
        "version",
    }
)


class Problem(Struct, frozen=True):
    """Why a file or a line of the manifest is refused, or only noted (warning)."""

    file_name: str
    full_name: str
    component_type: str
    text: str
    line: int = 0
    column: int = 0
    warning: bool = False


class SourceFile(Struct, frozen=True):
    """One component of the package: its main file, its other files, its content.

    path: inside the zip. tree: None for a type without field table, or when refused.
    """

    ref: Ref
    path: str
    files: Mapping[str, bytes]
    tree: Tree | None
    refused: BadFile | None = None

    @property
    def body(self) -> bytes:
        """The main file's bytes."""
        return self.files[self.path]


class ManifestFile(Struct, frozen=True):
    """package.xml or destructiveChanges…xml: path in the zip, version, names."""

    path: str
    version: float
    members: Mapping[str, tuple[str, ...]]

    def refs(self) -> Iterator[Ref]:
        """Yield what is named, without wildcards."""
        for kind, names in self.members.items():
            for name in names:
                if name != "*":
                    yield Ref(kind, name)


class Package(Struct, frozen=True):
    """One package of a deploy: everything in one folder of the zip, or in its root."""

    manifest: ManifestFile
    components: tuple[SourceFile, ...]
    destructive: Mapping[str, ManifestFile]
    problems: tuple[Problem, ...]


class Intake(Struct, frozen=True):
    """What a zip holds. problems: of no package in particular."""

    packages: tuple[Package, ...]
    problems: tuple[Problem, ...]
    files: int
    size: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)


def read_intake(
    data: bytes, *, allow_missing_files: bool = False, auto_update: bool = False
) -> Intake:
    """Read a deploy's zip. Raises BadZip; all else is told as problems.

    Real clients put package.xml at the root or in one folder, whatever
    `singlePackage` says, so the zip itself decides (observed: Salesforce CLI).
    """
    files = read_zip(data)
    packages: list[Package] = []
    problems: list[Problem] = []
    if MANIFEST in files:
        prefixes = [""]
    else:
        folders = dict.fromkeys(p.split("/")[0] for p in files if "/" in p)
        prefixes = [f"{folder}/" for folder in folders]
    for prefix in prefixes or [""]:
        own = {p: b for p, b in files.items() if p.startswith(prefix)}
        if prefix + MANIFEST not in own:
            # Observed: CustomMetadataLoader#34.
            text = "No package.xml found"
            problems.append(Problem(prefix + MANIFEST, MANIFEST, "", text))
            continue
        try:
            packages.append(
                _read_package(prefix, own, allow_missing_files, auto_update)
            )
        except BadFile as bad:
            problems.append(
                Problem(
                    prefix + MANIFEST, MANIFEST, "", bad.problem, bad.line, bad.column
                )
            )
    return Intake(tuple(packages), tuple(problems), len(files), len(data))


def read_manifest(
    body: bytes, path: str, *, version: float | None = None
) -> ManifestFile:
    """Read package.xml or a destructive manifest. Raises BadFile.

    version: what to take where the file names none; None = it must.
    """
    return manifest_of(root_of(body, "Package"), path, version=version)


def manifest_of(
    root: etree._Element, path: str, *, version: float | None
) -> ManifestFile:
    """Read the content of a `Package` element, the names in any order."""
    members: dict[str, list[str]] = {}
    for child in root:
        name = local_name(child)
        if name not in _PACKAGE_FIELDS:
            raise BadFile(
                f"Error parsing file: Element {child.tag!s} invalid at this location"
                " in type Package",
                child.sourceline or 0,
            )
        if name == "version":
            version = parse_version((child.text or "").strip())
            if version is None:
                # Recalled.
                raise BadFile(
                    f"Invalid version specified:{(child.text or '').strip()}",
                    child.sourceline or 0,
                )
        if name == "types":
            kind, names = _types(child)
            members.setdefault(kind, []).extend(names)
    if version is None:
        raise BadFile("Required field is missing: version", root.sourceline or 0)
    found = {k: tuple(dict.fromkeys(names)) for k, names in members.items()}
    return ManifestFile(path, version, found)


def _types(element: etree._Element) -> tuple[str, list[str]]:
    kind = ""
    names: list[str] = []
    for child in element:
        name, text = local_name(child), (child.text or "").strip()
        if name == "members":
            names.append(text)
        elif name == "name":
            kind = text
        else:
            raise BadFile(
                f"Error parsing file: Element {child.tag!s} invalid at this location"
                " in type PackageTypeMembers",
                child.sourceline or 0,
            )
    if not kind:
        raise BadFile("Required field is missing: name", element.sourceline or 0)
    return kind, names


def _read_package(
    prefix: str, files: Mapping[str, bytes], allow_missing: bool, auto_update: bool
) -> Package:
    manifest = read_manifest(files[prefix + MANIFEST], prefix + MANIFEST)
    problems: list[Problem] = []
    destructive: dict[str, ManifestFile] = {}
    for name in DESTRUCTIVE:
        path = prefix + name
        if path in files:
            try:
                destructive[name] = read_manifest(
                    files[path], path, version=manifest.version
                )
            except BadFile as bad:
                problems.append(
                    Problem(path, name, "", bad.problem, bad.line, bad.column)
                )
    unknown = [
        kind
        for kind in manifest.members
        if kind not in schema.metadata_types() and kind not in _MANIFEST_ONLY
    ]
    for kind in unknown:
        text = f"Unknown type name '{kind}' specified in package.xml"
        problems.append(Problem(manifest.path, MANIFEST, "", text))
    grouped, strays = _grouped(prefix, files)
    for path in strays:
        problems.append(
            Problem(path, path.rpartition("/")[2], "", "Not in package.xml")
        )
    components = []
    for ref, own in grouped.items():
        if not auto_update and not _listed(ref, manifest):
            path = _main_path(ref, prefix, own)
            # Observed: SFRelatedListEditor#16.
            problems.append(
                Problem(path, ref.full_name, ref.type, "Not in package.xml")
            )
            continue
        components.append(_read_component(ref, prefix, own, manifest.version))
    inner = _inner_names(components, manifest.members)
    for ref in manifest.refs():
        if ref not in grouped and ref not in inner and ref.type not in unknown:
            # Observed: cli#2182.
            text = (
                f"An object '{ref.full_name}' of type {ref.type} was named in"
                " package.xml, but was not found in zipped directory"
            )
            problems.append(
                Problem(
                    manifest.path,
                    ref.full_name,
                    ref.type,
                    text,
                    warning=allow_missing,
                )
            )
    return Package(manifest, tuple(components), destructive, tuple(problems))


# Names that package.xml may hold though no file is theirs alone.
_MANIFEST_ONLY = frozenset({"CustomLabel", "CustomLabels", "StandardValueSet"})


def _grouped(
    prefix: str, files: Mapping[str, bytes]
) -> tuple[dict[Ref, dict[str, bytes]], list[str]]:
    grouped: dict[Ref, dict[str, bytes]] = {}
    strays: list[str] = []
    special = {prefix + name for name in (MANIFEST, *DESTRUCTIVE)}
    for path, body in files.items():
        if path in special:
            continue
        ref = schema.ref_of(path[len(prefix) :])
        if ref is None:
            strays.append(path)
        else:
            grouped.setdefault(ref, {})[path] = body
    return grouped, strays


def _listed(ref: Ref, manifest: ManifestFile) -> bool:
    kind = schema.manifest_type(ref.type)
    names = manifest.members.get(kind, ()) or manifest.members.get(ref.type, ())
    if "*" in names or ref.full_name in names:
        return True
    # A file of an object whose fields alone are listed, and the like.
    owners = (k for k, t in schema.metadata_types().items() if t.owner == ref.type)
    return any(
        name.partition(".")[0] == ref.full_name
        for kind in owners
        for name in manifest.members.get(kind, ())
    )


def _main_path(ref: Ref, prefix: str, own: Mapping[str, bytes]) -> str:
    try:
        wanted = prefix + schema.path_of(ref)
    except (KeyError, ValueError):
        wanted = ""
    if wanted in own:
        return wanted
    described = [p for p in own if p.endswith("-meta.xml")]
    return described[0] if described else next(iter(own))


def _read_component(
    ref: Ref, prefix: str, own: Mapping[str, bytes], version: float
) -> SourceFile:
    path = _main_path(ref, prefix, own)
    found = schema.metadata_types()[ref.type]
    tree: Tree | None = None
    refused: BadFile | None = None
    try:
        if found.since is not None and version < found.since:
            raise BadFile(
                f"Entity type '{ref.type}' is not available in this organization"
            )
        if found.layout in ("bundle", "space") or found.meta_file:
            _check_described(ref, own)
        elif own[path].lstrip()[:1] == b"<" or schema.fields(schema.root_name(ref)):
            tree = read_file(own[path], schema.root_name(ref), version)
        else:
            raise BadFile("Error parsing file: Content is not allowed in prolog.", 1, 1)
    except BadFile as bad:
        refused = bad
    return SourceFile(ref, path, own, tree, refused)


def _check_described(ref: Ref, own: Mapping[str, bytes]) -> None:
    """Check that the describing files beside content are XML, of a version we speak."""
    for path, body in own.items():
        if not path.endswith("-meta.xml"):
            continue
        try:
            root = parse(body)
        except XmlFault as fault:
            raise BadFile(
                f"Error parsing file: {fault.message}", fault.line, fault.column
            ) from None
        for child in root:
            version = (child.text or "").strip()
            if local_name(child) == "apiVersion" and not _is_version(version):
                raise BadFile(
                    f'The {ref.type} apiVersion can\'t be "{version}"',
                    child.sourceline or 0,
                )


def _is_version(text: str) -> bool:
    try:
        return 0 < float(text) <= NEWEST
    except ValueError:
        return False


_INNER = re.compile(rb"<fullName>([^<]+)</fullName>")


def _inner_names(
    components: Iterable[SourceFile], members: Mapping[str, tuple[str, ...]]
) -> set[Ref]:
    """Return the children that files hold, of the types that package.xml names."""
    found: set[Ref] = set()
    children: dict[str, list[str]] = {}
    for kind, row in schema.metadata_types().items():
        if row.layout == "child" and kind in members:
            children.setdefault(row.owner, []).append(kind)
    for component in components:
        for kind in children.get(component.ref.type, ()):
            for raw in _INNER.findall(component.body):
                name = raw.decode("utf-8", "replace")
                found.add(Ref(kind, f"{component.ref.full_name}.{name}"))
                found.add(Ref(kind, name))
    return found
