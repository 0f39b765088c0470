"""Compare metadata by meaning: actual + wanted Components → Changes. Pure.

A body becomes leaves, "oauthConfig.callbackUrl" → text, with keyed paths for repeated
structs, "userPermissions[ApiEnabled].enabled". So order, whitespace, entities, scope
synonyms and what the org fills in by default make no difference; and each difference
has a name a person can read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from lxml import etree
from msgspec import Struct
from msgspec.structs import replace

from metadeploy import schema, xmlfile
from metadeploy.access import AppAccess
from metadeploy.model import METADATA_NS, Component, Ref

Value = str | tuple[str, ...]
_SCOPE = "ConnectedAppOauthAccessScope"

# Deploying these overlays what is there: what a file does not name stays as it is.
# For a Profile that is the platform's rule, for a PermissionSet ours: its deploy
# replaces (API 40+), so we merge before we send (Metadata API guide, PermissionSet).
OVERLAID = ("PermissionSet", "Profile")


class Action(StrEnum):
    """What happens to a component or an access; `sign` is how a plan shows it."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    GRANT = "grant"
    REVOKE = "revoke"

    @property
    def sign(self) -> str:
        return {"create": "+", "grant": "+", "update": "~"}.get(self.value, "-")


class FieldChange(Struct, frozen=True, order=True):
    """One leaf whose value differs; None on the side that does not have it."""

    path: str
    actual: Value | None
    wanted: Value | None


class Change(Struct, frozen=True):
    """One component that differs, leaf by leaf, ordered by path."""

    action: Action
    ref: Ref
    fields: tuple[FieldChange, ...]


class AccessChange(Struct, frozen=True, order=True):
    """One holder that gains or loses an app."""

    app: str
    holder: Ref
    action: Action


class _Leaf(Struct, frozen=True):
    value: Value
    default: str | None
    flags: frozenset[str]


_NO_LEAF = _Leaf("", None, frozenset())


def diff(
    actual: Iterable[Component],
    wanted: Iterable[Component],
    recorded: Iterable[Component] = (),
) -> tuple[Change, ...]:
    """List what turns `actual` into `wanted`, ordered by type and fullName.

    All sides hold bodies without access (`raise_access`). Components that only the
    org has are none of ours. `recorded` is what we last deployed: what it said and
    `wanted` no longer says goes away, also where a deploy only overlays.
    """
    have = {c.ref: c for c in actual}
    was = {c.ref: c for c in recorded}
    changes = (_compare(have.get(w.ref), w, was.get(w.ref)) for w in wanted)
    return tuple(sorted((c for c in changes if c is not None), key=lambda c: c.ref))


def drift(
    recorded: Iterable[Component], actual: Iterable[Component]
) -> tuple[Change, ...]:
    """List what the org has otherwise than we last deployed it.

    In each field `wanted` is what we deployed and `actual` what the org has now.
    """
    have = {c.ref: c for c in actual}
    changes = (_compare(have.get(was.ref), was, None) for was in recorded)
    # What a deploy would create again, somebody has deleted.
    found = (
        replace(c, action=Action.DELETE) if c.action is Action.CREATE else c
        for c in changes
        if c is not None
    )
    return tuple(sorted(found, key=lambda c: c.ref))


def access_changes(
    actual: Mapping[str, frozenset[Ref]], wanted: Mapping[str, AppAccess]
) -> tuple[AccessChange, ...]:
    """List the grants and revokes that give each app its declared access.

    actual: the holders of each app in the org; an app not in it has none.
    """
    changes: list[AccessChange] = []
    for app, said in wanted.items():
        have = actual.get(app, frozenset())
        gone = have - said.grants if said.owned else have & said.revokes
        changes += [AccessChange(app, h, Action.GRANT) for h in said.grants - have]
        changes += [AccessChange(app, h, Action.REVOKE) for h in gone]
    return tuple(sorted(changes))


def merge(
    actual: Component, wanted: Component, recorded: Component | None
) -> Component:
    """Return what to send so that `wanted`, of an OVERLAID type, is laid over `actual`.

    What `recorded` said and `wanted` does not goes away; everything else that only
    the org has stays. A PermissionSet is sent whole; a Profile is sent as declared,
    with what goes away set to its default, since silence leaves a profile alone.
    """
    gone = frozenset[str]()
    if recorded is not None:
        gone = frozenset(_leaves(recorded)) - frozenset(_leaves(wanted))
    root = xmlfile.parse(wanted.body)
    struct = schema.root_name(wanted.ref)
    declared = {_item_path(struct, e): e for e in root}
    for element in xmlfile.parse(actual.body):
        path = _item_path(struct, element)
        if wanted.ref.type == "Profile":
            if path not in declared and _set_to_default(element, struct, path, gone):
                root.append(element)
        elif not _is_gone(element, path, _keys(struct, element), gone):
            if path in declared:
                _merge_item(element, declared[path])
            else:
                root.append(element)
    return Component(wanted.ref, xmlfile.canonical(root), wanted.source)


