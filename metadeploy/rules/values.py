"""Values: what one text, or one small struct, may be beyond its kind."""

from __future__ import annotations

import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from lxml import etree
from msgspec import Struct

from metadeploy.rules.reading import show, value_of

_LOOPBACK = ("localhost", "127.0.0.1")
_UNUSABLE_SCHEMES = ("javascript", "data", "file", "vbscript", "about", "blob")
_CALLBACKS_LENGTH = 2000
# Texts, for many a run needs none of them: `re` compiles one at its first use.
_SCHEME = r"(?s)([A-Za-z][A-Za-z0-9+.-]*):(.*)"
_REFRESH = (
    r"infinite|zero|specific_(lifetime|inactivity):0*[1-9][0-9]*:(HOURS|DAYS|MONTHS)"
)
_EMAIL = r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+"
_PEM = r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----"


_Check = Callable[[str, str], Iterator["Finding"]]


class Finding(Struct, frozen=True):
    """A broken rule in one value. line: how many lines below the element's own."""

    rule: str
    message: str
    line: int = 0


def of_text(place: str, flags: frozenset[str], text: str) -> Iterator[Finding]:
    """Yield what is wrong with the text of "Struct.field", which is not empty.

    flags: the Field's. The text is of the right kind already.
    """
    name = place.partition(".")[2]
    if "PRIVATE KEY-----" in text and "secret" not in flags:
        yield Finding("MD214", f"{name} holds a private key")
        return
    if place in _TEXTS:
        yield from _TEXTS[place](name, text)
    for flag in flags & _FLAGS.keys():
        yield from _FLAGS[flag](name, text)


def of_struct(struct: str, element: etree._Element) -> Iterator[Finding]:
    """Yield what is wrong with a small struct as a whole."""
    if struct in _RANGES:
        yield from _ip_range(*(value_of(element, name) for name in _RANGES[struct]))


def _callback_urls(name: str, text: str) -> Iterator[Finding]:
    if len(text.strip()) > _CALLBACKS_LENGTH:
        length = f"{len(text.strip())} characters; {_CALLBACKS_LENGTH} are allowed"
        yield Finding("MD203", f"{name} has {length}")
    seen: set[str] = set()
    for line, raw in enumerate(text.split("\n")):
        url = raw.strip()
        if not url:
            continue
        if url in seen:
            yield Finding("MD115", f"{name} lists {show(url)} twice", line)
        seen.add(url)
        wrong = _wrong_callback(url)
        if wrong:
            rule, what = wrong
            yield Finding(rule, f"{name} {show(url)} {what}", line)


def _wrong_callback(url: str) -> tuple[str, str] | None:
    parts = re.fullmatch(_SCHEME, url)
    if re.search(r"\s", url):
        return "MD201", "has a space in it"
    if not parts:
        return "MD201", "is not an absolute URL"
    if "#" in url:
        return "MD201", "has a fragment (#)"
    scheme, rest = parts[1].lower(), parts[2]
    if scheme in _UNUSABLE_SCHEMES:
        return "MD202", f"cannot have the scheme {scheme}"
    host = _host(url) if scheme in ("http", "https") else rest.strip("/")
    if not host:
        return "MD201", "names no host" if scheme.startswith("http") else "is cut off"
    if scheme == "http" and host not in _LOOPBACK:
        return "MD202", "has to use https, since it is not localhost"
    return None


def _host(url: str) -> str:
    """Return the host of a URL, "" where it or its port is not usable."""
    try:
        parts = urlsplit(url)
        usable = parts.port is None or parts.port > 0
        return (parts.hostname or "") if usable else ""
    except ValueError:
        return ""


def _consumer_key(name: str, text: str) -> Iterator[Finding]:
    key = text.strip()
    if not 8 <= len(key) <= 256:
        yield Finding("MD204", f"{name} has {len(key)} characters; 8 to 256 are needed")
    bad = sorted(set(re.sub(r"[A-Za-z0-9_.]", "", key)))
    if bad:
        yield Finding("MD204", f"{name} has the character {show(bad[0])}")
    elif "_" in key or "." in key:
        text = f"{name} has '_' or '.', which are not documented but do work"
        yield Finding("MD205", text)


def _consumer_secret(name: str, text: str) -> Iterator[Finding]:
    del text
    yield Finding("MD206", f"{name} does not belong in a template or an org file")


def _refresh_token_policy(name: str, text: str) -> Iterator[Finding]:
    if not re.fullmatch(_REFRESH, text.strip()):
        yield Finding("MD207", f"{name} cannot be {show(text.strip())}")


def _https(name: str, text: str) -> Iterator[Finding]:
    url = text.strip()
    bad = re.search(r"\s", url) or not url.lower().startswith("https://")
    if bad or not _host(url):
        yield Finding("MD209", f"{name} {show(url)} is not an absolute https URL")


def _email(name: str, text: str) -> Iterator[Finding]:
    if not re.fullmatch(_EMAIL, text.strip()):
        yield Finding("MD212", f"{name} {show(text.strip())} is not an email address")


