"""Where a session may go, and how: Salesforce's own hosts by https. Pure.

More than that only the user's own configuration can allow, no file of a repository.
"""

from __future__ import annotations

import re
from typing import NoReturn
from urllib.parse import urlsplit

from msgspec import Struct

from metadeploy.errors import ApiFault
from metadeploy.model import Secret

# Documented: My Domain login hosts. A partition ("sandbox", "develop", "scratch",
# "demo", "patch", "trailblaze", "free") stands before ".my." (Salesforce help, "My
# Domain URL Formats", "Partitioned Domains"; DomainPartition of MyDomainSettings).
# Observed in Salesforce CLI's source: ".my.salesforce.mil", Government Cloud Defense.
# Observed in public tools, on no page of Salesforce's that we read: Salesforce on
# Alibaba Cloud, "sfcrmproducts.cn".
# Not here: force.com and site.com, where customers' own pages live, and instances such
# as "na139.salesforce.com", which no org is reached by any more.
_SUFFIXES = (".my.salesforce.com", ".my.salesforce.mil", ".my.sfcrmproducts.cn")
_HOSTS = {
    "login.salesforce.com",
    "test.salesforce.com",
    "login.sfcrmproducts.cn",
    "test.sfcrmproducts.cn",
}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}\.)*{_LABEL}|::1")
# What else than these is in a URL, one reader drops and another one obeys.
_URL = re.compile(r"[!-\[\]-~]+")


class Reach(Struct, frozen=True):
    """Where sessions may go, and how.

    allowed_hosts: hosts beside Salesforce's, "host" or "host:port". ca_bundle: a PEM
    file with the certificate authorities to trust, "" for those of the library.
    proxy: its URL. loopback: to this machine and nowhere else, without TLS too.
    """

    allowed_hosts: frozenset[str] = frozenset()
    ca_bundle: str = ""
    proxy: Secret | None = None
    loopback: bool = False


SALESFORCE = Reach()
LOOPBACK = Reach(loopback=True)


def checked_url(url: str, reach: Reach) -> str:
    """Return scheme and host of `url`, in lower case, and a port that is not https's.

    Raises ApiFault for where a token must not go.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _refuse(url)
    host = parts.hostname or ""
    if not _URL.fullmatch(url) or not _HOST.fullmatch(host) or "@" in parts.netloc:
        _refuse(url)
    place = f"[{host}]" if ":" in host else host
    if reach.loopback:
        if host not in _LOOPBACK or parts.scheme not in ("http", "https"):
            _refuse(url)
        return f"{parts.scheme}://{place}" + ("" if port is None else f":{port}")
    if parts.scheme != "https":
        _refuse(url)
    if port not in (None, 443):
        place = f"{place}:{port}"
    if not _is_salesforce(place) and place not in reach.allowed_hosts:
        raise ApiFault(
            "",
            f"{place} is no host of Salesforce's: no session goes there",
            hint="If it is yours, name it under `allowed_hosts` in your config.yaml.",
        )
    return f"https://{place}"


def is_loopback(url: str) -> bool:
    """Tell whether a checked URL is on this machine."""
    return urlsplit(url).hostname in _LOOPBACK


def _is_salesforce(place: str) -> bool:
    # A name in another script is written with "xn--"; My Domain has none.
    disguised = any(label.startswith("xn--") for label in place.split("."))
    return place in _HOSTS or (place.endswith(_SUFFIXES) and not disguised)


def _refuse(url: str) -> NoReturn:
    # Before an "@" there may be a password.
    shown = url.rpartition("@")[2]
    raise ApiFault("", f"{shown} is no address for a session: https is needed")
