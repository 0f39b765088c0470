from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from metadeploy import orgfile, xmlfile, yamlfile
from metadeploy.lift import identifier, lift
from metadeploy.model import METADATA_NS, Component, Ref
from metadeploy.render import Renderer

PATH = "templates/connectedApps/Portal.connectedApp.j2"


def app(inside):
    body = f'<ConnectedApp xmlns="{METADATA_NS}">{inside}</ConnectedApp>'
    return Component(Ref("ConnectedApp", "Portal"), body.encode())


def rendered(lifted, org):
    base, _ = orgfile.read(
        org, "orgs/x.yaml", yamlfile.read("kind: emulated\n", "orgs/x.yaml"), None
    )
    org_file = replace(base, values=lifted.values[org])
    found = Renderer({PATH: lifted.template}).render(org_file)
    assert found.problems == (), lifted.template
    root = xmlfile.parse(found.components[0].body)
    for element in root.iter():  # nothing but lists that are empty in this org
        if len(element) == 0 and element in (root, root.find("{*}oauthConfig")):
            element.text = None
    return xmlfile.canonical(root)


def check(**inside):
    found = {org: app(text) for org, text in inside.items()}
    lifted = lift(found, "Portal")
    for org, component in found.items():
        wanted = xmlfile.canonical(xmlfile.parse(component.body))
        assert rendered(lifted, org) == wanted
    return lifted


def test_what_is_the_same_is_written_as_it_is():
    text = "<label>P &amp; Q</label><oauthConfig><infoUrl>a\nb</infoUrl></oauthConfig>"
    lifted = check(dev=text, uat=text)
    assert lifted.values == {"dev": {}, "uat": {}}
    assert "    <label>P &amp; Q</label>\n    <oauthConfig>\n" in lifted.template


def test_what_differs_becomes_a_value():
    lifted = check(
        dev="<label>P</label><oauthConfig><callbackUrl>https://d</callbackUrl>"
        "<scopes>Api</scopes></oauthConfig>",
        uat="<label>P</label><oauthConfig><callbackUrl>https://u</callbackUrl>"
        "<scopes>Api</scopes></oauthConfig>",
    )
    assert "<callbackUrl>{{ Portal.oauthConfig.callbackUrl }}<" in lifted.template
    assert "<scopes>Api</scopes>" in lifted.template
    assert lifted.values["uat"] == {
        "Portal": {"oauthConfig": {"callbackUrl": "https://u"}}
    }


def test_what_only_one_org_has_is_asked_for():
    check(dev="<description>d</description>", uat="<label>x</label>")
    check(
        dev="<sessionPolicy><sessionTimeout>5</sessionTimeout></sessionPolicy>",
        uat="<label>x</label>",
    )


def test_lists_that_differ():
    check(
        dev="<scopes>Api</scopes><scopes>Web</scopes>",
        uat="<scopes>Api</scopes>",
        prod="",
    )
    check(
        dev="<ipRanges><end>9</end><start>1</start></ipRanges>",
        uat="<ipRanges><description>x</description><end>9</end><start>2</start>"
        "</ipRanges><ipRanges><end>4</end><start>3</start></ipRanges>",
    )


def test_jinja_in_a_text_is_kept_from_jinja():
    check(dev="<label>{{ 1 }}</label><infoUrl>{% x %}</infoUrl>")
    check(dev="<label>{{ 1 }}</label>", uat="<label>{# 2 #}</label>")


def test_names_for_values():
    assert identifier("Portal") == "Portal"
    assert identifier("My App") == "My_App"
    assert identifier("3D") == "app_3D"
    assert identifier("org") == "app_org"


texts = st.text("ab{%}# &<\n", max_size=6)
leaves = st.dictionaries(
    st.sampled_from(["description", "label", "infoUrl"]), texts, max_size=3
)
bodies = st.tuples(leaves, st.lists(texts.filter(bool), max_size=3), st.none() | leaves)


def xml_of(body):
    from xml.sax.saxutils import escape

    def write(found):
        return "".join(f"<{n}>{escape(t)}</{n}>" for n, t in found.items())

    own, scopes, nested = body
    inner = "" if nested is None else f"<oauthConfig>{write(nested)}</oauthConfig>"
    return write(own) + "".join(f"<scopes>{escape(s)}</scopes>" for s in scopes) + inner


@given(st.lists(bodies, min_size=1, max_size=3))
def test_each_org_gets_back_what_it_has(found):
    check(**{f"org{n}": xml_of(body) for n, body in enumerate(found)})
