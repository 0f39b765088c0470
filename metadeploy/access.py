"""Who may use an app: raised out of metadata into Access, and lowered back. Pure.

`connectedAppAccesses` in a Profile or PermissionSet template is our own declaration:
no API version has such an element (Metadata API WSDL 66). The platform keeps the list
in the app (profileName, permissionSetName, since API 46) or, for an External Client
App, in its OAuth policy. Raising takes every form of it out; lowering writes the
platform's form into the apps of the package, so ours never reaches the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lxml import etree
from msgspec import Struct

from metadeploy import xmlfile
from metadeploy.model import METADATA_NS, Component, Ref, Source

DECLARATION = "connectedAppAccesses"
HOLDERS = ("PermissionSet", "Profile")
_POLICY = "ExtlClntAppOauthConfigurablePolicies"

# The element of an app's file that lists holders of a type.
_LISTS = {
    "ConnectedApp": {"PermissionSet": "permissionSetName", "Profile": "profileName"},
    _POLICY: {
        "PermissionSet": "commaSeparatedPermissionSet",
        "Profile": "commaSeparatedProfile",
    },
}

# Profiles are named by label where an app lists them (observed), by fullName in files.
_PROFILE_LABELS = {
    "Admin": "System Administrator",
    "Standard": "Standard User",
    "SolutionManager": "Solution Manager",
    "MarketingProfile": "Marketing User",
    "ContractManager": "Contract Manager",
    "ReadOnly": "Read Only",
    "StandardAul": "Standard Platform User",
}
_PROFILE_NAMES = {label: name for name, label in _PROFILE_LABELS.items()}

Place = tuple[str, int]


class AppAccess(Struct, frozen=True):
    """What is said about one app: who may use it, and who may no longer.

    owned: the app's list is ours as a whole (its file is among the components), so
    whoever is not in `grants` loses access; otherwise only `revokes` do.
    """

    grants: frozenset[Ref] = frozenset()
    revokes: frozenset[Ref] = frozenset()
    owned: bool = False


class Raised(Struct, frozen=True):
    """Components without any access in them, and the access that they declared.

    access: by app fullName; an app about which nothing is said is not in it.
    places: the (path, line) that declared each (app, holder).
    """

    components: tuple[Component, ...]
    access: Mapping[str, AppAccess]
    places: Mapping[tuple[str, Ref], Place]


def profile_label(full_name: str) -> str:
    """Return the name by which records and apps know a profile."""
    return _PROFILE_LABELS.get(full_name, full_name)


def profile_name(label: str) -> str:
    """Return the fullName of a profile; labels of custom profiles are fullNames."""
    return _PROFILE_NAMES.get(label, label)


def raise_access(components: Iterable[Component]) -> Raised:
    """Take all access out of `components`; bodies come back canonical.

    A Profile that declares access only says nothing else about the profile, so no
    component is left of it. Raises XmlError for a body that is not XML.
    """
    found = _Found()
    kept: list[Component] = []
    for component in components:
        root = xmlfile.parse(component.body)
        if component.ref.type in HOLDERS:
            declared = _raise_holder(root, component, found)
            if declared and component.ref.type == "Profile" and len(root) == 0:
                continue
        elif component.ref.type in _LISTS:
            _raise_app(root, component, found)
        kept.append(_canonical(component, root))
    access = {
        app: AppAccess(
            frozenset(found.grants.get(app, ())),
            frozenset(found.revokes.get(app, ())) - found.grants.get(app, set()),
            app in found.apps,
        )
        for app in sorted({*found.grants, *found.revokes, *found.cleared})
    }
    return Raised(tuple(kept), access, found.places)


class _Found:
    def __init__(self) -> None:
        self.grants: dict[str, set[Ref]] = {}
        self.revokes: dict[str, set[Ref]] = {}
        self.cleared: set[str] = set()
        self.apps: set[str] = set()
        self.places: dict[tuple[str, Ref], Place] = {}


def _raise_holder(root: etree._Element, component: Component, found: _Found) -> bool:
    declared = False
    for element in list(root):
        if xmlfile.local_name(element) != DECLARATION:
            continue
        said = {xmlfile.local_name(e): xmlfile.text_of(e).strip() for e in element}
        app, enabled = said.get("connectedApp", ""), said.get("enabled", "")
        into = found.grants if enabled in ("true", "1") else found.revokes
        into.setdefault(app, set()).add(component.ref)
        found.places[app, component.ref] = _place(component, element)
        root.remove(element)
        declared = True
    return declared


def _raise_app(root: etree._Element, component: Component, found: _Found) -> None:
    app = _app_of(component.ref, root)
    found.apps.add(app)
    for holder_type, name in _LISTS[component.ref.type].items():
        for element in root.findall(f"{{{METADATA_NS}}}{name}"):
            for holder in _holders(component.ref.type, holder_type, element):
                found.grants.setdefault(app, set()).add(holder)
                found.places[app, holder] = _place(component, element)
            found.cleared.add(app)
            root.remove(element)


def _holders(kind: str, holder_type: str, element: etree._Element) -> Iterator[Ref]:
    text = xmlfile.text_of(element)
    for name in text.split(",") if kind == _POLICY else [text]:
        if name := name.strip():
            full_name = profile_name(name) if holder_type == "Profile" else name
            yield Ref(holder_type, full_name)


def lower_access(
    components: Iterable[Component], raised: Raised
) -> tuple[Component, ...]:
    """Write `raised.access` into the apps among `components`, in the platform's form.

    The list in a file replaces the app's list in the org; an app about which
    nothing is said keeps what it has (Metadata API guide, ConnectedApp).
    """
    return tuple(_lower(component, raised) for component in components)


def _lower(component: Component, raised: Raised) -> Component:
    lists = _LISTS.get(component.ref.type)
    if lists is None:
        return component
    root = xmlfile.parse(component.body)
    app = _app_of(component.ref, root)
    if app not in raised.access:
        return component
    grants = raised.access[app].grants
    places: dict[etree._Element, Place] = {}
    for holder_type, name in lists.items():
        holders = sorted(h for h in grants if h.type == holder_type)
        names = [
            profile_label(h.full_name) if holder_type == "Profile" else h.full_name
            for h in holders
        ]
        texts = [",".join(names)] if component.ref.type == _POLICY else names or [""]
        for n, text in enumerate(texts):
            element = etree.SubElement(root, f"{{{METADATA_NS}}}{name}")
            element.text = text or None
            if n < len(holders) and (app, holders[n]) in raised.places:
                places[element] = raised.places[app, holders[n]]
    return _canonical(component, root, places)


def _app_of(ref: Ref, root: etree._Element) -> str:
    """Return the app that a file is about: a policy names its app inside."""
    if ref.type == "ConnectedApp":
        return ref.full_name
    return root.findtext(f"{{{METADATA_NS}}}externalClientApplication", "").strip()


def _place(component: Component, element: etree._Element) -> Place:
    source = component.source or Source(str(component.ref))
    return source.locate(element.sourceline or 1)


def _canonical(
    component: Component,
    root: etree._Element,
    places: Mapping[etree._Element, Place] | None = None,
) -> Component:
    """Write `root` canonically, each line still knowing its template line."""
    if component.source is None:
        return Component(component.ref, xmlfile.canonical(root))
    known = places or {}

    def place(element: etree._Element) -> Place:
        return known.get(element) or _place(component, element)

    return xmlfile.component(component.ref, root, component.source.path, place)
