"""What an org file may say of how its apps are logged in to."""

from __future__ import annotations

import pytest

from metadeploy import orgfile, yamlfile
from metadeploy.orgfile import AppLogin, SecretSource


def problems(login):
    text = f"kind: emulated\napps:\n  Portal:\n    login: {login}\n"
    document = yamlfile.read(text, "orgs/a.yaml")
    org, found = orgfile.read("a", "orgs/a.yaml", document, None)
    return org, [str(p) for p in found]


def test_one_login_or_several():
    key = "private_key: {env: K}"
    org, _ = problems(f"{{flow: jwt, username: a@b.c, {key}}}")
    login = AppLogin("jwt", "a@b.c", SecretSource(env="K"))
    assert org.app("Portal").logins == (login,)
    org, _ = problems(f"[{{flow: jwt, username: a@b.c, {key}}}]")
    assert org.app("Portal").logins == (login,)
    org, _ = problems("[]")
    assert org.app("Portal").logins == org.app("Other").logins == ()


@pytest.mark.parametrize(
    ("login", "told"),
    [
        (
            "{flow: jwt, username: a@b.c}",
            "login.private_key is missing: flow jwt needs",
        ),
        ("{flow: jwt, private_key: {env: K}}", "login.username is missing: flow jwt"),
        ("{flow: refresh_token}", "login.refresh_token is missing: flow refresh_token"),
        ("[{flow: refresh_token}]", "login.refresh_token is missing: flow refresh"),
        ("[{flow: jwt, userName: x}]", "did you mean username?"),
        (
            "{flow: refresh_token, refresh_token: {}}",
            "exactly one of env, file",
        ),
        ("[{flow: client_credentials, client_secret: {env: A, file: B}}]", "exactly"),
    ],
)
def test_what_is_wrong_with_a_login(login, told):
    org, found = problems(login)
    assert org is None
    assert len(found) == 1 and told in found[0]
    assert found[0].startswith("orgs/a.yaml:4: ")


@pytest.mark.parametrize(
    ("login", "choices"),
    [
        ("{flow: password}", "one of jwt, client_credentials, refresh_token"),
        ("[{flow: client_credentials, expect: x}]", "one of token, refused"),
    ],
)
def test_a_flow_or_an_expectation_that_there_is_not(login, choices):
    org, found = problems(login)
    assert org is None and choices in found[0]
