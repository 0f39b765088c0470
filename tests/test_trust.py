"""Commands that org files name run when they are trusted, and not before."""

from __future__ import annotations

import json
import sys

import pytest

from metadeploy import trust, userconfig
from metadeploy.errors import ConfigError
from metadeploy.orgfile import SecretSource
from metadeploy.workspace import Workspace

COMMAND = [sys.executable, "say.py", "word"]


@pytest.fixture
def user(tmp_path, monkeypatch):
    monkeypatch.setenv(userconfig.VARIABLE, str(tmp_path / "user" / "config.yaml"))
    return tmp_path / "user"


@pytest.fixture
def root(tmp_path, user):
    made = tmp_path / "project"
    made.mkdir()
    (made / "say.py").write_text("open('ran', 'w'); print('canary')")
    return made


def asked(root, command=COMMAND):
    return Workspace(root).secret(SecretSource(command=command)).reveal()


def test_what_is_not_trusted_does_not_run(root, user):
    with pytest.raises(ConfigError, match=r"is not trusted: .*say\.py") as caught:
        asked(root)
    assert "metadeploy trust" in caught.value.hint
    assert not (root / "ran").exists() and not user.exists()


def test_what_is_trusted_runs_until_it_changes(root, user):
    trust.trust(root, [COMMAND])
    assert asked(root) == "canary"
    for other in ([*COMMAND, "more"], COMMAND[:2], [*COMMAND[:2], "wor", "d"]):
        with pytest.raises(ConfigError, match="is not trusted"):
            asked(root, other)
    (root / "say.py").write_text("print('other')")
    with pytest.raises(ConfigError, match="is not trusted"):
        asked(root)
    trust.trust(root, [COMMAND])
    assert asked(root) == "other"
    trust.trust(root, [])
    with pytest.raises(ConfigError, match="is not trusted"):
        asked(root)


def test_one_project_is_no_other(root, tmp_path):
    trust.trust(root, [COMMAND])
    other = tmp_path / "other"
    root.rename(other)
    with pytest.raises(ConfigError, match="is not trusted"):
        asked(other)
    trust.trust(other, [COMMAND])
    assert asked(other) == "canary"
    other.rename(root)
    assert asked(root) == "canary"  # both stay


def test_words_that_are_no_files(root):
    trust.trust(root, [["a\0b", "x" * 5000, "../../etc/passwd", ""]])
    with pytest.raises(ConfigError, match="gave no secret"):
        asked(root, ["a\0b", "x" * 5000, "../../etc/passwd", ""])


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 5}'])
def test_a_damaged_file_trusts_nobody(root, user, text):
    user.mkdir()
    (user / trust.FILE).write_text(text)
    (user / trust.FILE).chmod(0o600)
    with pytest.raises(ConfigError, match="is damaged"):
        asked(root)


def test_what_others_can_write_is_not_obeyed(root, user):
    trust.trust(root, [COMMAND])
    assert (user / trust.FILE).stat().st_mode & 0o777 == 0o600
    (user / trust.FILE).chmod(0o622)
    with pytest.raises(ConfigError, match="others can write"):
        asked(root)


def test_the_command(runner, project):
    (project / "config").mkdir()
    apps = (
        "apps:\n  Portal:\n    login: {flow: jwt, username: user@dev.emulated,"
        " private_key: {command: [no-such-program, uat]}}\n"
    )
    with (project / "orgs" / "dev.yaml").open("a") as file:
        file.write(apps)
    assert runner("validate").code == 0  # runs nothing
    runner("deploy", "dev", "--auto-approve")
    ran = runner("verify", "dev")
    assert "is not trusted: ['no-such-program', 'uat']" in ran.flat
    ran = runner("trust")
    assert ran.code == 0 and "1 command trusted" in ran.err
    assert "no-such-program uat\n    orgs/dev.yaml:" in ran.out
    ran = runner("verify", "dev")
    assert "the command no-such-program gave no secret" in ran.flat
    assert runner("trust", "--forget", "--json").json["trusted"] is False
    assert "is not trusted" in runner("verify", "dev").flat
    assert json.loads((project / "no" / trust.FILE).read_text()) == {}
