"""certs: make certificates for logins by JWT, and say when they expire."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from pathlib import Path

import click

from metadeploy import certs as certificates
from metadeploy import privatefile
from metadeploy.certs import WARN_DAYS, Certificate, Use
from metadeploy.cli import completing, options
from metadeploy.cli.output import (
    Document,
    Json,
    document,
    error_text,
    shown,
    styled,
    write_json,
)
from metadeploy.cli.terminal import laid
from metadeploy.errors import ConfigError
from metadeploy.model import Component
from metadeploy.project import Project
from metadeploy.render import CERTS
from metadeploy.workspace import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIXES = (".crt", ".cer", ".pem")


@click.group()
def certs() -> None:
    """Make certificates, and list when they expire."""


@certs.command()
@click.argument("name")
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=365,
    show_default=True,
    help="How long it is valid.",
)
@click.option(
    "--key",
    "key_file",
    shell_complete=completing.files,
    metavar="FILE",
    help="Where the private key goes. [default: .metadeploy/certs/NAME.key]",
)
@options.as_json
def create(name: str, days: int, key_file: str | None, as_json: bool) -> int:
    """Make a key pair: certs/NAME.crt, and its private key.

    Commit the certificate; a template has it by {{ file('certs/NAME.crt') }}. Keep
    the key from the repository: whoever has it can log in.
    """
    if not _NAME.fullmatch(name):
        raise click.UsageError("NAME is made of letters, digits, '.', '_' and '-'")
    workspace = options.find_workspace()
    key, certificate = _create(workspace, name, days, key_file)
    if as_json:
        body = {"certificate": certificate, "privateKey": key}
        write_json(document("certs create", body))
        return 0
    click.echo(f"  + {certificate}  to be committed: {{{{ file('{certificate}') }}}}")
    click.echo(f"  + {key}  the private key: never to be committed")
    return 0


def _create(
    workspace: Workspace, name: str, days: int, key_file: str | None
) -> tuple[str, str]:
    """Write both files; return the key's path and the certificate's, to be shown."""
    certificate = workspace.root / CERTS / f"{name}.crt"
    if key_file is None:
        key = workspace.make_state() / "certs" / f"{name}.key"
        privatefile.make_folder(key.parent)
        key_shown = key.relative_to(workspace.root).as_posix()
    else:
        key, key_shown = Path(key_file).expanduser(), key_file
        if key.resolve().is_relative_to(workspace.root / CERTS):
            raise ConfigError(
                f"{CERTS} is committed: a private key must not be there",
                hint="Leave --key out, or name a place outside the repository.",
            )
    if certificate.exists():
        raise ConfigError(
            f"{CERTS}{name}.crt is there already",
            hint="Apps may be logged in to by it. Make one of another name.",
        )
    made = certificates.make(name, days=days, now=_now())
    text = made.private_key.reveal()
    try:
        if privatefile.create(key, text) != text:
            raise ConfigError(
                f"{key_shown} is there already: it stays as it is",
                hint="Take another NAME, or another --key FILE.",
            )
        certificate.parent.mkdir(exist_ok=True)
        with certificate.open("x", encoding="ascii") as file:
            file.write(made.certificate)
    except OSError as error:
        raise ConfigError(
            f"cannot write: {error.strerror}: {error.filename}",
            hint="Make that folder writable, or name another --key FILE.",
        ) from None
    return key_shown, certificate.relative_to(workspace.root).as_posix()


@certs.command("list")
@options.as_json
def list_(as_json: bool) -> int:
    """List the certificates in certs/: until when, and for which apps.

    One that expires within 30 days is warned about.
    """
    workspace = options.find_workspace()
    project = workspace.project()
    found: list[tuple[Certificate, tuple[Use, ...]]] = []
    bad: list[ConfigError] = []
    rendered = _rendered(project)
    for path, text in sorted(project.texts.items()):
        if not (path.startswith(CERTS) and path.endswith(_SUFFIXES)):
            continue
        try:
            certificate = certificates.read(path, text)
        except ConfigError as error:
            bad.append(error)
        else:
            found.append((certificate, certificates.uses(certificate, rendered)))
    now = _now()
    if as_json:
        rows = [_row(c, used, now) for c, used in found]
        unread = [e.message for e in bad]
        write_json(document("certs list", {"certificates": rows, "unread": unread}))
        return int(bool(bad))
    for certificate, used in found:
        _show(certificate, used, now)
    for problem in bad:
        click.echo(error_text(problem), err=True)
    return int(bool(bad))


def _rendered(project: Project) -> dict[str, Iterable[Component]]:
    """Return what each usable org renders; problems are validate's to tell."""
    found: dict[str, Iterable[Component]] = {}
    for name in project.org_paths:
        org, _ = project.read(name)
        if org is not None:
            found[name] = project.render(org)[0]
    return found


def _row(
    certificate: Certificate, used: tuple[Use, ...], now: datetime.datetime
) -> Document:
    by: list[Json] = [{"template": u.template, "orgs": list(u.orgs)} for u in used]
    return {
        "path": certificate.path,
        "subject": certificate.subject,
        "notBefore": certificate.not_before.isoformat(),
        "notAfter": certificate.not_after.isoformat(),
        "daysLeft": certificate.days_left(now),
        "expired": certificate.expired(now),
        "sha256": certificate.fingerprint,
        "usedBy": by,
    }


def _show(
    certificate: Certificate, used: tuple[Use, ...], now: datetime.datetime
) -> None:
    days = certificate.days_left(now)
    until = f"until {certificate.not_after:%Y-%m-%d}"
    if certificate.expired(now):
        state = styled(f"EXPIRED {options.counted(-days, 'day')} ago", fg="red")
    elif days <= WARN_DAYS:
        state = styled(f"EXPIRES in {options.counted(days, 'day')}", fg="orange")
    else:
        state = options.counted(days, "day") + " left"
    for line in laid([shown(certificate.path), until, state]):
        click.echo(line)
    for use in used:
        cells = [use.template, f"for {', '.join(use.orgs)}"]
        for line in laid(map(shown, cells), indent="    ", hang=" " * 6):
            click.echo(line)
    if not used:
        click.echo("    no template uses it")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
