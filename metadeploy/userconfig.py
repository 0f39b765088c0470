"""Edge: the user's own config.yaml: what no file of a repository may decide.

Nothing in a repository names a command that would be given the master's place, or a
host that a session goes to.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec

from metadeploy import yamlfile
from metadeploy.errors import ConfigError
from metadeploy.model import Secret
from metadeploy.orgfile import SecretSource
from metadeploy.reach import Reach

VARIABLE = "METADEPLOY_CONFIG"
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?")
_PROXY = re.compile(r"https?://([^\s/@]+@)?[A-Za-z0-9.\[\]:-]+/?")


class Kept(SecretSource, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A master's place, and that of the one before it was rotated."""

    previous: SecretSource | None = None


class TaggedMaster(Kept, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The master of the orgs that bear a tag."""

    tag: str


class UserConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """config.yaml: whose orgs have which master. The first tag that fits decides.

    allowed_hosts: where sessions of real orgs may go beside Salesforce's own hosts.
    ca_bundle: a PEM file, relative to this one, with all certificate authorities to
    trust. proxy: its URL, for all calls to real orgs.
    """

    master: Kept | None = None
    masters: list[TaggedMaster] = []
    allowed_hosts: list[str] = []
    ca_bundle: str = ""
    proxy: str = ""


msgspec.convert({}, UserConfig)  # before any thread does, see `orgfile`


def path() -> Path:
    """Return where the user's configuration is, whether there is one or not.

    METADEPLOY_CONFIG names another file than config.yaml in the user's own folder.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    # Loaded here: most commands derive no key, and are not to wait for it.
    import platformdirs

    return platformdirs.user_config_path("metadeploy", appauthor=False) / "config.yaml"


def reach() -> Reach:
    """Return where the user lets sessions of real orgs go. Raises ConfigError."""
    place = path()
    config = read(place)
    for host in config.allowed_hosts:
        if not _HOST.fullmatch(host):
            raise ConfigError(
                f"{place}: allowed_hosts: {host!r} is no host",
                hint="Write single hosts, as in `allowed_hosts: [salesforce.acme.com]`,"
                " or with a port, host:8443.",
            )
    if config.proxy and not _PROXY.fullmatch(config.proxy):
        # Not said: it may have a password.
        what = f"{place}: proxy is not of the form http://host:port"
        raise ConfigError(what)
    bundle = ""
    if config.ca_bundle:
        file = place.parent / Path(config.ca_bundle).expanduser()
        _check_bundle(file, f"{place}: ca_bundle: {config.ca_bundle}")
        bundle = str(file)
    proxy = Secret(config.proxy) if config.proxy else None
    return Reach(frozenset(config.allowed_hosts), bundle, proxy)


def _check_bundle(file: Path, what: str) -> None:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError as error:
        raise ConfigError(
            f"{what}: {error.strerror}",
            hint="A path is taken from the folder of the configuration file.",
        ) from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigError(
            f"{what}: it holds no certificate in PEM",
            hint="Name a file with the CA's certificate, -----BEGIN CERTIFICATE-----.",
        )


def read(at: Path) -> UserConfig:
    """Return what a configuration file says; one that is not there says nothing.

    Raises ConfigError for one that is not as it should be, or that somebody else
    could have written: its commands run with the user's rights.
    """
    text = own_text(at)
    if not text:
        return UserConfig()
    document = yamlfile.read(text, str(at))
    if document.problems:
        raise ConfigError("\n".join(str(p) for p in document.problems))
    try:
        config = msgspec.convert(document.value, UserConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{at}: {error}", hint=_FORM) from error
    for number, source in enumerate(_sources(config), 1):
        if not source.is_one_place:
            raise ConfigError(
                f"{at}: master {number}: exactly one of env, file, command or keyring"
                " says where it is",
                hint=_FORM,
            )
    return config


_FORM = (
    "It may say `master: {command: [pass, show, metadeploy]}` and, by an org's tag,"
    " `masters: [{tag: production, keyring: production}]`."
)


def _sources(config: UserConfig) -> list[SecretSource]:
    kept: list[Kept] = [*config.masters]
    if config.master is not None:
        kept.append(config.master)
    return [*kept, *(k.previous for k in kept if k.previous is not None)]


def own_text(at: Path) -> str:
    """Return the text of a file of the user's own, "" where there is none.

    Raises ConfigError for one that somebody else could have written.
    """
    try:
        with at.open(encoding="utf-8") as file:
            _check_owner(os.fstat(file.fileno()), at)
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"cannot read {at}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {at}: it is not UTF-8 text") from error


def _check_owner(status: os.stat_result, path: Path) -> None:
    if os.name != "posix":
        return
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others or status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"others can write {path}, which names commands that run as you",
            hint=f"Look at what it says, then: chmod go-w {path}",
        )
