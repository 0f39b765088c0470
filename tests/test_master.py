"""Where the master secret comes from, and in which order."""

from __future__ import annotations

import sys

import pytest

from metadeploy import master, secretsource, userconfig
from metadeploy.errors import ConfigError
from metadeploy.model import Secret


def secret(word):
    return (word + "-" + "0123456789abcdef" * 2)[:40]


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write the user's configuration: config("master: …") → its path."""
    for name in (master.VARIABLE, master.FILE_VARIABLE, master.PREVIOUS_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "user" / "config.yaml"
    path.parent.mkdir()
    monkeypatch.setenv(userconfig.VARIABLE, str(path))

    def write(text):
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def found(*tags, otherwise=None):
    masters = master.masters(tags, otherwise=otherwise)
    previous = masters.previous
    return masters.current.reveal(), previous and previous.reveal()


def test_without_any_there_is_none(config):
    with pytest.raises(ConfigError, match="METADEPLOY_MASTER_KEY is not set"):
        found()
    assert found(otherwise=lambda: Secret(secret("own"))) == (secret("own"), None)


def test_each_source_stands_back_for_the_one_before(config, tmp_path, monkeypatch):
    def own():
        return Secret(secret("own"))

    (tmp_path / "user" / "general").write_text(secret("general") + "\n")
    (tmp_path / "user" / "production").write_text(secret("production"))
    config(
        "master: {file: general}\n"
        "masters:\n"
        "  - {tag: production, file: production}\n"
        "  - {tag: emea, env: NOBODY_ASKS_FOR_IT}\n"
    )
    assert found(otherwise=own)[0] == secret("general")
    assert found("emea-north", otherwise=own)[0] == secret("general")
    assert found("emea", "production")[0] == secret("production")
    (tmp_path / "file").write_text(secret("file"))
    monkeypatch.setenv(master.FILE_VARIABLE, str(tmp_path / "file"))
    assert found("production")[0] == secret("file")
    monkeypatch.setenv(master.VARIABLE, secret("variable"))
    assert found("production")[0] == secret("variable")
    # An empty variable is none.
    monkeypatch.setenv(master.VARIABLE, "")
    monkeypatch.setenv(master.FILE_VARIABLE, "")
    assert found("production")[0] == secret("production")


def test_a_command_gives_it(config):
    config(
        f"master: {{command: [{sys.executable}, -c, \"print('{secret('said')}')\"]}}"
    )
    assert found()[0] == secret("said")
    config(f"master: {{command: [{sys.executable}, -c, 'raise SystemExit(1)']}}")
    with pytest.raises(ConfigError, match="gave no secret"):
        found()


def test_the_previous_one_is_beside_the_current_one(config, tmp_path, monkeypatch):
    (tmp_path / "user" / "new").write_text(secret("new"))
    (tmp_path / "user" / "old").write_text(secret("old"))
    config("master: {file: new, previous: {file: old}}")
    assert found() == (secret("new"), secret("old"))
    monkeypatch.setenv(master.PREVIOUS_VARIABLE, secret("older"))
    assert found() == (secret("new"), secret("older"))
    monkeypatch.setenv(master.VARIABLE, secret("variable"))
    monkeypatch.delenv(master.PREVIOUS_VARIABLE)
    # What the file says belongs to the file's own master.
    assert found() == (secret("variable"), None)
    monkeypatch.setenv(master.PREVIOUS_VARIABLE, "short")
    with pytest.raises(ConfigError, match="fewer than 32 characters"):
        found()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("master: {enf: X}", "unknown field `enf`"),
        ("master: {}", "master 1: exactly one of env, file, command or keyring"),
        ("master: {env: A, file: b}", "exactly one of"),
        ("master: {env: A, previous: {}}", "master 2: exactly one of"),
        ("masters: [{env: A}]", "missing required field `tag`"),
        ("masters: [{tag: a, tag: b}]", "duplicate key 'tag'"),
        ("[1, 2]", "Expected `object`"),
        ("master: !!python/name:os.system x", "is not allowed"),
        ("master: [", "config.yaml:1: "),
    ],
)
def test_a_wrong_configuration_is_told(config, text, words):
    config(text)
    with pytest.raises(ConfigError, match=r"config\.yaml") as caught:
        found()
    assert words in caught.value.message


def test_a_configuration_that_others_can_write_is_not_obeyed(config):
    path = config("master: {command: [/nowhere/at/all]}")
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="others can write") as caught:
            found()
        assert "chmod go-w" in caught.value.hint
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="gave no secret"):
        found()
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        found()
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        found()


def test_the_users_own_folder_holds_it(monkeypatch, tmp_path):
    monkeypatch.delenv(userconfig.VARIABLE, raising=False)
    path = userconfig.path()
    assert path.name == "config.yaml" and path.parent.name == "metadeploy"
    assert path.is_absolute()


# -- the keyring


def test_the_keyring_keeps_it(config, memory):
    config("masters: [{tag: production, keyring: production}]")
    with pytest.raises(ConfigError, match="has no entry 'production'") as caught:
        found("production")
    assert "keys init --keyring production" in caught.value.hint
    secretsource.keep_in_keyring("production", Secret(secret("kept")))
    assert memory.entries == {("metadeploy", "production"): secret("kept")}
    assert found("production")[0] == secret("kept")
    with pytest.raises(ConfigError, match="has an entry 'production'"):
        secretsource.keep_in_keyring("production", Secret(secret("other")))
    assert found("production")[0] == secret("kept")
    memory.locked = True
    with pytest.raises(ConfigError, match="cannot be read: it is locked"):
        found("production")
