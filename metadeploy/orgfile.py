"""One file per org: YAML text → Org, with every problem and its line. Pure.

The structs are the schema, all closed: unknown keys and wrong types are problems, and
`schema()` gives the same rules to editors as JSON Schema.
"""

# Annotations are no texts here: msgspec would have to evaluate each one again, which
# takes longer than all else that this module does when it is imported.

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec
from msgspec import Struct

from metadeploy.model import DEFAULT_API_VERSION, Problem, id18
from metadeploy.near import did_you_mean
from metadeploy.yamlfile import Document, Path, Plain

Policy = Literal["isv"]
Flow = Literal[
    "jwt",
    "client_credentials",
    "refresh_token",
    "access_token",
    "sfdx_auth_url",
    "sf",
    "soap",
]
Kind = Literal["production", "sandbox", "scratch", "developer", "emulated"]


class SecretSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is: in exactly one of these places.

    command: what it prints. keyring: the name of an entry in the OS keyring.
    """

    env: str | None = None
    file: str | None = None
    command: list[str] | None = None
    keyring: str | None = None

    @property
    def is_one_place(self) -> bool:
        """Tell whether it names one place and no more."""
        places = (self.env, self.file, self.command, self.keyring)
        return sum(place is not None for place in places) == 1


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How metadeploy itself logs in to the org; docs/logins.md explains each flow.

    url: where; for sfdx_auth_url and sf it is known, and may be overruled. username:
    for sf, an alias will do. access_token, auth_url: default to the variables
    SF_ACCESS_TOKEN and SFDX_AUTH_URL.
    """

    flow: Flow
    url: str | None = None
    username: str | None = None
    audience: str | None = None
    client_id: str | SecretSource | None = None
    client_secret: SecretSource | None = None
    private_key: SecretSource | None = None
    refresh_token: SecretSource | None = None
    access_token: SecretSource | None = None
    auth_url: SecretSource | None = None
    password: SecretSource | None = None


class AppLogin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way for `verify` to prove an app.

    jwt: for this user, signed by this key. refresh_token, client_credentials: with
    the app's secret, derived where `client_secret` does not say it. expect: "refused"
    where the user must not get in.
    """

    flow: Literal["jwt", "client_credentials", "refresh_token"]
    username: str | None = None
    private_key: SecretSource | None = None
    audience: str | None = None
    refresh_token: SecretSource | None = None
    client_secret: SecretSource | None = None
    expect: Literal["token", "refused"] = "token"


class App(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one app is in this org. Raising `generation` gives it a new key.

    kind: what a ConnectedApp template makes here.
    """

    kind: Literal["connected_app", "external_client_app"] = "connected_app"
    generation: int = 1
    consumer_key: str | None = None
    login: AppLogin | list[AppLogin] | None = None

    @property
    def logins(self) -> tuple[AppLogin, ...]:
        """The logins that prove this app, in the order of the file."""
        if isinstance(self.login, list):
            return tuple(self.login)
        return () if self.login is None else (self.login,)


class EmulatedUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user that an emulated org starts with."""

    username: str
    profile: str = "Standard User"


class Emulator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an emulated org is like: what it has, allows, and how slow it is.

    licenses: beside those that every org has. profiles: further ones, name → licence.
    """

    kind: Literal["production", "sandbox", "scratch", "developer"] = "developer"
    edition: str = ""
    connected_app_creation: Literal["allowed", "blocked"] = "allowed"
    eca_consumer_keys: bool = True
    secrets_in_rest: bool = True
    api_access_control: bool = False
    api_access_control_available: bool = False
    installed_apps: list[str] = []
    soap_login: bool = True
    soap_login_newest: int = 64
    deploy_polls: int = 0
    retrieve_polls: int = 0
    app_propagation_polls: int = 0
    access_token_minutes: int = 120
    licenses: list[str] = []
    profiles: dict[str, str] = {}
    users: list[EmulatedUser] = []


