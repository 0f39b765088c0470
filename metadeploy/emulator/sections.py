"""Which parts of a profile a retrieve gives: those of components named beside it.

Documented: Metadata API Developer Guide, Profile; a PermissionSet before API 40 is
treated alike. userPermissions, loginIpRanges,
loginHours, custom, userLicense and description always come. Works on the text that the
org itself wrote, since a profile may have ten megabytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from metadeploy.emulator.state import StoredComponent
from metadeploy.model import Ref

# section: the element that names a component, and the types it may be named by.
_SECTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "agentAccesses": ("agentName", ("Bot",)),
    "applicationVisibilities": ("application", ("CustomApplication",)),
    "categoryGroupVisibilities": ("dataCategoryGroup", ("DataCategoryGroup",)),
    "classAccesses": ("apexClass", ("ApexClass",)),
    "customMetadataTypeAccesses": ("name", ("CustomObject",)),
    "customPermissions": ("name", ("CustomPermission",)),
    "customSettingAccesses": ("name", ("CustomObject",)),
    "externalDataSourceAccesses": ("externalDataSource", ("ExternalDataSource",)),
    "fieldPermissions": ("field", ("CustomField", "CustomObject")),
    "flowAccesses": ("flow", ("Flow",)),
    "genComputingSummaryDefAccesses": ("configName", ("GenComputingSummaryDef",)),
    "layoutAssignments": ("layout", ("Layout",)),
    "objectPermissions": ("object", ("CustomObject",)),
    "pageAccesses": ("apexPage", ("ApexPage",)),
    "recordTypeVisibilities": ("recordType", ("RecordType", "CustomObject")),
    "servicePresenceStatusAccesses": (
        "servicePresenceStatus",
        ("ServicePresenceStatus",),
    ),
    "tabSettings": ("tab", ("CustomTab", "CustomObject")),
    "tabVisibilities": ("tab", ("CustomTab", "CustomObject")),
}
# The org writes every top-level element on a line of its own, indented by four; no
# text can look so, since it holds no "<".
_TOP = re.compile(rb"^    <([A-Za-z]+)>", re.MULTILINE)
_CUSTOM = (b"__c", b"__mdt", b"__e", b"__x", b"__b")

_Find = Callable[[Ref], StoredComponent | None]


def filtered(body: bytes, members: Mapping[str, tuple[str, ...]], find: _Find) -> bytes:
    """Return a profile's or permission set's file with what `members` asks for."""
    wanted = {
        kind: {name.encode() for name in names} for kind, names in members.items()
    }
    starts = [(m.start(), m[1].decode()) for m in _TOP.finditer(body)]
    if not starts:
        return body
    end = body.rindex(b"</")
    out = [body[: starts[0][0]]]
    ends = [at for at, _ in starts[1:]] + [end]
    for (start, name), stop in zip(starts, ends, strict=True):
        section = _SECTIONS.get(name)
        if section is None or _asked_for(body[start:stop], section, wanted, find):
            out.append(body[start:stop])
    out.append(body[end:])
    return b"".join(out)


def _asked_for(
    item: bytes,
    section: tuple[str, tuple[str, ...]],
    wanted: Mapping[str, set[bytes]],
    find: _Find,
) -> bool:
    element, kinds = section
    tag = element.encode()
    at = item.find(b"<" + tag + b">")
    if at < 0:
        return False
    name = item[at + len(tag) + 2 : item.index(b"</", at)]
    owner = name.partition(b".")[0]
    for kind in kinds:
        names = wanted.get(kind)
        if not names:
            continue
        target = owner if kind == "CustomObject" else name
        if target in names:
            return True
        if b"*" in names and _covered(kind, target, find):
            return True
    return False


def _covered(kind: str, name: bytes, find: _Find) -> bool:
    """Whether a wildcard covers it: of objects, custom ones only (documented)."""
    if kind == "CustomObject":
        return name.endswith(_CUSTOM)
    if kind == "CustomTab" or kind == "CustomApplication":
        return find(Ref(kind, name.decode())) is not None
    return True
