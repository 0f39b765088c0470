"""Edge: a project as git has it: staged, at a commit, and what is live where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from metadeploy import repository, sourcetree
from metadeploy.errors import ConfigError
from metadeploy.live import Live, Origin, difference, ref_of
from metadeploy.project import FOLDERS, Project
from metadeploy.workspace import Workspace, shipped_macros

_Read = Callable[[Iterable[str], Callable[[str], bool] | None], Mapping[str, bytes]]


def staged(workspace: Workspace, now: datetime | None = None) -> Project:
    """Return the project that a commit would hold. Raises ConfigError.

    now: the time that certificates are judged at; None: they are not.
    """
    return _project(
        lambda folders, wanted: repository.staged(workspace.root, folders, wanted),
        "as staged",
        now,
    )


def at(workspace: Workspace, commit: str, now: datetime | None = None) -> Project:
    """Return the project as a commit holds it, as its checkout would be read.

    now: the time that certificates are judged at; None: they are not. Raises
    ConfigError.
    """
    return _project(
        lambda folders, wanted: repository.committed(
            workspace.root, commit, folders, wanted
        ),
        f"at {commit[:12]}",
        now,
    )


def at_below(
    top: Path, below: str, commit: str, now: datetime | None = None
) -> Project:
    """Return the project that a commit holds in a folder, which need not be there.

    top: of the work tree. below: the folder's path from there, "" or with "/" at its
    end. A project without an org file is none. Raises ConfigError.
    """
    return _project(
        _in_folder(below, lambda *about: repository.committed(top, commit, *about)),
        f"at {commit[:12]}",
        now,
    )


class Edit(Struct, frozen=True):
    """A project as a commit would hold it, and as it is now; was: None where unknown.

    That is so before the first commit, and where what is read of it may be other files.
    """

    now: Project
    was: Project | None


def edit_below(
    top: Path,
    below: str,
    changes: Iterable[repository.FileChange] | None,
    read: repository.Read,
    now: datetime | None = None,
) -> Edit:
    """Return what the next commit makes of the project in a folder.

    changes: what is staged in the repository; None: ask for the project alone. Of what
    was before, only what changed is read. read: blobs of the repository. top, below:
    as for `at_below`. Raises ConfigError.
    """
    project = _project(
        _in_folder(below, lambda f, wanted: repository.staged(top, f, wanted, read)),
        "as staged",
        now,
    )
    if changes is None:
        return Edit(project, None)
    texts = dict(project.texts)
    old: dict[str, str] = {}
    for change in changes:
        for path, blob in ((change.path, ""), (change.was_path, change.was)):
            if not path.startswith(below):
                continue
            mine = path.removeprefix(below)
            if mine.startswith(FOLDERS):
                texts.pop(mine, None)
                if blob:
                    old[mine] = blob
            elif mine in _ABOUT or sourcetree.is_ours(mine):
                # Which files of a source tree are meant, others of its files say.
                return Edit(project, None)
    files = {path: read(blob, None)[0] for path, blob in old.items()}
    try:
        texts.update(_decoded(files, FOLDERS, "at HEAD"))
    except ConfigError:  # no text before: the edit mends that
        return Edit(project, None)
    return Edit(project, Project(texts, now))


def staged_edit(workspace: Workspace, now: datetime | None = None) -> Edit:
    """Return what the next commit makes of a project. Raises ConfigError."""
    top = repository.top(workspace.root)
    below = workspace.root.resolve().relative_to(top.resolve()).as_posix()
    folder = "" if below == "." else f"{below}/"
    with repository.reading(top) as read:
        changes = repository.staged_changes(top)
        return edit_below(top, folder, changes, read, now)


_ABOUT = (sourcetree.PROJECT_FILE, sourcetree.IGNORE_FILE)


def _in_folder(below: str, read: _Read) -> _Read:
    def inside(
        folders: Iterable[str], wanted: Callable[[str], bool] | None
    ) -> Mapping[str, bytes]:
        found = read(
            [below + folder for folder in folders],
            wanted and (lambda path: wanted(path.removeprefix(below))),
        )
        return {path.removeprefix(below): data for path, data in found.items()}

    return inside


def _project(read: _Read, when: str, now: datetime | None) -> Project:
    texts = _decoded(read((*FOLDERS, *_ABOUT), None), FOLDERS, when)
    patterns = texts.pop(sourcetree.IGNORE_FILE, "")
    if sourcetree.PROJECT_FILE in texts:
        folders = sourcetree.package_directories(texts[sourcetree.PROJECT_FILE])
        left_out = sourcetree.ignored(patterns)
        found = read(
            folders, lambda path: sourcetree.is_ours(path) and path not in left_out
        )
        texts.update(_decoded(found, folders, when))
    return Project({**shipped_macros(), **texts}, now)


def _decoded(
    files: Mapping[str, bytes], folders: Iterable[str], when: str
) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path, data in files.items():
        if _is_hidden(path, folders) and path != sourcetree.IGNORE_FILE:
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} {when} is not UTF-8 text") from error
        # Whoever reads a checked-out file as text sees one kind of line end.
        texts[path] = text.replace("\r\n", "\n").replace("\r", "\n")
    return texts


def _is_hidden(path: str, folders: Iterable[str]) -> bool:
    inside = [f for f in folders if path.startswith(f)]
    return all(
        any(step.startswith(".") for step in path.removeprefix(folder).split("/"))
        for folder in inside or [""]
    )


def origin(workspace: Workspace, project: Project) -> Origin | None:
    """Return which commit a project's texts are of; None outside a repository."""
    try:
        if not repository.found(workspace.root):
            return None
    except repository.GitError as error:
        return Origin("", f"git says: {error.message}")
    commit = repository.head(workspace.root)
    if not commit:
        return Origin("", "nothing is committed yet")
    try:
        there = at(workspace, commit)
    except ConfigError as error:
        return Origin(commit, error.message)
    return Origin(commit, difference(project.texts, there.texts))


