"""Git hooks, as git itself runs them: by commits and pushes of real repositories."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from apps import edit

from metadeploy import hookfiles, hooking
from metadeploy.errors import ConfigError

REPOSITORY = Path(__file__).parent.parent
EXAMPLE = REPOSITORY / "metadeploy" / "_scaffold"

pytestmark = [
    pytest.mark.skipif(not shutil.which("git"), reason="there is no git here"),
    pytest.mark.skipif(os.name != "posix", reason="scripts of sh"),
]
SESSION = "00DWs000003xYZ1MAM!AQ8AQK7n2bXkz.3wPq9Lr5sTu0vWxYz1aBcDe"
APP = "templates/connectedApps/Portal.connectedApp.j2"
SET = "templates/permissionsets/Portal_API.permissionset.j2"
DEV = "orgs/dev.yaml"
COMMAND = str(Path(sys.executable).with_name("metadeploy"))


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A user without configuration of this machine."""
    for name in [n for n in os.environ if n.startswith(("GIT_", "PRE_COMMIT"))]:
        monkeypatch.delenv(name)
    made = tmp_path_factory.mktemp("home")
    config = "[user]\nname = Ann\nemail = ann@acme.example\n"
    config += '[protocol "file"]\nallow = always\n'
    (made / ".gitconfig").write_text(config)
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(made))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    return made


def run(folder, *words, **env):
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
    )


def git(folder, *words, **env):
    """Run git; return what it printed. It has to go well."""
    done = run(folder, "git", *words, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def refused(folder, *words, **env):
    """Run git, which a hook has to stop; return all that was printed."""
    done = run(folder, "git", *words, **env)
    assert done.returncode != 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def put_project(folder):
    for name in ("templates", "orgs"):
        shutil.copytree(EXAMPLE / name, folder / name)


def hooks(folder, *words):
    return run(folder, COMMAND, "-C", str(folder), "hooks", *words)


def installed(folder):
    done = hooks(folder, "install")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def repo(tmp_path):
    """A repository with the example project, and our hooks."""
    root = tmp_path / "it's a repo"
    root.mkdir()
    put_project(root)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "First")
    installed(root)
    return root


def break_it(root, at=""):
    edit(root / at / APP, "</infoUrl>", "</infoUrI>")


WRONG = f"{APP}:9: "


# -- what pre-commit looks at: what the commit would hold


def test_a_commit_that_passes_says_nothing(repo):
    edit(repo / DEV, "playground", "pleasure")
    done = run(repo, "git", "commit", "-qam", "x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_commit_all_and_commit_only(repo):
    break_it(repo)
    assert WRONG in refused(repo, "commit", "-am", "x")
    (repo / "README.md").write_text("x")
    git(repo, "add", "README.md")
    assert WRONG in refused(repo, "commit", "-m", "x", "--only", APP)
    git(repo, "commit", "-qm", "x", "--only", "README.md")


def test_the_index_counts_not_the_work_tree(repo):
    whole = (repo / APP).read_text()
    break_it(repo)
    git(repo, "add", ".")
    (repo / APP).write_text(whole)
    assert WRONG in refused(repo, "commit", "-m", "broken in the index")
    git(repo, "add", ".")
    break_it(repo)
    (repo / "README.md").write_text("x")
    git(repo, "add", "README.md")
    git(repo, "commit", "-qm", "broken in the work tree")


def test_renames_and_deletions(repo):
    git(repo, "mv", APP, APP.replace("Portal", "No__Gate"))
    assert "'No__Gate' cannot be the name" in refused(repo, "commit", "-m", "x")
    git(repo, "reset", "-q", "--hard")
    git(repo, "rm", "-q", APP)
    warned = run(repo, "git", "commit", "-m", "x")
    assert warned.returncode == 0, "it may be installed in the orgs"
    assert "Portal is no app of this project" in warned.stderr
    (repo / "templates/macros").mkdir()
    (repo / "templates/macros/it.j2").write_text("x")
    edit(repo / SET, "<label>", "<label>{% include 'macros/it.j2' %}")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "x")
    git(repo, "rm", "-q", "templates/macros/it.j2")
    assert f"{SET}:" in refused(repo, "commit", "-m", "x")
    git(repo, "reset", "-q", "--hard")
    git(repo, "mv", "orgs", "was")
    git(repo, "commit", "-qm", "No project any more")