class Suppress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A warning, or a rule of a policy, that may be broken here, and why.

    templates: only what these make, in the patterns of `templates`; default: all.
    """

    rule: str
    reason: str
    templates: list[str] = []


class OrgFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """orgs/<org>.yaml; orgs/defaults.yaml holds what every org starts from."""

    kind: Kind | None = None
    org_id: str | None = None
    login: Login | None = None
    api_version: str | float | None = None
    tags: list[str] = []
    promote_from: str | None = None
    templates: list[str] = []
    policy: list[Policy] = []
    suppress: list[Suppress] = []
    values: dict[str, Any] = {}
    apps: dict[str, App] = {}
    emulator: Emulator = Emulator()


# msgspec looks into a type when it is first asked for, and two threads that ask at
# once crash the process (observed with 0.22): so it is asked here.
msgspec.convert({}, OrgFile)


class Org(Struct, frozen=True):
    """One org as its file and the defaults describe it.

    org_id: 18 characters, None where the file pins none (an emulated org's world
    then says it). lines: the (path, line) that each top-level value came from.
    """

    name: str
    path: str
    kind: Kind
    org_id: str | None
    api_version: str
    file: OrgFile
    values: Mapping[str, Plain]
    lines: Mapping[Path, tuple[str, int]]

    @property
    def emulated(self) -> bool:
        return self.kind == "emulated"

    def app(self, full_name: str) -> App:
        """Return what the file says of an app, or an App with the defaults."""
        return self.file.apps.get(full_name, App())

    def line_of(self, *path: str | int) -> tuple[str, int]:
        """Return the (path, line) of a value of this org, or of what holds it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, (self.path, 1))


