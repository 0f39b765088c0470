"""Edge: git hooks as files: ours put in, what was there kept beside, and put back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from metadeploy import gitcommand, privatefile
from metadeploy.errors import ConfigError

NAMES = ("pre-commit", "pre-push")
_KEPT = ".before-metadeploy"
_MARK = b"# Of `metadeploy hooks install`"
_QUOTED = re.compile(r"'(?:[^']|'\\'')*'")

State = Literal["installed", "changed", "as it was", "removed", "not installed"]

# What to add, in whose file, where another program writes the hooks.
_OWNERS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"pre-commit.com",
        "pre-commit",
        """Add this to .pre-commit-config.yaml, then run \
`pre-commit install --hook-type pre-commit --hook-type pre-push`:

  - repo: <the repository of metadeploy>
    rev: main
    hooks:
      - id: metadeploy-validate
      - id: metadeploy-no-secrets
      - id: metadeploy-render""",
    ),
    (
        b"lefthook",
        "lefthook",
        """Add this to lefthook.yml, then run `lefthook install`:

pre-commit:
  commands:
    metadeploy: {run: metadeploy hooks run pre-commit}
pre-push:
  commands:
    metadeploy: {run: metadeploy hooks run pre-push, use_stdin: true}""",
    ),
    (
        b"husky",
        "husky",
        "Add the line `metadeploy hooks run pre-commit` to .husky/pre-commit, and"
        " `metadeploy hooks run pre-push` to .husky/pre-push.",
    ),
    (
        b"overcommit",
        "overcommit",
        "Add a hook to .overcommit.yml that runs `metadeploy hooks run pre-commit`.",
    ),
)


class HooksPlace(Struct, frozen=True):
    """Where a repository's hooks are: its top, the folder, and who chose the folder.

    chosen: the value of core.hooksPath, "" where the folder is git's own. scope: of
    that value, such as "local" or "global".
    """

    top: Path
    folder: Path
    chosen: str
    scope: str


def hooks_place(folder: Path) -> HooksPlace:
    """Return where git looks for the hooks of the repository that a folder is in.

    Nothing of them is run. Raises GitError outside a work tree.
    """
    there = gitcommand.place(folder)
    env = gitcommand.environment(folder)
    del env["GIT_CONFIG_NOSYSTEM"]  # an administrator may have chosen the folder
    words = ("config", "--show-scope", "--type=path", "-z", "--get-all")
    said = gitcommand.run(folder, env, *words, "core.hooksPath")
    pairs = said.decode("utf-8", "replace").split("\0")
    # The one of the command line is our own, lest any hook run.
    chosen = [
        p for p in zip(pairs[::2], pairs[1::2], strict=False) if p[0] != "command"
    ]
    if not chosen:
        return HooksPlace(Path(there.top), Path(there.common, "hooks"), "", "")
    scope, value = chosen[-1]
    return HooksPlace(Path(there.top), Path(there.top, value), value, scope)


class Done(Struct, frozen=True):
    """What became of one hook. kept: the hook that was there before, if any."""

    name: str
    state: State
    kept: Path | None = None


class _Ours(Struct, frozen=True):
    """What our script says: which metadeploy it runs, for which projects."""

    command: str
    projects: tuple[str, ...]


def install(folder: Path, command: str, project: str) -> tuple[Done, ...]:
    """Put our hooks into a folder; a hook that is there is kept, and run first.

    command: the path of metadeploy, "" for the one on PATH. project: its folder, from
    the top of the work tree. Nothing is written unless all can be. Raises ConfigError.
    """
    plans = [(name, *_planned(folder, name, command, project)) for name in NAMES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(_put(folder, name, ours, state) for name, ours, state in plans)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from error


def _planned(
    folder: Path, name: str, command: str, project: str
) -> tuple[_Ours, State]:
    hook, kept = folder / name, folder / f"{name}{_KEPT}"
    there = _content(hook)
    if there is None:
        return _Ours(command, (project,)), "installed"
    ours = _read(name, there)
    if ours is None:
        _refuse_foreign(hook, there)
        if _is_there(kept):
            raise ConfigError(
                f"{hook} is not ours, and {kept.name} is there already",
                hint="Make one hook of the two, and take the other away.",
            )
        return _Ours(command, (project,)), "installed"
    wanted = _Ours(command, tuple(sorted({*ours.projects, project})))
    same = there == _script(name, wanted)
    return wanted, "as it was" if same else "changed"


def _refuse_foreign(hook: Path, text: bytes) -> None:
    """Raise ConfigError where a hook is an edited one of ours, or another program's."""
    if _MARK in text:
        raise _edited(hook)
    for mark, owner, advice in _OWNERS:
        if mark in text:
            raise ConfigError(
                f"{owner} writes the hooks of this repository", hint=advice
            )


