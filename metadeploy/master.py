"""Edge: the master secret, from where its owner keeps it.

Where that is, only the environment or the user's own configuration file may say:
nothing in a repository names a command that would be given the master's place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from metadeploy import yamlfile
from metadeploy.errors import ConfigError
from metadeploy.keys import Masters, check_master
from metadeploy.model import Secret
from metadeploy.orgfile import SecretSource

VARIABLE = "METADEPLOY_MASTER_KEY"
FILE_VARIABLE = "METADEPLOY_MASTER_KEY_FILE"
PREVIOUS_VARIABLE = "METADEPLOY_MASTER_KEY_PREVIOUS"
CONFIG_VARIABLE = "METADEPLOY_CONFIG"
SERVICE = "metadeploy"
"""What the OS keyring calls our entries; each has a name of its own beside it."""

ReadSecret = Callable[[SecretSource, Path], Secret]
"""Reads a secret; a relative file is one below that folder. Raises ConfigError."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a master is: in exactly one of these places.

    keyring: the name of an entry in the OS keyring.
    """

    env: str | None = None
    file: str | None = None
    command: list[str] | None = None
    keyring: str | None = None


class Kept(Source, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A master's place, and that of the one before it was rotated."""

    previous: Source | None = None


class TaggedMaster(Kept, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The master of the orgs that bear a tag."""

    tag: str


class UserConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """config.yaml: whose orgs have which master. The first tag that fits decides."""

    master: Kept | None = None
    masters: list[TaggedMaster] = []


def masters(
    tags: Iterable[str],
    *,
    read: ReadSecret,
    otherwise: Callable[[], Secret] | None = None,
) -> Masters:
    """Return the masters for an org with these tags, the first of these that is set:

    METADEPLOY_MASTER_KEY, the file that METADEPLOY_MASTER_KEY_FILE names, `masters`
    of the user's configuration file by tag, its `master`, and `otherwise`. The
    previous one is in METADEPLOY_MASTER_KEY_PREVIOUS, else beside the current one.
    Raises ConfigError where there is none, or where it cannot be read.
    """
    here = Path()
    base, source = here, _of_environment()
    if source is None:
        base, source = config_path().parent, _of_config(frozenset(tags))
    if source is None and otherwise is None:
        raise ConfigError(
            f"{VARIABLE} is not set: no consumer key can be derived",
            hint="Make one once with `metadeploy keys init`, and keep it where your"
            " passwords are.",
        )
    previous = None
    if os.environ.get(PREVIOUS_VARIABLE):
        previous = _read(Source(env=PREVIOUS_VARIABLE), here, read)
    elif source is not None and source.previous is not None:
        previous = _read(source.previous, base, read)
    if source is not None:
        return Masters(_read(source, base, read), previous)
    assert otherwise is not None  # refused above
    return Masters(check_master(otherwise()), previous)


def _of_environment() -> Kept | None:
    if os.environ.get(VARIABLE):
        return Kept(env=VARIABLE)
    if path := os.environ.get(FILE_VARIABLE):
        return Kept(file=path)
    return None


def _of_config(tags: frozenset[str]) -> Kept | None:
    config = read_config(config_path())
    found = (m for m in config.masters if m.tag in tags)
    return next(found, config.master)


def _read(source: Source, base: Path, read: ReadSecret) -> Secret:
    if source.keyring is not None:
        return check_master(from_keyring(source.keyring))
    plain = SecretSource(source.env, source.file, source.command)
    return check_master(read(plain, base))


# -- the configuration file


def config_path() -> Path:
    """Return where the user's configuration is, whether there is one or not.

    METADEPLOY_CONFIG names another file than config.yaml in the user's own folder.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named).expanduser()
    # Loaded here: most commands derive no key, and are not to wait for it.
    import platformdirs

    return platformdirs.user_config_path("metadeploy", appauthor=False) / "config.yaml"


def read_config(path: Path) -> UserConfig:
    """Return what a configuration file says; one that is not there says nothing.

    Raises ConfigError for one that is not as it should be, or that somebody else
    could have written: its commands run with the user's rights.
    """
    try:
        with path.open(encoding="utf-8") as file:
            _check_owner(os.fstat(file.fileno()), path)
            text = file.read()
    except FileNotFoundError:
        return UserConfig()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: it is not UTF-8 text") from error
    document = yamlfile.read(text, str(path))
    if document.problems:
        raise ConfigError("\n".join(str(p) for p in document.problems))
    try:
        config = msgspec.convert(document.value, UserConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}", hint=_FORM) from error
    for number, source in enumerate(_sources(config), 1):
        places = (source.env, source.file, source.command, source.keyring)
        if sum(place is not None for place in places) != 1:
            raise ConfigError(
                f"{path}: master {number}: exactly one of env, file, command or keyring"
                " says where it is",
                hint=_FORM,
            )
    return config


_FORM = (
    "It may say `master: {command: [pass, show, metadeploy]}` and, by an org's tag,"
    " `masters: [{tag: production, keyring: production}]`."
)


def _sources(config: UserConfig) -> list[Source]:
    kept: list[Kept] = [*config.masters]
    if config.master is not None:
        kept.append(config.master)
    return [*kept, *(k.previous for k in kept if k.previous is not None)]


def _check_owner(status: os.stat_result, path: Path) -> None:
    if os.name != "posix":
        return
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others or status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"others can write {path}, which names commands that run as you",
            hint=f"Look at what it says, then: chmod go-w {path}",
        )


# -- the OS keyring


def from_keyring(name: str) -> Secret:
    """Return a master from the OS keyring. Raises ConfigError where there is none."""
    found = _get(name)
    if found is None:
        raise ConfigError(
            f"the keyring has no entry {name!r} of {SERVICE}",
            hint=f"Make one with `metadeploy keys init --keyring {name}`.",
        )
    return Secret(found)


def keep_in_keyring(name: str, master: Secret) -> None:
    """Keep a new master in the OS keyring.

    Raises ConfigError where there is one of that name: keys were derived from it.
    """
    if _get(name) is not None:
        raise ConfigError(
            f"the keyring has an entry {name!r} of {SERVICE} already",
            hint="Other keys would follow from another one. To rotate it, make one of"
            " another name, and name the old one as `previous` in your config.yaml.",
        )
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, name, master.reveal())
    except KeyringError as error:
        raise ConfigError(f"the keyring does not take it: {error}") from None
    if _get(name) != master.reveal():  # keyring's null backend takes and forgets
        raise ConfigError(
            "the keyring did not keep it",
            hint="No keyring service is there: `metadeploy keys init` prints one.",
        )


def _get(name: str) -> str | None:
    try:
        import keyring  # an extra, and slow to load
        from keyring.errors import KeyringError
    except ImportError as error:
        raise ConfigError(
            "the OS keyring needs a package that is not installed",
            hint="Run: pip install 'metadeploy[keyring]'",
        ) from error
    try:
        return keyring.get_password(SERVICE, name)
    except KeyringError as error:
        raise ConfigError(
            f"the keyring cannot be read: {error}",
            hint="It may be locked, or there is none on this machine.",
        ) from None
