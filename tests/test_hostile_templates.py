"""Templates of somebody who means harm: published ways out of Jinja's sandbox, and ways
to make much out of little. Each ends as a problem, soon and small.

Sources: Jinja's advisories (CVE-2016-10745, CVE-2019-10906, CVE-2024-22195,
CVE-2024-34064, CVE-2024-56201, CVE-2024-56326, CVE-2025-27516), PayloadsAllTheThings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_render import APP, body, org, render

from metadeploy import xmlfile
from metadeploy.render import Renderer

UNSAFE = "is unsafe"
ESCAPES = {
    "{{ ''.__class__.__mro__[1].__subclasses__() }}": UNSAFE,
    "{{ ''['__class__'] }}": UNSAFE,
    "{{ ''|attr('__class__') }}": UNSAFE,
    "{{ ''|attr('__cla' ~ 'ss__') }}": UNSAFE,
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}": UNSAFE,
    "{{ ['']|map(attribute='__class__')|first }}": UNSAFE,
    "{{ ['']|map('attr', '__class__')|first }}": UNSAFE,
    "{{ ['']|groupby('__class__')|first|first }}": "'__class__'",
    "{{ ['']|sort(attribute='__class__.__mro__')|list }}": UNSAFE,
    "{{ ['']|selectattr('__class__')|first }}": UNSAFE,
    "{{ ['']|sum(attribute='__class__') }}": "string indices must be integers",
    "{{ ['a']|unique(attribute='__class__')|first }}": UNSAFE,
    "{{ '{0.__class__}'.format(1) }}": "format() is not allowed",
    "{{ '{a.__class__}'.format_map({'a': 1}) }}": "format() is not allowed",
    "{{ ('{0.__class__}'|attr('format'))(1) }}": "format() is not allowed",
    "{{ ('{0.__class__}'|attr('for' ~ 'mat'))(1) }}": "format() is not allowed",
    "{% set f = '{0.__class__}'.format %}{{ f(1) }}": "format() is not allowed",
    "{{ ['{0.__class__}'.format]|map('list')|list }}": "format() is not allowed",
    "{{ ('{0.__class__}'|e).format(1) }}": "format() is not allowed",
    "{{ '{0.__class__}'['format'](1) }}": "format() is not allowed",
    "{{ '%s' % org }}": "'text' % value is not allowed",
    "{{ cycler('a').__init__.__globals__ }}": "'cycler' is undefined",
    "{{ joiner(1) }}": "'joiner' is undefined",
    "{% set n = namespace(a=1) %}{% set n.__class__ = 1 %}": "'namespace' is undefined",
    "{{ lipsum.__globals__.os.popen('id') }}": "'lipsum' is undefined",
    "{{ dict(a=1) }}": "'dict' is undefined",
    "{{ self.__init__.__globals__ }}": UNSAFE,
    "{{ self._TemplateReference__context }}": UNSAFE,
    "{{ range.__globals__ }}": UNSAFE,
    "{{ range.__self__ }}": "has no attribute",
    "{{ fail.__code__ }}": UNSAFE,
    "{{ file.__closure__ }}": UNSAFE,
    "{{ file.__call__('x') }}": UNSAFE,
    "{{ org.__init__ }}": UNSAFE,
    "{{ org.pop('name') }}": UNSAFE,
    "{{ org.tags.append(1) }}": UNSAFE,
    "{{ ([1]|map('string')).gi_frame }}": UNSAFE,
    "{{ ([1]|map('string')).gi_code }}": UNSAFE,
    "{{ ([1]|map('string')).send(None) }}": UNSAFE,
    "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}": UNSAFE,
    "{% for x in [1] %}{{ loop._undefined }}{% endfor %}": UNSAFE,
    "{% macro m() %}{{ caller.__class__ }}{% endmacro %}{% call m() %}{% endcall %}": (
        UNSAFE
    ),
    "{% macro m() %}{% endmacro %}{{ m._func }}": UNSAFE,
    "{% macro m() %}{% endmacro %}{{ m._environment }}": UNSAFE,
    "{{ nobody._undefined_exception }}": UNSAFE,
    "{{ (''|e).__class__('<x/>') }}": UNSAFE,
    "{{ (1).to_bytes(9, 'big') }}": UNSAFE,
    "{{ (1.0).fromhex('0x1') }}": UNSAFE,
    "{{ ''.encode() }}": UNSAFE,
    "{{ ''.maketrans({}) }}": UNSAFE,
    "{{ {'a onclick=x': 1}|xmlattr }}": "No filter named 'xmlattr'",
    "{{ org|pprint }}": "No filter named 'pprint'",
    "{{ [org]|map('pprint')|first }}": "No filter named 'pprint'",
    "{{ ['<x/>']|map('safe')|first }}": "No filter named 'safe'",
    "{{ '<x/>'|safe }}": "No filter named 'safe'",
    "{% autoescape false %}{{ '<x/>' }}{% endautoescape %}": "cannot be turned off",
    "{% import '../../etc/passwd' as x %}": "../../etc/passwd",
    "{% include '/etc/passwd' %}": "/etc/passwd",
    "{% include 'orgs/dev.yaml' %}": "orgs/dev.yaml",
    "{% include 'certs/a.key' %}": "certs/a.key",
    "{% extends 'file:///etc/passwd' %}": "file:///etc/passwd",
    "{% debug %}": "unknown tag 'debug'",
    "{% do 1 %}": "unknown tag 'do'",
    "{{ None }}": "None is printed",
    "{{ 'a' ~ None }}": "None is printed",
    "{{ [1] }}": "a list is printed",
    "{{ 'a' ~ [1] }}": "a list is printed",
    "{{ 'a' ~ {} }}": "a mapping is printed",
    "{{ 'a\\x0bb' }}": "control character U+000B",
    "{{ 'a\\x0bb'|e }}": "control character U+000B",
    "{{ 'a\\x0bb' ~ 'c' }}": "control character U+000B",
    "{{ '\\ud800' }}": "control character U+D800",
    "{{ '\\ufdd0other.j2:3\\ufdd1' }}": "control character U+FDD0",
    "a\ud800{{ 1 }}": "surrogates not allowed",
    "{{ 1e999 }}": "'inf' is not defined",
    "{{ 'x'|truncate(-5) }}": "expected length",
    "{{ '\\xZZ' }}": "escape",
    "{{ '%1000000000d'|format(1) }}": "a width past all measure",
    "{{ '%.1000000000f'|format(1) }}": "a width past all measure",
    "{{ '%*d'|format(10**9, 1) }}": "a width past all measure",
    "{{ '%(a)1000000000d'|format(a=1) }}": "a width past all measure",
    "{{ ['a', 1]|sum }}": "only numbers have a sum",
    "{{ '%s %s'|format(1, a=1) }}": "positional or named values",
}

MUCH = "more than any needs"


def doubled(first, operator):
    again = "{% set a = a " + operator + " a %}"
    return "{% set a = " + first + " %}" + again * 40 + "{{ a|length }}"


GREEDY = {
    "{{ 'a' * 10**9 }}": "repeated past all measure",
    "{{ 10**9 * 'a' }}": "repeated past all measure",
    "{% set x = [0] * 10**9 %}": "repeated past all measure",
    "{{ 9**9**9**9**9 }}": "a number too large",
    "{{ 2**4000 * 2**4000 }}": "a number too large",
    "{{ 9.0**9999 }}": "out of range",
    doubled("'a'", "~"): MUCH,
    doubled("'a'", "+"): MUCH,
    doubled("[1]", "+"): MUCH,
    "{% set a = 'x' %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40: MUCH,
    "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}": MUCH,
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "without end",
    "{% block a %}{{ self.a() }}{% endblock %}": "without end",
    "{% include 'connectedApps/Portal.connectedApp.j2' %}": "without end",
    "{% extends 'connectedApps/Portal.connectedApp.j2' %}": "without end",
    "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}": "without end",
    "{% for i in [1] recursive %}{% if loop.depth < 9 %}{{ loop(range(90000)) }}"
    "{% endif %}{% endfor %}": MUCH,
    "{% for i in range(10**9) %}{% endfor %}": "Range too big",
    "{% for i in range(100000) %}{% for j in range(20) %}x{% endfor %}{% endfor %}": (
        MUCH
    ),
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": (
        MUCH
    ),
    "{% for i in range(90000) %}{% if range(90000)|select('odd')|first %}{% endif %}"
    "{% endfor %}": MUCH,
    "{% for i in range(90000) %}{% set x = 'ab'.upper().lower().title() %}"
    "{% endfor %}": MUCH,
    "{% set x %}{% for i in range(90000) %}"
    + "x" * 1000
    + "{% endfor %}{% endset %}": (MUCH),
    "{{ 'a'|center(10**9) }}": "No filter named 'center'",
    "{{ 'a'|indent(10**9) }}": "No filter named 'indent'",
    "{{ 'a'|wordwrap(1) }}": "No filter named 'wordwrap'",
    "{{ [1]|batch(10**9, 0)|list }}": "No filter named 'batch'",
    "{{ [1]|slice(10**9)|list }}": "No filter named 'slice'",
    "{{ 'a'.ljust(10**9) }}": UNSAFE,
    "{{ 'a'.zfill(10**9) }}": UNSAFE,
    "{{ 'a'.center(10**9) }}": UNSAFE,
    "{{ 'a'.expandtabs(10**9) }}": UNSAFE,
    "{{ ('a' * 10**6).translate({97: 'b' * 10**6}) }}": UNSAFE,
    "{{ '{:1000000000}'.format(1) }}": "format() is not allowed",
    "{{ ('a' * 10**6)|replace('a', 'b' * 10**6) }}": MUCH,
    "{{ ('a' * 10**6).replace('a', 'b' * 10**6) }}": MUCH,
    "{{ ('a' * 10**6).join(['b'] * 10**6) }}": MUCH,
    "{{ (['b'] * 10**6)|join('a' * 10**6) }}": MUCH,
    "{{ ([[1] * 1000] * 10**6)|sum(start=[]) }}": "only numbers have a sum",
    "{{ ('&' * 10**6)|e|e|e|e|e|e|length }}": MUCH,
    "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}": "without end",
    "{{ " + "[" * 9000 + "]" * 9000 + " }}": "without end",
    "{% for a in [1] %}" * 60 + "{% endfor %}" * 60: "too many statically nested",
}
HOSTILE = {**ESCAPES, **GREEDY}


@pytest.mark.parametrize(("text", "said"), ESCAPES.items())
def test_no_way_leads_out(text, said):
    (problem,) = render(text).problems
    assert said in problem.message
    assert (problem.path, problem.line) == (APP, 1)


# All of them, within what one process may take at most.
BOUNDED = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1_000_000_000,) * 2)
sys.path.insert(0, sys.argv[1])
from test_render import render

for text, said in json.loads(sys.stdin.read()).items():
    before = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    found = [p.message for p in render(text).problems]
    took = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - before
    if len(found) != 1 or said not in found[0] or took > 20:
        print(took, repr(text[:80]), said, found)
"""


