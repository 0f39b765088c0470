"""A project as texts: which orgs are meant, and every problem, once."""

from __future__ import annotations

import pytest

from metadeploy.errors import ConfigError, InvalidMetadata
from metadeploy.keys import KeyChoice
from metadeploy.model import METADATA_NS, Ref, Severity
from metadeploy.project import Project

EMULATED = "kind: emulated\n"
FILES = {
    "orgs/defaults.yaml": "tags: [all]\nvalues: {label: Portal}\n",
    "orgs/dev.yaml": EMULATED,
    "orgs/uat.yaml": EMULATED + "tags: [uat, emea]\n",
    "orgs/prod.yml": EMULATED + "tags: [emea]\n",
    "orgs/customers/acme.yaml": EMULATED + "tags: []\n",
}
KEY = "PinnedKey0001"
APP = f"""<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp xmlns="{METADATA_NS}">
    <contactEmail>a@example.com</contactEmail>
    <label>{{{{ label }}}}</label>
    <oauthConfig>
        <callbackUrl>https://a.example/cb</callbackUrl>
        <isAdminApproved>true</isAdminApproved>
        <scopes>Api</scopes>
    </oauthConfig>
</ConnectedApp>
"""
PORTAL = "templates/connectedApps/Portal.connectedApp.j2"
SET = f"""<PermissionSet xmlns="{METADATA_NS}">
    <connectedAppAccesses>
        <connectedApp>Portal</connectedApp>
        <enabled>true</enabled>
    </connectedAppAccesses>
    <label>P</label>
</PermissionSet>
"""
P = "templates/permissionsets/P.permissionset.j2"


def project():
    return Project(FILES)


def with_files(files):
    return Project({**FILES, **files})


# Which orgs are meant.


def test_orgs_are_files_below_orgs():
    assert dict(project().org_paths) == {
        "customers/acme": "orgs/customers/acme.yaml",
        "dev": "orgs/dev.yaml",
        "prod": "orgs/prod.yml",
        "uat": "orgs/uat.yaml",
    }


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ([], ("customers/acme", "dev", "prod", "uat")),
        (["dev"], ("dev",)),
        (["uat", "dev"], ("uat", "dev")),
        (["*"], ("customers/acme", "dev", "prod", "uat")),
        (["?at", "u*"], ("uat",)),
        (["[dp]*"], ("dev", "prod")),
        (["customers/acme"], ("customers/acme",)),
        (["customers/*", "dev"], ("customers/acme", "dev")),
        (["tag:emea"], ("prod", "uat")),
        (["tag:uat", "tag:emea"], ("uat", "prod")),
        (["tag:all"], ("dev",)),  # an org's own tags replace those of the defaults
    ],
)
def test_orgs_are_meant_by_name_glob_or_tag(patterns, names):
    assert project().select(patterns) == names


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("uta", "Did you mean uat?"),
        ("customers/acne", "Did you mean customers/acme?"),
        ("Dev", "Did you mean dev?"),
        ("zzz", "The project has: customers/acme, dev, prod, uat."),
        ("tag:none", "The project has: customers/acme, dev, prod, uat."),
        ("defaults", "The project has: customers/acme, dev, prod, uat."),
        ("orgs/dev.yaml", "The project has: customers/acme, dev, prod, uat."),
        ("", "The project has: customers/acme, dev, prod, uat."),
    ],
)
def test_a_pattern_that_means_none_says_which_there_are(pattern, hint):
    with pytest.raises(ConfigError) as caught:
        project().select(["dev", pattern])
    assert str(caught.value) == f"no org is called {pattern!r}"
    assert caught.value.hint == hint


def test_a_project_without_orgs():
    with pytest.raises(ConfigError, match=r"there is no orgs/\*\.yaml here"):
        Project({"orgs/defaults.yaml": "", "orgs/readme.txt": ""}).select([])


def test_a_name_that_reads_like_a_glob():
    found = with_files({"orgs/a[1].yaml": EMULATED})
    assert found.select(["a[1]"]) == ("a[1]",)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("kind: [\ntags: [emea]\n", True),  # nobody can tell
        ("- list\n", True),
        (EMULATED + "tags: emea\n", True),
        ("kind: nonsense\n", True),
        ("kind: nonsense\ntags: [emea]\n", True),
        ("kind: nonsense\ntags: [apac]\n", False),
    ],
)
def test_an_unusable_org_is_not_left_out_by_its_tag(text, taken):
    found = with_files({"orgs/broken.yaml": text})
    assert ("broken" in found.select(["tag:emea"])) is taken
    assert found.read("broken")[0] is None
    with pytest.raises(InvalidMetadata):
        found.org("broken")


