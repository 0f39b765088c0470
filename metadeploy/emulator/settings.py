"""How an emulated org is set up: ask "what happens in an org where …"."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache

KINDS = ("developer", "sandbox", "production", "scratch")
DEFAULT_LICENSES = (
    "Salesforce",
    "Salesforce Platform",
    "Salesforce Integration",
    "Customer Community",
    "Identity",
)


@dataclass(frozen=True)
class UserSpec:
    """A user to create with the org, beside its three own ones.

    profile: the profile's name as people see it. password: for SOAP login and the
    login page; None = no login by password.
    """

    username: str
    profile: str = "Standard User"
    email: str = ""
    last_name: str = ""
    password: str | None = None
    active: bool = True


@dataclass(frozen=True)
class OrgSettings:
    """What an org is like. The default is a Developer Edition that allows everything.

    kind: one of KINDS. edition: Organization.OrganizationType, "" = that of the kind.
    connected_app_creation: "allowed" or "blocked" (the rule since Spring '26).
    api_access_control: only admin-approved apps may use the API, until a deployed
    ConnectedAppSettings says otherwise. api_access_control_available: Support has
    turned the feature on, so that a deploy can switch it.
    installed_apps: labels of other orgs' apps that are installed here.
    soap_login: SOAP login() works, up to the API version soap_login_newest: the
    platform has none from 65 on (documented).
    deploy_polls: status calls until a deploy is done; 0 = done before `deploy` answers.
    retrieve_polls: the same for retrieve.
    app_propagation_polls: how often OAuth does not know a new app's key yet (observed:
    for 2 to 10 minutes; here it is counted, so that nobody has to wait).
    access_token_minutes: lifetime of an access token where the app sets none.
    secrets_in_rest: the REST key and secret endpoints of External Client Apps work.
    check_references: profiles and permission sets may name only classes, objects, …
    that the org has. unsupported_canvas_locations: refused in a canvasConfig.
    eca_consumer_keys: a new External Client App may bring its own consumer key; reports
    differ, so both orgs can be had.
    system_apps: apps that ConnectedApp `*` names but that cannot be retrieved.
    validations_expire_days: how long a check-only deploy can be quick-deployed.
    """

    kind: str = "developer"
    edition: str = ""
    connected_app_creation: str = "allowed"
    api_access_control: bool = False
    api_access_control_available: bool = False
    installed_apps: tuple[str, ...] = ()
    soap_login: bool = True
    soap_login_newest: int = 64
    deploy_polls: int = 0
    retrieve_polls: int = 0
    app_propagation_polls: int = 0
    access_token_minutes: int = 120
    secrets_in_rest: bool = True
    validations_expire_days: int = 10
    namespace: str = ""
    instance_name: str = "EMU1"
    check_references: bool = True
    eca_consumer_keys: bool = True
    unsupported_canvas_locations: tuple[str, ...] = ()
    system_apps: tuple[str, ...] = ("Salesforce_CLI",)
    users: tuple[UserSpec, ...] = ()
    licenses: tuple[str, ...] = DEFAULT_LICENSES
    profiles: tuple[tuple[str, str], ...] = ()
    """Further profiles: (name, licence)."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.connected_app_creation not in ("allowed", "blocked"):
            raise ValueError('connected_app_creation is "allowed" or "blocked"')
        if min(self.deploy_polls, self.retrieve_polls, self.app_propagation_polls) < 0:
            raise ValueError("polls are counted from 0")

    @property
    def is_sandbox(self) -> bool:
        """Organization.IsSandbox: true for sandboxes and scratch orgs."""
        return self.kind in ("sandbox", "scratch")

    @property
    def is_production(self) -> bool:
        """Whether production's rules hold: rollback, tests."""
        return self.kind == "production"

    @property
    def organization_type(self) -> str:
        """Organization.OrganizationType."""
        if self.edition:
            return self.edition
        if self.kind in ("developer", "scratch"):
            return "Developer Edition"
        return "Enterprise Edition"

    def to_json(self) -> str:
        """Write what differs from the defaults."""
        default = OrgSettings()
        changed = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != getattr(default, f.name)
        }
        if "users" in changed:
            # A password lives on only as its hash, in the world's own table.
            changed["users"] = [
                asdict(replace(user, password=None)) for user in self.users
            ]
        return json.dumps(changed, separators=(",", ":"))


_TUPLES = (
    "licenses",
    "profiles",
    "unsupported_canvas_locations",
    "system_apps",
    "installed_apps",
)


@lru_cache(maxsize=1024)
def settings_of(text: str) -> OrgSettings:
    """Read what `to_json` wrote. Orgs of the same settings share one value."""
    raw = json.loads(text)
    if "users" in raw:
        raw["users"] = tuple(UserSpec(**user) for user in raw["users"])
    for name in _TUPLES:
        if name in raw:
            raw[name] = tuple(tuple(v) if isinstance(v, list) else v for v in raw[name])
    return OrgSettings(**raw)
