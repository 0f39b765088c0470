"""Edge: HTTP with one org. Knows requests; no other module does.

No environment decides anything here: no netrc, no proxy found by chance, no redirect
that would carry a session elsewhere (requests re-posts a SOAP body on 307). And each
call ends in time as a whole: requests' own timeout starts again at every byte.
"""

from __future__ import annotations

import io
import json
import logging
import math
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from socket import socket
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

import requests
from msgspec import Struct
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
)
from urllib3.util.ssl_match_hostname import CertificateError

from metadeploy.errors import ApiFault, AuthError, LostAnswer, Unreachable
from metadeploy.model import Secret
from metadeploy.reach import SALESFORCE, Reach, checked_url, is_loopback

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
# The SOAP call of an envelope: the first element of its body.
_OPERATION = re.compile(rb"<(?:[\w.-]+:)?Body[^>]*>\s*<(?:[\w.-]+:)?([A-Za-z]\w*)")
Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

CONNECT_SECONDS = 10.0
# A connection on which nothing at all comes is a dead one, long before a call may end.
SILENCE_SECONDS = 120.0
MAX_ANSWER_BYTES = 200_000_000
_TOKEN = re.compile(r"[!-~]*")
# What emulated orgs mark their tokens with, where the platform's have anything.
_EMULATED = "!EMU."
# How many new sessions in a row may be refused (jsforce stops there too).
MOST_RENEWALS = 3
_EXPIRED = "INVALID_SESSION_ID"
# Said under the same code of a session that lives and may not do this: a new one may
# not either (observed).
_POLICY = ("not valid for use with", "not attached to")


class Answer(Struct, frozen=True):
    """A whole HTTP answer; cut-off ones do not become one.

    size: bytes that came, also where they went elsewhere than into the body.
    date: when the server says it answered, in seconds since the epoch; None where it
    does not say.
    """

    status: int
    content_type: str
    body: bytes
    size: int
    date: float | None = None