def test_every_rendering_ends_soon_and_small():
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(Path(__file__).parent)],
        input=json.dumps(HOSTILE),
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_name_is_no_way_either():
    path = "templates/connectedApps/{{ ''.__class__ }}.connectedApp.j2"
    (problem,) = Renderer({path: "<a/>"}).render(org()).problems
    assert UNSAFE in problem.message
    path = "templates/connectedApps/{{ v }}.connectedApp.j2"
    (problem,) = Renderer({path: "<a/>"}).render(org('{v: "a\\eb"}')).problems
    assert "control character U+001B" in problem.message


FINE = {
    "{{ true }}{{ 'x' ~ true ~ 1 ~ 1.5 }}": "truextrue11.5",
    "{{ '%s-%03d %(a)s'|replace('%(a)s', '')|format('a', 7) }}": "a-007 ",
    "{{ '%(n)s'|format(n='a') }}": "a",
    "{{ [1, 2.5]|sum }}{{ [{'n': 1}, {'n': 2}]|sum(attribute='n', start=4) }}": "3.57",
    "{{ 'a,b'.split(',')|join('<') }}": "a&lt;b",
    "{{ ','.join(['a', 'b']) }}{{ ','.join(['a']|map('upper')) }}": "a,bA",
    "{{ 'abc'.replace('b', '<') }}{{ 'aXb'.lower().count('a') }}": "a&lt;c1",
    "{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m('<') ~ '<' }}": (
        "<b>&lt;</b>&lt;"
    ),
    "{% for x in 'ab' %}{{ loop.index }}/{{ loop.length }}{% endfor %}": "1/22/2",
    "{% for x in 'ab' %}{{ loop.last }}{% endfor %}": "falsetrue",
    "{% for x in [1, [2]] recursive %}{{ loop(x) if x is iterable else x }}"
    "{% endfor %}": "12",
    "{{ [1] + [2] == [1, 2] }}{{ 2 + 3 * 2 ** 3 }}{{ 5 % 3 }}": "true262",
    "{{ org.tags|length }}{{ org.get('no', 'x') }}{{ [3, 1].index(1) }}": "0x1",
    "{{ ['b', 'a']|sort|first }}{{ {'k': 1}.items()|list|length }}": "a1",
}


@pytest.mark.parametrize(("text", "made"), FINE.items())
def test_what_templates_need_is_there(text, made):
    assert body(f"<a>{text}</a>") == f"<a>{made}</a>"


def test_more_items_may_do_more():
    header = "{# metadeploy: for_each: apps\n as: app #}"
    path = "templates/connectedApps/{{ app }}.connectedApp.j2"
    apps = ", ".join(f"A{n}" for n in range(600))
    text = header + "<a>{{ app * 5000 }}</a>"
    rendered = render(text, f"{{apps: [{apps}]}}", path)
    assert [p.message for p in rendered.problems] == []
    assert len(rendered.components) == 600
    assert xmlfile.parse(rendered.components[0].body).text == "A0" * 5000
