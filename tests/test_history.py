"""A project as git has it: at a commit it is what a checkout of that commit is."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repos import commit, git, repository

from metadeploy import history
from metadeploy import repository as plumbing
from metadeploy.errors import ConfigError
from metadeploy.workspace import Workspace

SFDX = json.dumps({"packageDirectories": [{"path": "force-app"}, {"path": ".hid"}]})
bodies = st.sampled_from(
    ["", "x\n", "a\r\nb\r\n", "a\rb", "é\n", "{{ org.name }}\n", "kind: emulated\n"]
)
paths = st.sampled_from(
    [
        "orgs/dev.yaml",
        "orgs/customers/acme.yaml",
        "orgs/.hidden.yaml",
        "templates/profiles/A b.profile.j2",
        "templates/connectedApps/é.connectedApp.j2",
        "templates/.git-keep",
        "templates/.x/y.profile.j2",
        "templates/macros/m.j2",
        "certs/portal.crt",
        "force-app/main/profiles/P.profile-meta.xml",
        "force-app/main/profiles/Q.profile-meta.xml",
        "force-app/.x/profiles/R.profile-meta.xml",
        ".hid/profiles/S.profile-meta.xml",
        "force-app/main/classes/A.cls",
        "README.md",
    ]
)
about = st.fixed_dictionaries(
    {},
    optional={
        "sfdx-project.json": st.just(SFDX),
        ".forceignore": st.just("**/Q.profile-meta.xml\n"),
    },
)


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())


@pytest.mark.parametrize("below", [".", "portal"])
@settings(max_examples=25)
@given(st.dictionaries(paths, bodies, min_size=1), about)
def test_a_project_at_a_commit_is_its_checkout(below, files, more):
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / "repo"
        root = top / below
        root.mkdir(parents=True)
        write(root, {**files, **more})
        first = repository(top)
        workspace = Workspace(root)
        checkout = workspace.project()
        assert history.at(workspace, first).texts == checkout.texts
        assert history.staged(workspace).texts == checkout.texts
        origin = history.origin(workspace, checkout)
        assert origin is not None and origin.exact and origin.commit == first


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "repo"
    write(made, {"orgs/dev.yaml": "kind: emulated\n", "templates/a.j2": "a\n"})
    return made


def test_no_repository_no_origin(root):
    workspace = Workspace(root)
    assert history.origin(workspace, workspace.project()) is None


def test_nothing_is_committed_yet(root):
    git(root, "init", "--quiet")
    workspace = Workspace(root)
    origin = history.origin(workspace, workspace.project())
    assert origin is not None and origin.why == "nothing is committed yet"


@pytest.mark.parametrize("path", ["orgs/dev.yaml", "templates/new.j2"])
def test_what_is_not_committed_is_named(root, path):
    repository(root)
    write(root, {path: "api_version: '60.0'\n"})
    workspace = Workspace(root)
    origin = history.origin(workspace, workspace.project())
    assert origin is not None
    assert (origin.exact, origin.why) == (False, f"{path} is not as it is committed")


def test_a_file_that_git_ignores_is_no_part_of_a_commit(root):
    write(root, {".gitignore": "templates/mine.j2\n", "templates/mine.j2": "x"})
    repository(root)
    workspace = Workspace(root)
    origin = history.origin(workspace, workspace.project())
    assert origin is not None and "templates/mine.j2" in origin.why


def test_a_commit_whose_files_are_no_text(root):
    (root / "templates/b.j2").write_bytes(b"\xff")
    first = repository(root)
    with pytest.raises(ConfigError, match=r"templates/b\.j2 at .* is not UTF-8 text"):
        history.at(Workspace(root), first)


def test_the_ref_of_an_org_is_set_and_taken_away(root):
    first = repository(root)
    workspace = Workspace(root)
    assert history.live(workspace, "dev") == ""
    assert history.set_live(workspace, "dev", first).commit == first
    assert history.live(workspace, "dev") == first
    assert git(root, "rev-parse", "refs/metadeploy/dev") == first
    assert history.set_live(workspace, "dev", "").commit == ""
    assert history.live(workspace, "dev") == ""


def test_where_git_refuses_it_is_told(root):
    first = repository(root)
    workspace = Workspace(root)
    history.set_live(workspace, "customers", first)
    told = history.set_live(workspace, "customers/acme", first)
    assert told.commit == "" and "git says: " in told.why
    assert "refs/metadeploy/customers" in told.why


def test_no_hook_of_the_repository_is_run(root, tmp_path):
    first = repository(root)
    ran = tmp_path / "ran"
    hooks = root / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "pre-push", "post-update", "update"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> {ran}\n")
        (hooks / name).chmod(0o755)
    git(tmp_path, "init", "--quiet", "--bare", "far.git")
    workspace = Workspace(root)
    history.set_live(workspace, "dev", first)
    git(root, "config", "remote.origin.url", str(tmp_path / "far.git"))
    ran.unlink(missing_ok=True)  # plain git, above, runs hooks
    history.push(workspace, "dev", "origin")
    history.set_live(workspace, "dev", "")
    assert not ran.exists()
    far = git(tmp_path / "far.git", "rev-parse", "refs/metadeploy/dev")
    assert far == first


def test_a_ref_that_is_no_more_is_taken_from_the_remote_too(root, tmp_path):
    first = repository(root)
    git(tmp_path, "init", "--quiet", "--bare", "far.git")
    far, workspace = tmp_path / "far.git", Workspace(root)
    history.set_live(workspace, "dev", first)
    history.push(workspace, "dev", str(far))
    history.set_live(workspace, "dev", "")
    history.push(workspace, "dev", str(far))
    assert git(far, "for-each-ref") == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("credential.helper", "!touch {ran}"),
        ("credential.https://acme.example.helper", "!touch {ran}"),
        ("core.askpass", "{ran}"),
        ("remote.origin.vcs", "evil"),
        ("http.sslVerify", "false"),
        ("http.https://acme.example.proxy", "http://evil.example"),
    ],
)
def test_a_repository_that_names_programs_is_not_pushed(root, tmp_path, name, value):
    first = repository(root)
    workspace = Workspace(root)
    history.set_live(workspace, "dev", first)
    git(root, "config", name, value.format(ran=tmp_path / "ran"))
    with pytest.raises(ConfigError) as caught:
        history.push(workspace, "dev", "https://acme.example/x")
    assert "configuration sets" in caught.value.message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", ["include.path", "includeIf.gitdir:{root}/.git.path"])
def test_what_an_included_file_sets_counts_as_the_repositorys(root, tmp_path, key):
    """As actions/checkout and GitLab's runner have it, who log in to the remote so."""
    first = repository(root)
    git(tmp_path, "init", "--quiet", "--bare", "far.git")
    workspace, included = Workspace(root), tmp_path / "credentials.config"
    far = f"file://{tmp_path}/far.git"
    history.set_live(workspace, "dev", first)
    git(root, "config", key.format(root=root), str(included))
    git(
        root,
        "config",
        "-f",
        str(included),
        f"url.{far}.insteadOf",
        "https://a.example/x",
    )
    git(root, "config", "-f", str(included), "http.https://a.example/.extraheader", "a")
    history.push(workspace, "dev", "https://a.example/x")
    assert git(tmp_path / "far.git", "rev-parse", "refs/metadeploy/dev") == first
    git(root, "config", "-f", str(included), "credential.helper", f"!touch {root}/ran")
    with pytest.raises(ConfigError, match=r"sets credential\.helper"):
        history.push(workspace, "dev", "https://a.example/x")
    assert not (root / "ran").exists()