def refuse_owned(folder: Path) -> None:
    """Raise ConfigError where a hooks folder is of a program that fills it itself."""
    for mark, owner, advice in _OWNERS:
        if f".{mark.decode()}" in folder.parts:
            raise ConfigError(
                f"{owner} writes the hooks of this repository", hint=advice
            )


def _edited(hook: Path) -> ConfigError:
    return ConfigError(
        f"{hook} is of metadeploy, and somebody changed it: nothing was done",
        hint="Take your lines out, or the file away, and run the command again.",
    )


def _put(folder: Path, name: str, ours: _Ours, state: State) -> Done:
    hook, kept = folder / name, folder / f"{name}{_KEPT}"
    if state == "installed" and _is_there(hook):
        hook.rename(kept)
    if state != "as it was":
        privatefile.replace(hook, _script(name, ours), mode=0o755)
    return Done(name, state, kept if _is_there(kept) else None)


def uninstall(folder: Path, project: str) -> tuple[Done, ...]:
    """Take our hooks away, or a project out of them; put back what was there.

    Nothing is done where a hook was edited. Raises ConfigError.
    """
    found = {name: _ours_in(folder / name) for name in NAMES}
    try:
        return tuple(_take(folder, name, ours, project) for name, ours in found.items())
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from error


def _ours_in(hook: Path) -> _Ours | None:
    there = _content(hook)
    ours = _read(hook.name, there) if there is not None else None
    if ours is None and there is not None and _MARK in there:
        raise _edited(hook)
    return ours


def _take(folder: Path, name: str, ours: _Ours | None, project: str) -> Done:
    hook, kept = folder / name, folder / f"{name}{_KEPT}"
    if ours is None or project not in ours.projects:
        return Done(name, "not installed")
    left = tuple(p for p in ours.projects if p != project)
    if left:
        script = _script(name, _Ours(ours.command, left))
        privatefile.replace(hook, script, mode=0o755)
        return Done(name, "changed", kept if _is_there(kept) else None)
    if _is_there(kept):
        kept.replace(hook)
        return Done(name, "removed", hook)
    hook.unlink()
    return Done(name, "removed")


def _content(path: Path) -> bytes | None:
    """Return what a hook says, b"" where nobody can read it; None where it is not."""
    if not _is_there(path):
        return None
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, no hook")
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _read(name: str, text: bytes) -> _Ours | None:
    """Return what a script of ours says; None for one that is not, or was edited."""
    # Whoever keeps hooks in the repository may get them with other line ends.
    text = text.replace(b"\r\n", b"\n")
    if _MARK not in text:
        return None
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    command = next((_words(line) for line in lines if line.startswith("ours=")), [])
    projects = next((_words(line) for line in lines if "hooks run" in line), [])
    if len(command) != 1:
        return None
    found = _Ours(command[0], tuple(projects))
    return found if _script(name, found) == text else None


def _script(name: str, ours: _Ours) -> bytes:
    """Return the script of a hook: sh, for git brings one along everywhere."""
    return "\n".join([*_lines(name, ours), ""]).encode("utf-8", "surrogateescape")


def _lines(name: str, ours: _Ours) -> Iterator[str]:
    told = "told | " if name == "pre-push" else ""
    words = " ".join(map(_quoted, ours.projects))
    yield "#!/bin/sh"
    yield f"{_MARK.decode()}; `metadeploy hooks uninstall` puts back what was there."
    if told:
        # git says once what is pushed, and two want to hear it.
        yield "pushed=$(cat)"
        yield 'told() { [ -z "$pushed" ] || printf \'%s\\n\' "$pushed"; }'
    yield f'before="$0{_KEPT}"'
    yield 'if [ -x "$before" ]; then'
    yield f'    {told}"$before" "$@" || exit'
    yield "fi"
    yield f"ours={_quoted(ours.command)}"
    yield '[ -x "$ours" ] || ours=$(command -v metadeploy) || {'
    yield '    echo "This hook does not find metadeploy: install it, then run" >&2'
    yield '    echo "\\`metadeploy hooks install\\` again." >&2'
    yield "    exit 1"
    yield "}"
    yield f'{told}"$ours" hooks run {name} {words}'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _words(line: str) -> list[str]:
    return [w[1:-1].replace("'\\''", "'") for w in _QUOTED.findall(line)]


def command_of(places: Iterable[Path]) -> str:
    """Return the first of these that is there, as text; "" where none is."""
    return next((str(place) for place in places if place.is_file()), "")