def test_what_stands_elsewhere_is_no_concern(repo):
    break_it(repo)
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "x", "--no-verify")
    (repo / "README.md").write_text("x")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "of something else")
    edit(
        repo / "templates/permissionsets/Portal_API.permissionset.j2", "Portal API", "P"
    )
    git(repo, "commit", "-qam", "x")
    edit(repo / APP, "</contactEmail>", "</contactEmail>\n")
    assert f"{APP}:10: " in refused(repo, "commit", "-am", "of the same file")


def test_the_first_commit(tmp_path):
    put_project(tmp_path)
    break_it(tmp_path)
    (tmp_path / "notes").write_text(SESSION)
    git(tmp_path, "init", "-q")
    installed(tmp_path)
    git(tmp_path, "add", ".")
    said = refused(tmp_path, "commit", "-m", "First")
    assert WRONG in said and "notes:1: a session id" in said


def test_a_merge(repo):
    git(repo, "checkout", "-qb", "other")
    edit(repo / DEV, "playground", "one")
    git(repo, "commit", "-qam", "x")
    git(repo, "checkout", "-q", "main")
    edit(repo / DEV, "playground", "two")
    git(repo, "commit", "-qam", "x")
    assert "CONFLICT" in refused(repo, "merge", "other")
    said = hooks(repo, "run", "pre-commit")
    assert said.returncode == 1 and f"{DEV} is not merged yet" in said.stderr
    git(repo, "checkout", "-q", "--theirs", DEV)
    break_it(repo)
    git(repo, "add", ".")
    assert WRONG in refused(repo, "commit", "-m", "x")
    git(repo, "checkout", "-q", "HEAD", APP)
    git(repo, "commit", "-qm", "Merge")


def test_a_project_in_a_folder_and_two_of_them(tmp_path):
    root = tmp_path / "repo"
    for name in ("a b", "o'c"):
        (root / name).mkdir(parents=True)
        put_project(root / name)
    git(root, "init", "-q")
    installed(root / "a b")
    installed(root / "o'c")
    git(root, "add", ".")
    git(root, "commit", "-qm", "First")
    break_it(root, "o'c")
    said = refused(root, "commit", "-am", "x")
    assert f"o'c/{WRONG}" in said and "a b/" not in said
    assert hooks(root / "o'c", "uninstall").returncode == 0
    git(root, "commit", "-qam", "x")
    break_it(root, "a b")
    assert f"a b/{WRONG}" in refused(root, "commit", "-am", "x")
    assert hooks(root / "a b", "uninstall").returncode == 0
    assert not (root / ".git/hooks/pre-commit").exists()


def test_a_linked_worktree_and_a_branch_without_a_project(repo, tmp_path):
    linked = tmp_path / "linked"
    git(repo, "worktree", "add", "-q", str(linked))
    break_it(linked)
    assert WRONG in refused(linked, "commit", "-am", "x")
    git(linked, "checkout", "-q", "--orphan", "empty")
    git(linked, "rm", "-rqf", ".")
    (linked / "x").write_text("x")
    git(linked, "add", ".")
    done = run(linked, "git", "commit", "-qm", "x")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    installed(linked / ".." / repo.name)
    assert hooks(repo, "uninstall").returncode == 0
    assert not (repo / ".git/hooks/pre-commit").exists()


def test_a_submodule(repo, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "submodule", "add", "-q", str(repo), "portal")
    git(outer, "commit", "-qm", "x")
    inner = outer / "portal"
    installed(inner)
    break_it(inner)
    assert WRONG in refused(inner, "commit", "-am", "x")
    git(inner, "commit", "-qam", "x", "--no-verify")
    git(outer, "commit", "-qam", "x")


