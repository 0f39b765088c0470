"""XML that nobody means well with, against every place that parses any; and a look at
the source: nobody parses but these."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from metadeploy import xmlfile
from metadeploy.connection import Answer
from metadeploy.emulator import envelope, judge, tree
from metadeploy.errors import LostAnswer
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import Secret

ROOT = Path(__file__).parent.parent / "metadeploy"


class Canned:
    """A connection to an org that answers with the same bytes, whatever is asked."""

    def __init__(self, body):
        self.body = body

    def in_session(self, send):
        return send(Secret("token"))

    def call(self, method, path, *, body=None, headers=None, into=None):
        if into is not None:
            for at in range(0, len(self.body), 999):
                into(self.body[at : at + 999])
            return Answer(200, "text/xml", b"", len(self.body))
        return Answer(200, "text/xml", self.body, len(self.body))


def whole(body):
    return MetadataApi(Canned(body), "66.0").check_deploy_status("0Af")


def held(body):
    return MetadataApi(Canned(body), "66.0").check_retrieve_status("09S")


def in_pieces(body):
    reading = xmlfile.Reading(("a", "b"), str, held=0)
    reading.feed(body)
    return reading.root()


READERS = {
    "a component": (xmlfile.parse, xmlfile.XmlError),
    "an answer in pieces": (in_pieces, xmlfile.XmlError),
    "an answer": (whole, LostAnswer),
    "a retrieve": (held, LostAnswer),
    "the org's: a file": (tree.parse, tree.XmlFault),
    "the org's: a component": (
        lambda body: judge.read_file(body, "a", 66.0),
        judge.BadFile,
    ),
    "the org's: a call": (envelope.read_call, envelope.NotSoap),
}


def laughs(count=10, depth=10):
    rows = [f'<!ENTITY l0 "{"ha" * 50}">']
    for n in range(1, depth):
        rows.append(f'<!ENTITY l{n} "{f"&l{n - 1};" * count}">')
    return f"<!DOCTYPE a [{''.join(rows)}]><a>&l{depth - 1};</a>"


SECRET_FILE = (Path(__file__).parent / "conftest.py").as_uri()
XXE = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{SECRET_FILE}">]><a>&e;</a>'
HOSTILE = {
    "an inner entity": '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
    "an unused entity": '<!DOCTYPE a [<!ENTITY e "x">]><a/>',
    "a file": XXE,
    "a file, by PUBLIC": XXE.replace("SYSTEM", 'PUBLIC "x"'),
    "a file in an attribute": XXE.replace("<a>&e;</a>", '<a b="&e;"/>'),
    "the net": XXE.replace(SECRET_FILE, "http://127.0.0.1:9/x"),
    "an outer DTD": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
    "an outer DTD from a file": f'<!DOCTYPE a SYSTEM "{SECRET_FILE}"><a/>',
    "a parameter entity": f'<!DOCTYPE a [<!ENTITY % p SYSTEM "{SECRET_FILE}">%p;]><a/>',
    "a parameter entity of text": (
        "<!DOCTYPE a [<!ENTITY % p '<!ENTITY e \"x\">'>%p;]><a>&e;</a>"
    ),
    "defaults of attributes": '<!DOCTYPE a [<!ATTLIST a b CDATA "x">]><a/>',
    "an empty DTD": "<!DOCTYPE a><a/>",
    "a DTD of HTML": "<!DOCTYPE html><html></html>",
    "a billion laughs": laughs(),
    "quadratic laughs": (
        f'<!DOCTYPE a [<!ENTITY e "{"x" * 100_000}">]><a>{"&e;" * 10_000}</a>'
    ),
    "an entity of itself": '<!DOCTYPE a [<!ENTITY e "&e;">]><a>&e;</a>',
    "an entity of nobody": "<a>&nobody;</a>",
    "an entity of HTML": "<a>&nbsp;</a>",
    "a file, in UTF-16": XXE.encode("utf-16"),
    "a file, in UTF-16 without a mark": XXE.encode("utf-16-le"),
    "a file, in UTF-32": XXE.encode("utf-32"),
    "a file, in UTF-7": (
        b'<?xml version="1.0" encoding="UTF-7"?>' + XXE.encode("utf-7")
    ),
    "a file, in EBCDIC": ('<?xml version="1.0" encoding="IBM037"?>' + XXE).encode(
        "cp037"
    ),
    "an encoding of nobody": '<?xml version="1.0" encoding="x-nobody"?><a/>',
    "UTF-8 that says UTF-16": '<?xml version="1.0" encoding="UTF-16"?><a>é</a>',
    "UTF-8 that is none": b"<a>\xff\xfe</a>",
    "an overlong character": b"<a>\xc0\xbc</a>",
    "a NUL": b"<a>\0</a>",
    "a reference to NUL": "<a>&#0;</a>",
    "a reference past Unicode": "<a>&#x110000;</a>",
    "depth": "<a>" * 100_000 + "</a>" * 100_000,
    "depth without end": "<a>" * 100_000,
    "a long attribute": f'<a b="{"x" * 11_000_000}"/>',
    "a long name": f"<{'a' * 11_000_000}/>",
    "a long text": f"<a>{'x' * 11_000_000}</a>",
    "a long comment": f"<!--{'x' * 11_000_000}--><a/>",
    "an attribute twice": '<a b="1" b="2"/>',
    "two roots": "<a/><a/>",
    "no root": "<!-- nothing -->",
    "XML 1.1, NEL": '<?xml version="1.1"?><a\x85/>',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(("read", "refusal"), READERS.values(), ids=READERS)
def test_hostile_xml_is_refused_before_it_grows(text, read, refusal):
    body = text if isinstance(text, bytes) else text.encode()
    tracemalloc.start()
    try:
        with pytest.raises(refusal) as caught:
            read(body)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()
    assert "raw_server" not in str(caught.value)  # a word of the file


def test_an_inclusion_includes_nothing():
    text = (
        '<a xmlns:xi="http://www.w3.org/2001/XInclude">'
        f'<xi:include href="{SECRET_FILE}" parse="text"/></a>'
    )
    for parse in (xmlfile.parse, tree.parse, in_pieces):
        (left,) = parse(text.encode())
        assert (left.text, left.get("href")) == (None, SECRET_FILE)


def test_no_stylesheet_is_looked_for():
    text = '<?xml-stylesheet href="http://127.0.0.1:9/x.xsl"?><a>x</a>'
    for parse in (xmlfile.parse, tree.parse, in_pieces):
        assert parse(text.encode()).text == "x"


MEASURED = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from test_hostile_xml import HOSTILE, READERS

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
resource.setrlimit(resource.RLIMIT_AS, (1_000_000_000, 1_000_000_000))
for name in json.loads(sys.stdin.read()):
    text = HOSTILE[name]
    body = text if isinstance(text, bytes) else text.encode()
    for read, refusal in READERS.values():
        try:
            read(body)
        except refusal:
            continue
        print(name)
"""


