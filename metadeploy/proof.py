"""Proof that an app can be used: what is asked for, and what the answer shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from msgspec import Struct

from metadeploy import externalapp, keys, oauth_errors, schema, xmlfile
from metadeploy.model import METADATA_NS, Component

Expected = Literal["token", "refused"]


class Subject(Struct, frozen=True):
    """An app of an org that is to be logged in to.

    org_id: 18 characters. scopes: as its metadata declares them. client_credentials:
    its client credentials flow is on. rotates: each refresh token serves once.
    """

    app: str
    org_id: str
    consumer_key: str
    scopes: tuple[str, ...] = ()
    client_credentials: bool = False
    rotates: bool = False


class Proof(Struct, frozen=True):
    """What a token request showed. ok: None where none could be made, see `detail`.

    user: who logged in, "" where the flow says. expected: "refused" where the user
    must not get in. got_token: whether there was one. code: the OAuth error of a
    refusal. granted: OAuth scopes of the token; missing, extra: against what the app
    declares. hint: what to do.
    """

    app: str
    flow: str
    ok: bool | None
    detail: str
    user: str = ""
    expected: Expected = "token"
    got_token: bool = False
    code: str = ""
    granted: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    hint: str = ""


class Prover(Protocol):
    """Asks for real tokens with an app's own credentials."""

    def prove(self, subject: Subject, *, until: float) -> tuple[Proof, ...]: ...


def subject_of(
    component: Component,
    components: Iterable[Component],
    *,
    org_id: str,
    consumer_key: str,
) -> Subject:
    """Return the subject that the component with an app's key stands for."""
    app = keys.app_of(component) or ""
    return Subject(
        app,
        org_id,
        consumer_key,
        _scopes(app, component, components),
        _is_on(component, _CLIENT_CREDENTIALS),
        _is_on(component, _ROTATION),
    )


# In a ConnectedApp, and in the global settings of an External Client App.
_CLIENT_CREDENTIALS = (
    "oauthConfig/isClientCredentialEnabled",
    "isClientCredentialsFlowEnabled",
)
_ROTATION = (
    "oauthConfig/isRefreshTokenRotationEnabled",
    "isRefreshTokenRotationEnabled",
)


def _is_on(component: Component, paths: Iterable[str]) -> bool:
    root = xmlfile.parse(component.body)
    found = (root.findtext(_steps(path), "").strip() for path in paths)
    return any(text in ("true", "1") for text in found)


def _steps(path: str) -> str:
    return "/".join(f"{{{METADATA_NS}}}{step}" for step in path.split("/"))


def _scopes(
    app: str, component: Component, components: Iterable[Component]
) -> tuple[str, ...]:
    if component.ref.type == "ConnectedApp":
        found = xmlfile.parse(component.body).findall(_steps("oauthConfig/scopes"))
        return tuple(xmlfile.text_of(element).strip() for element in found)
    for other in components:
        if other.ref.type == externalapp.SETTINGS and externalapp.app_of(other) == app:
            path = _steps("commaSeparatedOauthScopes")
            text = xmlfile.parse(other.body).findtext(path, "")
            return tuple(s for part in text.split(",") if (s := part.strip()))
    return ()


# What an org counts as one scope (Metadata API guide, ConnectedApp: it reports the
# first of each pair as the second).
_SAME = {
    "profile": "id",
    "email": "id",
    "address": "id",
    "phone": "id",
    "offline_access": "refresh_token",
}


def compare_scopes(
    declared: Iterable[str], granted: Iterable[str], *, flow: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the OAuth scopes that a token lacks, and those it has beyond the app's.

    declared: metadata names. Every token has `id` (observed), so that is not
    compared; `refresh_token` is for flows that give one; `full` holds all others.
    A refresh token serves for what its user approved, so nothing is missing then.
    """
    wanted = {_oauth_name(name) for name in declared} - {"id"}
    have = {_SAME.get(name, name) for name in granted} - {"id"}
    if not wanted or not have:
        return (), ()
    missing = wanted - have - {"refresh_token"}
    extra = have - wanted
    if "full" in have or flow == "refresh_token":
        missing = set()
    if "full" in wanted:
        extra &= {"refresh_token"}
    return tuple(sorted(missing)), tuple(sorted(extra))


def _oauth_name(name: str) -> str:
    try:
        return schema.oauth_scope(schema.canonical_scope(name))
    except KeyError:
        return name


class Attempt(Struct, frozen=True):
    """One token request, before its answer is judged."""

    flow: str
    user: str = ""
    expected: Expected = "token"


def not_tried(subject: Subject, attempt: Attempt, why: str) -> Proof:
    """Return the proof of a login for which something is missing."""
    return Proof(subject.app, attempt.flow, None, why, attempt.user, attempt.expected)


def judge_token(
    subject: Subject, attempt: Attempt, user_id: str, scopes: Iterable[str]
) -> Proof:
    """Return what a token proves: it may have been expected, and its scopes."""
    granted = tuple(sorted(scopes))
    missing, extra = compare_scopes(subject.scopes, granted, flow=attempt.flow)
    detail = f"token for user {user_id}, scopes {' '.join(granted)}"
    hint = ""
    if attempt.expected == "refused":
        hint = "Take the app away from the profiles and permission sets of this user."
    elif missing or extra:
        lacks = f"; it lacks {' '.join(missing)}" if missing else ""
        beyond = f"; it has {' '.join(extra)} beyond the app's" if extra else ""
        detail += lacks + beyond
        hint = "Deploy the app again, and block and unblock it where the org still"
        hint += " grants the scopes of before."
    ok = attempt.expected == "token" and not missing and not extra
    return Proof(
        subject.app,
        attempt.flow,
        ok,
        detail,
        attempt.user,
        attempt.expected,
        got_token=True,
        granted=granted,
        missing=missing,
        extra=extra,
        hint=hint,
    )


class Refused(Struct, frozen=True):
    """What an org refused a token with; code and words are "" for any other trouble."""

    message: str
    code: str = ""
    words: str = ""
    hint: str = ""


def judge_refusal(subject: Subject, attempt: Attempt, refused: Refused) -> Proof:
    """Return what a refusal proves: where one is expected, only lack of access does."""
    right = oauth_errors.is_lack_of_access(refused.code, refused.words)
    expected = attempt.expected == "refused"
    ok = expected and right
    detail, hint = refused.message, "" if ok else refused.hint
    if expected and not ok:
        detail += "; expected was a refusal because the user may not use the app"
    return Proof(
        subject.app,
        attempt.flow,
        ok,
        detail,
        attempt.user,
        attempt.expected,
        code=refused.code,
        hint=hint,
    )
