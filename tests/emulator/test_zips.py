"""Reading zips that anybody may have made."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.emulator.zips import BadZip, Limits, read_zip, write_zip

PATHS = st.from_regex(
    r"[a-zA-Zäß][a-z A-Z.]{0,8}(/[a-z][a-z.]{0,5}[a-z])?", fullmatch=True
)


def zipped(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members:
            archive.writestr(name, body)
    return out.getvalue()


@given(st.dictionaries(PATHS, st.binary(max_size=50), max_size=5))
def test_what_is_written_is_read(files: dict[str, bytes]) -> None:
    assert read_zip(write_zip(files)) == files
    assert write_zip(files) == write_zip(files)


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(BadZip, match="not valid"):
        read_zip(data)


@given(st.integers(0, 150), st.integers(0, 255))
def test_damage_is_told_or_harmless(at: int, value: int) -> None:
    data = bytearray(write_zip({"package.xml": b"<x/>" * 5}))
    data[at % len(data)] = value
    try:
        files = read_zip(bytes(data))
    except BadZip:
        return
    assert sum(map(len, files.values())) <= 20


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "a/../../evil",
        "/etc/passwd",
        "a//b",
        "a\\b",
        "c:evil",
        "a/./b",
        "a\x07b",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = path
    data = zipped((info, b"x"))
    with pytest.raises(BadZip, match="bad path"):
        read_zip(data)


def test_links_are_refused() -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BadZip, match="is a link"):
        read_zip(zipped((info, b"/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused() -> None:
    with pytest.raises(BadZip, match="in it twice"):
        read_zip(zipped(("a", b"1"), ("a", b"2")))


def test_folders_are_left_out() -> None:
    assert read_zip(zipped(("a/", b""), ("a/b", b"1"))) == {"a/b": b"1"}


def test_too_many_files_are_refused() -> None:
    files = {str(n): b"" for n in range(4)}
    with pytest.raises(BadZip) as caught:
        read_zip(write_zip(files), Limits(files=3))
    assert caught.value.code == "LIMIT_EXCEEDED"


def test_a_bomb_is_stopped_while_inflating() -> None:
    bomb = write_zip({"a": bytes(60 * 1024 * 1024)})
    assert len(bomb) < 300_000
    with pytest.raises(BadZip, match="inflates too far"):
        read_zip(bomb)


def test_sizes_are_counted_while_inflating() -> None:
    with pytest.raises(BadZip) as caught:
        read_zip(write_zip({"a": b"x" * 600, "b": b"x" * 401}), Limits(size=1000))
    assert caught.value.code == "LIMIT_EXCEEDED"


def test_an_encrypted_zip_is_refused() -> None:
    data = bytearray(zipped(("a", b"secret")))
    data[6] |= 1
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    with pytest.raises(BadZip, match="not valid"):
        read_zip(bytes(data))


def test_a_wrong_checksum_is_refused() -> None:
    data = zipped(("a", b"hello"))
    crc = zlib.crc32(b"hello").to_bytes(4, "little")
    with pytest.raises(BadZip, match="not valid"):
        read_zip(data.replace(crc, bytes(4)))


def test_names_in_plain_utf8_are_understood() -> None:
    info = zipfile.ZipInfo("profiles/Übung.profile")
    data = zipped((info, b"x"))
    # Some tools write UTF-8 without saying so.
    flag = (0x800).to_bytes(2, "little")
    plain = data.replace(flag, bytes(2))
    assert list(read_zip(plain)) == ["profiles/Übung.profile"]
    latin = plain.replace("Ü".encode(), b"\xff\xfe")
    with pytest.raises(BadZip, match="not UTF-8"):
        read_zip(latin)
