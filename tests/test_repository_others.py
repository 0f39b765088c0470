"""What we read by git's plumbing, GitPython takes out of trees and the index itself."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import git as gitpython
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repos import commit, git, repository

from metadeploy import repository as ours

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="there is no git here")
FOLDERS = ("templates/", "orgs/")
# Names that git quotes, or that would be options, patterns or attributes of paths.
STEP = st.sampled_from(
    [
        "a",
        "b c",
        "é",
        "日本",
        '"q"',
        "tab\there",
        "line\nend",
        "-rf",
        "*",
        "{{ x }}",
        ":a",
    ]
)
PATH = st.lists(STEP, min_size=1, max_size=3).map("/".join)
BODY = st.binary(max_size=40) | st.just(b"size 7\n") | st.just(b"")
FILES = st.dictionaries(
    st.tuples(st.sampled_from(["templates", "orgs", "else"]), PATH).map("/".join),
    st.tuples(st.sampled_from(["file", "program", "link"]), BODY),
    max_size=8,
)


def write(root: Path, files: dict[str, tuple[str, bytes]]) -> None:
    for path, (kind, body) in files.items():
        place = root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "link":
                place.symlink_to("nowhere")
            else:
                place.write_bytes(body)
                place.chmod(0o755 if kind == "program" else 0o644)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # another path has this one as a folder, or the other way round


def clear(root: Path) -> None:
    for place in root.iterdir():
        if place.name != ".git":
            shutil.rmtree(place)


def is_ours(path: str, mode: int) -> bool:
    return path.startswith(FOLDERS) and stat.S_ISREG(mode)


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    root = tmp_path_factory.mktemp("repo")
    repository(root)
    with gitpython.Repo(root) as made:
        yield root, made


@settings(max_examples=30)
@given(FILES, FILES, st.text(min_size=1, max_size=20).filter(str.strip))
def test_commits_and_the_index_are_read_alike(repo, committed, staged, said):
    root, theirs = repo
    clear(root)
    write(root, committed)
    subject = "s" + "".join(c for c in said if c.isprintable())
    done = commit(root, subject)

    tree = theirs.commit(done).tree
    blobs = [b for b in tree.traverse() if b.type == "blob"]
    assert ours.committed(root, done, FOLDERS) == {
        b.path: b.data_stream.read() for b in blobs if is_ours(b.path, b.mode)
    }
    assert ours.subjects(root, [done]) == {done: theirs.commit(done).summary.strip()}

    clear(root)
    write(root, staged)
    git(root, "add", "--all", ".")
    entries = gitpython.IndexFile(theirs).entries.values()
    assert ours.staged(root, FOLDERS) == {
        os.fspath(e.path): e.to_blob(theirs).data_stream.read()
        for e in entries
        if is_ours(os.fspath(e.path), e.mode)
    }


@settings(max_examples=8)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=6))
def test_histories_are_read_alike(repo, forks):
    root, theirs = repo
    clear(root)
    made = [commit(root, "root")]
    for back in forks:
        git(root, "checkout", "--quiet", "--detach", made[max(0, len(made) - 1 - back)])
        made.append(commit(root, f"from {back}"))
    for one in made:
        for other in made:
            told = theirs.is_ancestor(theirs.commit(one), theirs.commit(other))
            assert ours.is_ancestor(root, one, other) == told
