"""Read a zip that anybody may have made; write those that orgs hand out.

Nothing is ever extracted to disk. Sizes are counted while inflating, never believed.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Mapping

from msgspec import Struct

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SMALL = 50 * 1024 * 1024
_CHUNK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Limits(Struct, frozen=True):
    """What is read at most: files, bytes in all (documented), and how far a zip over
    50 MB may inflate."""

    files: int = 10_000
    size: int = 629_145_600
    ratio: int = 200


PLATFORM = Limits()


class BadZip(Exception):
    """A zip that is not read: why, and the platform's code for it."""

    def __init__(self, message: str, code: str = "INVALID_OPERATION") -> None:
        super().__init__(message)
        self.message, self.code = message, code


def read_zip(data: bytes, limits: Limits = PLATFORM) -> dict[str, bytes]:
    """Return the files of a zip by path, in the zip's order; folders are left out.

    Raises BadZip: not a zip; a path that leads outside, is absolute, repeated or no
    UTF-8; a link; encrypted; beyond the limits.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _members(archive, len(data), limits)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        OSError,
        zlib.error,
    ) as error:
        # Inferred wording.
        raise BadZip(f"The zip file is not valid: {error}") from None


def _members(archive: zipfile.ZipFile, packed: int, limits: Limits) -> dict[str, bytes]:
    infos = archive.infolist()
    if sum(not i.filename.endswith("/") for i in infos) > limits.files:
        raise BadZip(
            f"Maximum number of files in the zip file reached: {limits.files}",
            "LIMIT_EXCEEDED",
        )
    files: dict[str, bytes] = {}
    total = 0
    for info in infos:
        path = _safe_path(info)
        if path.endswith("/"):
            continue
        if path in files:
            raise BadZip(f"The zip file is not valid: {path} is in it twice")
        files[path] = _content(archive, info, limits.size - total, limits)
        total += len(files[path])
        if total > _SMALL and total > packed * limits.ratio:
            raise BadZip("The zip file is not valid: it inflates too far")
    return files


def _content(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, room: int, limits: Limits
) -> bytes:
    parts: list[bytes] = []
    with archive.open(info) as stream:
        while chunk := stream.read(_CHUNK):
            parts.append(chunk)
            room -= len(chunk)
            if room < 0:
                raise BadZip(
                    f"Maximum size of the unzipped files reached: {limits.size} bytes",
                    "LIMIT_EXCEEDED",
                )
    return b"".join(parts)


def _safe_path(info: zipfile.ZipInfo) -> str:
    path = info.orig_filename
    if stat.S_ISLNK(info.external_attr >> 16):
        raise BadZip(f"The zip file is not valid: {path} is a link")
    # Without the UTF-8 flag a name is read as cp437: fine for ASCII only.
    if not info.flag_bits & 0x800 and not path.isascii():
        try:
            path = path.encode("cp437").decode("utf-8")
        except UnicodeError:
            raise BadZip("The zip file is not valid: a name is not UTF-8") from None
    parts = path.rstrip("/").split("/")
    unsafe = any(p in ("", ".", "..") or not p.isprintable() for p in parts)
    if info.compress_type not in _METHODS:
        raise BadZip(f"The zip file is not valid: {path} is packed in an odd way")
    if unsafe or "\\" in path or path[1:2] == ":":
        raise BadZip(f"The zip file is not valid: bad path {path!r}")
    return path


def write_zip(files: Mapping[str, bytes], *, packed: bool = True) -> bytes:
    """Return a zip of those files, in order, with one fixed date."""
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind, compresslevel=1) as archive:
        for path, body in files.items():
            info = zipfile.ZipInfo(path, _EPOCH)
            info.compress_type = kind
            info.external_attr = 0o644 << 16
            archive.writestr(info, body)
    return out.getvalue()
