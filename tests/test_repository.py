"""What a commit would hold, read with real git; and nothing that a repository's own
configuration names is run."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metadeploy import repository
from metadeploy.repository import GitError

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="there is no git here")
FOLDERS = ("templates/", "orgs/")


@pytest.fixture(autouse=True)
def clean_git(tmp_path, monkeypatch):
    """No git configuration or hook environment of this machine."""
    for name in [n for n in os.environ if n.startswith("GIT_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\nname = Ann\nemail = ann@acme.example\n[init]\ndefaultBranch = main\n"
        '[protocol "file"]\nallow = always\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(folder, *words, **how):
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, **how
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(root, path, text="x\n"):
    file = Path(root) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def repo(tmp_path):
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q")
    write(root, "templates/profiles/Admin.profile.j2", "first\n")
    write(root, "orgs/dev.yaml", "kind: emulated\n")
    write(root, "README.md")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def staged(root):
    return {p: d.decode() for p, d in repository.staged(root, FOLDERS).items()}


ADMIN, DEV = "templates/profiles/Admin.profile.j2", "orgs/dev.yaml"
BEFORE = {ADMIN: "first\n", DEV: "kind: emulated\n"}


def test_head(repo):
    assert repository.head(repo) == git(repo, "rev-parse", "HEAD").strip()


def test_no_head(tmp_path):
    assert repository.head(tmp_path) == ""
    git(tmp_path, "init", "-q")
    assert repository.head(tmp_path) == ""


def test_what_is_staged_not_what_lies_about(repo):
    assert staged(repo) == BEFORE
    write(repo, ADMIN, "changed\n")
    write(repo, "orgs/new.yaml")
    assert staged(repo) == BEFORE
    git(repo, "add", ADMIN)
    write(repo, ADMIN, "changed again\n")
    assert staged(repo) == {**BEFORE, ADMIN: "changed\n"}


def test_half_of_a_file(repo):
    write(repo, ADMIN, "first\nsecond\n")
    patch = f"--- a/{ADMIN}\n+++ b/{ADMIN}\n@@ -1 +1,2 @@\n first\n+half\n"
    git(repo, "apply", "--cached", "-", input=patch)
    assert staged(repo)[ADMIN] == "first\nhalf\n"


def test_deleted_and_renamed(repo):
    git(repo, "rm", "-q", "--cached", ADMIN)
    git(repo, "mv", DEV, "orgs/prod.yaml")
    assert staged(repo) == {"orgs/prod.yaml": "kind: emulated\n"}
    assert (repo / ADMIN).exists()


def test_names_of_all_kinds(repo):
    names = [
        "templates/profiles/Portal Community User.profile.j2",
        "templates/profiles/Kundenbüro 東京.profile.j2",
        'templates/profiles/a"b\\c.profile.j2',
        "templates/profiles/tab\there.profile.j2",
        "templates/profiles/new\nline.profile.j2",
        "templates/profiles/:(glob)**.profile.j2",
        "orgs/-v.yaml",
    ]
    for name in names:
        write(repo, name, name)
    git(repo, "add", ".")
    assert staged(repo) == {**BEFORE, **{n: n for n in names}}


def test_a_name_that_is_no_text(repo):
    (repo / "templates" / "profiles" / os.fsdecode(b"\xff.profile.j2")).write_text("x")
    git(repo, "add", ".")
    with pytest.raises(GitError, match="name that is not UTF-8"):
        staged(repo)


def test_the_same_text_twice_and_no_text(repo):
    write(repo, "orgs/a.yaml", "kind: emulated\n")
    write(repo, "orgs/b.yaml", "")
    git(repo, "add", ".")
    found = {"orgs/a.yaml": "kind: emulated\n", "orgs/b.yaml": ""}
    assert staged(repo) == {**BEFORE, **found}


def test_bytes_come_as_they_are(repo):
    data = bytes(range(256)) * 1000
    (repo / "templates" / "profiles" / "B.profile.j2").write_bytes(data)
    git(repo, "add", ".")
    found = repository.staged(repo, FOLDERS)
    assert found["templates/profiles/B.profile.j2"] == data


def test_links_are_left_out(repo):
    (repo / "templates" / "profiles" / "L.profile.j2").symlink_to("/etc/passwd")
    (repo / "templates" / "linked").symlink_to("/etc")
    git(repo, "add", ".")
    assert staged(repo) == BEFORE


def test_a_submodule_is_left_out(repo, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    write(other, "profiles/Evil.profile.j2")
    git(other, "add", ".")
    git(other, "commit", "-qm", "other")
    git(repo, "submodule", "--quiet", "add", str(other), "templates/other")
    assert staged(repo) == BEFORE


def test_what_is_only_meant_to_be_added_is_not_in_a_commit(repo):
    write(repo, "orgs/later.yaml", "kind: emulated\n")
    write(repo, "orgs/empty.yaml", "")
    git(repo, "add", "-N", "orgs/later.yaml")
    git(repo, "add", "orgs/empty.yaml")
    assert staged(repo) == {**BEFORE, "orgs/empty.yaml": ""}


def test_a_merge_that_is_not_resolved(repo):
    git(repo, "checkout", "-qb", "theirs")
    write(repo, ADMIN, "theirs\n")
    git(repo, "commit", "-qam", "theirs")
    git(repo, "checkout", "-q", "main")
    write(repo, ADMIN, "ours\n")
    git(repo, "commit", "-qam", "ours")
    words = ["git", "-C", str(repo), "merge", "-q", "theirs"]
    assert subprocess.run(words, capture_output=True).returncode
    with pytest.raises(GitError, match=f"{ADMIN} is not merged yet"):
        staged(repo)


def test_a_project_in_a_folder_of_the_repository(repo):
    (repo / "crm").mkdir()
    git(repo, "mv", "templates", "orgs", "crm/")
    assert staged(repo / "crm") == BEFORE
    assert staged(repo) == {}


def test_a_linked_work_tree(repo, tmp_path):
    tree = tmp_path / "tree"
    git(repo, "worktree", "add", "-q", "-b", "work", str(tree))
    write(tree, ADMIN, "in the tree\n")
    git(tree, "add", ".")
    assert staged(tree) == {**BEFORE, ADMIN: "in the tree\n"}
    assert staged(repo) == BEFORE


def test_a_git_directory_elsewhere(repo, tmp_path, monkeypatch):
    (repo / ".git").rename(tmp_path / "dot.git")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "dot.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo))
    assert staged(repo) == BEFORE
    assert repository.head(repo)


def test_another_repository_than_the_hooks(repo, tmp_path, monkeypatch):
    """A hook of one repository may look at another one: not with its own index."""
    inner = repo / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    write(inner, ADMIN, "inner\n")
    git(inner, "add", ".")
    monkeypatch.chdir(repo)
    monkeypatch.setenv("GIT_DIR", str(repo / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repo / ".git" / "index"))
    assert staged(inner) == {ADMIN: "inner\n"}


def test_no_repository(tmp_path):
    with pytest.raises(GitError, match="not a git repository"):
        staged(tmp_path)


def test_a_repository_that_lost_an_object(repo):
    blob = git(repo, "rev-parse", f":{ADMIN}").strip()
    (repo / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitError, match=f"{blob[:12]} is missing"):
        staged(repo)


def test_no_git_at_all(repo, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitError, match="git cannot be run: FileNotFoundError"):
        staged(repo)
    assert repository.head(repo) == ""


# As a hook: git itself says which index and which directory it is about.

HOOK = f"""#!/bin/sh
{{cd}}exec {sys.executable} -m metadeploy validate --staged
"""
GOOD = """<?xml version="1.0" encoding="UTF-8"?>
<Profile xmlns="http://soap.sforce.com/2006/04/metadata">
    <custom>true</custom>