@pytest.mark.parametrize("name", ["ghost", "defaults", "orgs/dev.yaml", ""])
def test_an_org_that_is_not_there(name):
    with pytest.raises(ConfigError, match="no org is called"):
        project().org(name)


def test_an_org():
    org = project().org("uat")
    assert (org.name, org.path, org.kind) == ("uat", "orgs/uat.yaml", "emulated")
    assert org.file.tags == ["uat", "emea"]
    assert org.values == {"label": "Portal"}


def test_two_files_of_one_name():
    found = with_files({"orgs/dev.yml": EMULATED})
    assert [str(p) for p in found.validate(["dev"])] == [
        "orgs/dev.yml: orgs/dev.yaml is of the same name: only one can be meant [MD010]"
    ]
    with pytest.raises(InvalidMetadata):
        found.org("dev")
    found.org("uat")


def test_defaults_of_the_other_suffix():
    files = {p: t for p, t in FILES.items() if p != "orgs/defaults.yaml"}
    text = "values: {label: Other}\n"
    assert Project({**files, "orgs/defaults.yml": text}).org("dev").values == {
        "label": "Other"
    }
    both = with_files({"orgs/defaults.yml": text})
    assert "defaults" not in both.org_paths
    assert [str(p) for p in both.validate([])] == [
        "orgs/defaults.yml: orgs/defaults.yaml is of the same name: only one can be"
        " meant [MD010]"
    ]


@pytest.mark.parametrize("text", ["api_version: new\n", "more: 1\n", "a: [\n"])
def test_an_org_that_only_its_defaults_break(text):
    found = with_files({"orgs/defaults.yaml": text, PORTAL: APP})
    with pytest.raises(InvalidMetadata) as caught:
        found.org("dev")
    assert [p.path for p in caught.value.problems] == ["orgs/defaults.yaml"]
    assert found.validate(found.org_paths) == list(caught.value.problems)


def test_no_defaults_no_problems():
    assert Project({"orgs/dev.yaml": EMULATED}).defaults_problems() == ()


# Every problem, once.


def told(files, names=None):
    found = with_files(files)
    return [str(p) for p in found.validate(names or found.org_paths)]


def test_a_good_project_has_no_problems():
    assert told({PORTAL: APP, P: SET}) == []


def test_a_problem_of_all_orgs_is_told_once():
    bad = APP.replace("label>", "lable>")
    found = [p for p in told({PORTAL: bad}) if "lable" in p]
    assert len(found) == 1
    assert found[0].startswith(f"{PORTAL}:4: ")


def test_a_problem_of_each_org_is_told_for_each():
    bad = APP.replace("{{ label }}", "{{ gone }}")
    found = told({PORTAL: bad}, ["dev", "uat"])
    assert len(found) == 2
    assert [name in text for name, text in zip(("dev", "uat"), found, strict=True)]


def test_problems_of_all_files_come_together_by_place():
    files = {
        "orgs/dev.yaml": EMULATED + "taggs: []\n",
        "orgs/uat.yaml": EMULATED + "api_version: x\n",
        "orgs/defaults.yaml": "values: {label: Portal}\nmore: 1\n",
        PORTAL: APP.replace("Api", "Apo"),
    }
    found = with_files(files)
    problems = found.validate(found.org_paths)
    places = [(p.path, p.line) for p in problems]
    assert places == sorted(places)
    assert {p.path for p in problems} >= {
        "orgs/dev.yaml",
        "orgs/uat.yaml",
        "orgs/defaults.yaml",
    }


def test_only_the_orgs_asked_for_are_looked_at():
    files = {"orgs/uat.yaml": EMULATED + "api_version: x\n"}
    assert told(files, ["dev"]) == []
    assert len(told(files, ["uat"])) == 1


def pinned(template="", **orgs):
    app = APP.replace("<callbackUrl>", f"{template}<callbackUrl>", 1)
    files = {PORTAL: app} if template else {}
    for name, key in orgs.items():
        files[f"orgs/{name}.yaml"] = (
            f"{EMULATED}apps: {{Portal: {{consumer_key: {key}}}}}\n"
        )
    return told(files)


def test_the_same_pinned_key_in_two_orgs():
    assert pinned(dev=KEY, uat=KEY) == [
        "orgs/uat.yaml:2: consumer key PinnedKe… of uat is pinned by dev"
        " (orgs/dev.yaml:2) too [MD602]"
    ]
    assert pinned(dev=KEY, uat="OtherKey0002") == []


def test_a_key_that_a_template_pins_for_all_orgs():
    told = pinned(f"<consumerKey>{KEY}</consumerKey>")
    found = [p for p in told if "MD602" in p]
    assert len(found) == 3
    assert all(p.startswith(f"{PORTAL}:6: ") for p in found)
    assert all("is pinned by customers/acme" in p for p in found)


