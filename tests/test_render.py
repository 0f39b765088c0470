import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from metadeploy import orgfile, xmlfile, yamlfile
from metadeploy.model import METADATA_NS, Ref
from metadeploy.render import Renderer

APP = "templates/connectedApps/Portal.connectedApp.j2"


def org(values="{}", extra=""):
    text = f"kind: emulated\n{extra}values: {values}\n"
    found, problems = orgfile.read(
        "uat", "orgs/uat.yaml", yamlfile.read(text, "orgs/uat.yaml"), None
    )
    assert problems == ()
    return found


def render(text, values="{}", path=APP, **others):
    return Renderer({path: text, **others}).render(org(values))


def body(text, values="{}"):
    rendered = render(text, values)
    assert rendered.problems == ()
    return rendered.components[0].body.decode()


def problem(text, values="{}", path=APP, **others):
    (found,) = render(text, values, path, **others).problems
    return str(found)


def test_a_template_makes_the_component_that_its_path_names():
    rendered = render("<ConnectedApp>{{ label }}</ConnectedApp>\n", "{label: A}")
    (component,) = rendered.components
    assert component.ref == Ref("ConnectedApp", "Portal")
    assert component.body == b"<ConnectedApp>A</ConnectedApp>\n"


def test_markup_in_a_value_arrives_as_text():
    text = body("<a>{{ v }}</a>", r"""{v: "R&D <p> ]]> ' \" \r\n\té"}""")
    assert xmlfile.parse(text.encode()).text == "R&D <p> ]]> ' \" \r\n\té"


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_value_arrives_or_is_refused(value):
    rendered = Renderer({APP: "<a>\n{{ v }}</a>"}).render(_with_values({"v": value}))
    if rendered.problems:
        assert "control character" in rendered.problems[0].message
    else:
        assert xmlfile.parse(rendered.components[0].body).text == f"\n{value}"


def _with_values(values):
    return replace(org(), values=values)


def test_truth_is_written_the_way_xml_does():
    assert body("<a>{{ x }}{{ y }}{{ 3 }}</a>", "{x: true, y: false}") == (
        "<a>truefalse3</a>"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a>\n{{ nobody }}</a>", "2: 'nobody' is undefined for"),
        ("<a>\n\n{{ org.nobody }}</a>", "3: 'dict object' has no attribute 'nobody'"),
        ("<a>\n{{ none_ }}</a>", "2: None is printed where a text is wanted for"),
        ("<a>{{ list_ }}</a>", "1: a list is printed where a text is wanted for"),
        ("<a>{{ org }}</a>", "1: a mapping is printed where a text is wanted for"),
        ("<a>{{ ctrl }}</a>", "1: a value holds the control character U+000B for"),
        (
            "<a>\n{% if %}</a>",
            "2: Expected an expression, got 'end of statement block'",
        ),
        ("<a>\n{% include 'x.j2' %}</a>", "2: x.j2 for"),
        ("<a>{{ 'x'|safe }}</a>", "1: No filter named 'safe'."),
        ("<a>{{ 'a' * 10000000 }}</a>", "1: a text or list repeated past all measure"),
        ("<a>{{ 9 ** 9999999 }}</a>", "1: a number too large to be meant for"),
        ("<a>{{ 1 / 0 }}</a>", "1: division by zero for"),
        ("<a>{{ 'x'.__class__ }}</a>", "1: access to attribute '__class__' of 'str'"),
        ("<a>{{ list_.append(1) }}</a>", "1: access to attribute 'append' of 'list'"),
        ("<a>\n{{ fail('no ' ~ 'way') }}</a>", "2: no way for"),
        ("<a>{{ '%s' % 1 }}</a>", "1: 'text' % value is not allowed; use ~"),
        (
            "{% for i in range(90000) %}{{ 'x' * 999999 }}{% endfor %}",
            "1: the template does or makes more than any needs for",
        ),
        (
            "{% for i in range(900000) %}{% endfor %}",
            "1: Range too big. The sandbox blocks ranges larger than MAX_RANGE",
        ),
    ],
)
def test_a_fault_names_template_line_and_org(text, message):
    found = problem(text, r'{none_: ~, list_: [1], ctrl: "\v"}')
    assert found.startswith(f"{APP}:{message}")
    if " for" in message:
        assert "for org uat (orgs/uat.yaml) [MD02" in found


