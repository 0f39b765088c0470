"""Certificates: they end, and then nobody can log in by JWT any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from metadeploy.model import Problem
from metadeploy.rules import values
from metadeploy.rules.oauth import OauthApp

if TYPE_CHECKING:
    from metadeploy.rules.x509 import Certificate

_SOON = timedelta(days=30)
_RSA_BITS = 2048
_PLACE = "ConnectedAppOauthConfig.certificate"


def check(apps: Iterable[OauthApp], now: datetime | None) -> Iterator[Problem]:
    """Yield what is wrong with the apps' certificates.

    now: the time, with its zone, to judge them at; None leaves the dates alone.
    """
    for app in apps:
        text = app.certificate.value
        if not text or any(values.of_text(_PLACE, frozenset(), text)):
            continue  # none, or told already
        from metadeploy.rules import x509  # slow: not where no certificate is

        try:
            found = x509.read(text)
        except ValueError:
            what = "the certificate cannot be read: its PEM text holds something else"
            yield app.certificate.problem("MD213", what)
            continue
        for rule, message in (*_dates(found, now), *_strength(found)):
            yield app.certificate.problem(rule, f"the certificate {message}")


def _dates(found: Certificate, now: datetime | None) -> Iterator[tuple[str, str]]:
    if now is None:
        return
    if now > found.ends:
        yield "MD711", f"ended on {found.ends:%Y-%m-%d}"
    elif now + _SOON >= found.ends:
        yield "MD712", f"ends on {found.ends:%Y-%m-%d}"
    if now < found.begins:
        yield "MD713", f"begins on {found.begins:%Y-%m-%d %H:%M} UTC"


def _strength(found: Certificate) -> Iterator[tuple[str, str]]:
    if 0 < found.rsa_bits < _RSA_BITS:
        yield "MD714", f"has an RSA key of {found.rsa_bits} bits"
