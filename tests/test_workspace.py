"""A project's folder: what is read, secrets, and what is written for its owner."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from metadeploy.errors import ConfigError
from metadeploy.model import Secret
from metadeploy.orgfile import SecretSource
from metadeploy.workspace import (
    Workspace,
    find,
    shipped_macros,
)


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "project"
    write(made, "orgs/dev.yaml", "kind: emulated\n")
    write(made, "orgs/customers/acme.yaml", "kind: emulated\n")
    write(made, "templates/profiles/Admin.profile.j2", "<Profile/>")
    return made


def write(root, path, text="x"):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def texts(root):
    """The project's own texts, without the macros that come with us."""
    found = Workspace(root).project().texts
    return {p: t for p, t in found.items() if not p.startswith("metadeploy/")}


MINE = {
    "orgs/dev.yaml": "kind: emulated\n",
    "orgs/customers/acme.yaml": "kind: emulated\n",
    "templates/profiles/Admin.profile.j2": "<Profile/>",
}


# What a project is.


@pytest.mark.parametrize("place", [".", "orgs", "orgs/customers", "templates/profiles"])
def test_a_project_is_found_from_within(root, place):
    assert find(root / place).root == root.resolve()


def test_a_project_is_found_through_a_link(root, tmp_path):
    (tmp_path / "link").symlink_to(root / "orgs")
    assert find(tmp_path / "link").root == root.resolve()


def test_no_project(tmp_path):
    write(tmp_path, "templates/x.j2")
    write(tmp_path, "orgs/readme.txt")
    with pytest.raises(ConfigError, match="no project here") as caught:
        find(tmp_path / "templates")
    assert caught.value.hint == "Make one with `metadeploy init`."


def test_everything_is_read_by_its_path(root):
    assert texts(root) == MINE


def test_our_macros_come_along(root):
    macros = shipped_macros()
    assert macros
    found = Workspace(root).project().texts
    assert {p: found[p] for p in macros} == dict(macros)


def test_a_project_may_lack_folders(tmp_path):
    assert texts(tmp_path) == {}


def test_hidden_files_are_nobodys(root):
    write(root, "templates/.git/config")
    write(root, "templates/profiles/.Admin.profile.j2.swp")
    write(root, "orgs/.secret/x.yaml")
    assert texts(root) == MINE


def test_links_are_not_followed(root, tmp_path):
    secret = write(tmp_path, "elsewhere/secret.j2", "canary")
    (root / "templates" / "stolen.j2").symlink_to(secret)
    (root / "templates" / "folder").symlink_to(secret.parent)
    (root / "templates" / "dangling.j2").symlink_to(tmp_path / "nowhere")
    assert texts(root) == MINE


def test_a_folder_that_is_a_link_is_told(root, tmp_path):
    write(tmp_path, "elsewhere/profiles/Stolen.profile.j2", "canary")
    (root / "certs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="certs is a link: links are not followed"):
        texts(root)


def test_what_is_no_text_is_told(root):
    (root / "templates" / "logo.j2").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ConfigError) as caught:
        texts(root)
    what = "cannot read templates/logo.j2: it is not UTF-8 text"
    assert str(caught.value) == what


def test_a_name_that_is_no_text_is_told(root):
    (root / "orgs" / os.fsdecode(b"\xff.yaml")).write_text("kind: emulated\n")
    with pytest.raises(ConfigError) as caught:
        texts(root)
    assert str(caught.value) == "orgs/\\xff.yaml has a name that is not UTF-8"


def test_a_pipe_is_not_waited_for(root):
    os.mkfifo(root / "templates" / "pipe.j2")
    with pytest.raises(
        ConfigError, match=r"cannot read templates/pipe\.j2: it is no f"
    ):
        texts(root)


def test_a_socket_is_no_file(root, monkeypatch):
    monkeypatch.chdir(root / "orgs")  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.yaml")
        with pytest.raises(
            ConfigError, match=r"cannot read orgs/s\.yaml: it is no file"
        ):
            texts(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("path", ["templates/profiles", "orgs/dev.yaml"])
def test_what_may_not_be_read_is_not_left_out(root, path):
    (root / path).chmod(0)
    try:
        with pytest.raises(ConfigError, match=f"cannot read .*{path}: Permission"):
            texts(root)
    finally:
        (root / path).chmod(0o700)


def test_a_file_where_a_folder_should_be(tmp_path):
    write(tmp_path, "templates", "no folder")
    with pytest.raises(ConfigError, match=r"cannot read .*templates: Not a dir"):
        texts(tmp_path)


def test_where_an_org_file_says(root):
    workspace = Workspace(root)
    write(root, "key.pem", "canary")
    assert workspace.secret("client-id") == Secret("client-id")
    assert workspace.secret(SecretSource(file="key.pem")) == Secret("canary")


# What is written.


def mode(path):
    return path.stat().st_mode & 0o777


def test_the_state_is_for_its_owner_and_not_for_git(root, no_umask):
    workspace = Workspace(root)
    state = workspace.make_state()
    assert state == root / ".metadeploy"
    assert mode(state) == 0o700
    assert (state / ".gitignore").read_text() == "*\n"
    (state / ".gitignore").write_text("mine\n")
    assert workspace.make_state() == state
    assert (state / ".gitignore").read_text() == "mine\n"


def test_twenty_make_the_state_at_once(root):
    together = Barrier(20)

    def work(_):
        together.wait()
        return Workspace(root).make_state()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(work, range(20))) == {root / ".metadeploy"}


