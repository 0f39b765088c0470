"""What is known of each app of an org, in words: the cells of the page's matrix. Pure.

What nobody knows has no fact; nothing is guessed. Imports cryptography: load it late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from metadeploy import diff, externalapp, schema
from metadeploy.diff import AccessChange, Action, Change, Value
from metadeploy.keys import KeyChoice, Origin
from metadeploy.model import Component, Ref
from metadeploy.plan import NewKey
from metadeploy.proof import Proof
from metadeploy.reports.account import Account, Known, KnownKey
from metadeploy.reports.words import proof_mark
from metadeploy.rules import x509

NAMES = (
    *("kind", "key", "users", "IP ranges", "refresh token", "PKCE", "flows", "scopes"),
    *("access", "drift", "login", "certificate"),
)
"""The names of facts, in their order."""

_CONNECTED = "ConnectedApp"
_KINDS = {
    _CONNECTED: "connected app",
    externalapp.HEADER: "External Client App",
    "": "not made by these templates",
}
# As `certs list` and the rules warn.
_SOON = timedelta(days=30)


class Mark(Struct, frozen=True):
    """What happens to an app, or has: the sign that goes with it, and a word."""

    sign: str
    word: str


class Fact(Struct, frozen=True):
    """One thing that is known of an app, as it is wanted.

    before: as the org has it, where that is otherwise. gained, lost: of what `text`
    lists, or would, what the org does not have yet, or has beyond it. alarm: somebody
    has to look at it.
    """

    name: str
    text: str
    before: str = ""
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    alarm: bool = False

    @property
    def plain(self) -> bool:
        """Whether the org has it as it is wanted, and nobody has to look."""
        return not (self.before or self.gained or self.lost or self.alarm)


class App(Struct, frozen=True):
    """One app of one org. key: the consumer key itself, "" where nobody knows it."""

    name: str
    marks: tuple[Mark, ...]
    facts: tuple[Fact, ...]
    key: str = ""

    @property
    def calm(self) -> bool:
        """Whether nothing happens to it, and nobody has to look."""
        as_wanted = all(m.sign == "=" for m in self.marks)
        return as_wanted and all(f.plain for f in self.facts)


def apps(account: Account, at: datetime | None) -> tuple[App, ...]:
    """Return what an account says of each app, by name; none where it knows nothing.

    at: the time that certificates are judged at; None leaves their days out.
    """
    if account.known is None:
        return ()
    parts = _parts(account.known.wanted.components)
    names = set(parts) | set(account.known.wanted.access)
    gone = [c.ref for c in account.changes if c.action is Action.DELETE]
    names |= {ref.full_name for ref in gone if ref.type in _KINDS}
    return tuple(
        _app(name, _Side.of(name, parts.get(name, ()), account), account.known, at)
        for name in sorted(names)
    )


def _parts(components: Iterable[Component]) -> dict[str, list[Component]]:
    """Return the components that make up each app, by its name."""
    found: dict[str, list[Component]] = {}
    for component in components:
        app = externalapp.app_of(component)
        if component.ref.type == _CONNECTED:
            app = component.ref.full_name
        if app is not None:
            found.setdefault(app, []).append(component)
    return found


class _Side(Struct, frozen=True):
    """What an account says of one app alone."""

    account: Account
    refs: frozenset[Ref]
    kind: str
    values: Mapping[str, Value]
    access: tuple[AccessChange, ...]
    left_access: tuple[AccessChange, ...]
    drift_access: tuple[AccessChange, ...]
    proofs: tuple[Proof, ...]

    @classmethod
    def of(cls, name: str, parts: Iterable[Component], account: Account) -> _Side:
        refs = {c.ref for c in parts}
        refs |= {Ref(t, name) for t in _KINDS if t and _deleted(account, t, name)}
        kinds = [ref.type for ref in sorted(refs) if ref.type in _KINDS]
        values = {
            f"{c.ref.type}.{path}": value
            for c in parts
            for path, value in diff.values(c).items()
        }
        return cls(
            account=account,
            refs=frozenset(refs),
            kind=kinds[0] if kinds else "",
            values=values,
            access=_of_app(name, account.access),
            left_access=_of_app(name, account.left_access),
            drift_access=_of_app(name, account.drift_access),
            proofs=tuple(p for p in account.proofs if p.app == name),
        )

    def changes(self, rows: Iterable[Change]) -> list[Change]:
        return [c for c in rows if c.ref in self.refs]

    def with_actual(self) -> Mapping[str, Value]:
        """Return the values as the org has them, as far as they are known to differ."""
        found = dict(self.values)
        account = self.account
        differing = self.changes((*account.changes, *account.left, *account.drift))
        for change in differing:
            for field in change.fields if change.action is Action.UPDATE else ():
                path = f"{change.ref.type}.{field.path}"
                found.pop(path, None)
                if field.actual is not None:
                    found[path] = field.actual
        return found


def _of_app(name: str, rows: Iterable[AccessChange]) -> tuple[AccessChange, ...]:
    return tuple(c for c in rows if c.app == name)


def _deleted(account: Account, kind: str, name: str) -> bool:
    return any(
        c.action is Action.DELETE and c.ref == Ref(kind, name) for c in account.changes
    )


def _app(name: str, side: _Side, known: Known, at: datetime | None) -> App:
    new = next((k for k in side.account.new_keys if k.app == name), None)
    key = known.keys.get(name)
    facts = [
        Fact("kind", _KINDS[side.kind]),
        *_key(key, new),
        *_policies(side),
        *_access(name, side, known),
        *_drift(side, known),
        *map(_login, side.proofs),
        *_certificate(side, at),
    ]
    return App(name, tuple(_marks(side)), tuple(facts), key.key if key else "")


# -- what happens to it

_PLANNED = {
    Action.CREATE: Mark("+", "create"),
    Action.UPDATE: Mark("~", "change"),
    Action.DELETE: Mark("-", "delete"),
}
_LEFT = {
    Action.CREATE: Mark("!", "missing"),
    Action.UPDATE: Mark("!", "differs"),
    Action.DELETE: Mark("!", "still there"),
}
_DRIFTED = {
    Action.DELETE: Mark("!", "gone"),
    Action.UPDATE: Mark("!", "changed outside"),
}


def _marks(side: _Side) -> Iterator[Mark]:
    account, found = side.account, []
    if any(ref in side.refs for ref in account.replaced):
        found.append(Mark("-+", "delete, create anew"))
    else:
        found += _of_action(_PLANNED, side.changes(account.changes))
    if side.access and not found:
        found.append(Mark("~", "change access"))
    found += _of_action(_LEFT, side.changes(account.left))
    if side.left_access:
        found.append(Mark("!", "access differs"))
    found += _of_action(_DRIFTED, side.changes(account.drift))
    if side.drift_access:
        found.append(Mark("!", "access changed outside"))
    if any(p.ok is False for p in side.proofs):
        found.append(Mark("!", "login failed"))
    yield from found or [Mark("=", "as wanted")]


def _of_action(marks: Mapping[Action, Mark], changes: list[Change]) -> list[Mark]:
    """Return the gravest mark: an app is created if any part of it is its header."""
    whole = [c.action for c in changes if c.ref.type in _KINDS]
    if whole:
        return [marks[whole[0]]]
    return [marks[Action.UPDATE]] if changes else []


# -- its key


def _key(key: KnownKey | None, new: NewKey | None) -> Iterator[Fact]:
    wanted = ""
    if new is not None:
        wanted = _made("pinned" if new.choice.pinned else "derived", new.choice)
    if key is None or key.origin is None:
        there = "there; who made it needs the master secret" if key else ""
        if wanted or there:
            yield Fact("key", wanted or there)
        return
    now = _made(key.origin, key)
    before = now if wanted and wanted != now else ""
    yield Fact("key", wanted or now, before)


def _made(origin: Origin, of: KeyChoice | KnownKey) -> str:
    if origin == "org":
        return "the org's own"
    return origin if origin == "pinned" else f"{origin}, generation {of.generation}"


# -- its policies

_OAUTH_POLICY, _GLOBAL = externalapp.OAUTH_POLICY, externalapp.GLOBAL
_USERS = {
    "true": "admin-approved",
    "false": "all may self-authorise",
    "AdminApprovedPreAuthorized": "admin-approved",
    "AllSelfAuthorized": "all may self-authorise",
}
_IP = {
    "enforce": "enforced",
    "bypass": "relaxed",
    "bypass_2factor": "relaxed with a second factor",
    "enforce_relaxrefresh": "enforced, relaxed for refresh tokens",
}
_REFRESH = {
    "infinite": "until revoked",
    "zero": "none is kept",
    "specificlifetime": "for {}",
    "specificinactivity": "until unused for {}",
}
_ON = {"true": "required", "false": "not required"}
_FLOW = {"true": "client credentials"}


def _policies(side: _Side) -> Iterator[Fact]:
    """Yield the app's policies as they are wanted, and as the org has them now."""
    now = _worded(side.with_actual())
    for name, text in _worded(side.values).items():
        before = now.get(name, "")
        yield Fact(name, text, before if before != text else "")