@pytest.fixture
def far(root, tmp_path):
    """A remote of the repository, called origin."""
    git(tmp_path, "init", "--quiet", "--bare", "far.git")
    repository(root)
    git(root, "remote", "add", "origin", str(tmp_path / "far.git"))
    return tmp_path / "far.git"


def noted(root, commit):
    """Note a commit as live, and push that."""
    workspace = Workspace(root)
    live = history.set_live(workspace, "dev", commit)
    history.push(workspace, "dev", "origin", before=live.before)


def there(far):
    return git(far, "for-each-ref", "--format=%(objectname)", "refs/metadeploy/dev")


def test_a_ref_that_goes_back_takes_the_remotes_along(root, far):
    first, second = plumbing.head(root), commit(root)
    for one in (first, second, first):
        noted(root, one)
        assert there(far) == one
    noted(root, "")
    assert there(far) == ""


def test_a_ref_that_goes_back_leaves_what_others_have_noted(root, far, tmp_path):
    first, second = plumbing.head(root), commit(root)
    noted(root, second)
    third = commit(root)
    git(root, "push", "--quiet", "origin", f"{third}:refs/metadeploy/dev")
    for one in (first, ""):
        history.set_live(Workspace(root), "dev", second)
        with pytest.raises(ConfigError) as caught:
            noted(root, one)
        assert caught.value.message == (
            "refs/metadeploy/dev is not pushed to origin: rejected (stale info)"
        )
        assert "git fetch origin refs/metadeploy/dev:refs/metadeploy/dev" in (
            caught.value.hint
        )
        assert there(far) == third


def test_a_ref_that_goes_on_never_takes_the_remotes_back(root, far):
    first, second = plumbing.head(root), commit(root)
    git(root, "push", "--quiet", "origin", f"{second}:refs/metadeploy/dev")
    with pytest.raises(ConfigError, match=r"rejected \(non-fast-forward\)"):
        noted(root, first)  # we did not know that there is one
    assert there(far) == second


