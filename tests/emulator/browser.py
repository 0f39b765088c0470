"""A browser small enough for tests: cookies, redirects it stops at, forms."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from lxml import html


class Browser:
    """One person's browser at a server. `page` is what he sees."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.page: requests.Response | None = None
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def open(self, path: str, **parameters: str) -> requests.Response:
        """Go somewhere, following redirects while they stay on this server."""
        return self._follow(
            self._session.get(
                urljoin(self.url, path),
                params=parameters,
                timeout=10,
                allow_redirects=False,
            )
        )

    def submit(self, *, headers: Any = None, **fields: str) -> requests.Response:
        """Fill in the page's only form and send it."""
        assert self.page is not None
        [form] = html.fromstring(self.page.text).forms
        values = {**{k: v or "" for k, v in form.fields.items()}, **fields}
        values.pop("", None)
        where = urljoin(self.page.url, form.action)
        if form.method == "GET":
            return self.open(where, **values)
        answer = self._session.post(
            where, data=values, headers=headers, timeout=10, allow_redirects=False
        )
        return self._follow(answer)

    def log_in(self, username: str, password: str) -> requests.Response:
        return self.submit(username=username, password=password)

    @property
    def heading(self) -> str:
        assert self.page is not None
        found: str = html.fromstring(self.page.text).findtext(".//h1") or ""
        return found

    @property
    def alert(self) -> str:
        assert self.page is not None
        [found] = html.fromstring(self.page.text).xpath("//*[@role='alert']")
        return str(found.text_content())

    def _follow(self, answer: requests.Response) -> requests.Response:
        while 300 <= answer.status_code < 400:
            where = urljoin(answer.url, answer.headers["Location"])
            if not where.startswith(self.url + "/"):
                break
            answer = self._session.get(where, timeout=10, allow_redirects=False)
        self.page = answer
        return answer


def told(answer: requests.Response) -> dict[str, str]:
    """Return what a redirect tells an app, in its query or its fragment."""
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["Location"])
    return {k: v[0] for k, v in parse_qs(parts.query or parts.fragment).items()}