def _certificate(name: str, text: str) -> Iterator[Finding]:
    pem = re.fullmatch(_PEM, text.strip())
    if not pem:
        yield Finding("MD213", f"{name} is not the PEM text of one certificate")
        return
    try:
        binascii.a2b_base64(re.sub(r"\s", "", pem[1]), strict_mode=True)
    except binascii.Error:
        yield Finding("MD213", f"{name} is damaged: its base64 text does not decode")


def _id_token_minutes(name: str, text: str) -> Iterator[Finding]:
    if not 1 <= int(text) <= 720:
        what = f"{name} is {int(text)}; it has to be 1 to 720 minutes"
        yield Finding("MD208", what)


def _positive(name: str, text: str) -> Iterator[Finding]:
    if int(text) < 1:
        yield Finding("MD208", f"{name} is {int(text)}; it has to be 1 or more")


def _ip_range(start: str, end: str) -> Iterator[Finding]:
    if not start or not end:
        return
    import ipaddress  # few apps name ranges, and to load it takes a while

    try:
        low, high = ipaddress.ip_address(start), ipaddress.ip_address(end)
    except ValueError as error:
        yield Finding("MD211", f"{error}"[:120])
        return
    if low.version != high.version:
        text = f"the range from {low} to {high} mixes IPv4 and IPv6"
        yield Finding("MD211", text)
    elif int(low) > int(high):
        yield Finding("MD211", f"the range ends at {high}, before its start {low}")


def _comma_list(name: str, text: str) -> Iterator[Finding]:
    names = [n.strip() for n in text.split(",")]
    if not all(names):
        yield Finding("MD402", f"{name} has an empty place in {show(text.strip())}")
    for twice in (n for n, count in Counter(names).items() if n and count > 1):
        yield Finding("MD115", f"{name} lists {show(twice)} twice")


def _rotates(name: str, text: str) -> Iterator[Finding]:
    if text.strip() in ("true", "1"):
        yield Finding("MD406", f"{name} is true")


def _at_most(length: int) -> _Check:
    def check(name: str, text: str) -> Iterator[Finding]:
        if len(text) > length:
            what = f"{len(text)} characters; {length} are allowed"
            yield Finding("MD504", f"{name} has {what}")

    return check


_RANGES: Mapping[str, tuple[str, str]] = {
    "ConnectedAppIpRange": ("start", "end"),
    "ExtlClntAppOauthIpRange": ("startIpAddress", "endIpAddress"),
    "ProfileLoginIpRange": ("startAddress", "endAddress"),
}

_FLAGS: Mapping[str, _Check] = {"comma": _comma_list, "lines": _callback_urls}

_TEXTS: Mapping[str, _Check] = {
    "ConnectedApp.contactEmail": _email,
    "ConnectedApp.logoUrl": _https,
    "ConnectedAppOauthConfig.certificate": _certificate,
    "ConnectedAppOauthConfig.consumerKey": _consumer_key,
    "ConnectedAppOauthConfig.consumerSecret": _consumer_secret,
    "ConnectedAppOauthConfig.singleLogoutUrl": _https,
    "ConnectedAppOauthIdToken.idTokenValidity": _id_token_minutes,
    "ConnectedAppOauthAssetToken.assetValidityPeriod": _positive,
    "ConnectedAppOauthPolicy.refreshTokenPolicy": _refresh_token_policy,
    "ConnectedAppOauthPolicy.singleLogoutUrl": _https,
    "ConnectedAppSessionPolicy.sessionTimeout": _positive,
    "ExternalClientApplication.contactEmail": _email,
    "ExternalClientApplication.logoUrl": _https,
    "ExternalAppIdTokenConfig.idTokenValidityInMinutes": _id_token_minutes,
    "ExtlClntAppGlobalOauthSettings.certificate": _certificate,
    "ExtlClntAppGlobalOauthSettings.consumerKey": _consumer_key,
    "ExtlClntAppGlobalOauthSettings.consumerSecret": _consumer_secret,
    "ExtlClntAppGlobalOauthSettings.shouldRotateConsumerKey": _rotates,
    "ExtlClntAppGlobalOauthSettings.shouldRotateConsumerSecret": _rotates,
    "ExtlClntAppOauthConfigurablePolicies.guestJwtTimeout": _positive,
    "ExtlClntAppOauthConfigurablePolicies.namedUserJwtTimeout": _positive,
    "ExtlClntAppOauthConfigurablePolicies.refreshTokenValidityPeriod": _positive,
    "ExtlClntAppOauthConfigurablePolicies.sessionTimeoutInMinutes": _positive,
    "ExtlClntAppOauthConfigurablePolicies.singleLogoutUrl": _https,
    "ExtlClntAppOauthSettings.assetTokenValidity": _positive,
    "ExtlClntAppOauthSettings.singleLogoutUrl": _https,
    "PermissionSet.description": _at_most(255),
    "PermissionSet.label": _at_most(80),
}
