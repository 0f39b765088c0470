"""Edge: a secret from where its owner keeps it.

That is a variable, a file, what a command prints, or the OS keyring.
"""

from __future__ import annotations

import os
from pathlib import Path

from metadeploy.errors import ConfigError
from metadeploy.model import Secret
from metadeploy.orgfile import SecretSource

# What the OS keyring calls our entries; each has a name of its own beside it. An org
# file is a repository's, and so cannot name a master.
MASTERS = "metadeploy"
ORGS = "metadeploy-orgs"

_LOOK = "The org file, or your configuration, says that the secret is there."
_COMMAND_SECONDS = 60
_NOT_FOR_CHILDREN = ("METADEPLOY_", "SFDX_", "SF_ACCESS_TOKEN")


def read(source: SecretSource, base: Path, *, service: str = ORGS) -> Secret:
    """Return a secret from a variable, a file, a command's output or the OS keyring.

    base: what a relative file is below, and where a command runs. service: whose
    entries of the keyring are meant. Raises ConfigError.
    """
    if source.env is not None:
        text = os.environ.get(source.env, "")
        nothing = f"the variable {source.env} is not set"
    elif source.file is not None:
        text = _read(base, source.file)
        nothing = f"cannot read {source.file}: it is empty"
    elif source.keyring is not None:
        text = from_keyring(service, source.keyring)
        nothing = f"the entry {source.keyring!r} of the keyring is empty"
    else:
        command = source.command or []
        text = _output(command, base)
        nothing = f"the command {_name(command)} gave no secret: it printed nothing"
    if not text.strip():
        raise ConfigError(nothing, hint=_LOOK)
    return Secret(text.strip())


def _read(base: Path, name: str) -> str:
    try:
        return (base / Path(name).expanduser()).read_text("utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        # Not "from": what was read may be in it.
        raise ConfigError(f"cannot read {name}: {_why(error)}", hint=_LOOK) from None


def child_environment() -> dict[str, str]:
    """Return our environment for another program, without what is ours to know.

    That is all of metadeploy's own and of Salesforce CLI's sessions: the master
    secret, tokens, auth URLs.
    """
    return {k: v for k, v in os.environ.items() if not k.startswith(_NOT_FOR_CHILDREN)}


def _output(command: list[str], root: Path) -> str:
    """Run a command without a shell; its standard output is the secret."""
    import subprocess  # few org files name a command, and it costs each start 3 ms

    try:
        done = subprocess.run(  # noqa: S603 - the user's own file names it
            command,
            cwd=root,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=True,
        )
        return done.stdout.decode("utf-8")
    except subprocess.CalledProcessError as error:
        why = f"it ended with {error.returncode}"
    except subprocess.TimeoutExpired:
        why = f"it took more than {_COMMAND_SECONDS} s"
    except (OSError, ValueError, IndexError) as error:
        why = _why(error)
    # Not within "except": what it printed is in those errors.
    raise ConfigError(
        f"the command {_name(command)} gave no secret: {why}",
        hint="Run it by hand, in the project's folder, and see what it says.",
    )


def _name(command: list[str]) -> str:
    return command[0] if command else "nothing"


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or type(error).__name__


# -- the OS keyring


def from_keyring(service: str, name: str) -> str:
    """Return an entry of the OS keyring. Raises ConfigError where there is none."""
    found = _get(service, name)
    if found is None:
        make = f"metadeploy keys init --keyring {name}"
        if service != MASTERS:
            make = f"keyring set {service} {name}"
        raise ConfigError(
            f"the keyring has no entry {name!r} of {service}",
            hint=f"Make one with `{make}`.",
        )
    return found


def keep_in_keyring(name: str, master: Secret) -> None:
    """Keep a new master in the OS keyring.

    Raises ConfigError where there is one of that name: keys were derived from it.
    """
    if _get(MASTERS, name) is not None:
        raise ConfigError(
            f"the keyring has an entry {name!r} of {MASTERS} already",
            hint="Other keys would follow from another one. To rotate it, make one of"
            " another name, and name the old one as `previous` in your config.yaml.",
        )
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(MASTERS, name, master.reveal())
    except KeyringError as error:
        raise ConfigError(
            f"the keyring does not take it: {error}",
            hint="Leave --keyring out, and keep the master where secrets are kept.",
        ) from None
    kept = _get(MASTERS, name)
    if kept is None or Secret(kept) != master:  # its null backend takes and forgets
        raise ConfigError(
            "the keyring did not keep it",
            hint="No keyring service is there: `metadeploy keys init` prints one.",
        )


def _get(service: str, name: str) -> str | None:
    try:
        import keyring  # an extra, and slow to load
        from keyring.errors import KeyringError
    except ImportError as error:
        raise ConfigError(
            "the OS keyring needs a package that is not installed",
            hint="Run: pip install keyring",
        ) from error
    try:
        return keyring.get_password(service, name)
    except KeyringError as error:
        raise ConfigError(
            f"the keyring cannot be read: {error}",
            hint="It may be locked, or there is none on this machine.",
        ) from None