def live(workspace: Workspace, org: str) -> str:
    """Return the commit that is live in an org, "" where no ref tells."""
    return repository.ref(workspace.root, ref_of(org))


def set_live(workspace: Workspace, org: str, commit: str) -> Live:
    """Note which commit is live in an org, "" for none that anybody knows.

    Where git refuses, that is told in what is returned: the org is as it is.
    """
    name = ref_of(org)
    there = repository.ref(workspace.root, name)
    if there == commit:
        return Live(name, commit, before=there)
    try:
        repository.set_ref(workspace.root, name, commit)
    except repository.GitError as error:
        hint = f"Mend it, then `git update-ref {name} {commit}`."
        return Live(name, there, f"git says: {error.message}", hint, before=there)
    return Live(name, commit, before=there)


def push(workspace: Workspace, org: str, remote: str, *, before: str = "") -> None:
    """Have a remote know what is live in an org. Raises GitError.

    before: where the org's ref pointed before it was moved, "" where nobody knows. One
    that goes back, or is no more, takes the remote's along from there, and from nowhere
    else: what others have noted meanwhile stays.
    """
    root, name = workspace.root, ref_of(org)
    now = repository.ref(root, name)
    lease = before if before and _goes_back(root, before, now) else ""
    try:
        repository.push(root, remote, name, lease=lease)
    except repository.GitError as error:
        forced = f"--force-with-lease={name}:{lease} " if lease else ""
        what = name if now else f":{name}"
        hint = f"Nothing else is left to do but `git push {forced}{remote} {what}`."
        message = f"{name} is not pushed to {remote}: {error.message}"
        raise repository.GitError(message, hint=error.hint or hint) from error


def _goes_back(root: Path, before: str, now: str) -> bool:
    """Tell whether a ref that moved is not just further on, as far as is known."""
    try:
        return not now or not repository.is_ancestor(root, before, now)
    except repository.GitError:  # only a part of the history is here
        return True
