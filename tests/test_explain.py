"""What a file touches: it is what comes out otherwise when the file is edited."""

from __future__ import annotations

from pathlib import Path

import pytest
from apps import PORTAL
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.errors import ConfigError
from metadeploy.explain import explain
from metadeploy.model import Ref
from metadeploy.project import Project
from metadeploy.reads import Reads, reads, touches
from metadeploy.render import Renderer
from metadeploy.workspace import Workspace

EXAMPLE = Path(__file__).parent.parent / "metadeploy" / "_scaffold"
ORGS = ("dev", "prod", "uat")
TEXTS = Workspace(EXAMPLE).project().texts
SET = "templates/permissionsets/Portal_API.permissionset.j2"
ITEM = "templates/connectedApps/{{ integration.name }}.connectedApp.j2"


def one(path, texts=TEXTS, orgs=ORGS):
    (found,) = explain(Project(texts), [path], orgs)
    return found


def test_a_template_makes_components_of_values():
    found = one(PORTAL)
    assert set(found.makes) == set(ORGS)
    assert found.makes["dev"] == (Ref("ConnectedApp", "Portal"),)
    assert {"contact", "portal.url", "portal.callback_urls"} <= set(found.values)
    assert found.used_by == ()


def test_a_template_of_a_list_makes_each_item():
    found = one(ITEM)
    names = {ref.full_name for ref in found.makes["dev"]}
    assert {"Billing", "Ledger", "Ledger_oauth"} <= names
    assert "integrations" in found.values and "integration.name" not in found.values


def test_what_macros_and_certificates_touch_by_others():
    body = "{{ file('certs/a.crt') }}{{ values_of.it }}"
    texts = {
        **TEXTS,
        "templates/macros/one.j2": f"{{% macro m() %}}{body}{{% endmacro %}}",
        "templates/macros/two.j2": "{% import 'macros/one.j2' as one %}",
        SET: TEXTS[SET] + "{% from 'macros/two.j2' import one %}",
        "certs/a.crt": "x",
    }
    found = one("certs/a.crt", texts)
    assert found.used_by == (
        "templates/macros/one.j2",
        "templates/macros/two.j2",
        SET,
    )
    assert found.makes["uat"] == (Ref("PermissionSet", "Portal_API"),)
    middle = one("templates/macros/two.j2", texts)
    assert (middle.reads, middle.used_by) == (("macros/one.j2",), (SET,))
    assert one("templates/macros/one.j2", texts).reads == ("certs/a.crt",)


def test_an_org_file_touches_what_reads_its_values():
    found = one("orgs/dev.yaml")
    assert set(found.makes) == {"dev"}
    assert "portal.url" in found.values and PORTAL in found.used_by
    assert set(one("orgs/defaults.yaml").makes) == set(ORGS)


def test_a_file_of_a_source_tree_is_itself():
    path = "force-app/profiles/P.profile-meta.xml"
    found = one(path, {**TEXTS, path: "<Profile/>"})
    assert found.makes["dev"] == (Ref("Profile", "P"),)


def test_a_folder_is_all_files_in_it():
    found = explain(Project(TEXTS), ["templates/profiles", "orgs/dev.yaml"], ["dev"])
    *others, last = [e.path for e in found]
    assert last == "orgs/dev.yaml" and others
    assert all(path.startswith("templates/profiles/") for path in others)
    with pytest.raises(ConfigError, match=r"README\.md is no template, org file or"):
        one("README.md")


@pytest.mark.parametrize(
    ("text", "items", "found"),
    [
        ("{{ a.b.c }}{{ a['x'].y }}{{ f(d.e) }}", {}, {"a.b.c", "a", "f", "d.e"}),
        ("{% for x in l.m %}{{ x.y }}{% endfor %}", {}, {"l.m"}),
        ("{% set z = q %}{{ z.w }}", {}, {"q"}),
        ("{{ item.name }}", {"item": "list.of"}, {"list.of"}),
        ("{{ broken", {}, set()),
        ("{{ fail('x') }}{{ range(3) }}", {}, set()),
    ],
)
def test_values_are_read_by_their_names(text, items, found):
    assert reads(text, items).values == found


def test_texts_that_are_known_only_when_rendered():
    assert reads("{% include x %}", {}).texts == {"*"}
    assert Renderer({}).reads("templates/gone.j2") == Reads()
    assert reads("{{ file(x) }}", {}).texts == {"*"}
    assert reads("{{ file() }}", {}).texts == {"*"}
    assert reads("{{ file('certs/a') }}", {}) == Reads(frozenset({"certs/a"}))
    assert reads("{% set f = file %}{{ f('certs/a') }}", {}).texts == {"*"}


@pytest.mark.parametrize("text", ["{{ a.b | nosuch }}", "{{ a.b is nosuch }}"])
def test_what_cannot_run_reads_all_that_it_names(text):
    assert reads(text, {}).values == {"a.b"}


def test_a_value_is_read_whole_or_in_part():
    read = frozenset({"a.b"})
    found = [touches(name, read) for name in ("a", "a.b", "a.b.c", "a.c", "ab")]
    assert found == [True, True, True, False, False]


@given(st.sampled_from(sorted(p for p in TEXTS if p.startswith("templates/"))))
def test_rendering_without_a_template_lacks_what_it_makes(path):
    whole = Project(TEXTS)
    less = Project({p: t for p, t in TEXTS.items() if p != path})

    def refs(project, name):
        return {c.ref for c in project.render(project.org(name))[0]}

    lost = {n: tuple(sorted(refs(whole, n) - refs(less, n))) for n in ORGS}
    assert one(path).makes == {n: found for n, found in lost.items() if found}


def test_on_the_command_line(runner, project):
    ran = runner("validate", "--explain", project / "orgs/uat.yaml", project / SET)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("orgs/uat.yaml\n  values    integration_user\n")
    assert f"  used by   {PORTAL}\n" in ran.out
    assert f"{SET}\n" in ran.out and "makes     dev: PermissionSet Port" in ran.out
    said = runner("validate", "--explain", project / PORTAL, "--json", "--org", "dev")
    (row,) = said.json["explained"]
    assert row["path"] == PORTAL
    assert row["makes"] == [
        {"org": "dev", "type": "ConnectedApp", "fullName": "Portal"}
    ]
    assert runner("validate", "--explain").code == 64