def _worded(values: Mapping[str, Value]) -> dict[str, str]:
    """Return the policies that the values of an app's files tell, in words by name."""
    found: dict[str, str] = {}
    oauth = [p for p in values if p.startswith(f"{_CONNECTED}.oauthConfig.")]
    if oauth:
        found = _of_connected_app(values)
    elif any(p.startswith(("ExtlClntAppGlobal", "ExtlClntAppOauth")) for p in values):
        found = _of_external_app(values)
    return {name: text for name, text in found.items() if text}


def _of_connected_app(values: Mapping[str, Value]) -> dict[str, str]:
    def said(path: str) -> str:
        return _said(values, _CONNECTED, path)

    kind, _, span = said("oauthPolicy.refreshTokenPolicy").partition(":")
    return {
        "users": _USERS.get(said("oauthConfig.isAdminApproved"), ""),
        "IP ranges": _ip(said("oauthPolicy.ipRelaxation")),
        "refresh token": _refresh(kind, *span.partition(":")[::2]),
        "PKCE": _ON.get(said("oauthConfig.isPkceRequired"), ""),
        "flows": _FLOW.get(said("oauthConfig.isClientCredentialEnabled"), ""),
        "scopes": said("oauthConfig.scopes"),
    }


def _of_external_app(values: Mapping[str, Value]) -> dict[str, str]:
    def policy(name: str) -> str:
        return _said(values, _OAUTH_POLICY, name)

    return {
        "users": _USERS.get(policy("permittedUsersPolicyType"), ""),
        "IP ranges": _ip(policy("ipRelaxationPolicyType")),
        "refresh token": _refresh(
            policy("refreshTokenPolicyType"),
            policy("refreshTokenValidityPeriod"),
            policy("refreshTokenValidityUnit"),
        ),
        "PKCE": _ON.get(_said(values, _GLOBAL, "isPkceRequired"), ""),
        "flows": _FLOW.get(policy("isClientCredentialsFlowEnabled"), ""),
        "scopes": _said(values, externalapp.SETTINGS, "commaSeparatedOauthScopes"),
    }