def test_a_repository_beside_its_work_tree(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    put_project(tree)
    where = {"GIT_DIR": str(tmp_path / "dots"), "GIT_WORK_TREE": str(tree)}
    git(tree, "init", "-q", **where)
    git(tree, "add", ".", **where)
    git(tree, "commit", "-qm", "x", **where)
    break_it(tree)
    (tmp_path / "dots/hooks").mkdir(exist_ok=True)
    script = f"#!/bin/sh\nexec '{COMMAND}' hooks run pre-commit\n"
    (tmp_path / "dots/hooks/pre-commit").write_text(script)
    (tmp_path / "dots/hooks/pre-commit").chmod(0o755)
    assert WRONG in refused(tree, "commit", "-am", "x", **where)


def test_nothing_that_a_repository_names_is_run(repo, tmp_path):
    mark = tmp_path / "was here"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch '{mark}'\ncat\n")
    trap.chmod(0o755)
    (repo / ".gitattributes").write_text("* diff=evil filter=evil\n")
    break_it(repo)
    git(repo, "add", ".")
    for name in (
        "core.fsmonitor",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.clean",
        "filter.evil.smudge",
        "core.pager",
        "core.sshCommand",
    ):
        git(repo, "config", name, str(trap))
    mark.unlink(missing_ok=True)
    for name in ("pre-commit", "pre-push"):
        hooks(repo, "run", name)
    hooks(repo, "install")
    assert WRONG in hooks(repo, "run", "pre-commit").stdout
    assert not mark.exists()


# -- no-secrets


def test_a_secret_in_any_file(repo):
    for name in ("a.java", "b c/é.txt", "keys.pem"):
        (repo / name).parent.mkdir(exist_ok=True)
    (repo / "a.java").write_text(f'// x\nString s = "{SESSION}";\n')
    (repo / "b c/é.txt").write_bytes(f"x\n{SESSION}".encode("utf-16"))
    (repo / "bin").write_bytes(b"\0" + SESSION.encode())
    (repo / os.fsdecode(b"l\xe9")).write_text(SESSION)
    (repo / "link").symlink_to(SESSION)
    (repo / ".metadeploy").mkdir()
    (repo / ".metadeploy/world").write_text("x")
    git(repo, "add", ".")
    said = refused(repo, "commit", "-m", "x")
    for place in ("a.java:2", "b c/é.txt:2", "bin:1", "l\\xe9:1"):
        assert f"{place}: a session id is written into this file [MD705]" in said
    assert ".metadeploy/world: .metadeploy/ is for this machine alone" in said
    assert "link" not in said and SESSION not in said


def test_only_what_a_commit_adds_counts(repo):
    (repo / "notes").write_text(f"x\n{SESSION}\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "x", "--no-verify")
    git(repo, "mv", "notes", "moved")
    git(repo, "commit", "-qm", "Moved")
    (repo / "moved").write_text(f"x\ny\n  {SESSION}\nz\n")
    git(repo, "commit", "-qam", "Changed around it")
    (repo / "moved").write_text(f"{SESSION}\n{SESSION}Z\n")
    assert "moved:2: a session id" in refused(repo, "commit", "-am", "Another one")
    git(repo, "rm", "-qf", "moved")
    git(repo, "commit", "-qm", "Gone")


def test_a_place_may_be_allowed_with_a_reason(repo):
    (repo / "notes").write_text(f"{SESSION}  # pragma: allowlist secret")
    git(repo, "add", ".")
    said = refused(repo, "commit", "-m", "x")
    assert "notes:1: a session id is allowed without a reason" in said
    (repo / "notes").write_text(
        f"{SESSION} # pragma: allowlist secret because it ended"
    )
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "x")


def test_of_a_large_file_the_beginning_is_looked_through(repo):
    (repo / "big").write_bytes(b"x" * 6_000_000 + SESSION.encode())
    (repo / "small").write_text(SESSION)
    git(repo, "add", ".")
    said = refused(repo, "commit", "-m", "x")
    note = "big: only the first 5,000,000 of 6,000,056 bytes were looked through"
    assert note in said and "small:1: a session id" in said


# -- pre-push: what is pushed, whole


@pytest.fixture
def remote(repo, tmp_path):
    made = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", str(made))
    git(repo, "remote", "add", "origin", str(made))
    git(repo, "push", "-q", "origin", "main")
    return made


def test_a_push_is_judged_by_its_commits(repo, remote):
    good = git(repo, "rev-parse", "HEAD")
    break_it(repo)
    git(repo, "commit", "-qam", "x", "--no-verify")
    bad = git(repo, "rev-parse", "HEAD")
    git(repo, "reset", "-q", "--hard", good)
    said = refused(repo, "push", "origin", f"{bad}:refs/heads/new")
    assert WRONG in said and f"{bad} at {bad[:12]} does not pass" in said
    git(repo, "tag", "-a", "-m", "x", "v1", bad)
    assert f"refs/tags/v1 at {bad[:12]} does not pass" in refused(
        repo, "push", "origin", "main", "v1"
    )
    break_it(repo)  # the work tree is no matter
    git(repo, "push", "-q", "origin", f"{good}:refs/heads/good")
    git(repo, "push", "-q", "origin", ":good")
    git(repo, "tag", "blob", f"{good}:{APP}")
    git(repo, "push", "-q", "origin", "blob")


def test_a_commit_without_a_project_is_pushed_in_silence(repo, remote):
    git(repo, "checkout", "-q", "--orphan", "empty")
    git(repo, "rm", "-rqf", ".")
    git(repo, "commit", "-qm", "x", "--allow-empty")
    done = run(repo, "git", "push", "-q", "origin", "empty")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- hooks of others


def hook(root, name, text, mode=0o755):
    file = root / ".git/hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode())
    file.chmod(mode)
    return file


def state(folder):
    """Every hook, byte for byte, with its mode; where it is a link, to what."""
    return {
        f.name: (
            str(f.readlink()) if f.is_symlink() else f.read_bytes(),
            f.lstat().st_mode,
        )
        for f in sorted(folder.iterdir())
        if not f.name.endswith(".sample")
    }


@pytest.fixture
def bare(tmp_path):
    """A repository with the example project, and no hooks of ours yet."""
    root = tmp_path / "repo"
    root.mkdir()
    put_project(root)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "First")
    return root


