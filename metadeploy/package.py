"""Components ⇄ zip bytes, with package.xml. Pure; the same input, the same bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

from lxml import etree

from metadeploy import schema, xmlfile
from metadeploy.errors import ApiFault, ConfigError
from metadeploy.model import METADATA_NS, Component, Manifest, Ref

MANIFEST = "package.xml"

# Metadata API limits: 10,000 files, 39 MB zipped, 600 MB unzipped.
MAX_FILES = 10_000
MAX_ZIP_BYTES = 39_000_000
MAX_BYTES = 629_145_600
# What no honest zip of text reaches; a bomb does (retrieved profiles: below 30:1).
_MAX_RATIO = 200
_FREE_BYTES = 1_000_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SPLIT = (
    "Deploy fewer at once: list `templates` in the org file, or plan with --since REF."
)
_DATE = (1980, 1, 1, 0, 0, 0)


def manifest_xml(manifest: Manifest) -> bytes:
    """Write package.xml: types by name, members before the name, version last."""
    root = etree.Element(f"{{{METADATA_NS}}}Package", nsmap={None: METADATA_NS})
    for name, members in manifest.members.items():
        types = etree.SubElement(root, f"{{{METADATA_NS}}}types")
        for member in members:
            etree.SubElement(types, f"{{{METADATA_NS}}}members").text = member
        etree.SubElement(types, f"{{{METADATA_NS}}}name").text = name
    etree.SubElement(root, f"{{{METADATA_NS}}}version").text = manifest.api_version
    return xmlfile.canonical(root)


def files(
    components: Iterable[Component],
    api_version: str,
    *,
    deleted: Iterable[Ref] = (),
    deleted_first: Iterable[Ref] = (),
) -> Mapping[str, bytes]:
    """Return path → bytes of a package, ordered; package.xml is among them.

    deleted: what destructiveChangesPost.xml names, after everything else deployed.
    deleted_first: what destructiveChangesPre.xml names, before anything is.
    Raises ConfigError for a component whose type has no place in a package.
    """
    found: dict[str, bytes] = {}
    refs: list[Ref] = []
    for component in components:
        try:
            path = schema.path_of(component.ref)
        except KeyError as error:
            raise ConfigError(f"{component.ref}: no such metadata type") from error
        found[path] = component.body
        refs.append(
            Ref(schema.manifest_type(component.ref.type), component.ref.full_name)
        )
    found[MANIFEST] = manifest_xml(Manifest.of(refs, api_version))
    for name, gone in (("Pre", deleted_first), ("Post", deleted)):
        manifest = Manifest.of(gone, api_version)
        if manifest.members:
            found[f"destructiveChanges{name}.xml"] = manifest_xml(manifest)
    return {path: found[path] for path in sorted(found)}


def zip_files(content: Mapping[str, bytes], folder: str = "") -> bytes:
    """Return zip bytes: entries in order, one fixed date and mode, deflated.

    folder: what all of it is in, "" for none. Raises ConfigError past the Metadata
    API's limits.
    """
    inside = f"{folder}/" if folder else ""
    if len(content) > MAX_FILES:
        raise ConfigError(
            f"{len(content)} files: a deploy takes {MAX_FILES}", hint=_SPLIT
        )
    if sum(map(len, content.values())) > MAX_BYTES:
        raise ConfigError("more than 600 MB unzipped: split the deploy", hint=_SPLIT)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, body in content.items():
            entry = zipfile.ZipInfo(inside + path, _DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            archive.writestr(entry, body)
    if out.tell() > MAX_ZIP_BYTES:
        raise ConfigError("more than 39 MB zipped: split the deploy", hint=_SPLIT)
    return out.getvalue()


def pack(
    components: Iterable[Component], api_version: str, *, deleted: Iterable[Ref] = ()
) -> bytes:
    """Return the zip of a package, package.xml at the root."""
    return zip_files(files(components, api_version, deleted=deleted))


def unpack(data: bytes | IO[bytes]) -> tuple[Component, ...]:
    """Return the components of a zip that an org or a person gave us, by Ref.

    A single top folder such as "unpackaged/" is looked through; paths that hold no
    component are left out. Raises ApiFault for what is no zip, or a dangerous one.
    """
    found: dict[Ref, Component] = {}
    for path, body in _files(data):
        ref = schema.ref_of(path)
        if ref is None:
            continue
        if ref in found:
            raise ApiFault("", f"the zip holds {ref} twice; refused")
        found[ref] = Component(ref, body)
    return tuple(found[ref] for ref in sorted(found))


def read_zip(data: bytes) -> dict[str, bytes]:
    """Return path → bytes of every file in a zip. Raises ApiFault for a bad one."""
    return dict(_files(data))


def _files(data: bytes | IO[bytes]) -> Iterator[tuple[str, bytes]]:
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    size = file.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            yield from _read_members(archive, size)
    except _BAD_ZIP as error:
        raise ApiFault("", f"the zip cannot be read: {error}") from error


# What zipfile raises of bytes that are no zip, or half of one: encrypted members are
# a RuntimeError, offsets that lead nowhere a ValueError, as bad names are.
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def _read_members(archive: zipfile.ZipFile, size: int) -> Iterator[tuple[str, bytes]]:
    members = archive.infolist()
    if len(members) > MAX_FILES + 1_000:
        raise ApiFault("", f"the zip holds {len(members)} entries; refused")
    limit = min(MAX_BYTES, size * _MAX_RATIO + _FREE_BYTES)
    seen: set[str] = set()
    for member in members:
        path = member.filename
        if path.endswith("/"):
            continue
        if _is_unsafe(member) or path in seen:
            raise ApiFault("", f"the zip holds the path {path!r}; refused")
        if member.compress_type not in _METHODS:
            raise ApiFault("", f"the zip packs {path!r} as no org does; refused")
        with archive.open(member) as stream:
            body = stream.read(limit + 1)
        limit -= len(body)
        if limit < 0:
            raise ApiFault("", "the zip unpacks to far more than it should; refused")
        seen.add(path)
        yield path, body


def _is_unsafe(member: zipfile.ZipInfo) -> bool:
    path = member.orig_filename
    link = (member.external_attr >> 16) & 0o170000 == 0o120000
    parts = path.split("/")
    odd = "\\" in path or "\0" in path or ":" in parts[0]
    return not path or link or odd or path.startswith("/") or ".." in parts


def digest(content: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of a package's files, as hex; order does not matter."""
    sha = hashlib.sha256()
    for path in sorted(content):
        for part in (path.encode(), content[path]):
            sha.update(len(part).to_bytes(8) + part)
    return sha.hexdigest()