def _said(values: Mapping[str, Value], kind: str, path: str) -> str:
    """Return a value as text; unsaid, what the platform takes it for; or ""."""
    value = values.get(f"{kind}.{path}")
    if value is None:
        struct, name = kind, path
        if "." in path:
            part, name = path.split(".")
            struct = (schema.fields(kind) or {})[part].kind
        value = (schema.fields(struct) or {})[name].default or ""
    return ", ".join(value) if isinstance(value, tuple) else value


def _ip(text: str) -> str:
    return _IP.get(text.lower(), text)


def _refresh(kind: str, number: str, unit: str) -> str:
    words = _REFRESH.get(kind.lower().replace("_", ""), kind)
    noun = unit.lower().rstrip("s") if number == "1" else unit.lower()
    return words.format(f"{number} {noun}".strip() or "a time that is not said")


# -- who may use it


def _access(name: str, side: _Side, known: Known) -> Iterator[Fact]:
    said = known.wanted.access.get(name)
    if said is None:
        return
    turned = [AccessChange(c.app, c.holder, _BACK[c.action]) for c in side.drift_access]
    rows = (*side.access, *side.left_access, *turned)
    gained = {c.holder for c in rows if c.action is Action.GRANT}
    lost = {c.holder for c in rows if c.action is Action.REVOKE}
    holders = [str(h) for h in sorted(said.grants - gained)]
    if not said.owned:
        holders.append("whom the org lets beside")
    yield Fact(
        "access",
        ", ".join(holders) or ("" if rows else "nobody"),
        gained=tuple(map(str, sorted(gained))),
        lost=tuple(map(str, sorted(lost))),
    )


# Who has got it outside metadeploy is not wanted, and who has lost it is.
_BACK = {Action.GRANT: Action.REVOKE, Action.REVOKE: Action.GRANT}


# -- drift, logins, certificate


def _drift(side: _Side, known: Known) -> Iterator[Fact]:
    if known.recorded is None or not side.refs & known.recorded:
        return
    changed = side.changes(side.account.drift)
    count = sum(max(len(c.fields), 1) for c in changed) + len(side.drift_access)
    words = f"{count} {'value' if count == 1 else 'values'} changed outside"
    yield Fact("drift", words if count else "none", alarm=bool(count))


def _login(proof: Proof) -> Fact:
    if proof.ok is None:
        return Fact("login", f"not tried: {proof.detail}")
    how = f" by {proof.flow}" if proof.flow else ""
    who = f" as {proof.user}" if proof.user else ""
    text = f"{proof_mark(proof).rstrip(',')}{how}{who}"
    why = "" if proof.ok else f": {proof.detail}"
    return Fact("login", f"{text}{why}", alarm=not proof.ok)


def _certificate(side: _Side, at: datetime | None) -> Iterator[Fact]:
    for path in (f"{_CONNECTED}.oauthConfig.certificate", f"{_GLOBAL}.certificate"):
        text = side.values.get(path)
        if isinstance(text, str) and text:
            yield _ends(text, at)


def _ends(text: str, at: datetime | None) -> Fact:
    try:
        ends = x509.read(text).ends
    except ValueError:
        return Fact("certificate", "cannot be read", alarm=True)
    until = f"until {ends:%Y-%m-%d}"
    if at is None:
        return Fact("certificate", until)
    days = abs(int((ends - at) / timedelta(days=1)))
    count = f"{days} {'day' if days == 1 else 'days'}"
    if at > ends:
        return Fact("certificate", f"{until}, EXPIRED {count} ago", alarm=True)
    if at + _SOON >= ends:
        return Fact("certificate", f"{until}, EXPIRES in {count}", alarm=True)
    return Fact("certificate", f"{until}, {count} left")