def test_much_text_of_the_template_itself():
    big = {"big.j2": "x" * 1_000_000}
    text = "{% for i in range(60) %}{% include 'big.j2' %}{% endfor %}"
    assert "1: the output grows past 50 MB for" in problem(text, **big)


def test_a_fault_inside_a_macro_names_the_macro_file():
    macros = "templates/macros/oauth.j2"
    found = problem(
        "{% import 'macros/oauth.j2' as m %}\n{{ m.a(1) }}",
        **{macros: "\n{% macro a(x) %}\n{{ x.y }}{% endmacro %}"},
    )
    assert found.startswith(f"{macros}:3: 'int object' has no attribute 'y'")


def test_templates_that_include_each_other_end():
    found = problem("{% include 'connectedApps/Portal.connectedApp.j2' %}")
    assert "include one another without end" in found


def test_every_line_knows_its_template_line():
    text = (
        "<ConnectedApp>\n"
        "{% for u in urls %}\n"
        "  <u>{{ u }}</u>\n"
        "{% endfor %}\n"
        "  {%- if true %}<x/>{% endif %}\n"
        "\n"
        "  {{ m.label('A') }}\n"
        "</ConnectedApp>\n"
    )
    macros = "templates/macros/m.j2"
    rendered = Renderer(
        {
            APP: "{% import 'macros/m.j2' as m %}\n" + text,
            macros: "{% macro label(x) %}\n<label>{{ x }}</label>\n{% endmacro %}\n",
        }
    ).render(org(r'{urls: ["a\nb", c]}'))
    (component,) = rendered.components
    found = {
        line.strip(): component.source.locate(n)
        for n, line in enumerate(component.body.decode().split("\n"), 1)
    }
    assert found["<ConnectedApp>"] == (APP, 2)
    assert found["<u>a"] == (APP, 4)
    assert found["b</u>"] == (APP, 4)
    assert found["<u>c</u>"] == (APP, 4)
    assert found["<x/>"] == (APP, 6)
    assert found["<label>A</label>"] == (macros, 2)


def test_marks_do_not_show_in_what_a_template_compares():
    text = "{% set x %}ok{% endset %}<a>{{ 'yes' if x == 'ok' else 'no' }}</a>"
    assert body(text) == "<a>yes</a>"


def test_whitespace_control_is_jinjas():
    assert body("<a>\n  {%- if true %}\n  <b/>\n  {%- endif %}\n</a>") == (
        "<a>  <b/></a>"
    )


ITEM = "templates/permissionsets/{{ job.name }}_API.permissionset.j2"
EACH = "{# metadeploy\nfor_each: jobs\nas: job\n#}\n<P>{{ job.name }}</P>"


def test_one_template_makes_a_component_of_each_item():
    rendered = render(EACH, "{jobs: [{name: B}, {name: A&}]}", ITEM)
    assert [c.ref.full_name for c in rendered.components] == ["A&_API", "B_API"]
    assert rendered.components[0].body == b"<P>A&amp;</P>"


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        (EACH, "{}", ":2: for_each: jobs is not a list for org uat"),
        (EACH, "{jobs: [1]}", ":1: 'int object' has no attribute 'name' for org uat"),
        (EACH, "{jobs: [{name: a/b}]}", ":1: the file name makes 'a/b_API', which is"),
        ("{# metadeploy foreach: x #}", "{}", ":1: the header cannot say 'foreach: x'"),
        ("{# metadeploy\nas: x\n#}", "{}", ":1: the header names 'x' without a for_"),
        ("{# metadeploy for_each: a\nas: a b#}", "{}", ":1: the header names 'a b'"),
    ],
)
def test_a_header_that_cannot_be_followed(text, values, message):
    assert problem(text, values, ITEM).startswith(ITEM + message)


def test_a_nested_list_can_be_named():
    text = "{# metadeploy: for_each: a.b #}<P>{{ item }}</P>"
    path = "templates/permissionsets/P{{ item }}.permissionset.j2"
    rendered = render(text, "{a: {b: [1, 2]}}", path)
    assert [c.ref.full_name for c in rendered.components] == ["P1", "P2"]


