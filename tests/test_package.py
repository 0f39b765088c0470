import base64
import errno
import io
import itertools
import random
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.errors import ApiFault, ConfigError
from metadeploy.model import METADATA_NS, Component, Manifest, Ref
from metadeploy.package import (
    MAX_FILES,
    Base64,
    digest,
    files,
    manifest_xml,
    pack,
    read_zip,
    retrieve_manifest,
    unpack,
    zip_files,
)

names = st.text("abcXYZ_09", min_size=1, max_size=8)
refs = st.builds(
    Ref,
    st.sampled_from(["ConnectedApp", "Profile", "PermissionSet", "Settings"]),
    names,
)
components = st.lists(
    st.builds(Component, refs, st.binary(max_size=50)), unique_by=lambda c: c.ref
)


@given(components)
def test_what_is_packed_unpacks(wanted):
    by_ref = tuple(sorted(wanted, key=lambda c: c.ref))
    assert unpack(pack(wanted, "66.0")) == by_ref


@given(components, st.randoms())
def test_order_never_matters(wanted, chance):
    shuffled = list(wanted)
    chance.shuffle(shuffled)
    assert pack(wanted, "66.0") == pack(shuffled, "66.0")
    assert digest(files(wanted, "66.0")) == digest(files(shuffled, "66.0"))


def test_the_manifest():
    app = Component(Ref("ConnectedApp", "Portal"), b"<a/>")
    settings = Component(Ref("Settings", "ConnectedApp"), b"<s/>")
    found = files([settings, app], "66.0", deleted=[Ref("Profile", "Old & gone")])
    assert list(found) == [
        "connectedApps/Portal.connectedApp",
        "destructiveChangesPost.xml",
        "package.xml",
        "settings/ConnectedApp.settings",
    ]
    assert found["package.xml"].decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Package xmlns="http://soap.sforce.com/2006/04/metadata">\n'
        "    <types>\n"
        "        <members>Portal</members>\n"
        "        <name>ConnectedApp</name>\n"
        "    </types>\n"
        "    <types>\n"
        "        <members>ConnectedApp</members>\n"
        "        <name>Settings</name>\n"
        "    </types>\n"
        "    <version>66.0</version>\n"
        "</Package>\n"
    )
    assert b"<members>Old &amp; gone</members>" in found["destructiveChangesPost.xml"]
    empty = manifest_xml(Manifest.of([], "66.0"))
    assert b"<types>" not in empty and b"<version>66.0</version>" in empty


def test_a_type_that_nobody_knows():
    with pytest.raises(ConfigError, match="NoSuch X: no such metadata type"):
        files([Component(Ref("NoSuch", "X"), b"")], "66.0")


def test_limits_of_a_deploy():
    with pytest.raises(ConfigError, match="10001 files: a deploy takes 10000"):
        zip_files({f"profiles/{n}": b"" for n in range(MAX_FILES + 1)})


def raw_zip(*entries, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, body in entries:
            archive.writestr(name, body)
    return out.getvalue()


def test_a_retrieved_zip_has_a_folder_on_top():
    data = raw_zip(
        ("unpackaged/", b""),
        ("unpackaged/package.xml", b"<Package/>"),
        ("unpackaged/profiles/Admin.profile", b"<Profile/>"),
    )
    assert unpack(data) == (Component(Ref("Profile", "Admin"), b"<Profile/>"),)


def symlink():
    entry = zipfile.ZipInfo("profiles/A.profile")
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the zip cannot be read: File is not a zip file"),
        (b"<html>", "the zip cannot be read"),
        (raw_zip(("../x", b"")), r"holds the path '\.\./x'; refused"),
        (raw_zip(("/x", b"")), "holds the path '/x'; refused"),
        (raw_zip(("a\\b", b"")), "refused"),
        (raw_zip(("C:/x", b"")), "refused"),
        (raw_zip((symlink(), b"")), "refused"),
        (raw_zip(("x", b"\0" * 20_000_000)), "unpacks to far more than it should"),
        (pack([], "66.0")[:-30], "the zip cannot be read"),
        (pack([], "66.0").replace(b"PK\x01\x02", b"PK\x01\x03"), "cannot be read"),
    ],
)
def test_a_dangerous_or_broken_zip_is_refused(data, message):
    with pytest.raises(ApiFault, match=message):
        read_zip(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_says_two_things_is_refused():
    with pytest.raises(ApiFault, match="refused"):
        read_zip(raw_zip(("x", b"1"), ("x", b"2")))


def test_a_zip_of_too_many_entries_is_refused():
    with pytest.raises(ApiFault, match="11001 entries; refused"):
        read_zip(raw_zip(*((f"f{n}", b"") for n in range(11_001))))


def decoded(*pieces, out=None):
    data = Base64(io.BytesIO() if out is None else out)
    for piece in pieces:
        data.feed(piece)
    return data.finish().getvalue()


def cut(text, at):
    """The text in pieces, cut at these places."""
    places = [0, *sorted(min(n, len(text)) for n in at), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(places)]


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=9))
def test_base64_may_come_in_any_pieces_and_lines(body, at):
    assert decoded(*cut(base64.encodebytes(body).decode(), at)) == body


def test_base64_ends_once():
    with pytest.raises(ApiFault, match="broken: it goes on after its end"):
        decoded("QQ==", "QUJD")


broken = st.text("QUJD=+/ \n!é", max_size=24)


@given(broken, st.lists(st.integers(0, 24), max_size=9))
def test_broken_base64_is_broken_in_any_pieces(text, at):
    try:
        body = base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        with pytest.raises(ApiFault, match="the zip's base64 is broken: "):
            decoded(*cut(text, at))
    else:
        assert decoded(*cut(text, at)) == body


class Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_zip_that_no_disk_has_room_for():
    said = "the zip cannot be kept: No space left on device"
    with pytest.raises(ApiFault, match=said):
        decoded("QUJD", "QUJD", out=Full())


def test_a_profile_is_retrieved_with_what_it_speaks_of():
    body = (
        f'<Profile xmlns="{METADATA_NS}">'
        "<classAccesses><apexClass>C</apexClass></classAccesses>"
        "<fieldPermissions><field>Account.Name</field></fieldPermissions>"
        "<userPermissions><name>ApiEnabled</name></userPermissions></Profile>"
    ).encode()
    wanted = [
        Component(Ref("Profile", "Admin"), body),
        Component(Ref("ConnectedApp", "Portal"), b"<ConnectedApp/>"),
    ]
    assert retrieve_manifest(wanted, "66.0").members == {
        "ApexClass": ("C",),
        "ConnectedApp": ("Portal",),
        "CustomObject": ("Account",),
        "Profile": ("Admin",),
    }


def test_the_limits_of_a_deploy():
    large = bytes(70_000_000)
    with pytest.raises(ConfigError, match="more than 600 MB unzipped"):
        zip_files({str(n): large for n in range(9)})
    noise = random.Random(1).randbytes(39_100_000)
    with pytest.raises(ConfigError, match="more than 39 MB zipped"):
        zip_files({"a": noise})


def test_a_zip_with_a_password_is_refused():
    data = bytearray(raw_zip(("profiles/A.profile", b"x")))
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    with pytest.raises(ApiFault, match="password required"):
        read_zip(bytes(data))


def test_all_of_a_package_can_be_in_a_folder():
    content = {"package.xml": b"<a/>", "profiles/A.profile": b"<b/>"}
    inside = read_zip(zip_files(content, "md_run_1"))
    assert inside == {f"md_run_1/{path}": body for path, body in content.items()}
    assert read_zip(zip_files(content)) == content