def test_a_hook_that_is_there_is_run_first(bare, tmp_path):
    log = tmp_path / "log"
    echo = f"#!/bin/sh\necho \"$0 $@\" >> '{log}'\ncat >> '{log}'\n"
    hook(bare, "pre-commit", echo, 0o700)
    hook(bare, "pre-push", echo)
    before = state(bare / ".git/hooks")
    installed(bare)
    git(bare, "commit", "-qm", "x", "--allow-empty")
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    git(bare, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(bare, "push", "-q", "origin", "main")
    first, second, third = log.read_text().splitlines()
    assert first.strip().endswith("pre-commit.before-metadeploy")
    assert second.endswith(f"origin {tmp_path / 'remote.git'}")
    assert third.startswith("refs/heads/main ")
    again = state(bare / ".git/hooks")
    installed(bare)
    assert state(bare / ".git/hooks") == again
    assert hooks(bare, "uninstall").returncode == 0
    assert state(bare / ".git/hooks") == before


def test_what_was_there_decides(bare):
    hook(bare, "pre-commit", "#!/bin/sh\necho no; exit 3\n")
    hook(bare, "pre-push", "#!/bin/sh\nexit 4\n")
    installed(bare)
    break_it(bare)
    said = refused(bare, "commit", "-am", "x")
    assert "no" in said and WRONG not in said
    done = run(bare, str(bare / ".git/hooks/pre-push"), "a", "b")
    assert done.returncode == 4


@pytest.mark.parametrize("kind", ["file without mode", "link", "dangling"])
def test_whatever_was_there_comes_back(bare, tmp_path, kind):
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\n")
    if kind == "file without mode":
        hook(bare, "pre-commit", "#!/bin/sh\r\nexit 1\r\n", 0o644)
    else:
        place = bare / ".git/hooks/pre-commit"
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(other if kind == "link" else tmp_path / "nothing")
    before = state(bare / ".git/hooks")
    installed(bare)
    git(bare, "commit", "-qm", "x", "--allow-empty")
    assert hooks(bare, "uninstall").returncode == 0
    assert state(bare / ".git/hooks") == before


def test_an_edited_hook_is_left_alone(repo):
    file = repo / ".git/hooks/pre-commit"
    file.write_text(file.read_text() + "echo mine\n")
    before = state(repo / ".git/hooks")
    for word in ("install", "uninstall"):
        done = hooks(repo, word)
        assert done.returncode == 1 and "somebody changed it" in done.stderr
        assert state(repo / ".git/hooks") == before


def test_other_line_ends_are_no_edit(repo):
    file = repo / ".git/hooks/pre-commit"
    good = file.read_bytes()
    file.write_bytes(good.replace(b"\n", b"\r\n"))
    assert "pre-commit  changed" in hooks(repo, "install").stdout
    assert file.read_bytes() == good


def test_two_hooks_to_keep_are_one_too_many(repo):
    hook(repo, "pre-commit", "#!/bin/sh\n")
    hook(repo, "pre-commit.before-metadeploy", "#!/bin/sh\nexit 0\n")
    before = state(repo / ".git/hooks")
    done = hooks(repo, "install")
    assert done.returncode == 1 and "is there already" in done.stderr
    assert state(repo / ".git/hooks") == before


@pytest.mark.parametrize(
    ("text", "owner", "advice"),
    [
        ("# File generated by pre-commit: https://pre-commit.com\n", "pre-commit",
         "- id: metadeploy-no-secrets"),
        ("#!/bin/sh\ncall_lefthook run pre-commit\n", "lefthook", "lefthook.yml"),
        ("#!/usr/bin/env ruby\n# Overcommit\nrequire 'overcommit'\n", "overcommit",
         ".overcommit.yml"),
    ],
)  # fmt: skip
def test_hooks_of_another_program(bare, text, owner, advice):
    hook(bare, "pre-push", text)
    before = state(bare / ".git/hooks")
    done = hooks(bare, "install")
    assert done.returncode == 1
    assert f"{owner} writes the hooks of this repository" in done.stderr
    assert advice in done.stderr
    assert state(bare / ".git/hooks") == before, "neither of the two"


# -- core.hooksPath


def test_a_folder_in_the_repository_is_used(bare):
    git(bare, "config", "core.hooksPath", ".git hooks")
    installed(bare)
    assert (bare / ".git hooks/pre-commit").exists()
    break_it(bare)
    assert WRONG in refused(bare, "commit", "-am", "x")
    assert hooks(bare, "uninstall").returncode == 0
    assert list((bare / ".git hooks").iterdir()) == []


def test_a_folder_outside_is_refused(bare, tmp_path, home):
    git(bare, "config", "core.hooksPath", str(tmp_path / "elsewhere"))
    done = hooks(bare, "install")
    assert done.returncode == 1 and "outside of the repository" in done.stderr
    assert "metadeploy hooks run pre-commit" in done.stderr
    git(bare, "config", "--unset", "core.hooksPath")
    git(bare, "config", "--global", "core.hooksPath", "~/hooks")
    done = hooks(bare, "install")
    assert "by the global configuration, for all repositories" in done.stderr
    git(bare, "config", "core.hooksPath", ".git/hooks")
    installed(bare)
    assert not (tmp_path / "elsewhere").exists() and not (home / "hooks").exists()


def test_husky(bare):
    git(bare, "config", "core.hooksPath", ".husky/_")
    done = hooks(bare, "install")
    assert done.returncode == 1 and ".husky/pre-commit" in done.stderr


# -- where metadeploy is


def test_metadeploy_is_found_on_path_or_the_hook_says_how(repo, tmp_path):
    file = repo / ".git/hooks/pre-commit"
    gone = file.read_text().replace(COMMAND, str(tmp_path / "gone"))
    file.write_text(gone)
    break_it(repo)
    empty = tmp_path / "bin"
    empty.mkdir()
    for name in ("git", "cat", "sh"):
        (empty / name).symlink_to(shutil.which(name))
    said = refused(repo, "commit", "-am", "x", PATH=str(empty))
    assert "does not find metadeploy" in said and "hooks install" in said
    (empty / "metadeploy").symlink_to(COMMAND)
    assert WRONG in refused(repo, "commit", "-am", "x", PATH=str(empty))


def test_our_scripts_can_be_run_and_are_small(repo):
    for name in hookfiles.NAMES:
        file = repo / ".git/hooks" / name
        assert file.stat().st_mode & stat.S_IXUSR
        assert b"\r" not in file.read_bytes() and len(file.read_bytes()) < 1000
        assert run(repo, "sh", "-n", str(file)).returncode == 0


@pytest.mark.parametrize("project", [".", "a b", "o'c", "é", "$(touch x)", "`x`"])
@pytest.mark.parametrize(
    "command", ["", "/opt/it's/metadeploy", "C:\\Program Files\\m"]
)
def test_a_script_says_what_it_was_made_of(tmp_path, project, command):
    hookfiles.install(tmp_path, command, project)
    assert {d.state for d in hookfiles.install(tmp_path, command, project)} == {
        "as it was"
    }
    assert {d.state for d in hookfiles.uninstall(tmp_path, "other")} == {
        "not installed"
    }
    assert {d.state for d in hookfiles.uninstall(tmp_path, project)} == {"removed"}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_hook(tmp_path):
    (tmp_path / "pre-push").mkdir()
    with pytest.raises(ConfigError, match="is a folder, no hook"):
        hookfiles.install(tmp_path, "", ".")
    assert [f.name for f in tmp_path.iterdir()] == ["pre-push"]


# -- as pre-commit runs it, and by hand


def test_all_files_of_a_repository(repo):
    break_it(repo)
    (repo / "notes").write_text(SESSION)
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "x", "--no-verify")
    assert hooks(repo, "run", "pre-commit").returncode == 0
    ways = [
        run(repo, COMMAND, "hooks", "run", "pre-commit", PRE_COMMIT="1"),
        run(repo, COMMAND, "hooks", "run", "pre-commit", "--all"),
    ]
    for done in ways:
        assert done.returncode == 1
        assert WRONG in done.stdout and "notes:1: a session id" in done.stdout