def test_what_libxml2_holds_is_bounded_too():
    # tracemalloc does not see it: here the process as a whole is bounded.
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(Path(__file__).parent)],
        input=json.dumps(sorted(HOSTILE)),
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# Who may parse: one place, and one of the emulated org, which judges by itself.
PARSERS = {
    "fromstring",
    "fromstringlist",
    "parse",
    "XML",
    "iterparse",
    "HTML",
    "XSLT",
    "XMLID",
    "XMLParser",
    "HTMLParser",
    "XInclude",
    "DTD",
    "ParserCreate",
}
LIBRARIES = {"etree", "expat", "objectify", "sax", "ElementTree"}
MAY = {
    "xmlfile.py": {"fromstring", "XMLParser"},
    "emulator/tree.py": {"fromstring", "XMLParser"},
    # Only for places in a text that the parser above has taken before.
    "emulator/judge.py": {"ParserCreate"},
}


def test_nobody_else_parses_xml():
    found: dict[str, set[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = {n.name for n in node.names}
                assert not {n for n in names if n.startswith(("lxml", "xml."))}, name
            elif isinstance(node, ast.ImportFrom):
                module, names = str(node.module), {n.name for n in node.names}
                odd = {*module.split(".")} & LIBRARIES
                assert not odd, f"{name}:{node.lineno}"
                assert module != "lxml" or names == {"etree"}, f"{name}:{node.lineno}"
            elif isinstance(node, ast.Attribute) and node.attr in PARSERS:
                library = ast.unparse(node.value) in LIBRARIES
                found.setdefault(name, set()).update([node.attr] if library else [])
    assert {n: used for n, used in found.items() if used} == MAY