def _set_to_default(
    element: etree._Element, struct: str, path: str, gone: frozenset[str]
) -> bool:
    """Set each `gone` leaf of an item to its default; tell if there was any."""
    known = (schema.fields(struct) or {}).get(xmlfile.local_name(element))
    found = False
    for name, field in (schema.fields(known.kind if known else "") or {}).items():
        leaf = element.find(f"{{{METADATA_NS}}}{name}")
        if leaf is not None and f"{path}.{name}" in gone and field.kind == "boolean":
            leaf.text = field.default or "false"
            found = True
    return found


def _is_gone(
    element: etree._Element, path: str, keys: tuple[str, ...], gone: frozenset[str]
) -> bool:
    """Take what is `gone` out of an item; tell if nothing is left but its key."""
    taken = [e for e in element if f"{path}.{xmlfile.local_name(e)}" in gone]
    for child in taken:
        element.remove(child)
    left = [e for e in element if xmlfile.local_name(e) not in keys]
    return path in gone or (bool(taken) and not left)


def _merge_item(old: etree._Element, new: etree._Element) -> None:
    """Add to `new` what only `old` says of the same item."""
    said = {xmlfile.local_name(e) for e in new}
    for child in list(old):
        if xmlfile.local_name(child) not in said and len(new):
            new.append(child)


def _keys(struct: str, element: etree._Element) -> tuple[str, ...]:
    known = (schema.fields(struct) or {}).get(xmlfile.local_name(element))
    return schema.item_key(known.kind) if known else ()


def _item_path(struct: str, element: etree._Element) -> str:
    name = xmlfile.local_name(element)
    keys = _keys(struct, element)
    if keys:
        return f"{name}[{_key(element, keys)}]"
    known = (schema.fields(struct) or {}).get(name)
    # An unkeyed repeated element stands for itself, text and all.
    text = xmlfile.text_of(element).strip() if known and known.many else ""
    return f"{name}[{text}]" if text else name


def _compare(
    actual: Component | None, wanted: Component, recorded: Component | None
) -> Change | None:
    leaves = _leaves(wanted)
    if actual is None:
        shown = _fields({}, leaves, frozenset(), show_defaults=True)
        return Change(Action.CREATE, wanted.ref, shown)
    have = _leaves(actual)
    gone = frozenset(have) - frozenset(leaves)
    if wanted.ref.type in OVERLAID:
        said = frozenset(_leaves(recorded)) if recorded is not None else frozenset()
        gone &= said
    fields = _fields(have, leaves, gone) + _unreadable(leaves, _leaves(recorded))
    if not fields:
        return None
    return Change(Action.UPDATE, wanted.ref, tuple(sorted(fields, key=_by_path)))


def _by_path(field: FieldChange) -> str:
    return field.path


def _unreadable(
    want: Mapping[str, _Leaf], recorded: Mapping[str, _Leaf]
) -> tuple[FieldChange, ...]:
    """Compare with our record what no org gives back, such as an app's certificate.

    Without a record nobody knows what the org has, and nothing is claimed to differ.
    """
    found: list[FieldChange] = []
    for path in sorted(want.keys() | recorded.keys() if recorded else ()):
        new, old = want.get(path), recorded.get(path)
        flags = (new or old or _NO_LEAF).flags
        if "write-only" not in flags or flags & {"create-only", "secret"}:
            continue
        if (new and new.value) != (old and old.value):
            values = (old.value if old else None, new.value if new else None)
            found.append(FieldChange(path, *values))
    return tuple(found)


