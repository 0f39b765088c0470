import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy import orgfile, yamlfile


def read(text, defaults=None, name="uat"):
    path = f"orgs/{name}.yaml"
    base = None
    if defaults is not None:
        base = ("orgs/defaults.yaml", yamlfile.read(defaults, "orgs/defaults.yaml"))
    return orgfile.read(name, path, yamlfile.read(text, path), base)


def problems(text, defaults=None):
    return [str(p) for p in read(text, defaults)[1]]


def test_an_org_on_top_of_the_defaults():
    org, found = read(
        "kind: emulated\nvalues:\n  mail: {to: b@x.org}\n  hosts: [two]\n",
        "api_version: 65.0\nvalues:\n  mail: {from: a@x.org, to: a@x.org}\n"
        "  hosts: [one, more]\n  plain: 1\n",
    )
    assert found == ()
    assert org.api_version == "65.0"
    assert org.values == {
        "mail": {"from": "a@x.org", "to": "b@x.org"},
        "hosts": ["two"],
        "plain": 1,
    }
    assert org.line_of("values", "mail", "to") == ("orgs/uat.yaml", 3)
    assert org.line_of("values", "plain") == ("orgs/defaults.yaml", 5)


def test_defaults_that_nobody_overrides():
    org, _ = read("kind: emulated\n")
    assert (org.api_version, org.org_id, org.app("Portal").generation) == (
        "66.0",
        None,
        1,
    )
    assert org.emulated


SANDBOX = """\
kind: sandbox
org_id: 00DWs000003xYZ1
login: {flow: jwt, url: https://acme.my.salesforce.com, username: a@b.c,
        client_id: {env: ID}, private_key: {file: ~/k.pem}}
"""


def test_a_real_org_keeps_its_id_in_18_characters():
    org, found = read(SANDBOX)
    assert found == ()
    assert org.org_id == "00DWs000003xYZ1MAM"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "1: an org file is a mapping of keys"),
        ("values: {}\n", "1: kind is missing: one of production, sandbox, scratch"),
        ("kind: sandbx\n", "1: kind cannot be 'sandbx': one of production, sandbox,"),
        ("kind: emulated\nlogn: 1\n", "2: unknown key 'logn'; did you mean login?"),
        ("kind: emulated\nxyzzy: 1\n", "2: unknown key 'xyzzy'"),
        ("kind: emulated\ntags: uat\n", "2: tags must be a list, not text"),
        (
            "kind: emulated\napi_version: [66]\n",
            "2: api_version must be a number or text, not a list",
        ),
        (
            "kind: emulated\napi_version: v66\n",
            "2: api_version 'v66' is not of the form '66.0'",
        ),
        (
            "kind: emulated\napps:\n  Ok: {}\n  Portal:\n    generation: x\n",
            "5: apps.Portal.generation must be a whole number, not text",
        ),
        (
            "kind: emulated\napps:\n  Portal: {generations: 2}\n",
            "3: unknown key 'generations'; did you mean generation?",
        ),
        (
            "kind: emulated\napps: {Portal: {generation: 0}}\n",
            "2: generation starts at 1",
        ),
        (
            "kind: emulated\nemulator:\n  users:\n    - {username: a}\n    - {}\n",
            "5: username is missing",
        ),
        ("kind: emulated\nvalues: {org: 1}\n", "2: the name 'org' is taken by the"),
        ("kind: emulated\nvalues: {a-b: 1}\n", "2: 'a-b' cannot be used in a template"),
        (
            "kind: emulated\norg_id: 00Dx\n",
            "2: not a Salesforce id: '00Dx'",
        ),
        (
            "kind: emulated\norg_id: 005Ws000003xYZ1\n",
            "2: an org Id starts with 00D",
        ),
        (
            "kind: emulated\norg_id: 00DWs000003xYZ1AAA\n",
            "2: the last three characters of 00DWs000003xYZ1AAA do not fit the rest",
        ),
        (
            "kind: emulated\nlogin: {flow: access_token, url: https://x}\n",
            "2: an emulated org needs no login",
        ),
        ("kind: sandbox\norg_id: 00DWs000003xYZ1\n", "1: login is missing: a sandbox"),
        (SANDBOX.replace("00DWs000003xYZ1", "~"), "1: org_id is missing: it pins"),
        (SANDBOX.replace("https", "http"), "3: login.url must start with https://"),
        (SANDBOX.replace("username: a@b.c,", ""), "3: login.username is missing: flow"),
        (
            SANDBOX.replace("{file: ~/k.pem}", "{file: k, env: K}"),
            "4: exactly one of env, file, command or keyring says where the secret is",
        ),
        (
            SANDBOX.replace("{file: ~/k.pem}", "{env: METADEPLOY_MASTER_KEY_FILE}"),
            "4: no org file may name the master secret",
        ),
    ],
)
def test_a_problem_names_its_line(text, message):
    (problem,) = problems(text)
    assert problem.startswith(f"orgs/uat.yaml:{message}")
    assert problem.endswith("[MD010]")


