"""Where secrets are read from, and what is said when they cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metadeploy import secretsource
from metadeploy.errors import ConfigError
from metadeploy.model import Secret
from metadeploy.orgfile import SecretSource


def secret(tmp_path, **where):
    return secretsource.read(SecretSource(**where), tmp_path).reveal()


def test_a_secret_in_a_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", " canary\n")
    assert secret(tmp_path, env="CANARY") == "canary"


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_variable_that_says_nothing(tmp_path, monkeypatch, text):
    monkeypatch.delenv("CANARY", raising=False)
    if text is not None:
        monkeypatch.setenv("CANARY", text)
    with pytest.raises(ConfigError, match="the variable CANARY is not set"):
        secret(tmp_path, env="CANARY")


def test_a_secret_in_a_file(tmp_path, monkeypatch):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/canary.pem").write_text("canary\nkey\n")
    assert secret(tmp_path, file="keys/canary.pem") == "canary\nkey"
    assert secret(Path("/nowhere"), file=str(tmp_path / "keys/canary.pem"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert secret(Path("/nowhere"), file="~/keys/canary.pem") == "canary\nkey"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.pem", "No such file or directory"),
        (".", "Is a directory"),
        ("empty", "it is empty"),
        ("binary", "it is not UTF-8 text"),
        ("a\0b", "embedded null byte"),
        ("~nobody-of-that-name/key", "Could not determine home directory."),
    ],
)
def test_a_file_that_says_nothing(tmp_path, name, said):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"canary\xff")
    with pytest.raises(ConfigError) as caught:
        secret(tmp_path, file=name)
    assert str(caught.value) == f"cannot read {name}: {said}"
    assert "canary" not in repr(caught.value.__cause__)


def python(program):
    return [sys.executable, "-c", program]


def test_a_secret_that_a_command_prints(tmp_path):
    (tmp_path / "here").touch()
    program = "import os; print('canary', os.path.exists('here'), input.__name__)"
    assert secret(tmp_path, command=python(program)) == "canary True input"


def test_a_command_gets_no_secret_of_ours(tmp_path, monkeypatch):
    secrets = {
        "METADEPLOY_MASTER_KEY",
        "METADEPLOY_ANYTHING",
        "SF_ACCESS_TOKEN",
        "SFDX_ACCESS_TOKEN",
        "SFDX_AUTH_URL",
    }
    for name in secrets:
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example")
    program = "import os; print(*os.environ)"
    said = set(secret(tmp_path, command=python(program)).split())
    assert {"VAULT_ADDR", "PATH"} <= said
    assert not secrets & said


def test_a_command_is_asked_nothing(tmp_path):
    program = "import sys; print('all:', sys.stdin.read())"
    assert secret(tmp_path, command=python(program)) == "all:"


def test_no_shell_reads_a_command(tmp_path):
    said = secret(tmp_path, command=["echo", "$HOME; touch x", "*"])
    assert said == "$HOME; touch x *"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([], "the command nothing gave no secret: list index out of range"),
        (["no-such-command"], "gave no secret: No such file or directory"),
        (["a\0b"], "gave no secret: embedded null byte"),
        (python("print()"), "gave no secret: it printed nothing"),
        (python("print('canary'); exit(3)"), "gave no secret: it ended with 3"),
        (
            python("import sys; sys.stdout.buffer.write(b'canary\\xff')"),
            "gave no secret: it is not UTF-8 text",
        ),
    ],
)
def test_a_command_that_gives_none(tmp_path, command, said):
    with pytest.raises(ConfigError) as caught:
        secret(tmp_path, command=command)
    assert said in str(caught.value)
    told = repr([caught.value, caught.value.__cause__, caught.value.__context__])
    assert "b'canary" not in told and "'canary\\n" not in told


def test_a_secret_in_the_keyring(tmp_path, memory):
    with pytest.raises(
        ConfigError, match="no entry 'uat' of metadeploy-orgs"
    ) as caught:
        secret(tmp_path, keyring="uat")
    assert "keyring set metadeploy-orgs uat" in caught.value.hint
    memory.entries["metadeploy-orgs", "uat"] = "canary\n"
    assert secret(tmp_path, keyring="uat") == "canary"
    memory.entries["metadeploy-orgs", "uat"] = " "
    with pytest.raises(ConfigError, match="'uat' of the keyring is empty"):
        secret(tmp_path, keyring="uat")
    memory.locked = True
    with pytest.raises(ConfigError, match="cannot be read: it is locked"):
        secret(tmp_path, keyring="uat")


def test_an_org_file_cannot_name_a_master_in_the_keyring(tmp_path, memory):
    secretsource.keep_in_keyring("uat", Secret("canary"))
    with pytest.raises(ConfigError, match="no entry"):
        secret(tmp_path, keyring="uat")
