"""Secrets that tests plant, and the search for them in whatever was written."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
import zlib
from html import escape
from urllib.parse import quote, quote_plus

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{64,}")


def forms(secret):
    """Every way that a secret may be written, as bytes, by the way's name."""
    data = secret.encode()
    plain = {
        "plain": data,
        "url": quote(secret, safe="").encode(),
        "form": quote_plus(secret).encode(),
        "xml": escape(secret).encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "json in json": json.dumps(json.dumps(secret)[1:-1])[1:-1].encode(),
        "repr": repr(secret)[1:-1].encode(),
        "hex": data.hex().encode(),
        "HEX": data.hex().upper().encode(),
        "utf-16": secret.encode("utf-16-le"),
        "reversed": data[::-1],
    }
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + data).rstrip(b"=")
        # The bits that a neighbour shares are not the secret's alone.
        first = -(-shift * 8 // 6)
        last = (shift + len(data)) * 8 // 6
        plain[f"base64, {shift}"] = whole[first:last]
        safe = base64.urlsafe_b64encode(b"x" * shift + data)
        plain[f"base64 for URLs, {shift}"] = safe[first:last]
    return plain


class Search:
    """Looks for secrets in bytes, and counts what it has looked at."""

    def __init__(self):
        self._forms = {}
        self.bytes = 0
        self.found = []

    @property
    def secrets(self):
        return len(self._forms)

    def add(self, name, text):
        """Look for a secret; for each line of one that has several."""
        lines = [one for one in text.splitlines() if "-----" not in one]
        assert lines and all(len(one) >= 5 for one in lines), name
        for number, line in enumerate(lines):
            self._forms[f"{name} {number}" if len(lines) > 1 else name] = forms(line)

    @property
    def ways(self):
        return max(map(len, self._forms.values()))

    def look(self, where, data, *, deeper=3):
        """Look into data, and into what is packed in it."""
        self.bytes += len(data)
        for name, ways in self._forms.items():
            for way, text in ways.items():
                if text in data:
                    self.found.append(f"{where}: {name} ({way})")
        if deeper:
            for part in _unpacked(data):
                self.look(f"{where}, unpacked", part, deeper=deeper - 1)


def _unpacked(data):
    for found in re.finditer(rb"PK\x03\x04", data):
        try:
            with zipfile.ZipFile(io.BytesIO(data[found.start() :])) as archive:
                for name in archive.namelist():
                    yield archive.read(name)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error):
            continue
        break
    # gzip, and zlib's own.
    for found in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", data):
        stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            plain = stream.decompress(memoryview(data)[found.start() :])
        except zlib.error:
            continue
        if plain:
            yield plain
    for found in _BASE64.finditer(data):
        text = found[0].replace(b"-", b"+").replace(b"_", b"/")
        yield base64.b64decode(text[: len(text) // 4 * 4])