def test_a_part_of_the_history_is_enough_to_go_anywhere(root, far, tmp_path):
    first, second = plumbing.head(root), commit(root)
    noted(root, second)
    git(root, "checkout", "--quiet", "-b", "side", first)
    side = commit(root, "Side")
    git(root, "push", "--quiet", "origin", "side")
    git(tmp_path, "clone", "--quiet", "--depth=1", "-bside", f"file://{far}", "part")
    part = tmp_path / "part"
    ref = "refs/metadeploy/dev:refs/metadeploy/dev"
    git(part, "fetch", "--quiet", "--depth=1", "origin", ref)
    with pytest.raises(plumbing.GitError, match="a part of the history only"):
        plumbing.is_ancestor(part, second, side)
    noted(part, side)
    assert there(far) == side


def test_what_is_left_to_do_where_the_remote_does_not_answer(root, far):
    first, second = plumbing.head(root), commit(root)
    noted(root, second)
    far.rename(far.with_name("gone"))
    lease = f"git push --force-with-lease=refs/metadeploy/dev:{second} origin"
    for one, left in (
        (first, f"{lease} refs/metadeploy/dev`"),
        ("", f"{lease} :refs/metadeploy/dev`"),
        (commit(root), "git push origin refs/metadeploy/dev`"),
    ):
        history.set_live(Workspace(root), "dev", second)
        with pytest.raises(ConfigError) as caught:
            noted(root, one)
        assert left in caught.value.hint


def test_the_configuration_of_a_worktree_names_no_program_either(root, tmp_path):
    first = repository(root)
    git(root, "config", "extensions.worktreeConfig", "true")
    git(root, "config", "--worktree", "credential.helper", f"!touch {tmp_path}/ran")
    workspace = Workspace(root)
    history.set_live(workspace, "dev", first)
    with pytest.raises(ConfigError, match=r"sets credential\.helper"):
        history.push(workspace, "dev", "https://acme.example/x")


def test_a_repository_that_git_cannot_use_is_told(root):
    (root / ".git").write_text("gitdir: /nowhere at all\n")
    workspace = Workspace(root)
    origin = history.origin(workspace, workspace.project())
    assert origin is not None and origin.why.startswith("git says: ")
    assert not origin.exact


def test_programs_at_the_other_end_and_transports_are_not_the_repositorys(
    root, tmp_path
):
    first = repository(root)
    git(tmp_path, "init", "--quiet", "--bare", "far.git")
    workspace, ran = Workspace(root), tmp_path / "ran"
    history.set_live(workspace, "dev", first)
    git(root, "config", "remote.origin.url", str(tmp_path / "far.git"))
    git(root, "config", "remote.origin.receivepack", f"touch {ran}; false")
    git(root, "config", "core.sshCommand", f"touch {ran}; false")
    git(root, "config", "push.gpgSign", "true")
    git(root, "config", "gpg.program", f"touch {ran}; false")
    history.push(workspace, "dev", "origin")
    for remote in (f"ext::touch {ran}", f"--receive-pack=touch {ran}"):
        with pytest.raises(ConfigError) as caught:
            history.push(workspace, "dev", remote)
        assert "refs/metadeploy/dev is not pushed" in caught.value.message
    assert not ran.exists()


def test_what_is_part_of_a_history(root, tmp_path):
    first = repository(root)
    second = commit(root)
    git(root, "checkout", "--quiet", "-b", "side", first)
    side = commit(root, "Side")
    assert plumbing.is_ancestor(root, first, second)
    assert plumbing.is_ancestor(root, second, second)
    assert not plumbing.is_ancestor(root, second, first)
    assert not plumbing.is_ancestor(root, side, second)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{root}", "shallow")
    git(tmp_path / "shallow", "fetch", "--quiet", "--depth=1", "origin", second)
    with pytest.raises(plumbing.GitError, match="a part of the history only"):
        plumbing.is_ancestor(tmp_path / "shallow", second, side)


def test_names_of_commits(root):
    first = repository(root)
    for name in ("main", "HEAD", first[:10], "refs/heads/main"):
        assert plumbing.commit_of(root, name) == first
    for name in ("nowhere", "--all", "HEAD:orgs", "", "main main"):
        with pytest.raises(plumbing.GitError, match="git knows no commit"):
            plumbing.commit_of(root, name)


def test_first_lines_of_messages(root):
    first = repository(root)
    second = commit(root, "Ünïcode\n\nand more")
    missing = "0" * 39 + "1"
    found = plumbing.subjects(root, [second, first, missing])
    assert found == {first: "First", second: "Ünïcode"}
    assert plumbing.subjects(root, []) == {}