class Base64:
    """Base64 text that comes in pieces, decoded into a file.

    What is wrong with it is told at the end: the answer that it came in may be more
    so, and then nobody asks.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._rest = b""
        self._ended = False
        self._broken = ""

    def feed(self, text: str) -> None:
        """Take the next piece, whatever white space is in it."""
        if self._broken:
            return
        try:
            data = self._rest + b"".join(text.encode("ascii").split())
            whole = len(data) - len(data) % 4
            data, self._rest = data[:whole], data[whole:]
            if data and self._ended:
                raise ValueError("it goes on after its end")
            self._ended = data.endswith(b"=")
            self._out.write(base64.b64decode(data, validate=True))
        except ValueError as error:
            self._broken = f"the zip's base64 is broken: {error}"
        except OSError as error:
            self._broken = f"the zip cannot be kept: {error.strerror or error}"

    def finish(self) -> IO[bytes]:
        """Return the file with all that was decoded. Raises ApiFault."""
        if self._rest and not self._broken:
            self._broken = "the zip's base64 is broken: it is cut off"
        if self._broken:
            raise ApiFault("", self._broken)
        return self._out


# A Profile comes back with those sections only whose components are named in the
# same package.xml (Metadata API guide, Profile): section → type and element.
_SECTIONS = {
    "agentAccesses": ("Bot", "agentName"),
    "applicationVisibilities": ("CustomApplication", "application"),
    "categoryGroupVisibilities": ("DataCategoryGroup", "dataCategoryGroup"),
    "classAccesses": ("ApexClass", "apexClass"),
    "customMetadataTypeAccesses": ("CustomObject", "name"),
    "customPermissions": ("CustomPermission", "name"),
    "customSettingAccesses": ("CustomObject", "name"),
    "externalDataSourceAccesses": ("ExternalDataSource", "externalDataSource"),
    "fieldPermissions": ("CustomObject", "field"),
    "flowAccesses": ("Flow", "flow"),
    "genComputingSummaryDefAccesses": ("GenComputingSummaryDef", "configName"),
    "layoutAssignments": ("Layout", "layout"),
    "objectPermissions": ("CustomObject", "object"),
    "pageAccesses": ("ApexPage", "apexPage"),
    "recordTypeVisibilities": ("CustomObject", "recordType"),
    "servicePresenceStatusAccesses": (
        "ServicePresenceStatus",
        "servicePresenceStatus",
    ),
    "tabVisibilities": ("CustomTab", "tab"),
}


def retrieve_manifest(
    components: Iterable[Component], api_version: str, others: Iterable[Ref] = ()
) -> Manifest:
    """Return the manifest that brings back everything `components` speak of.

    others: what else is asked for, by name.
    """
    refs = {Ref(schema.manifest_type(r.type), r.full_name) for r in others}
    for component in components:
        refs.add(Ref(schema.manifest_type(component.ref.type), component.ref.full_name))
        if component.ref.type == "Profile":
            refs |= _named_by_profile(component)
    return Manifest.of(refs, api_version)


def _named_by_profile(component: Component) -> set[Ref]:
    root = xmlfile.parse(component.body)
    named: set[Ref] = set()
    for element in root:
        section = _SECTIONS.get(xmlfile.local_name(element))
        if section is not None:
            text = element.findtext(f"{{{METADATA_NS}}}{section[1]}", "").strip()
            name = text.partition(".")[0] if section[0] == "CustomObject" else text
            named.add(Ref(section[0], name))
    return named