def test_a_push_that_pre_commit_tells_of(repo):
    good = git(repo, "rev-parse", "HEAD")
    break_it(repo)
    git(repo, "commit", "-qam", "x", "--no-verify")
    bad = git(repo, "rev-parse", "HEAD")
    words = (COMMAND, "hooks", "run", "render")
    for commit, code in ((good, 0), (bad, 1)):
        assert (
            run(repo, *words, PRE_COMMIT="1", PRE_COMMIT_TO_REF=commit).returncode
            == code
        )
    assert run(repo, *words, PRE_COMMIT="1").returncode == 1
    branch = {"PRE_COMMIT": "1", "PRE_COMMIT_LOCAL_BRANCH": "refs/heads/main"}
    assert run(repo, *words, **branch).returncode == 1


def test_as_json(repo, monkeypatch, runner):
    break_it(repo)
    git(repo, "add", ".")
    ran = runner("hooks", "run", "pre-commit", "--json", at=repo)
    assert ran.code == 1 and ran.json["command"] == "hooks run"
    assert ran.json["orgs"] == ["dev", "prod", "uat"]
    (first, *_) = ran.json["problems"]
    assert (first["path"], first["line"]) == (APP, 9)
    ran = runner("hooks", "install", "--json", at=repo)
    assert [h["state"] for h in ran.json["hooks"]] == ["as it was", "as it was"]
    ran = runner("hooks", "uninstall", "--json", at=repo)
    assert [h["state"] for h in ran.json["hooks"]] == ["removed", "removed"]
    ran = runner("hooks", "uninstall", at=repo)
    assert "pre-push    not installed" in ran.out