def test_all_problems_are_told_at_once():
    found = problems("kind: x\ntags: y\nlogn: z\na: 1\na: 2\n")
    assert len(found) == 1  # bad YAML first: what it means is anybody's guess
    found = problems("kind: x\ntags: y\nlogn: z\n")
    assert [p.split(":")[1] for p in found] == ["1", "2", "3"]


def test_a_problem_of_the_defaults_is_not_told_for_every_org():
    org, found = read("kind: emulated\n", "tags: y\n")
    assert (org, found) == (None, ())


def test_a_login_secret_of_an_app():
    found = problems(
        "kind: emulated\napps:\n  Portal:\n    login:\n"
        "      {flow: jwt, username: u, private_key: {}}\n"
    )
    assert found == [
        "orgs/uat.yaml:5: exactly one of env, file, command or keyring says where the"
        " secret is [MD010]"
    ]


def test_the_schema_for_editors_knows_every_key():
    found = orgfile.schema()["$defs"]["OrgFile"]
    assert set(found["properties"]) == set(orgfile.OrgFile.__struct_fields__)
    assert found["additionalProperties"] is False


KEYS = ("kind", "org_id", "login", "api_version", "tags", "templates", "values", "apps")
INNER = ("flow", "url", "env", "username", "generation", "users", "a")
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab", max_size=3)
)
plain = st.recursive(
    scalars,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(INNER), x),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from((*KEYS, "emulator", "more")), plain)


@given(documents)
def test_whatever_is_written_is_told_not_raised(value):
    document = yamlfile.read(json.dumps(value), "orgs/x.yaml")
    org, found = orgfile.read("x", "orgs/x.yaml", document, None)
    assert (org is None) <= bool(found)
    assert all(p.path == "orgs/x.yaml" for p in found)


def test_the_line_of_a_value_or_of_what_holds_it():
    org, _ = read("kind: emulated\nvalues:\n  a: {b: 1}\n", "tags: [x]\n")
    assert org.line_of("values", "a", "b") == ("orgs/uat.yaml", 3)
    assert org.line_of("values", "a", "c", "d") == ("orgs/uat.yaml", 3)
    assert org.line_of("tags", 0) == ("orgs/defaults.yaml", 1)


@pytest.mark.parametrize(
    ("login", "missing"),
    [
        ("{flow: jwt}", ["url", "username", "client_id", "private_key"]),
        ("{flow: client_credentials}", ["url", "client_id", "client_secret"]),
        ("{flow: refresh_token}", ["url", "client_id", "refresh_token"]),
        ("{flow: access_token}", ["url"]),
        ("{flow: sfdx_auth_url}", []),
        ("{flow: sf}", ["username"]),
        ("{flow: soap}", ["url", "username", "password"]),
    ],
)
def test_what_each_flow_needs(login, missing):
    text = f"kind: sandbox\norg_id: 00DWs000003xYZ1MAM\nlogin: {login}\n"
    document = yamlfile.read(text, "orgs/a.yaml")
    _, problems = orgfile.read("a", "orgs/a.yaml", document, None)
    flow = login[7:-1]
    assert [p.message for p in problems] == [
        f"login.{name} is missing: flow {flow} needs it" for name in missing
    ]


@pytest.mark.parametrize("field", ["refresh_token", "auth_url", "password"])
def test_a_secret_of_a_login_has_one_place(field):
    document = yamlfile.read(
        f"kind: sandbox\nlogin:\n  flow: sf\n  {field}: {{env: A, file: B}}\n",
        "orgs/a.yaml",
    )
    (problem,) = orgfile.check("orgs/a.yaml", document)
    assert problem.line == 4 and "exactly one of env, file" in problem.message