</Profile>
"""
BAD = GOOD.replace("custom", "costum")
PROFILE = "templates/profiles/Sales.profile.j2"


def hooked(root, top=None, cd=""):
    """Make `root` a project of a good profile whose commits are validated."""
    write(root, PROFILE, GOOD)
    git(root, "rm", "-q", "-r", "--cached", "templates")
    shutil.rmtree(root / "templates" / "profiles")
    write(root, PROFILE, GOOD)
    git(root, "add", ".")
    git(root, "commit", "-qm", "project")
    common = git(root, "rev-parse", "--path-format=absolute", "--git-common-dir")
    hook = Path(common.strip()) / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK.format(cd=cd))
    hook.chmod(0o755)


def commit(root, *words):
    done = subprocess.run(
        ["git", "-C", str(root), "commit", "-m", "x", *words],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


REFUSED = f"{PROFILE}:3: "


def test_a_commit_of_what_is_staged(repo):
    hooked(repo)
    write(repo, PROFILE, BAD)
    write(repo, "README.md", "more\n")
    git(repo, "add", "README.md")
    assert commit(repo)[0] == 0  # what is bad is not in it
    git(repo, "add", PROFILE)
    write(repo, PROFILE, GOOD)
    code, said = commit(repo)  # the work tree is good again, the commit is not
    assert code and REFUSED in said, said


def test_a_commit_of_everything(repo):
    hooked(repo)
    write(repo, PROFILE, BAD)
    code, said = commit(repo, "-a")
    assert code and REFUSED in said, said
    write(repo, PROFILE, GOOD + "<!-- more -->\n")
    assert commit(repo, "-a")[0] == 0


def test_a_commit_of_one_file_only(repo):
    hooked(repo)
    write(repo, PROFILE, BAD)
    git(repo, "add", PROFILE)
    write(repo, "README.md", "more\n")
    code, said = commit(repo, "--only", "README.md")
    assert code == 0, said  # staged, but not in this commit
    code, said = commit(repo, "--only", PROFILE)
    assert code and REFUSED in said, said


def test_a_commit_in_a_linked_work_tree(repo, tmp_path):
    hooked(repo)
    tree = tmp_path / "tree"
    git(repo, "worktree", "add", "-q", "-b", "work", str(tree))
    write(tree, PROFILE, BAD)
    code, said = commit(tree, "-a")
    assert code and REFUSED in said, said
    write(tree, PROFILE, GOOD + "<!-- more -->\n")
    assert commit(tree, "--only", PROFILE)[0] == 0


@pytest.mark.parametrize("linked", [False, True])
def test_a_commit_with_the_project_in_a_folder(repo, tmp_path, linked):
    hooked(repo, cd="cd crm; ")
    (repo / "crm").mkdir()
    git(repo, "mv", "templates", "orgs", "crm/")
    assert commit(repo)[0] == 0
    root = repo
    if linked:
        root = tmp_path / "tree"
        git(repo, "worktree", "add", "-q", "-b", "work", str(root))
    write(root, f"crm/{PROFILE}", BAD)
    for how in (["-a"], ["--only", f"crm/{PROFILE}"]):
        code, said = commit(root, *how)
        assert code and REFUSED in said, said
    git(root, "add", ".")
    code, said = commit(root)
    assert code and REFUSED in said, said
    write(root, f"crm/{PROFILE}", GOOD + "<!-- more -->\n")
    code, said = commit(root, "-a")
    assert code == 0, said


# Hostile repositories.


@pytest.fixture
def trap(repo, tmp_path):
    """Write a program whose running shows, and return its path."""
    program = tmp_path / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\nexit 1\n")
    program.chmod(0o755)
    return program


def test_nothing_that_a_repository_names_is_run(repo, trap, tmp_path):
    sprung = tmp_path / "sprung"
    hooks = repo / "hooks"
    hooks.mkdir()
    for name in (
        "pre-commit",
        "post-index-change",
        "post-checkout",
        "reference-transact",
    ):
        (hooks / name).symlink_to(trap)
    for key in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "credential.helper",
        "gpg.program",
        "uploadpack.packObjectsHook",
        "pager.ls-files",
        "pager.rev-parse",
        "interactive.diffFilter",
    ):
        git(repo, "config", key, str(trap))
    for name in ("ls-files", "cat-file", "rev-parse", "diff-files"):
        git(repo, "config", f"alias.{name}", f"!{trap}")
    git(repo, "config", "core.hooksPath", str(hooks))
    write(repo, ".gitattributes", "* diff=evil filter=evil\n")
    write(repo, ADMIN, "work tree\n")
    write(repo, "orgs/empty.yaml", "")
    subprocess.run(
        ["git", "-C", str(repo), "-c", "filter.evil.clean=cat",
         "-c", "filter.evil.process=", "add", "orgs/empty.yaml"],
        capture_output=True,
    )  # fmt: skip
    sprung.unlink(missing_ok=True)
    subprocess.run(["git", "-C", str(repo), "status"], capture_output=True)
    assert sprung.exists()  # the trap works where nobody guards against it
    sprung.unlink()
    found = {ADMIN: "first\n", "orgs/empty.yaml": ""}
    assert staged(repo) == {**BEFORE, **found}
    assert repository.head(repo)
    assert not sprung.exists()


def test_no_object_is_fetched_from_anywhere(repo, trap, tmp_path):
    """A partial clone fetches what it lacks, by programs that its config names."""
    sprung = tmp_path / "sprung"
    blob = git(repo, "rev-parse", f":{ADMIN}").strip()
    (repo / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    git(repo, "config", "core.repositoryFormatVersion", "1")
    git(repo, "config", "extensions.partialClone", "origin")
    git(repo, "config", "remote.origin.promisor", "true")
    git(repo, "config", "remote.origin.url", str(tmp_path / "nowhere"))
    git(repo, "config", "remote.origin.uploadpack", str(trap))
    git(repo, "config", "protocol.allow", "always")
    subprocess.run(
        ["git", "-C", str(repo), "cat-file", "-p", blob], capture_output=True
    )
    assert sprung.exists()  # the trap works where nobody guards against it
    sprung.unlink()
    with pytest.raises(GitError):
        staged(repo)
    assert not sprung.exists()


# By each of these git runs what it names, or writes where it says.
PLANTED = {
    "GIT_ASKPASS": "{trap}",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.fsmonitor",
    "GIT_CONFIG_VALUE_0": "{trap}",
    "GIT_CONFIG_KEY_1": "core.hooksPath",
    "GIT_CONFIG_VALUE_1": "{hooks}",
    "GIT_CONFIG_GLOBAL": "{config}",
    "GIT_CONFIG_PARAMETERS": "'core.fsmonitor'='{trap}'",
    "GIT_CONFIG_SYSTEM": "{config}",
    "GIT_EDITOR": "{trap}",
    "GIT_EXEC_PATH": "{hooks}",
    "GIT_EXTERNAL_DIFF": "{trap}",
    "GIT_PAGER": "{trap}",
    "GIT_PROXY_COMMAND": "{trap}",
    "GIT_SSH": "{trap}",
    "GIT_SSH_COMMAND": "{trap}",
    "GIT_TEMPLATE_DIR": "{hooks}",
    "GIT_TRACE": "{sprung}",
    "GIT_TRACE2": "{sprung}",
    "GIT_TRACE2_EVENT": "{sprung}",
    "GIT_TRACE_SETUP": "{sprung}",
    "PAGER": "{trap}",
}


def test_nothing_that_the_environment_names_is_run(repo, trap, tmp_path, monkeypatch):
    sprung, hooks, config = (tmp_path / n for n in ("sprung", "hooks", "config"))
    hooks.mkdir()
    for name in ("git-ls-files", "git-cat-file", "git-rev-parse", "post-index-change"):
        (hooks / name).symlink_to(trap)
    config.write_text(f"[core]\nfsmonitor = {trap}\nhooksPath = {hooks}\n")
    places = {"trap": trap, "sprung": sprung, "hooks": hooks, "config": config}
    for name, text in PLANTED.items():
        monkeypatch.setenv(name, text.format(**places))
    subprocess.run(["git", "-C", str(repo), "status"], capture_output=True)
    assert sprung.exists()  # the trap works where nobody guards against it
    sprung.unlink()
    assert staged(repo) == BEFORE
    assert repository.head(repo)
    assert not sprung.exists()


def unguarded(root, sprung):
    """Show that git itself would step into the trap, and set it again."""
    subprocess.run(["git", "-C", str(root), "status"], capture_output=True)
    assert sprung.exists()
    sprung.unlink()


def test_configuration_from_other_files_is_guarded_too(repo, trap, tmp_path):
    more = tmp_path / "more"
    more.write_text(f"[core]\nfsmonitor = {trap}\n")
    git(repo, "config", "include.path", str(more))
    git(repo, "config", "includeIf.gitdir:/.path", str(more))
    unguarded(repo, tmp_path / "sprung")
    git(repo, "config", "extensions.worktreeConfig", "true")
    (repo / ".git" / "config.worktree").write_text(more.read_text())
    assert staged(repo) == BEFORE
    assert repository.head(repo)
    assert not (tmp_path / "sprung").exists()


def test_a_work_tree_that_the_configuration_moves(repo, trap, tmp_path):
    """The index is what counts; nothing is read where the configuration points."""
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, ADMIN, "secret\n")
    git(repo, "config", "core.worktree", str(elsewhere))
    git(repo, "config", "core.fsmonitor", str(trap))
    with contextlib.suppress(GitError):
        assert "secret\n" not in staged(repo).values()
    assert not (tmp_path / "sprung").exists()


def test_a_bare_repository_among_the_files(repo, trap, tmp_path):
    """Files of a commit may look like a repository, with a configuration of theirs."""
    inner = repo / "templates"
    git(inner, "init", "-q", "--bare", "bare")
    git(inner / "bare", "config", "core.fsmonitor", str(trap))
    git(inner / "bare", "config", "core.bare", "false")
    git(inner / "bare", "config", "core.worktree", str(repo))
    unguarded(inner / "bare", tmp_path / "sprung")
    assert staged(inner / "bare") == {}
    assert repository.head(inner / "bare") == ""
    assert not (tmp_path / "sprung").exists()


def test_a_submodule_with_traps_of_its_own(repo, trap, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    write(other, "x")
    git(other, "add", ".")
    git(other, "commit", "-qm", "other")
    git(repo, "submodule", "--quiet", "add", str(other), "templates/other")
    module = repo / ".git" / "modules" / "templates" / "other"
    git(module, "config", "core.fsmonitor", str(trap))
    git(repo, "config", "submodule.recurse", "true")
    git(repo, "config", "submodule.templates/other.update", f"!{trap}")
    unguarded(repo, tmp_path / "sprung")
    assert staged(repo) == BEFORE
    assert repository.head(repo)
    assert not (tmp_path / "sprung").exists()


def test_a_repository_of_somebody_else(repo, trap, tmp_path):
    """git looks into nobody's repository but one's own; nor do we talk it into it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a repository away")
    for path in (repo, repo / ".git"):
        os.chown(path, 65534, 65534)
    git(repo.parent, "config", "--file", str(repo / ".git" / "config"),
        "safe.directory", "*")  # fmt: skip
    with pytest.raises(GitError):
        staged(repo)
    assert repository.head(repo) == ""


ODD_FOLDERS = ("-x", "--debug", ":(glob)**", ":/", ":!orgs", "*", "[o]rgs", "a\nb", "")


@pytest.mark.parametrize("folder", ODD_FOLDERS)
def test_a_folder_is_a_folder_whatever_it_is_called(repo, folder):
    try:
        assert repository.staged(repo, [folder]) == {}
    except GitError:
        assert folder == ""  # git refuses no path at all