def test_a_key_that_template_and_org_file_agree_on():
    app = APP.replace(
        "<callbackUrl>", "<consumerKey>{{ key }}</consumerKey><callbackUrl>", 1
    )
    files = {PORTAL: app}
    for name in ("dev", "uat", "prod", "customers/acme"):
        suffix = ".yml" if name == "prod" else ".yaml"
        key = f"Key0of{name.replace('/', '0')}"
        files[f"orgs/{name}{suffix}"] = (
            f"{EMULATED}values: {{key: {key}}}\n"
            f"apps: {{Portal: {{consumer_key: {key}}}}}\n"
        )
    assert [p for p in told(files) if "MD602" in p] == []


def test_a_key_that_is_none_is_no_pin():
    comment = "<!-- <consumerKey>comes later</consumerKey> -->"
    assert [p for p in pinned(comment) if "MD602" in p] == []
    assert [p for p in pinned("<consumerKey></consumerKey>") if "MD602" in p] == []


def test_a_body_that_is_no_xml_pins_nothing():
    found = pinned(f"<consumerKey>{KEY}</consumerKey><oops>")
    assert found
    assert not [p for p in found if "MD602" in p]


def test_two_files_for_one_org():
    org_id = "00DWs000003xYZ1MAM"
    files = {
        f"orgs/{n}.yaml": f"{EMULATED}org_id: {i}\n"
        for n, i in (("dev", org_id), ("uat", org_id[:15]))
    }
    assert told(files) == [
        "orgs/uat.yaml:2: org id 00DWs000003xYZ1MAM of uat is that of dev"
        " (orgs/dev.yaml:2) too [MD601]"
    ]


# What is wanted.


def test_what_an_org_is_to_be_like():
    found = with_files(
        {
            PORTAL: APP,
            P: SET,
            "orgs/dev.yaml": EMULATED + "api_version: '65.0'\n"
            f"apps: {{Portal: {{generation: 3}}, Old: {{consumer_key: {KEY}}}}}\n",
        }
    )
    wanted = found.wanted(found.org("dev"))
    holder = Ref("PermissionSet", "P")
    assert (wanted.org, wanted.api_version) == ("dev", "65.0")
    assert [c.ref for c in wanted.components] == [Ref("ConnectedApp", "Portal"), holder]
    assert b"connectedAppAccesses" not in wanted.components[1].body
    assert wanted.access["Portal"].grants == {holder}
    assert wanted.access["Portal"].owned
    assert wanted.keys == {"Portal": KeyChoice(3, ""), "Old": KeyChoice(1, KEY)}
    place = ("Portal", holder, P, 2)
    assert wanted.places == (place,)


def test_nothing_is_wanted_of_what_is_wrong():
    bad = APP.replace("Api", "Apo").replace("label>", "lable>")
    found = with_files({PORTAL: bad})
    with pytest.raises(InvalidMetadata) as caught:
        found.wanted(found.org("dev"))
    assert len(caught.value.problems) >= 2
    assert all(p.severity is Severity.ERROR for p in caught.value.problems)


def test_an_app_of_the_other_kind():
    kind = "apps: {Portal: {kind: external_client_app}}\n"
    found = with_files({PORTAL: APP, "orgs/dev.yaml": EMULATED + kind})
    types = [c.ref.type for c in found.render(found.org("dev"))[0]]
    assert "ConnectedApp" not in types
    assert "ExternalClientApplication" in types
    broken = with_files({PORTAL: APP + "<oops>", "orgs/dev.yaml": EMULATED + kind})
    components, problems = broken.render(broken.org("dev"))
    assert components == ()
    assert len([p for p in problems if p.severity is Severity.ERROR]) == 1


def test_what_an_app_would_be_as_the_other_kind():
    found = with_files({PORTAL: APP})
    made = found.converted(found.org("dev"), "Portal")
    assert Ref("ExternalClientApplication", "Portal") in [
        c.ref for c in made.components
    ]
    with pytest.raises(ConfigError, match="no template makes a ConnectedApp Ghost"):
        found.converted(found.org("dev"), "Ghost")


def test_files_of_a_source_tree_are_chosen_like_templates():
    path = "force-app/main/default/profiles/Sales.profile-meta.xml"
    files = {
        path: f'<Profile xmlns="{METADATA_NS}"><custom>true</custom></Profile>\n',
        "orgs/dev.yaml": EMULATED + "templates: [profiles/*]\n",
        "orgs/uat.yaml": EMULATED + "templates: [connectedApps/*]\n",
    }
    found = with_files(files)

    def names(org):
        return [c.ref for c in found.render(found.org(org))[0]]

    assert names("dev") == [Ref("Profile", "Sales")]
    assert names("uat") == []