def test_a_state_that_leads_elsewhere_is_refused(root, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / ".metadeploy").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match=r"\.metadeploy is a link"):
        Workspace(root).make_state()
    assert list(elsewhere.iterdir()) == []


def test_a_planted_link_is_not_written_through(root, tmp_path):
    (root / ".metadeploy").mkdir()
    (root / ".metadeploy" / ".gitignore").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError, match="gitignore is a link"):
        Workspace(root).make_state()
    assert not (tmp_path / "target").exists()


def test_a_file_in_the_place_of_the_state(root):
    write(root, ".metadeploy")
    with pytest.raises(ConfigError, match=r"\.metadeploy is there, but no folder"):
        Workspace(root).make_state()


def test_no_place_for_the_state(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot make \.metadeploy: No such file"):
        Workspace(tmp_path / "gone").make_state()


def test_the_master_of_emulated_orgs(root):
    workspace = Workspace(root)
    state = workspace.make_state()
    master = workspace.emulated_master()
    assert len(master.reveal()) == 64
    assert workspace.emulated_master() == master
    assert mode(state / "emulated-master") == 0o600
    assert [p.name for p in sorted(state.iterdir())] == [
        ".gitignore",
        "emulated-master",
    ]


@pytest.mark.parametrize("data", [b"\xff\xfe", None])
def test_a_master_of_emulated_orgs_that_is_none(root, data):
    path = Workspace(root).make_state() / "emulated-master"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"cannot use \.metadeploy/emulated-master"):
        Workspace(root).emulated_master()


ORG_FILE = """\
# Ours.
kind: emulated   # for now
values:
  url: "https://a.example"  # the portal's
"""


def test_values_are_added_and_all_else_stays(root):
    write(root, "orgs/dev.yaml", ORG_FILE)
    Workspace(root).add_values("orgs/dev.yaml", {"label": "Portal", "n": 3})
    assert (
        root / "orgs/dev.yaml"
    ).read_text() == ORG_FILE + "  label: Portal\n  n: 3\n"


@pytest.mark.parametrize("text", ["", "kind: emulated\n", "kind: emulated\nvalues:\n"])
def test_values_are_added_where_there_are_none(root, text):
    write(root, "orgs/dev.yaml", text)
    Workspace(root).add_values("orgs/dev.yaml", {"label": "Portal"})
    assert (root / "orgs/dev.yaml").read_text().endswith("values:\n  label: Portal\n")


def test_a_value_that_is_there_is_kept(root):
    write(root, "orgs/dev.yaml", ORG_FILE)
    with pytest.raises(ConfigError, match=r"orgs/dev\.yaml has a value url already"):
        Workspace(root).add_values("orgs/dev.yaml", {"label": "x", "url": "y"})
    assert (root / "orgs/dev.yaml").read_text() == ORG_FILE


@pytest.mark.parametrize("text", [None, "a: [", "a: b: c\n"])
def test_an_org_file_that_cannot_be_changed(root, text):
    if text is not None:
        write(root, "orgs/bad.yaml", text)
    with pytest.raises(ConfigError, match=r"cannot read orgs/bad\.yaml: "):
        Workspace(root).add_values("orgs/bad.yaml", {"label": "x"})


def test_the_kinds_of_apps_are_said_and_all_else_stays(root):
    text = "kind: emulated\napps:\n  Portal:\n    generation: 2  # since May\n  Old:\n"
    write(root, "orgs/dev.yaml", text)
    workspace = Workspace(root)
    workspace.set_kinds("orgs/dev.yaml", ["Portal", "Old", "New"], "connected_app")
    workspace.set_kinds("orgs/dev.yaml", ["Portal"], "external_client_app")
    assert (root / "orgs/dev.yaml").read_text() == (
        "kind: emulated\napps:\n  Portal:\n    generation: 2  # since May\n"
        "    kind: external_client_app\n  Old:\n    kind: connected_app\n  New:\n"
        "    kind: connected_app\n"
    )


def test_a_template_is_written_once(root):
    workspace = Workspace(root)
    workspace.add_template("templates/connectedApps/A.connectedApp.j2", "<é/>")
    file = root / "templates/connectedApps/A.connectedApp.j2"
    assert file.read_text("utf-8") == "<é/>"
    with pytest.raises(ConfigError, match=r"A\.connectedApp\.j2 is there already"):
        workspace.add_template("templates/connectedApps/A.connectedApp.j2", "x")
    write(root, "templates/settings", "no folder")
    with pytest.raises(ConfigError, match=r"cannot write templates/settings/x\.j2"):
        workspace.add_template("templates/settings/x.j2", "x")