@dataclass
class Connection:
    """A session with one org, that renews itself where it can. For any thread.

    url: scheme and host, no slash at the end. reach: where that may be.
    timeout: seconds for a whole call (the platform's own limit is 10 minutes).
    until: when a run is over, by time.monotonic(): calls get no longer than that, but
    for `grace` seconds, within which most answer.
    limit: bytes that an answer may have. renew: logs in again and returns the new
    token; None where the token came from outside. Raises ApiFault, AuthError for what
    no session can be.
    """

    url: str
    token: Secret
    timeout: float = 600.0
    limit: int = MAX_ANSWER_BYTES
    renew: Callable[[], Secret] | None = field(default=None, repr=False)
    reach: Reach = SALESFORCE
    until: float = math.inf
    grace: float = 5.0
    _http: requests.Session = field(default_factory=lambda: _Session(), repr=False)
    _renewing: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _renewals: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self.url = checked_url(self.url, self.reach)
        self.token = self._checked(self.token)
        self._http.trust_env = False
        self._http.verify = self.reach.ca_bundle or True
        if self.reach.proxy is not None:
            self._http.proxies = {"https": self.reach.proxy.reveal()}
        self._http.mount(self.url, _Adapter())

    def close(self) -> None:
        self._http.close()

    def _checked(self, token: Secret) -> Secret:
        """Return a token that may be sent there. Raises AuthError."""
        if not _TOKEN.fullmatch(token.reveal()):
            raise AuthError("the access token has characters that no token has")
        if _EMULATED in token.reveal() and not is_loopback(self.url):
            raise AuthError(f"an emulated org's token does not go to {self.url}")
        return token

    def in_session(self, send: Callable[[Secret], T]) -> T:
        """Return what `send` makes of the session's token, in a new session if need be.

        send: makes one call; it may be asked to again, for an org that says that a
        session is not valid has not accepted the call. Raises what `send` and the
        login raise, and such a fault with what to do where no new session helps.
        """
        for _ in range(MOST_RENEWALS + 1):
            token = self.token
            try:
                found = send(token)
            except ApiFault as fault:
                if not _has_expired(fault):
                    raise
                refused = fault
            else:
                self._renewals = 0
                return found
            self._renew(token, refused)
        raise _advised(refused, token, _STILL_REFUSED)

    def _renew(self, stale: Secret, fault: ApiFault) -> None:
        """Log in again, once for all threads that met the end of the same session."""
        with self._renewing:
            if self.token is not stale:
                return
            if self.renew is None:
                raise _advised(fault, stale, _FROM_OUTSIDE)
            if self._renewals >= MOST_RENEWALS:
                raise _advised(fault, stale, _STILL_REFUSED)
            again = self._renewals + 1
            _LOG.debug("%s: the session has ended; login %d again", self.url, again)
            self.token = self._checked(self.renew())
            self._renewals += 1

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        into: Callable[[bytes], object] | None = None,
        seconds: float = math.inf,
    ) -> Answer:
        """Send one request and return its whole answer.

        path: from "/", with its query. into: gets the body of a 200 in pieces, as it
        comes; the answer has none then. seconds: that it may take, where that is less
        than the connection's own. Raises Unreachable when nothing was sent and
        LostAnswer when the org may have acted and its answer did not arrive whole.
        """
        if not path.startswith("/"):
            raise ApiFault("", f"{path[:80]!r} is no path at {self.url}")
        begun = time.monotonic()
        try:
            seconds = min(self._seconds(), seconds)
            answer = self._sent(method, path, body, headers, into, seconds)
        except (Unreachable, LostAnswer) as error:
            _log(begun, f"{method} {self.url}{path}", body, error.message)
            raise
        said = f"{answer.status}, {answer.size} bytes"
        _log(begun, f"{method} {self.url}{path}", body, said)
        return answer

    def _seconds(self) -> float:
        left = max(self.until - time.monotonic(), self.grace)
        return min(left, self.timeout)

    def _sent(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        into: Callable[[bytes], object] | None,
        seconds: float,
    ) -> Answer:
        try:
            with self._http.request(
                method,
                self.url + path,
                data=body,
                # Packed answers may be cut, or grow without end, and look whole.
                headers={"Accept-Encoding": "identity", **(headers or {})},
                # requests takes urllib3's Timeout too, which alone has a total.
                timeout=cast("float", Timeout(total=seconds)),
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._whole(response, into)
        except requests.RequestException as error:
            if _never_sent(error):
                raise Unreachable(f"cannot reach {self.url}: {_why(error)}") from error
            what = f"no whole answer from {self.url}: {_why(error)}"
            raise LostAnswer(what) from error

    def _whole(
        self, response: requests.Response, into: Callable[[bytes], object] | None
    ) -> Answer:
        if response.is_redirect:
            # To follow it would be to give the session, and all we sent, to another.
            where = _place(response.headers["Location"])
            what = f"HTTP {response.status_code} leads to {where}, and is not followed"
            raise LostAnswer(what, hint=_OTHER_ADDRESS)
        if not _has_an_end(response):
            # Without a length a cut connection looks like the end of the answer.
            raise LostAnswer("the answer had no length: nobody can tell if it is whole")
        body = bytearray()
        take = into if into and response.status_code == 200 else body.extend
        size = 0
        for chunk in response.iter_content(1 << 16):
            size += len(chunk)
            if size > self.limit:
                raise LostAnswer(f"the answer is larger than {self.limit} bytes")
            take(chunk)
        about = response.headers
        return Answer(
            response.status_code,
            about.get("Content-Type", ""),
            bytes(body),
            size,
            _seconds(about.get("Date", "")),
        )


def _log(begun: float, what: str, body: bytes | None, said: str) -> None:
    """Log a call for --debug: never a header, a query's values or a body."""
    if not _LOG.isEnabledFor(logging.DEBUG):
        return
    place, mark, _ = what.partition("?")
    operation = _OPERATION.search((body or b"")[:4096])
    name = f" {operation[1].decode()}" if operation else ""
    took = (time.monotonic() - begun) * 1000
    query, sent = "?…" if mark else "", len(body or b"")
    _LOG.debug("%s%s%s: %s for %d sent, %d ms", place, query, name, said, sent, took)


_FROM_OUTSIDE = (
    "The access token was given from outside and has ended: set a new one, or choose a"
    " `flow` under `login` in the org file that can log in again."
)
_OTHER_ADDRESS = (
    "The org may have another address now: set the one under My Domain in its Setup as"
    " `url` in the org file."
)
_STILL_REFUSED = (
    "New sessions are refused too. See the session settings and the app's policies in"
    " Setup."
)


def _has_expired(fault: ApiFault) -> bool:
    policy = any(words in fault.message for words in _POLICY)
    return fault.code == _EXPIRED and not policy


_NOT_FOR_SOAP = (
    "If it is SOAP that refuses: it takes no access token in JWT format. Turn those off"
    " in the app that logs in; `metadeploy doctor` tells more."
)


def is_jwt(token: Secret) -> bool:
    """Tell whether an access token is in JWT format, whose header begins like this."""
    return token.reveal().startswith("eyJ")


def _advised(fault: ApiFault, token: Secret, hint: str) -> ApiFault:
    fault.hint = fault.hint or (_NOT_FOR_SOAP if is_jwt(token) else hint)
    return fault


class _Session(requests.Session):
    """A session to which no answer is a redirect: not even to look where it leads."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _InTime(io.RawIOBase):
    """What a socket receives, until a deadline that no slow drip can move."""

    def __init__(self, raw: io.RawIOBase, sock: socket, seconds: float) -> None:
        self._raw, self._sock = raw, sock
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not end in time")
        self._sock.settimeout(min(left, SILENCE_SECONDS))
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """An answer that has as long as its socket's timeout says, as a whole."""

    def __init__(self, sock: socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        seconds = sock.gettimeout()
        assert seconds is not None  # no call is made without a timeout
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_InTime(raw, sock, seconds))


class _Http(HTTPConnection):
    """A connection that tells "not connected" from all that may come later."""

    response_class = _Response

    def connect(self) -> None:
        # urllib3 sends within the connect timeout, where an upload takes longer: so
        # that one is the whole call's, and connecting alone is cut short here.
        whole = self.timeout
        assert isinstance(whole, int | float)  # each call brings a Timeout(total)
        self.timeout = min(whole, CONNECT_SECONDS)
        try:
            super().connect()
        except (OSError, CertificateError) as error:
            raise NewConnectionError(self, "not connected") from error
        finally:
            self.timeout = whole
        assert self.sock is not None  # connected
        self.sock.settimeout(whole)


class _Https(_Http, HTTPSConnection):
    """The same with TLS: a failed handshake is "not connected" too."""


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class _Adapter(HTTPAdapter):
    """requests over the connections above."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *arguments: Any, **named: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **named)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def read_json(answer: Answer) -> Json:
    """Return the JSON of a good answer, None for 204.

    Raises ApiFault with the org's code and words for a bad one, LostAnswer where
    JSON is missing.
    """
    if answer.status == 204:
        return None
    try:
        found = cast(Json, json.loads(answer.body))
    except (ValueError, RecursionError) as error:
        kind = answer.content_type.partition(";")[0] or "nothing"
        what = f"HTTP {answer.status} with {kind} where JSON was expected"
        raise LostAnswer(what) from error
    if answer.status < 300:
        return found
    first = found[0] if isinstance(found, list) and found else found
    if isinstance(first, dict):
        code = str(first.get("errorCode") or first.get("error") or answer.status)
        text = first.get("message") or first.get("error_description") or "refused"
        raise ApiFault(code, str(text))
    raise ApiFault(str(answer.status), "refused without a reason")


def _has_an_end(response: requests.Response) -> bool:
    """Tell whether the answer says where it ends; urllib3 then checks that."""
    about = response.headers
    if about.get("Content-Encoding", "identity").lower() != "identity":
        return False
    chunked = about.get("Transfer-Encoding", "").lower() == "chunked"
    measured = about.get("Content-Length", "").isdecimal()
    return chunked or measured or response.status_code in (204, 304)


def _place(location: str) -> str:
    """Return where a redirect leads, without what may be secret in it."""
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "no address"
    shown = f"{parts.scheme}://{host}{parts.path}" if host else parts.path
    return "".join(c for c in shown if c.isascii() and c.isprintable())[:100]


def _seconds(date: str) -> float | None:
    """Return an HTTP date as seconds since the epoch, None where it is none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _never_sent(error: Exception) -> bool:
    # What requests declines to build is a ValueError: a URL that is none.
    return isinstance(error, requests.ConnectTimeout | ValueError) or isinstance(
        _reason(error), NewConnectionError
    )


def _reason(error: Exception) -> object:
    cause: object = error.args[0] if error.args else error
    reason = getattr(cause, "reason", cause)
    # Of whatever goes wrong by way of a proxy, the request being sent or not.
    return reason.original_error if isinstance(reason, ProxyError) else reason


def _why(error: Exception) -> str:
    """Say it in short: requests' own texts carry whole URLs and object addresses."""
    reason = _reason(error)
    if isinstance(error, requests.Timeout) or isinstance(reason, ReadTimeoutError):
        return "timed out"
    if isinstance(reason, NewConnectionError):
        cause = reason.__cause__
        if isinstance(cause, CertificateError | ssl.SSLCertVerificationError):
            return "its certificate is not trusted"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS as we do"
        if isinstance(cause, TimeoutError):
            return "timed out"
        if isinstance(error, requests.exceptions.ProxyError):
            return "the proxy does not let us through"
        return "connection refused or host unknown"
    if isinstance(reason, ProtocolError):
        return "the connection broke"
    return type(error).__name__
