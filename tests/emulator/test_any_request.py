"""Whatever comes in, an answer goes out: no endpoint raises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oauth_apps import KEY, SECRET, deploy_app, give_access, user_id

from metadeploy.emulator.rest import ROUTE_PATTERNS
from metadeploy.emulator.server import answer
from metadeploy.emulator.state import OrgState, World, open_world
from metadeploy.emulator.wire import Request


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrgState]:
    path: Path = tmp_path_factory.mktemp("any") / "world.db"
    world: World = open_world(path)
    made = world.create_org("dev")
    deploy_app(made, config={"isAdminApproved": "false"})
    give_access(made)
    yield made
    world.close()


OAUTH = ("authorize", "token", "revoke", "introspect", "userinfo", "nonsense")
odd = st.sampled_from(["", "x", "é", "\x00", "%", "'", '"', "<a>", "0" * 300, "null"])
ids = st.sampled_from(["00D000000000001", "0PS000000000001AAA", "me", "Name", "User"])
words = st.one_of(odd, ids, st.text(max_size=8))
paths = st.one_of(
    st.sampled_from(sorted(ROUTE_PATTERNS)).flatmap(
        lambda pattern: st.lists(words, min_size=3, max_size=3).map(
            lambda found: "/services/data/v66.0/" + _filled(pattern, found)
        )
    ),
    st.sampled_from([f"/services/oauth2/{name}" for name in OAUTH]),
    st.sampled_from(["/", "/id/keys", "/setup/connect", "/services/data", "/id/x/y"]),
    words.map(lambda word: f"/services/Soap/m/66.0/{word}"),
    words.map(lambda word: f"/services/Soap/{word}/66.0"),
    words.map(lambda word: f"/{word}"),
)


def _filled(pattern: str, found: list[str]) -> str:
    for word in found:
        pattern = pattern.replace("([^/]+)", word.replace("/", "") or "x", 1)
    return pattern


NAMES = (
    "q grant_type client_id client_secret username password assertion scope state "
    "code token refresh_token redirect_uri response_type user_code fields part ids "
    "page columns code_challenge prompt form_key choice includeDetails"
)
VALUES = (
    "password code true api client_credentials refresh_token authorization_code "
    "device urn:ietf:params:oauth:grant-type:jwt-bearer eyJh.eyJh.eyJh a.b.c "
    "admin@dev.emulated https://portal.example/callback SELECT+Id+FROM+User"
)
names = st.sampled_from(NAMES.split())
values = st.one_of(odd, st.sampled_from([KEY, SECRET, *VALUES.split()]))
forms = st.lists(st.tuples(names, values), max_size=6).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
json_bodies = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["records", "attributes", "type", "Id", "Name", "command"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())
bodies = st.one_of(
    st.binary(max_size=60), forms.map(lambda form: form.encode()), json_bodies
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            ["text/xml", "multipart/form-data; boundary=a"]
        ),
        "cookie": st.sampled_from(["sid=x", "sid=", ";;;", "sid=\x01"]),
        "origin": st.sampled_from(["null", "https://evil.example"]),
        "sforce-query-options": odd,
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=600, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "X"]),
    paths,
    forms,
    headers,
    bodies,
    st.booleans(),
)
def test_any_request_is_answered(org, method, path, query, more, body, known):
    token = org.issue_token(user_id(org, "admin")) if known else "x"
    found = answer(
        org.world,
        Request(
            method,
            path,
            query,
            {"authorization": f"Bearer {token}", **more},
            body,
            "http://127.0.0.1:1",
        ),
    )
    assert 200 <= found.status < 500 or path.startswith("/services/Soap/")
    assert all("\n" not in value for _, value in found.headers)
