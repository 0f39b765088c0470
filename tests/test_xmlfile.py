"""XML from anybody: read at once, or in pieces as it comes, to the same end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metadeploy.xmlfile import Reading, XmlError, parse

LEAF = ("a", "b", "zip")


def shown(element):
    """The tree as text, whatever namespaces are declared for nothing."""
    inside = "".join(shown(child) + (child.tail or "") for child in element)
    about = f"{element.tag} {sorted(element.attrib.items())}"
    return f"<{about}>{element.text or ''}{inside}</>"


def read(body, *cuts, held=0):
    """Return what is kept, and what was handed on; or what is wrong."""
    said = []
    reading = Reading(LEAF, said.append, held=held)
    places = [0, *sorted(min(c, len(body)) for c in cuts), len(body)]
    for start, end in itertools.pairwise(places):
        reading.feed(body[start:end])
    try:
        root = reading.root()
    except XmlError as error:
        return type(error), ""
    return shown(root), "".join(said)


texts = st.text("xyzé<&]> \n", max_size=5).map(
    lambda t: t.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
)
leaves = st.builds(
    "<{0}>{1}</{0}>".format, st.sampled_from(["zip", "c", "s:d", "b"]), texts
)
parts = st.one_of(leaves, texts, st.sampled_from(["<!-- c -->", "<?p i?>", "<c/>"]))
documents = st.builds(
    '{}<a xmlns:s="urn:s" k="1"><b>{}</b>{}</a>{}'.format,
    st.sampled_from(["", '<?xml version="1.0" encoding="UTF-8"?>', "\ufeff"]),
    st.lists(parts, max_size=6).map("".join),
    st.lists(parts, max_size=3).map("".join),
    st.sampled_from(["", "\n", "<!-- end -->", "x", "<a/>"]),
)
encodings = st.sampled_from(["utf-8", "utf-16", "latin-1"])
cuts = st.lists(st.integers(0, 400), max_size=8)


@given(documents, encodings, cuts)
@example("<a><b><zip>1</zip><zip>2</zip></b></a>", "utf-8", [3])
@example("<a><b><zip>1<c/>2</zip></b></a>", "utf-8", [3])
@example("", "utf-8", [])
def test_pieces_make_the_same_as_the_whole(text, encoding, at):
    body = text.encode(encoding, "xmlcharrefreplace")
    whole = read(body, held=len(body))
    assert read(body) == read(body, *at) == whole
    if whole[0] is not XmlError:
        assert whole[1] == parse(body).findtext("b/zip", "")


@given(documents, st.data())
def test_what_is_cut_or_changed_is_never_more_than_wrong(text, data):
    body = bytearray(text.encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(body)))
    for changed in (bytes(body), bytes(body[:end])):
        assert read(changed, at) == read(changed, held=len(changed))


WRONG = {
    "a DTD": b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
    "a DTD elsewhere": b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    "a DTD in UTF-16": '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>'.encode("utf-16"),
    "an entity": b"<a>&e;</a>",
    "a second leaf": b"<a><b><zip/></b><b><zip/></b></a>",
    "cut": b"<a><b><zip>QUJD",
    "nothing": b"",
    "JSON": b"{}",
    "no UTF-8": b"<a>\xff</a>",
    "depth": b"<a>" * 300 + b"</a>" * 300,
    "a long text": b"<a><c>" + b"x" * 10_000_001 + b"</c></a>",
    "a long attribute": b'<a c="' + b"x" * 10_000_001 + b'"/>',
    "a long name": b"<a><" + b"x" * 10_000_001 + b"/></a>",
    "an element in the leaf": b"<a><b><zip>1<c/>2</zip></b></a>",
    "an unknown prefix": b"<a><x:c/></a>",
    "no namespace": b'<a xmlns="\turn:s"/>',
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_what_no_answer_is(body):
    assert read(body) == read(body, 2, 9) == (XmlError, "")


def test_elements_without_end():
    reading = Reading(LEAF, str, held=0)
    reading.feed(b"<a>")
    for _ in range(100):
        reading.feed(b"<c/>" * 10_000)
    reading.feed(b"</a>")
    with pytest.raises(XmlError, match="deeper or longer than any answer"):
        reading.root()


def test_a_leaf_may_have_any_length():
    body = b"<a><b><zip>" + b"QUJD" * 5_000_000 + b"</zip></b></a>"
    kept, handed_on = read(body)
    assert kept == "<a []><b []><zip []></></></>"
    assert handed_on == "QUJD" * 5_000_000
