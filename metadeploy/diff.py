"""Compare metadata by meaning: actual + wanted Components → Changes. Pure.

A body becomes leaves, "oauthConfig.callbackUrl" → text, with keyed paths for repeated
structs, "userPermissions[ApiEnabled].enabled". So order, whitespace, entities, scope
synonyms and what the org fills in by default make no difference; and each difference
has a name a person can read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
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

    def __str__(self) -> str:
        verb = "to" if self.action is Action.GRANT else "from"
        return f"{self.app} {verb} {self.holder}"


class _Leaf(Struct, frozen=True, gc=False):  # never part of a cycle
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


def access_drift(
    recorded: Mapping[str, AppAccess], actual: Mapping[str, frozenset[Ref]]
) -> tuple[AccessChange, ...]:
    """List who got or lost an app though it was recorded otherwise."""
    # What a deploy would take away, somebody has given, and the other way round.
    back = {Action.GRANT: Action.REVOKE, Action.REVOKE: Action.GRANT}
    found = access_changes(actual, recorded)
    return tuple(sorted(replace(c, action=back[c.action]) for c in found))


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
    same = actual is not None and actual.body == wanted.body
    if same and (recorded is None or recorded.body == wanted.body):
        return None  # equal bytes mean equal metadata
    if actual is None:
        shown = _fields({}, _leaves(wanted), frozenset(), show_defaults=True)
        return Change(Action.CREATE, wanted.ref, shown)
    if wanted.ref.type in OVERLAID:
        fields = _overlaid(actual, wanted, recorded)
    else:
        have, want = _leaves(actual), _leaves(wanted)
        fields = _fields(have, want, frozenset(have) - frozenset(want))
        fields += _unreadable(want, _leaves(recorded))
    if not fields:
        return None
    return Change(Action.UPDATE, wanted.ref, tuple(sorted(fields, key=_by_path)))


def _overlaid(
    actual: Component, wanted: Component, recorded: Component | None
) -> tuple[FieldChange, ...]:
    """Compare where silence changes nothing but what we recorded."""
    sides = _without_common_items(actual, wanted)
    have, want = map(_leaves, sides)
    gone = frozenset(have) - frozenset(want)
    if gone:
        gone &= frozenset(_leaves(recorded))
    return _fields(have, want, gone)


# Before each top-level element of a body that is laid out as orgs do it, and so do we.
_ITEM_START = re.compile(rb"\n    <(?!/)")


def _without_common_items(
    one: Component, other: Component
) -> tuple[Component, Component]:
    """Return both without the items that both have, letter for letter.

    A large profile is mostly that: leaving it unparsed is what makes its diff fast.
    Only whole keyed items go; what is laid out differently stays, and is parsed, as
    does everything where comments or CDATA could hold what looks like an item.
    """
    if b"<!" in one.body or b"<!" in other.body:
        return one, other
    table = schema.fields(schema.root_name(one.ref)) or {}
    keyed = {
        name.encode()
        for name, field in table.items()
        if field.many and schema.item_key(field.kind)
    }
    sides = [_ITEM_START.split(c.body) for c in (one, other)]
    common = {
        item for item in set(sides[0]) & set(sides[1]) if _is_whole_item(item, keyed)
    }
    left, right = (b"\n    <".join(i for i in s if i not in common) for s in sides)
    return Component(one.ref, left), Component(other.ref, right)


def _is_whole_item(text: bytes, names: set[bytes]) -> bool:
    name = text.partition(b">")[0]
    end = b"</" + name + b">"
    return name in names and text.endswith(end) and text.count(end) == 1


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


def values(component: Component) -> dict[str, Value]:
    """Return path → value of a component, as fields of a Change have them."""
    return {path: leaf.value for path, leaf in _leaves(component).items()}


def _leaves(component: Component | None) -> dict[str, _Leaf]:
    """Return path → leaf of a component; of a key that comes twice, the last."""
    leaves: dict[str, _Leaf] = {}
    if component is not None:
        root = xmlfile.parse(component.body)
        _collect(_by_name(root), schema.root_name(component.ref), "", leaves)
    return leaves


def _by_name(element: etree._Element) -> dict[str, list[etree._Element]]:
    groups: dict[str, list[etree._Element]] = {}
    for child in element:
        name = xmlfile.local_name(child)
        if name in groups:
            groups[name].append(child)
        else:
            groups[name] = [child]
    return groups


def _collect(
    groups: Mapping[str, list[etree._Element]],
    struct: str,
    prefix: str,
    into: dict[str, _Leaf],
) -> None:
    """Add every leaf of these elements, all inside one struct, known or not."""
    known = schema.fields(struct) or {}
    for name, group in groups.items():
        field, path = known.get(name), f"{prefix}{name}"
        if field is None:
            into[path] = _Leaf(_opaque(group), None, frozenset())
        elif schema.fields(field.kind) is None:
            into[path] = _leaf(group, field)
        elif field.many:
            _collect_items(group, field, path, into)
        else:
            _collect(_by_name(group[0]), field.kind, f"{path}.", into)


def _collect_items(
    group: list[etree._Element], field: schema.Field, path: str, into: dict[str, _Leaf]
) -> None:
    keys = schema.item_key(field.kind)
    for item in group:
        groups = _by_name(item)
        named = (groups.pop(key, None) for key in keys)
        texts = (xmlfile.text_of(found[0]).strip() for found in named if found)
        at = f"{path}[{', '.join(filter(None, texts))}]"
        if groups:
            _collect(groups, field.kind, f"{at}.", into)
        else:  # an item that is nothing but its key says that it exists
            into[at] = _Leaf("present", None, field.flags)


def _key(item: etree._Element, keys: tuple[str, ...]) -> str:
    texts = (item.findtext(f"{{{METADATA_NS}}}{k}", "").strip() for k in keys)
    return ", ".join(t for t in texts if t)


def _leaf(group: list[etree._Element], field: schema.Field) -> _Leaf:
    default = field.default
    if default is None and field.kind == "boolean":
        default = "false"
    value: Value
    if not field.many and "comma" not in field.flags:
        value = _text(xmlfile.text_of(group[0]), field)
        return _Leaf(value, default, field.flags)
    texts = [_text(xmlfile.text_of(e), field) for e in group]
    if "comma" in field.flags:
        texts = [t for text in texts for t in map(str.strip, text.split(",")) if t]
    # All lists in the tables are sets: their order means nothing.
    value = tuple(sorted({_member(t, field) for t in texts}))
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