def _fields(
    have: Mapping[str, _Leaf],
    want: Mapping[str, _Leaf],
    gone: frozenset[str],
    *,
    show_defaults: bool = False,
) -> tuple[FieldChange, ...]:
    """Compare the leaves of `want`, and those of `have` that are `gone`."""
    fields: list[FieldChange] = []
    for path, leaf in want.items():
        other = have.get(path)
        old = other.value if other is not None else None
        default = None if show_defaults else leaf.default
        if leaf.flags & _NOT_COMPARED:
            continue
        if leaf.value not in ((default, "") if old is None else (old,)):
            fields.append(FieldChange(path, old, leaf.value))
    for path in gone:
        leaf = have[path]
        if not (leaf.flags & _THE_ORGS_OWN) and leaf.value not in (leaf.default, ""):
            fields.append(FieldChange(path, leaf.value, leaf.default))
    return tuple(sorted(fields, key=lambda f: f.path))


# Sent once or never returned: nothing that a plan could compare or should show.
_NOT_COMPARED = frozenset({"create-only", "secret", "write-only"})
_THE_ORGS_OWN = _NOT_COMPARED | {"server"}


def _leaves(component: Component | None) -> dict[str, _Leaf]:
    if component is None:
        return {}
    root = xmlfile.parse(component.body)
    leaves: dict[str, _Leaf] = {}
    for path, leaf in _walk(root, schema.root_name(component.ref), ""):
        leaves[path] = leaf
    return leaves


def _walk(
    element: etree._Element, struct: str, prefix: str
) -> Iterator[tuple[str, _Leaf]]:
    """Yield every leaf below `element`, a struct that the tables may know."""
    known = schema.fields(struct)
    groups: dict[str, list[etree._Element]] = {}
    for child in element:
        groups.setdefault(xmlfile.local_name(child), []).append(child)
    for name, group in groups.items():
        field = known.get(name) if known else None
        path = f"{prefix}{name}"
        if field is None:
            yield path, _Leaf(_opaque(group), None, frozenset())
        elif schema.fields(field.kind) is not None:
            yield from _walk_structs(group, field, path)
        else:
            yield path, _leaf(group, field)


def _walk_structs(
    group: list[etree._Element], field: schema.Field, path: str
) -> Iterator[tuple[str, _Leaf]]:
    keys = schema.item_key(field.kind)
    if not field.many:
        yield from _walk(group[0], field.kind, f"{path}.")
        return
    for item in group:
        at = f"{path}[{_key(item, keys)}]"
        found = [
            leaf
            for leaf in _walk(item, field.kind, f"{at}.")
            if leaf[0].removeprefix(f"{at}.") not in keys
        ]
        # An item that is nothing but its key says that it exists.
        yield from found or [(at, _Leaf("present", None, field.flags))]


def _key(item: etree._Element, keys: tuple[str, ...]) -> str:
    texts = (item.findtext(f"{{{METADATA_NS}}}{k}", "").strip() for k in keys)
    return ", ".join(t for t in texts if t)


def _leaf(group: list[etree._Element], field: schema.Field) -> _Leaf:
    texts = [_text(xmlfile.text_of(e), field) for e in group]
    default = field.default
    if default is None and field.kind == "boolean":
        default = "false"
    value: Value
    if "comma" in field.flags:
        parts = (t.strip() for t in ",".join(texts).split(","))
        value = tuple(sorted({_member(p, field) for p in parts if p}))
    elif field.many:  # all in the tables are sets: their order means nothing
        value = tuple(sorted({_member(t, field) for t in texts}))
    else:
        value = texts[0]
    return _Leaf(value, default, field.flags)


def _member(text: str, field: schema.Field) -> str:
    if field.kind == _SCOPE or field.name == "commaSeparatedOauthScopes":
        return schema.canonical_scope(text)
    return text


def _text(text: str, field: schema.Field) -> str:
    if "lines" in field.flags:
        return "\n".join(line.strip() for line in text.split("\n") if line.strip())
    if field.name == "certificate":  # PEM: the armour's line breaks mean nothing
        return "\n".join(text.split("\n")).strip()
    if field.kind == "string":
        return text
    text = text.strip()
    if field.kind == "boolean":
        return {"1": "true", "0": "false"}.get(text, text)
    return text


def _opaque(group: list[etree._Element]) -> Value:
    """Return a value for what no table describes: equal content, equal value."""
    if len(group) == 1 and len(group[0]) == 0:
        return xmlfile.text_of(group[0])
    return tuple(sorted(json.dumps(_plain(e), ensure_ascii=False) for e in group))


def _plain(element: etree._Element) -> object:
    if len(element) == 0:
        return xmlfile.text_of(element)
    pairs = [(xmlfile.local_name(c), _plain(c)) for c in element]
    return sorted(pairs, key=lambda p: (p[0], json.dumps(p[1])))