def test_a_hook_that_is_interrupted(repo):
    program = """
import sys
from metadeploy.__main__ import main
class Tired:
    def isatty(self): return False
    def read(self): raise KeyboardInterrupt
sys.stdin, sys.argv = Tired(), ["metadeploy", "hooks", "run", "pre-push"]
main()
"""
    done = run(repo, sys.executable, "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_a_hook_that_there_is_not(repo):
    done = run(repo, COMMAND, "hooks", "run", "post-commit")
    assert done.returncode == 64 and "'post-commit' is not one of" in done.stderr


def test_a_folder_is_of_the_repository(repo, runner):
    for folder in ("/tmp", "../x"):
        ran = runner("hooks", "run", "pre-commit", folder, at=repo)
        assert ran.code == 1 and "is not a folder from the top" in ran.err


def test_without_a_repository(tmp_path, runner, project):
    ran = runner("hooks", "run", "pre-commit")
    assert ran.code == 1 and "not a git repository" in ran.err
    ran = runner("hooks", "install")
    assert ran.code == 1 and "not a git repository" in ran.err


def test_pre_commit_knows_our_hooks():
    text = (REPOSITORY / ".pre-commit-hooks.yaml").read_text()
    from ruamel.yaml import YAML

    said = {h["id"]: h for h in YAML(typ="safe").load(text)}
    assert set(said) == {
        "metadeploy-validate",
        "metadeploy-no-secrets",
        "metadeploy-render",
    }
    for one in said.values():
        assert one["entry"].split()[:3] == ["metadeploy", "hooks", "run"]
        assert one["entry"].split()[3] in hooking.NAMES
        # pre-commit leaves deleted files out: what is gone would not be noticed.
        assert one["always_run"] and not one["pass_filenames"]
    assert said["metadeploy-render"]["stages"] == ["pre-push"]
    json.dumps(said)


def test_why_the_hook_looks_at_what(repo, runner):
    edit(repo / DEV, "playground", "other")
    edit(repo / "orgs/uat.yaml", "uat.portal", "uat2.portal")
    git(repo, "mv", SET, SET.replace("Portal_API", "Gate_API"))
    git(repo, "add", ".")
    ran = runner("validate", "--staged", "--explain", at=repo)
    assert ran.code == 0 and f"{DEV}\n" in ran.out and f"{SET}\n" in ran.out
    assert "  dev: all (orgs/dev.yaml changed beyond its values)\n" in ran.out
    git(repo, "reset", "-q", "--hard")
    edit(repo / SET, "Portal API", "Gate API")
    git(repo, "add", ".")
    ran = runner("validate", "--staged", "--explain", "--json", at=repo)
    assert [(j["org"], j["texts"], j["why"]) for j in ran.json["judged"]] == [
        (org, [SET], SET) for org in ("dev", "prod", "uat")
    ]
    ran = runner("validate", "--staged", "--explain", at=repo)
    assert "  uat: 1 template (templates/permissionsets/" in ran.out
    git(repo, "reset", "-q", "--hard")
    ran = runner("validate", "--staged", "--explain", at=repo)
    assert ran.out.endswith("nothing: no org is reached\n")


def test_before_the_first_commit_all_is_new(project, runner):
    git(project, "init", "-q")
    git(project, "add", ".")
    ran = runner("validate", "--staged", "--explain", at=project)
    assert "  dev: all (orgs/dev.yaml is new)\n" in ran.out
