"""Apps for the tests of OAuth: deployed by the org's own rules, and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from metadeploy.emulator import records
from metadeploy.emulator.components import write_tree
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.state import OrgState
from metadeploy.emulator.tree import Tree
from metadeploy.emulator.writing import Writer
from metadeploy.model import Ref

KEY, SECRET = "portalkey" * 5, "portalsecret" * 5
CALLBACK = "https://portal.example/callback"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def private_key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(number: int) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "portal")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key(number).public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(private_key(number), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def deploy(org: OrgState, ref: Ref, tree: Tree) -> str:
    """Write one component by the org's rules and return its id."""
    writer = Writer(org, admin_of(org), 66.0)
    with org.world.transaction():
        return write_tree(writer, ref, tree).id


def deploy_app(
    org: OrgState,
    *,
    name: str = "Portal",
    key: str | None = KEY,
    config: Mapping[str, str | list[str]] | None = None,
    policy: Mapping[str, str] | None = None,
    session: Mapping[str, str] | None = None,
    ranges: tuple[str, str] | None = None,
) -> Ref:
    """Deploy a connected app with everything on, but for what `config` says."""
    oauth: dict[str, str | list[str]] = {
        "callbackUrl": CALLBACK,
        "certificate": certificate(0),
        "isAdminApproved": "true",
        "isClientCredentialEnabled": "true",
        "oauthClientCredentialUser": f"integration@{org.name}.emulated",
        "scopes": ["Api", "RefreshToken", "OpenID", "Web"],
        **(config or {}),
    }
    if key:
        oauth |= {"consumerKey": key, "consumerSecret": SECRET}
    tree: Tree = {
        "contactEmail": ["a@b.example"],
        "label": [name],
        "oauthConfig": [{k: _nodes(v) for k, v in oauth.items() if v != ""}],
    }
    if policy:
        whole = {"ipRelaxation": "ENFORCE", "refreshTokenPolicy": "infinite", **policy}
        tree["oauthPolicy"] = [{k: [v] for k, v in whole.items()}]
    if session:
        tree["sessionPolicy"] = [{k: [v] for k, v in session.items()}]
    if ranges:
        tree["ipRanges"] = [{"start": [ranges[0]], "end": [ranges[1]]}]
    ref = Ref("ConnectedApp", name)
    deploy(org, ref, tree)
    return ref


def _nodes(value: str | list[str]) -> Any:
    return value if isinstance(value, list) else [value]


def user_id(org: OrgState, name: str) -> str:
    found = org.world.user_by_username(f"{name}@{org.name}.emulated")
    assert found is not None and found[0].id == org.id
    return str(found[1]["Id"])


def give_access(org: OrgState, user: str = "admin", name: str = "Portal") -> None:
    """Give a user's profile the app."""
    component = org.component(Ref("ConnectedApp", name))
    record = org.record("User", user_id(org, user))
    assert component is not None and record is not None
    shadow = records.shadow_of(org, str(record["ProfileId"]))
    assert shadow is not None
    records.grant_access(org, str(shadow["Id"]), component.id, by=admin_of(org))


def assertion(
    org: OrgState, *, key_number: int = 0, **claims: object
) -> dict[str, str]:
    """Return the form of a JWT bearer request for the org's admin."""
    whole = {
        "iss": KEY,
        "sub": f"admin@{org.name}.emulated",
        "aud": "https://login.salesforce.com",
        "exp": int(org.world.clock()) + 120,
        **claims,
    }
    token = jwt.encode(whole, private_key(key_number), algorithm="RS256")
    return {"grant_type": JWT_BEARER, "assertion": token}


def post(
    server: RunningServer, endpoint: str = "token", **form: str
) -> requests.Response:
    url = f"{server.url}/services/oauth2/{endpoint}"
    return requests.post(url, data=form, timeout=10, allow_redirects=False)
