"""Edge: a project on disk: its texts, its secrets, and .metadeploy/ beside them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from metadeploy import privatefile, sourcetree
from metadeploy.errors import ConfigError
from metadeploy.model import Secret
from metadeploy.orgfile import SecretSource
from metadeploy.project import FOLDERS, Project
from metadeploy.yamlfile import Plain

_MACROS = Path(__file__).with_name("macros")
_READABLE = "Every file of a project has to be UTF-8 text that you may read."
_MAX_FILES = 50_000


class Workspace(Struct, frozen=True):
    """A project's folder. `state` is where what must not be committed lives."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / ".metadeploy"

    def project(self) -> Project:
        """Read all templates, org files and certificates.

        Raises ConfigError for one that cannot be read, or is no text.
        """
        texts = dict(shipped_macros())
        for folder in FOLDERS:
            texts.update(_texts(self.root, folder))
        texts.update(_source_tree(self.root))
        return Project(texts, datetime.now(UTC))

    def emulated_master(self) -> Secret:
        """Return the master of emulated orgs, made in .metadeploy/ on first use."""
        path = self.state / "emulated-master"
        try:
            if path.exists():
                return Secret(path.read_text("ascii"))
            return Secret(privatefile.create(path, os.urandom(32).hex()))
        except (OSError, UnicodeDecodeError) as error:
            what = f"cannot use .metadeploy/{path.name}: {_why(error)}"
            raise ConfigError(what) from error

    def secret(self, source: SecretSource | str) -> Secret:
        """Return a secret from where an org file says it is. Raises ConfigError.

        A command that the user has not trusted is not run.
        """
        if isinstance(source, str):
            return Secret(source)
        from metadeploy import secretsource, trust  # a start needs neither

        if source.command is not None:
            trust.check(self.root, source.command)
        return secretsource.read(source, self.root)

    def add_values(self, path: str, values: Mapping[str, Plain]) -> None:
        """Write values into an org file; comments and order of the rest stay.

        Raises ConfigError for a name that the file has already.
        """

        def add(there: dict[str, Plain]) -> None:
            for name, value in values.items():
                if name in there:
                    raise ConfigError(
                        f"{path} has a value {name} already",
                        hint="Rename it there, or take it away, then adopt again.",
                    )
                there[name] = value

        self._change(path, "values", add)

    def set_kinds(self, path: str, apps: Iterable[str], kind: str) -> None:
        """Say in an org file which kind its apps are; the rest of it stays."""

        def set_(there: dict[str, Any]) -> None:
            for app in apps:
                if there.get(app) is None:
                    there[app] = {}
                there[app]["kind"] = kind

        self._change(path, "apps", set_)

    def _change(
        self, path: str, section: str, change: Callable[[dict[str, Any]], None]
    ) -> None:
        """Change a mapping of an org file; comments and order of the rest stay."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        yaml = YAML()
        yaml.preserve_quotes = True
        file = self.root / path
        try:
            data = yaml.load(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, YAMLError) as error:
            raise ConfigError(f"cannot read {path}: {_why(error)}") from error
        data = {} if data is None else data
        there = data.get(section)
        there = {} if there is None else there
        change(there)
        data[section] = there
        out = io.StringIO()
        yaml.dump(data, out)
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
            privatefile.replace(file, out.getvalue().encode(), mode=mode)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {_why(error)}") from error

    def add_template(self, path: str, text: str) -> None:
        """Write a new template. Raises ConfigError when it is there already."""
        file = self.root / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as out:
                out.write(text)
        except OSError as error:
            if file.exists():
                raise ConfigError(f"{path} is there already") from None
            raise ConfigError(f"cannot write {path}: {_why(error)}") from error

    def make_state(self) -> Path:
        """Make .metadeploy/, for the owner alone and ignored by git; return it.

        Raises ConfigError where that cannot be, or it is a link to somewhere else.
        """
        if self.state.is_symlink():
            raise ConfigError(
                ".metadeploy is a link: a folder of the project is needed"
            )
        try:
            privatefile.make_folder(self.state)
            if not (self.state / ".gitignore").exists():
                privatefile.create(self.state / ".gitignore", "*\n")
        except FileExistsError:
            if not self.state.is_dir():
                raise ConfigError(".metadeploy is there, but no folder") from None
        except OSError as error:
            raise ConfigError(f"cannot make .metadeploy: {_why(error)}") from error
        return self.state


def find(start: Path) -> Workspace:
    """Return the nearest folder, from `start` upwards, that has an org file in orgs/.

    Raises ConfigError when there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if any((folder / "orgs").glob("**/*.y*ml")):
            return Workspace(folder)
    raise ConfigError(
        f"no project here: neither {start} nor a folder above has an orgs/*.yaml",
        hint="Make one with `metadeploy init`.",
    )


def shipped_macros() -> Mapping[str, str]:
    """Return the macros that come with metadeploy, by the name they are imported by."""
    return {
        f"metadeploy/{path.name}": path.read_text("utf-8")
        for path in sorted(_MACROS.glob("*.j2"))
    }


def _source_tree(root: Path) -> dict[str, str]:
    """Return path → text of what an sf source tree holds for us, if there is one."""
    file = root / sourcetree.PROJECT_FILE
    if not file.is_file():
        return {}
    found = {sourcetree.PROJECT_FILE: _text_of(file, sourcetree.PROJECT_FILE)}
    ignore = root / sourcetree.IGNORE_FILE
    patterns = _text_of(ignore, sourcetree.IGNORE_FILE) if ignore.is_file() else ""
    left_out = sourcetree.ignored(patterns)
    folders = sourcetree.package_directories(found[sourcetree.PROJECT_FILE])
    for folder in folders:
        found.update(
            _texts(
                root,
                folder,
                lambda path: sourcetree.is_ours(path) and path not in left_out,
            )
        )
    return found


def _texts(
    root: Path, folder: str, wanted: Callable[[str], bool] = lambda path: True
) -> dict[str, str]:
    """Return path → text of the wanted files below a folder; links are not followed."""
    if (root / folder).is_symlink():
        raise ConfigError(
            f"{folder.rstrip('/')} is a link: links are not followed",
            hint="Put the folder itself in its place.",
        )
    found: dict[str, str] = {}
    for place, folders, names in os.walk(root / folder, onerror=_unreadable):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        below = Path(place).relative_to(root)
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or path.is_symlink():
                continue
            shown = (below / name).as_posix()
            if not wanted(shown):
                continue
            if len(found) >= _MAX_FILES:
                raise ConfigError(
                    f"more than {_MAX_FILES} files below {folder}",
                    hint="Move out what is no template.",
                )
            found[_name_of(shown)] = _text_of(path, shown)
    return found


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # no project has all the folders
        raise ConfigError(
            f"cannot read {error.filename}: {_why(error)}", hint=_READABLE
        ) from error


def _name_of(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise ConfigError(
            f"{shown} has a name that is not UTF-8", hint="Rename it."
        ) from error
    return path


def _text_of(path: Path, shown: str) -> str:
    if not path.is_file():  # reading a pipe would wait for ever
        raise ConfigError(
            f"cannot read {shown}: it is no file",
            hint="Move it out of the project: only files are read.",
        )
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read {shown}: {_why(error)}", hint=_READABLE
        ) from error


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).splitlines()[0] if str(error) else type(error).__name__
