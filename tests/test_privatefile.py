"""What is written for its owner alone: modes, links, one step, many at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from metadeploy.errors import ConfigError
from metadeploy.privatefile import create, make_folder, replace


def mode(path):
    return path.stat().st_mode & 0o777


def test_twenty_write_and_one_text_is_kept(tmp_path, no_umask):
    path = tmp_path / "state" / "private"
    together = Barrier(20)

    def work(n):
        together.wait()
        return create(path, f"text of {n}")

    with ThreadPoolExecutor(20) as pool:
        told = set(pool.map(work, range(20)))
    assert told == {path.read_text()}
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert list(path.parent.iterdir()) == [path]  # no draft is left


def test_two_processes_write_and_one_text_is_kept(tmp_path):
    path = tmp_path / "private"
    program = (
        "import sys; from pathlib import Path;"
        "from metadeploy.privatefile import create; sys.stdin.readline();"
        "print(create(Path(sys.argv[1]), sys.argv[2]))"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path), text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for text in ("one", "two")
    ]
    told = {process.communicate("go\n")[0].strip() for process in both}
    assert told == {path.read_text()}


def test_a_file_is_replaced_in_one_step(tmp_path, no_umask):
    path = tmp_path / "a.yaml"
    path.write_text("old")
    path.chmod(0o666)
    replace(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    replace(path, b"newer", mode=0o644)
    assert (path.read_bytes(), mode(path)) == (b"newer", 0o644)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "gone" / "a.yaml", b"x")


@pytest.mark.parametrize("target", ["there", "gone"])
def test_a_planted_link_is_refused(tmp_path, target):
    (tmp_path / "there").write_text("theirs")
    (tmp_path / "folder").mkdir()
    for name in ("file", "state"):
        (tmp_path / name).symlink_to(tmp_path / target)
    (tmp_path / "way").symlink_to(tmp_path / "folder")
    for write in (
        lambda: replace(tmp_path / "file", b"x"),
        lambda: create(tmp_path / "file", "x"),
        lambda: make_folder(tmp_path / "state"),
        lambda: make_folder(tmp_path / "way"),
    ):
        with pytest.raises(ConfigError, match="is a link: nothing is written there"):
            write()
    assert (tmp_path / "there").read_text() == "theirs"
    assert list((tmp_path / "folder").iterdir()) == []
    assert not (tmp_path / "gone").exists()


EVERYTHING = """
import os, sys
os.umask(0)
from metadeploy import cli
sys.exit(cli.run(sys.argv[1:]))
"""


def test_all_that_is_left_is_for_its_owner(project):
    def run(*words, code=0):
        command = [sys.executable, "-c", EVERYTHING, *words]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == code, done.stderr

    run("plan", "dev", "--out", "saved.plan")
    run("deploy", "--plan", "saved.plan", "--auto-approve")
    run("certs", "create", "portal")
    run("render", "dev", "--reveal-secrets", "--out", "rendered")
    run("emulator", "token", "dev", code=1)
    assert mode(project / "saved.plan") == 0o600
    rendered = [p for p in (project / "rendered").rglob("*") if p.is_file()]
    assert rendered and {mode(p) for p in rendered} == {0o600}
    state = [project / ".metadeploy", *(project / ".metadeploy").rglob("*")]
    assert len(state) > 6
    for path in state:
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("name", ["journal.sqlite3", "emulated-master", "emulator"])
def test_links_in_the_state_are_not_followed(project, runner, name):
    (project / ".metadeploy").mkdir(mode=0o700)
    (project / ".metadeploy" / name).symlink_to(project / "elsewhere")
    assert runner("deploy", "dev", "--auto-approve").code == 1
    assert not (project / "elsewhere").exists()