def selects(patterns: Iterable[str], template: str) -> bool:
    """Tell whether patterns of an org file, such as "profiles/*", mean a template.

    template: its path, such as "templates/profiles/Admin.profile.j2".
    """
    # Of a source tree, the last two steps: "profiles/Admin.profile-meta.xml".
    name = "/".join(template.removesuffix(".j2").split("/")[-2:])
    name = name.removesuffix("-meta.xml")
    return any(
        fnmatchcase(name, p) or fnmatchcase(name.rpartition(".")[0], p)
        for p in patterns
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of an org file, for editors."""
    return msgspec.json.schema(OrgFile)


def read(
    name: str,
    path: str,
    document: Document,
    defaults: tuple[str, Document] | None,
    *,
    api_version: str = DEFAULT_API_VERSION,
) -> tuple[Org | None, tuple[Problem, ...]]:
    """Return the Org that a YAML document describes, on top of the defaults.

    api_version: where neither says one.

    Mappings merge, everything else of the org replaces. The Org is None where a
    problem leaves no usable one. Problems of the defaults themselves are not
    repeated: `check` gives them.
    """
    problems = list(check(path, document))
    base: dict[str, Plain] = {}
    lines: dict[Path, tuple[str, int]] = {}
    if defaults is not None and isinstance(defaults[1].value, dict):
        base = defaults[1].value
        lines.update({p: (defaults[0], n) for p, n in defaults[1].lines.items()})
    lines.update({p: (path, n) for p, n in document.lines.items()})
    if not isinstance(document.value, dict):
        return None, tuple(problems)
    merged = _merge(base, document.value)
    if not problems and isinstance(merged, dict) and "kind" not in merged:
        kinds = ", ".join(Kind.__args__)  # type: ignore[attr-defined]
        problems.append(Problem(path, 1, f"kind is missing: one of {kinds}", "MD010"))
    if problems or not isinstance(merged, dict):
        return None, tuple(problems)
    try:
        file = msgspec.convert(merged, OrgFile)
    except msgspec.ValidationError:
        return None, ()  # a problem of the defaults, told once by check()
    org = Org(
        name=name,
        path=path,
        kind=file.kind or "emulated",
        org_id=id18(file.org_id) if file.org_id else None,
        api_version=str(file.api_version or api_version),
        file=file,
        values=file.values,
        lines=lines,
    )
    return org, tuple(_check_org(org))


def check(path: str, document: Document) -> list[Problem]:
    """Return every problem of one YAML document as an org file."""
    problems = list(document.problems)
    if problems:
        return problems
    if not isinstance(document.value, dict):
        return [Problem(path, 1, "an org file is a mapping of keys", "MD010")]
    data = msgspec.to_builtins(document.value)
    while True:
        try:
            file = msgspec.convert(data, OrgFile)
        except msgspec.ValidationError as error:
            at, message = _explain(str(error), data)
            problems.append(Problem(path, document.line_of(at), message, "MD010"))
            _prune(data, at)
            continue
        break
    for at, message in _check_values(file):
        problems.append(Problem(path, document.line_of(at), message, "MD010"))
    return problems


def _check_values(file: OrgFile) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    if file.org_id is not None:
        try:
            id18(file.org_id)
        except ValueError as error:
            found.append((("org_id",), str(error)))
        else:
            if not file.org_id.startswith("00D"):
                found.append((("org_id",), "an org Id starts with 00D"))
    if file.api_version is not None and not re.fullmatch(
        r"[1-9]\d\.0", str(file.api_version)
    ):
        what = f"api_version {file.api_version!r} is not of the form '66.0'"
        found.append((("api_version",), what))
    for name, app in file.apps.items():
        if app.generation < 1:
            found.append((("apps", name, "generation"), "generation starts at 1"))
        for at, login in _app_logins(name, app):
            found += [
                (at, f"login.{field} is missing: flow {login.flow} needs it")
                for field in _APP_LOGIN_NEEDS[login.flow]
                if getattr(login, field) is None
            ]
    found += _check_sources(file)
    if "org" in file.values:
        found.append((("values", "org"), "the name 'org' is taken by the org itself"))
    for name in file.values:
        if not name.isidentifier():
            what = f"{name!r} cannot be used in a template: letters, digits and _ only"
            found.append((("values", name), what))
    return found


_APP_LOGIN_NEEDS: Mapping[str, tuple[str, ...]] = {
    "jwt": ("username", "private_key"),
    "client_credentials": (),
    "refresh_token": ("refresh_token",),
}


def _app_logins(name: str, app: App) -> list[tuple[Path, AppLogin]]:
    """Return each login of an app with its place in the file."""
    at = ("apps", name, "login")
    if isinstance(app.login, list):
        return [((*at, n), login) for n, login in enumerate(app.login)]
    return [(at, login) for login in app.logins]


def secret_sources(file: OrgFile) -> Iterator[tuple[Path, SecretSource]]:
    """Yield each place where a secret is, with where in the file it is named."""
    holders: list[tuple[Path, Login | AppLogin]] = []
    if file.login is not None:
        holders.append((("login",), file.login))
    for name, app in file.apps.items():
        holders += _app_logins(name, app)
    for at, holder in holders:
        for field in holder.__struct_fields__:
            value = getattr(holder, field)
            if isinstance(value, SecretSource):
                yield (*at, field), value


def _check_sources(file: OrgFile) -> Iterator[tuple[Path, str]]:
    for at, source in secret_sources(file):
        if not source.is_one_place:
            places = "env, file, command or keyring"
            yield at, f"exactly one of {places} says where the secret is"
        elif (source.env or "").upper().startswith("METADEPLOY_MASTER_KEY"):
            yield at, "no org file may name the master secret"


_NEEDED: Mapping[Flow, tuple[str, ...]] = {
    "jwt": ("url", "username", "client_id", "private_key"),
    "client_credentials": ("url", "client_id", "client_secret"),
    "refresh_token": ("url", "client_id", "refresh_token"),
    "access_token": ("url",),
    "sfdx_auth_url": (),
    "sf": ("username",),
    "soap": ("url", "username", "password"),
}


def _check_org(org: Org) -> list[Problem]:
    def problem(message: str, *at: str) -> Problem:
        path, line = org.line_of(*at)
        return Problem(path, line, message, "MD010")

    login = org.file.login
    if org.emulated:
        if login is not None:
            return [problem("an emulated org needs no login", "login")]
        return []
    found = []
    if login is None:
        found.append(problem(f"login is missing: a {org.kind} org needs one", "kind"))
    else:
        found += [
            problem(f"login.{field} is missing: flow {login.flow} needs it", "login")
            for field in _NEEDED[login.flow]
            if getattr(login, field) is None
        ]
        if login.url is not None and not login.url.startswith("https://"):
            found.append(problem("login.url must start with https://", "login", "url"))
    if org.org_id is None:
        what = "org_id is missing: it pins the one org that this file may change"
        found.append(problem(what, "kind"))
    return found


def _merge(base: Plain, over: Plain) -> Plain:
    if isinstance(base, dict) and isinstance(over, dict):
        merged = {**base}
        for key, value in over.items():
            merged[key] = _merge(base[key], value) if key in base else value
        return merged
    return over


# msgspec says what is wrong and where in one line; these turn it into our words.
# Texts, for only errors need them: `re` compiles one at its first use.
_PLACE = r"(?s)^(?P<what>.*?)(?: - at `\$(?P<at>.*)`)?$"
_STEP = r"\.(\w[^.\[]*)|\[(\d+|\.\.\.)\]"
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


def _explain(error: str, data: Plain) -> tuple[Path, str]:
    match = re.match(_PLACE, error)
    assert match is not None  # both parts may be empty
    what = match["what"]
    at = _resolve(match["at"] or "", data)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what):
        name = unknown[1]
        hint = did_you_mean(name, _keys_at(at))
        return (*at, name), f"unknown key {name!r}{hint}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return at, f"{missing[1]} is missing"
    name = ".".join(str(step) for step in at)
    if kinds := re.fullmatch(r"Expected `(.*)`, got `(.*)`", what):
        want, got = (_in_words(k) for k in kinds.groups())
        return at, f"{name} must be {want}, not {got}"
    value = what.removeprefix("Invalid enum value ")
    return at, f"{name} cannot be {value}: {_choices(at)}"


def _in_words(kinds: str) -> str:
    names = [k.strip() for k in kinds.split("|")]
    words = [_WORDS.get(n, n) for n in names]
    return " or ".join(w for w in words if w != "nothing" or len(words) == 1)


def _resolve(at: str, data: Plain) -> Path:
    """Return the path in `data` of a msgspec path; `[...]` is any value there.

    msgspec does not say which key of a dict is meant: we try them in order.
    """
    path: Path = ()
    for name, index in re.findall(_STEP, at):
        here = _at(data, path)
        if name:
            path = (*path, name)
        elif index == "...":
            assert isinstance(here, dict)  # only mappings have entries without a name
            path = (*path, _bad_entry(path, here))
        else:
            path = (*path, int(index))
    return path


def _bad_entry(path: Path, entries: Mapping[str, Plain]) -> str:
    """Return the entry of `apps` that is wrong (values take anything)."""

    def is_bad(key: str) -> bool:
        try:
            msgspec.convert({path[0]: {key: entries[key]}}, OrgFile)
        except msgspec.ValidationError:
            return True
        return False

    return next(filter(is_bad, entries))


def _at(data: Plain, path: Path) -> Plain:
    for step in path:
        if isinstance(data, dict):
            data = data[str(step)]
        else:
            assert isinstance(data, list)  # nothing else holds anything
            data = data[int(step)]
    return data


def _prune(data: Plain, path: Path) -> None:
    """Take the value at `path` out, so that the next problem shows.

    A list goes as a whole: with one item gone the others would lose their lines.
    """
    steps = [step for step in path if isinstance(step, str)]
    if len(steps) < len(path):
        first = next(i for i, step in enumerate(path) if isinstance(step, int))
        steps = steps[:first]
    holder = _at(data, tuple(steps[:-1]))
    assert isinstance(holder, dict)  # the file itself is one, and steps are its keys
    del holder[steps[-1]]


_SECTIONS: dict[str, Callable[[], tuple[str, ...]]] = {
    "": lambda: OrgFile.__struct_fields__,
    "login": lambda: Login.__struct_fields__,
    "emulator": lambda: Emulator.__struct_fields__,
    "users": lambda: EmulatedUser.__struct_fields__,
    "suppress": lambda: Suppress.__struct_fields__,
    "private_key": lambda: SecretSource.__struct_fields__,
    "client_id": lambda: SecretSource.__struct_fields__,
    "client_secret": lambda: SecretSource.__struct_fields__,
    "access_token": lambda: SecretSource.__struct_fields__,
    "refresh_token": lambda: SecretSource.__struct_fields__,
}


def _keys_at(at: Path) -> tuple[str, ...]:
    if at[:1] == ("apps",) and len(at) == 2:
        return App.__struct_fields__
    names = [str(step) for step in at if isinstance(step, str)]
    if names[:1] == ["apps"] and names[-1:] == ["login"]:
        return AppLogin.__struct_fields__
    return _SECTIONS.get(names[-1] if names else "", lambda: ())()


def _choices(at: Path) -> str:
    names = [step for step in at if isinstance(step, str)]
    choices = {
        ("kind",): Kind,
        ("policy",): Policy,
        ("login", "flow"): Login.__annotations__["flow"],
        ("emulator", "kind"): Emulator.__annotations__["kind"],
        ("apps", "kind"): App.__annotations__["kind"],
    }.get((*names[:1], *names[1:][-1:]))
    if at[:1] == ("apps",) and at[-1] in ("flow", "expect"):
        choices = AppLogin.__annotations__[str(at[-1])]
    text = str(choices) if choices is not None else ""
    found = re.findall(r"['\"]([a-z_]+)['\"]", text)
    return "one of " + ", ".join(found) if found else "not one of those allowed"
