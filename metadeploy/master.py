"""Edge: the master secret, from where its owner keeps it.

Where that is, only the environment or the user's own configuration file may say:
nothing in a repository names a command that would be given the master's place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from metadeploy import secretsource, userconfig
from metadeploy.errors import ConfigError
from metadeploy.keys import Masters, check_master
from metadeploy.model import Secret
from metadeploy.orgfile import SecretSource
from metadeploy.userconfig import Kept

VARIABLE = "METADEPLOY_MASTER_KEY"
FILE_VARIABLE = "METADEPLOY_MASTER_KEY_FILE"
PREVIOUS_VARIABLE = "METADEPLOY_MASTER_KEY_PREVIOUS"


def masters(
    tags: Iterable[str], *, otherwise: Callable[[], Secret] | None = None
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
        base, source = userconfig.path().parent, _of_config(frozenset(tags))
    if source is None and otherwise is None:
        raise ConfigError(
            f"{VARIABLE} is not set: no consumer key can be derived",
            hint="Make one once with `metadeploy keys init`, and keep it where your"
            " passwords are.",
        )
    previous = None
    if os.environ.get(PREVIOUS_VARIABLE):
        previous = _read(SecretSource(env=PREVIOUS_VARIABLE), here)
    elif source is not None and source.previous is not None:
        previous = _read(source.previous, base)
    if source is not None:
        return Masters(_read(source, base), previous)
    assert otherwise is not None  # refused above
    return Masters(check_master(otherwise()), previous)


def _of_environment() -> Kept | None:
    if os.environ.get(VARIABLE):
        return Kept(env=VARIABLE)
    if path := os.environ.get(FILE_VARIABLE):
        return Kept(file=path)
    return None


def _of_config(tags: frozenset[str]) -> Kept | None:
    config = userconfig.read(userconfig.path())
    found = (m for m in config.masters if m.tag in tags)
    return next(found, config.master)


def _read(source: SecretSource, base: Path) -> Secret:
    found = secretsource.read(source, base, service=secretsource.MASTERS)
    return check_master(found)
