"""Edge: a project on disk: its texts, its secrets, and .metadeploy/ beside them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from metadeploy.errors import ConfigError
from metadeploy.model import Secret
from metadeploy.orgfile import SecretSource
from metadeploy.project import FOLDERS, Project
from metadeploy.yamlfile import Plain

_MACROS = Path(__file__).with_name("macros")
_MAX_FILES = 50_000
_COMMAND_SECONDS = 60


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
        return Project(texts, datetime.now(UTC))

    def emulated_master(self) -> Secret:
        """Return the master of emulated orgs, made in .metadeploy/ on first use."""
        path = self.state / "emulated-master"
        try:
            return Secret(path.read_text("ascii"))
        except FileNotFoundError:
            return Secret(write_private(path, os.urandom(32).hex()))

    def secret(self, source: SecretSource | str) -> Secret:
        """Return a secret from where an org file says it is. Raises ConfigError."""
        if isinstance(source, str):
            return Secret(source)
        return read_secret(source, self.root)

    def add_values(self, path: str, values: Mapping[str, Plain]) -> None:
        """Write values into an org file; comments and order of the rest stay.

        Raises ConfigError for a name that the file has already.
        """
        from ruamel.yaml import YAML

        yaml = YAML()
        yaml.preserve_quotes = True
        file = self.root / path
        data = yaml.load(file.read_text("utf-8"))
        there = data.setdefault("values", {})
        for name, value in values.items():
            if name in there:
                raise ConfigError(f"{path} has a value {name} already")
            there[name] = value
        out = io.StringIO()
        yaml.dump(data, out)
        replace_text(file, out.getvalue())

    def set_kinds(self, path: str, apps: Iterable[str], kind: str) -> None:
        """Say in an org file which kind its apps are; the rest of it stays."""
        from ruamel.yaml import YAML

        yaml = YAML()
        yaml.preserve_quotes = True
        file = self.root / path
        data = yaml.load(file.read_text("utf-8"))
        there = data.setdefault("apps", {})
        for app in apps:
            there.setdefault(app, {})["kind"] = kind
        out = io.StringIO()
        yaml.dump(data, out)
        replace_text(file, out.getvalue())

    def add_template(self, path: str, text: str) -> None:
        """Write a new template. Raises ConfigError when it is there already."""
        file = self.root / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as out:
                out.write(text)
        except FileExistsError:
            raise ConfigError(f"{path} is there already") from None
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {_why(error)}") from error

    def make_state(self) -> Path:
        """Make .metadeploy/, for the owner alone and ignored by git; return it."""
        self.state.mkdir(mode=0o700, exist_ok=True)
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "ascii")
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


def read_secret(source: SecretSource, base: Path) -> Secret:
    """Return a secret from a variable, a file or a command's output.

    base: what a relative file is below, and where a command runs. Raises ConfigError.
    """
    if source.env is not None:
        text = os.environ.get(source.env)
        if not text:
            raise ConfigError(f"the variable {source.env} is not set")
        return Secret(text)
    if source.file is not None:
        path = base / Path(source.file).expanduser()
        try:
            return Secret(path.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {source.file}: {_why(error)}") from None
    return _from_command(source.command or [], base)


def replace_text(path: Path, text: str) -> None:
    """Replace a file's text in one step: readers see the old one or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path.name}: {_why(error)}") from error


def write_private(path: Path, text: str) -> str:
    """Write a file that only its owner can read, unless it is there; return its text.

    Of several processes that do this at once, all return the same text.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(draft, flags, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # unlike rename, it never replaces
    except FileExistsError:
        return path.read_text("utf-8")
    finally:
        draft.unlink()
    return text


def _texts(root: Path, folder: str) -> dict[str, str]:
    """Return path → text of every file below a folder; links are not followed."""
    found: dict[str, str] = {}
    for place, folders, names in os.walk(root / folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if name.startswith(".") or path.is_symlink():
                continue
            shown = path.relative_to(root).as_posix()
            if len(found) >= _MAX_FILES:
                raise ConfigError(f"more than {_MAX_FILES} files below {folder}")
            try:
                found[shown] = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"cannot read {shown}: {_why(error)}") from error
    return found


def _from_command(command: list[str], root: Path) -> Secret:
    """Run a command without a shell; its standard output is the secret."""
    import subprocess  # few org files name a command, and it costs each start 3 ms

    name = command[0] if command else "nothing"
    try:
        done = subprocess.run(  # noqa: S603 - the user's own file names it
            command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=True,
        )
    except (OSError, IndexError, subprocess.SubprocessError) as error:
        raise ConfigError(f"the command {name} gave no secret: {_why(error)}") from None
    return Secret(done.stdout.decode("utf-8", "replace").strip())


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