def test_a_template_that_renders_to_nothing_makes_no_component():
    text = "{% if org.kind == 'production' %}<a/>{% endif %}\n"
    assert render(text) == render("")
    assert render(text).components == ()


def test_an_org_can_choose_its_templates():
    renderer = Renderer(
        {
            APP: "<a/>",
            "templates/connectedApps/Other.connectedApp.j2": "<a/>",
            "templates/profiles/Admin.profile.j2": "<a/>",
            "templates/macros/x.j2": "<a/>",
        }
    )

    def names(extra):
        return [str(c.ref) for c in renderer.render(org(extra=extra)).components]

    assert names("templates: ['connectedApps/P*']\n") == ["ConnectedApp Portal"]
    assert names("templates: [profiles/Admin]\n") == ["Profile Admin"]
    assert len(names("")) == 3


def test_the_same_input_gives_the_same_bytes():
    values = "{b: 1, a: 2}"
    text = f'<a xmlns="{METADATA_NS}">{{{{ a }}}}{{{{ b }}}}</a>'
    assert render(text, values) == render(text, values)


CERT = "-----BEGIN CERTIFICATE-----\r\nMIIB+/=\r\n-----END CERTIFICATE-----\r\n"


def test_a_certificate_comes_from_a_file_of_the_project():
    text = "<a>\n<b>{{ file('certs/' ~ name) }}</b></a>"
    rendered = render(text, "{name: portal.crt}", **{"certs/portal.crt": CERT})
    (component,) = rendered.components
    wanted = CERT.replace("\r", "").strip()
    assert component.body.decode() == f"<a>\n<b>{wanted}</b></a>"
    assert component.source.locate(4) == (APP, 2)


def test_a_macro_reads_files_too():
    macros = {
        "templates/macros/m.j2": "{% macro m() %}{{ file('certs/a') }}{% endmacro %}",
        "certs/a": "A & B",
    }
    text = "{% from 'macros/m.j2' import m %}<a>{{ m() }}</a>"
    (component,) = render(text, **macros).components
    assert component.body == b"<a>A &amp; B</a>"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("'certs/portl.crt'", "there is no file 'certs/portl.crt' for"),
        ("'certs/../orgs/uat.yaml'", "there is no file 'certs/../orgs/uat.yaml' for"),
        ("'/etc/passwd'", "file() reads from certs/ only, not '/etc/passwd' for"),
        ("'orgs/uat.yaml'", "file() reads from certs/ only, not 'orgs/uat.yaml' for"),
        ("['certs/portal.crt']", "file() reads from certs/ only, not ['certs/portal"),
    ],
)
def test_files_are_read_from_certs_only(path, message):
    text = f"<a>\n{{{{ file({path}) }}}}</a>"
    found = problem(text, **{"certs/portal.crt": CERT, "orgs/uat.yaml": "kind: x"})
    assert found.startswith(f"{APP}:2: {message}"), found


def test_a_file_that_was_meant_is_named():
    found = problem("{{ file('certs/portl.crt') }}", **{"certs/portal.crt": CERT})
    assert found.endswith("; did you mean certs/portal.crt? [MD022]"), found


def test_a_file_of_certs_is_no_template():
    assert "certs/a" in problem("{% include 'certs/a' %}", **{"certs/a": "<a/>"})
    renderer = Renderer({"certs/Portal.crt.j2": "{{ nobody }}"})
    assert renderer.paths == ()


def test_templates_may_reckon():
    assert body("<a>{{ 3 * 4 }} {{ 7 % 4 }} {{ 2.5 ** 2 }} {{ 0.5 * 2 }}</a>") == (
        "<a>12 3 6.25 1.0</a>"
    )


def test_a_template_without_jinja_is_its_own_text():
    text = '<?xml version="1.0"?>\r\n<X>\r\n    <a>{ x }}</a>\r\n</X>\n'
    (plain,) = render(text).components
    (rendered,) = render(text + "{# Jinja reads this one. #}").components
    assert plain.body == rendered.body == text.replace("\r\n", "\n").encode()
    for line in (2, 3):
        assert plain.source.locate(line) == rendered.source.locate(line) == (APP, line)
