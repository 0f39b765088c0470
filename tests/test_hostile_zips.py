"""Zips that nobody means well with, against both that read any: ours and the emulated
org's. Each ends as a refusal, before it grows."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import pytest

from metadeploy.emulator import zips
from metadeploy.errors import ApiFault
from metadeploy.model import Component, Ref
from metadeploy.package import read_zip, unpack

READERS = {"ours": (read_zip, ApiFault), "the org's": (zips.read_zip, zips.BadZip)}


def made(*entries, method=zipfile.ZIP_DEFLATED, mode=0o100644):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, body in entries:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, method
            info.external_attr = mode << 16
            archive.writestr(info, body)
    return out.getvalue()


def patched(data, *changes):
    """The zip with `new` bytes at `at` after the last place of each `magic`."""
    changed = bytearray(data)
    for magic, at, new in changes:
        start = changed.rindex(magic) + at
        changed[start : start + len(new)] = new
    return bytes(changed)


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
PLAIN = made(("profiles/A.profile", b"<Profile/>" * 9))
NAMED = made(("0123456789", b"<Profile/>"))


def renamed(name):
    """A zip with a name that zipfile does not write: it may hold any bytes."""
    return NAMED.replace(b"0123456789", name.ljust(10, b"_"))


def overlapping(count):
    """`count` entries that all unpack the same bytes (D. Fifield's zip bomb)."""
    kernel = made(("a", b"\0" * 1_000_000))
    start = kernel.index(CENTRAL)
    row = kernel[start : kernel.index(END)]
    rows = b"".join(row[:-1] + bytes([65 + n]) for n in range(count))
    end = struct.pack("<4s4H2LH", END, 0, 0, count, count, len(rows), start, 0)
    return kernel[:start] + rows + end


def nested(depth, size=50_000_000):
    data = b"\0" * size
    for level in range(depth):
        data = made((f"{level}.zip", data))
    return data


HOSTILE = {
    "leads up": made(("../A.profile", b"x")),
    "leads up later": made(("profiles/../../A.profile", b"x")),
    "absolute": made(("/etc/cron.d/x", b"x")),
    "a Windows path": made(("..\\A.profile", b"x")),
    "a drive": made(("C:/A.profile", b"x")),
    "a drive, relative": made(("C:A.profile", b"x")),
    "a share": made(("//host/share/A.profile", b"x")),
    "a NUL in the name": renamed(b"A.prof\0../"),
    "no name": made(("", b"x")),
    "a link": made(("profiles/A.profile", b"/etc/passwd"), mode=0o120777),
    "a name twice": made(("profiles/A", b"1"), ("profiles/B", b"2")).replace(
        b"profiles/B", b"profiles/A"
    ),
    "one bomb": made(("profiles/A.profile", b"\0" * 60_000_000)),
    "bombs that share their bytes": overlapping(60),
    "more entries than a retrieve has": made(*((f"f{n}", b"") for n in range(11_001))),
    "encrypted": patched(PLAIN, (LOCAL, 6, b"\x01"), (CENTRAL, 8, b"\x01")),
    "a wrong checksum": patched(PLAIN, (LOCAL, 14, b"abcd"), (CENTRAL, 16, b"abcd")),
    "a size that is a lie": patched(PLAIN, (CENTRAL, 24, b"\x05\0\0\0")),
    "sizes of zip64 without it": patched(
        PLAIN, (CENTRAL, 20, b"\xff" * 8), (CENTRAL, 42, b"\xff" * 4)
    ),
    "an offset before the file": patched(PLAIN, (END, 16, b"\xff\xff\xff\x00")),
    "an offset after the file": patched(PLAIN, (CENTRAL, 42, b"\xff\xff\xff\x0f")),
    "two names for one entry": patched(PLAIN, (LOCAL, 30, b"profiles/B")),
    "bzip2": made(("profiles/A.profile", b"x" * 99), method=zipfile.ZIP_BZIP2),
    "LZMA": made(("profiles/A.profile", b"x" * 99), method=zipfile.ZIP_LZMA),
    "a method of nobody": patched(PLAIN, (LOCAL, 8, b"\x63"), (CENTRAL, 10, b"\x63")),
    "a name that is no UTF-8": patched(
        renamed(b"\xff\xfe"), (LOCAL, 7, b"\x08"), (CENTRAL, 9, b"\x08")
    ),
    "cut in the middle": PLAIN[:60],
    "cut at the end": PLAIN[:-1],
    "without its directory": PLAIN[: PLAIN.index(CENTRAL)],
    "a page": b"<html>PK\x05\x06</html>",
    "nothing": b"",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(("read", "refusal"), READERS.values(), ids=READERS)
def test_a_hostile_zip_is_refused_before_it_grows(data, read, refusal):
    tracemalloc.start()
    try:
        with pytest.raises(refusal):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 220_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("read", "refusal"), READERS.values(), ids=READERS)
def test_a_zip_in_a_zip_stays_one(read, refusal):
    # The inner ones are files like others: nobody unpacks them.
    data = nested(4, size=100_000)
    assert list(read(data)) == ["3.zip"]


def test_one_component_from_two_folders_is_refused():
    data = made(("profiles/A.profile", b"1"), ("unpackaged/profiles/A.profile", b"2"))
    with pytest.raises(ApiFault, match="holds Profile A twice; refused"):
        unpack(data)


def test_names_that_differ_in_case_are_two():
    # Nothing is written to a disk by these names, so that nothing collides.
    data = made(("profiles/A.profile", b"1"), ("profiles/a.profile", b"2"))
    assert unpack(data) == (
        Component(Ref("Profile", "A"), b"1"),
        Component(Ref("Profile", "a"), b"2"),
    )
