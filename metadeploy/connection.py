"""Edge: HTTP with one org. Knows requests; no other module does.

No environment decides anything here: no netrc, no proxy found by chance, no redirect
that would carry a session elsewhere (requests re-posts a SOAP body on 307).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError, ProtocolError

from metadeploy.errors import ApiFault, LostAnswer, MetadeployError
from metadeploy.model import Secret

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 200_000_000


class Unreachable(MetadeployError):
    """Nothing was sent: nobody answers at that address."""

    hint = "Check the URL and the network, then run the same command again."


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer; cut-off ones do not become one."""

    status: int
    content_type: str
    body: bytes


@dataclass
class Connection:
    """A session with one org. `token` is read at each call, so it can be renewed.

    url: scheme and host, no slash at the end; https but for loopback.
    """

    url: str
    token: Secret
    timeout: float = 120.0
    _http: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        self.url = checked_url(self.url)
        self._http.trust_env = False

    def close(self) -> None:
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return its whole answer.

        path: from "/", with its query. Raises Unreachable when nothing was sent and
        LostAnswer when the org may have acted and its answer did not arrive whole.
        """
        try:
            with self._http.request(
                method,
                self.url + path,
                data=body,
                headers=dict(headers or {}),
                timeout=(CONNECT_SECONDS, self.timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                return _whole(response)
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise Unreachable(f"cannot reach {self.url}: {_why(error)}") from error
        except requests.RequestException as error:
            if _never_sent(error):
                raise Unreachable(f"cannot reach {self.url}: {_why(error)}") from error
            what = f"no whole answer from {self.url}: {_why(error)}"
            raise LostAnswer(what) from error


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


def checked_url(url: str) -> str:
    """Return scheme and host of `url`. Raises ApiFault where a token must not go."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    allowed = parts.scheme == "https" or (parts.scheme == "http" and local)
    if not allowed or not parts.hostname or parts.username is not None:
        raise ApiFault("", f"{url} is no address for a session: https is needed")
    return f"{parts.scheme}://{parts.netloc}"


def _whole(response: requests.Response) -> Answer:
    body = bytearray()
    for chunk in response.iter_content(1 << 16):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ApiFault("", "the answer is larger than 200 MB; refused")
    expected = response.headers.get("Content-Length")
    if expected is not None and not response.headers.get("Content-Encoding"):
        if expected.isdigit() and int(expected) != len(body):
            raise LostAnswer(f"{len(body)} of {expected} bytes of the answer arrived")
    elif response.headers.get("Transfer-Encoding") is None and body:
        # Without a length a cut connection looks like the end of the answer.
        raise LostAnswer("the answer had no length: nobody can tell if it is whole")
    content_type = response.headers.get("Content-Type", "")
    return Answer(response.status_code, content_type, bytes(body))


def _never_sent(error: requests.RequestException) -> bool:
    cause: object = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, NewConnectionError)


def _why(error: Exception) -> str:
    """Say it in short: requests' own texts carry whole URLs and object addresses."""
    cause: object = error.args[0] if error.args else error
    reason = getattr(cause, "reason", cause)
    if isinstance(error, requests.Timeout):
        return "timed out"
    if isinstance(reason, NewConnectionError):
        return "connection refused or host unknown"
    if isinstance(reason, ProtocolError):
        return "the connection broke"
    return type(error).__name__
