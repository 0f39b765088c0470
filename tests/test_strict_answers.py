"""Answers of a real conversation with an emulated org, twisted: what orgs may do to
them changes no meaning, what breaks them never makes a success."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from fake_org import app, holder
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from test_hostile_xml import Canned

from metadeploy import auth
from metadeploy.connection import Answer, Connection
from metadeploy.credentials_api import CredentialsApi
from metadeploy.data_api import DataApi
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import serve
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import open_world
from metadeploy.errors import ApiFault, AuthError, ConfigError, LostAnswer
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import METADATA_NS, DeployOptions, Manifest, Ref, Secret
from metadeploy.package import pack
from metadeploy.reach import LOOPBACK, Reach

M = f"{{{METADATA_NS}}}"
XSI = "http://www.w3.org/2001/XMLSchema-instance"


class Recording(Connection):
    """A connection that keeps the answers that came, by operation."""

    answers: dict[str, bytes]

    def call(self, method, path, *, body=None, headers=None, into=None):
        pieces = []
        found = super().call(
            method, path, body=body, headers=headers, into=into and pieces.append
        )
        for piece in pieces:
            into(piece)
        self.answers[path] = whole = b"".join(pieces) or found.body
        if named := re.search(rb":Body><(\w+)Response", whole):
            self.answers[named[1].decode()] = whole
        return found


def recorded(folder):
    """The answers to each call that we make of an emulated org."""
    world = open_world(folder / "world.db")
    org = world.create_org("dev", OrgSettings(deploy_polls=2))
    with serve(world) as server:
        token = Secret(org.issue_token(admin_of(org)))
        connection = Recording(server.url, token, reach=LOOPBACK)
        connection.answers = {}
        api = MetadataApi(connection, "66.0")
        sent = pack([app(), holder("Portal_API")], "66.0")
        deploy_id = api.deploy(sent, DeployOptions())
        while not api.check_deploy_status(deploy_id).done:
            pass
        manifest = Manifest.of([app().ref, Ref("Profile", "Nobody")], "66.0")
        retrieve_id = api.retrieve(manifest)
        while api.check_retrieve_status(retrieve_id) is None:
            pass
        api.list_metadata(["ConnectedApp", "PermissionSet"])
        api.cancel_deploy(api.deploy(sent, DeployOptions()))
        DataApi(connection, "66.0").query("SELECT Id, Profile.Name FROM User")
        connection.close()
    world.close()
    answers = connection.answers
    query = next(body for path, body in answers.items() if "/query" in path)
    return {k: v for k, v in answers.items() if "/" not in k} | {"query": query}


CALLS = {
    "deploy": lambda api: api.deploy(b"zip", DeployOptions()),
    "checkDeployStatus": lambda api: api.check_deploy_status("0Af"),
    "cancelDeploy": lambda api: api.cancel_deploy("0Af"),
    "retrieve": lambda api: api.retrieve(Manifest("66.0", {})),
    "checkRetrieveStatus": lambda api: api.check_retrieve_status("09S"),
    "listMetadata": lambda api: api.list_metadata(["ConnectedApp"]),
}
operations = st.sampled_from(sorted(CALLS))


def said(operation, body):
    """What we make of an answer; a fault is told by its type."""
    try:
        return CALLS[operation](MetadataApi(Canned(body), "66.0"))
    except (ApiFault, LostAnswer) as error:
        return type(error)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("recorded"))


def test_what_was_recorded_means_something(answers):
    assert set(CALLS) <= set(answers)
    for operation in CALLS:
        found = said(operation, answers[operation])
        assert not isinstance(found, type), (operation, found)
    result = said("checkDeployStatus", answers["checkDeployStatus"])
    assert (result.done, result.success, result.status) == (True, True, "Succeeded")
    assert len(result.messages) == 3
    retrieved = said("checkRetrieveStatus", answers["checkRetrieveStatus"])
    assert [c.ref for c in retrieved.components] == [app().ref]
    assert len(retrieved.messages) == 1
    assert len(said("listMetadata", answers["listMetadata"])) >= 2


# What orgs may do, and do (wsc#59, apex-mdapi#213): it means the same.


def shuffled(root, data):
    for element in list(root.iter(f"{M}result", f"{M}details")):
        names = {etree.QName(e).localname for e in element}
        order = data.draw(st.permutations(sorted(names)))
        element[:] = sorted(
            element, key=lambda e: order.index(etree.QName(e).localname)
        )


def grown(root, data):
    for element in list(root.iter(f"{M}result", f"{M}details", f"{M}messages")):
        new = etree.SubElement(element, f"{M}activateRSS")
        new.text = data.draw(st.sampled_from(["", "true", "0Af9", "x" * 2000]))
        etree.SubElement(new, f"{M}id").text = "0Af000000000009AAA"
        element.insert(data.draw(st.integers(0, len(element) - 1)), new)


def absent(root, data):
    """An absent value may be said to be nil."""
    for element in list(root.iter(f"{M}result")):
        names = {etree.QName(e).localname for e in element}
        for name in ("errorMessage", "errorStatusCode", "stateDetail"):
            if name not in names and data.draw(st.booleans()):
                etree.SubElement(element, f"{M}{name}").set(f"{{{XSI}}}nil", "true")


def commented(root, data):
    for element in list(root.iter(f"{M}result", f"{M}status", f"{M}done")):
        element.addprevious(etree.Comment(" new "))
        element.addnext(etree.ProcessingInstruction("new", "x"))


def typed(root, data):
    for element in root.iter(f"{M}result", f"{M}status"):
        element.set(f"{{{XSI}}}type", data.draw(st.sampled_from(["DeployResult", "x"])))


def prefixed(root, data):
    """The same names, by another prefix (facts of clients: some send it so)."""
    text = etree.tostring(root).decode()
    text = text.replace(f'xmlns="{METADATA_NS}"', f'xmlns:sf="{METADATA_NS}"')
    text = re.sub(r"<(/?)(?=\w+[\s/>])(?!\w+:)", r"<\1sf:", text)
    root[:] = list(etree.fromstring(text.encode()))


TWISTS = (shuffled, grown, absent, typed, commented, prefixed)


@settings(max_examples=150)
@given(operations, st.lists(st.sampled_from(TWISTS), max_size=4), st.data())
def test_what_an_org_may_do_changes_no_meaning(answers, operation, twists, data):
    root = etree.fromstring(answers[operation])
    for twist in sorted(twists, key=TWISTS.index):
        twist(root, data)
    encoding = data.draw(st.sampled_from(["UTF-8", "UTF-16", "US-ASCII"]))
    body = etree.tostring(root, xml_declaration=True, encoding=encoding)
    assert said(operation, body) == said(operation, answers[operation])


STATUSES = ("Finalizing", "FinalizingFailed", "Polishing", "Succeeded", "succeeded", "")


@given(
    *[
        st.sampled_from(STATUSES),
        *[st.sampled_from(["true", "false", "1", "x", ""])] * 2,
    ]
)
def test_status_done_and_success_are_read_apart(answers, status, done, success):
    root = etree.fromstring(answers["checkDeployStatus"])
    result = root.find(f".//{M}result")
    values = {"status": status, "done": done, "success": success}
    for name, text in values.items():
        result.find(f"{M}{name}").text = text
    found = said("checkDeployStatus", etree.tostring(root))
    if status == "":
        assert found is LostAnswer
        return
    true = ("true", "1")
    assert (found.status, found.done, found.success) == (
        status,
        done in true,
        success in true,
    )


@given(st.sampled_from(["10e30", "1" + "0" * 30, "-1", "", "x", "٣", " 1", "1.0"]))
def test_numbers_that_are_none(answers, number):
    root = etree.fromstring(answers["checkDeployStatus"])
    for element in root.iter(f"{M}numberComponentsTotal", f"{M}lineNumber"):
        element.text = number
    found = said("checkDeployStatus", etree.tostring(root))
    assert (found.components_total, found.status) == (0, "Succeeded")


# What breaks them.


@pytest.mark.parametrize("operation", sorted(CALLS))
def test_a_cut_answer_is_none(answers, operation):
    body = answers[operation]
    end = len(body.rstrip())
    step = max(1, end // 1500)
    for at in [*range(0, end, step), *range(max(0, end - 200), end)]:
        assert said(operation, body[:at]) is LostAnswer, at


@settings(max_examples=400)
@given(operations, st.integers(0, 10**6), st.integers(0, 255))
def test_one_wrong_byte_ends_in_an_answer_or_a_fault(answers, operation, at, byte):
    body = bytearray(answers[operation])
    body[at % len(body)] = byte
    said(operation, bytes(body))  # no other exception


@settings(max_examples=100)
@given(operations, operations)
def test_the_answer_to_another_call_is_none(answers, asked, given_):
    if asked != given_:
        assert said(asked, answers[given_]) is LostAnswer


IMPOSTORS = [
    b"",
    b" ",
    b"{}",
    b'[{"errorCode": "X", "message": "y"}]',
    b"<html><body>Down for maintenance</body></html>",
    b"<!DOCTYPE html><html></html>",
    b"<Envelope><Body/></Envelope>",
    b"null",
    b"\xef\xbb\xbf",
]


@pytest.mark.parametrize("body", IMPOSTORS)
@pytest.mark.parametrize("operation", sorted(CALLS))
def test_what_only_looks_like_an_answer(operation, body):
    assert said(operation, body) is LostAnswer


# The same of JSON: queries, tokens, credentials.


class CannedJson(Canned):
    token = Secret("token")
    reach = Reach()
    url = "https://acme.my.salesforce.com"

    def __init__(self, body, status=200):
        super().__init__(body)
        self.status = status

    def call(self, method, path, *, body=None, headers=None, into=None):
        return Answer(self.status, "application/json", self.body, len(self.body))


TOKEN = {
    "access_token": "00D!x",
    "instance_url": "https://acme.my.salesforce.com",
    "id": "https://login.salesforce.com/id/00D000000000001AAA/005000000000001AAA",
    "scope": "api web",
    "issued_at": "1",
}
CONSUMERS = {"consumers": [{"id": "888000000000001", "key": "3MVG9"}], "apps": [
    {"developerName": "Portal", "identifier": "0x0000000000001"}]}  # fmt: skip
JSON_CALLS = {
    "query": lambda c: DataApi(c, "66.0").query("SELECT Id FROM User"),
    "facts": lambda c: DataApi(c, "66.0").facts(),
    "survey": lambda c: DataApi(c, "66.0").survey(),
    "holders": lambda c: DataApi(c, "66.0").holders(["0H4000000000001AAA"]),
    "parent": lambda c: DataApi(c, "66.0").parent_id(Ref("Profile", "Admin")),
    "token": lambda c: auth.client_credentials(c, "key", Secret("s")),
    "consumer": lambda c: CredentialsApi(c, "66.0").consumer("Portal"),
}
NAMES = (
    "records",
    "done",
    "totalSize",
    "nextRecordsUrl",
    "nextPageUrl",
    "attributes",
    "Id",
    "Name",
    "Parent",
    "Profile",
    "User",
    "Username",
    "SetupEntityId",
    "errorCode",
    "message",
    "error",
    "error_description",
    "key",
    "id",
    "secret",
    "developerName",
    "identifier",
)
keys = st.sampled_from([*TOKEN, *CONSUMERS, *NAMES])
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(["", "x", "0H4000000000001AAA", "/services/data", "a" * 5000]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def twisted(draw):
    """One of the good answers with one value in it changed, or any JSON."""
    good = draw(
        st.sampled_from([TOKEN, CONSUMERS, {"done": True, "records": []}, None])
    )
    if good is None:
        return draw(values)
    return {**good, draw(keys): draw(values)}


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(JSON_CALLS)),
    twisted(),
    st.sampled_from([200, 201, 204, 302, 400, 401, 404, 500, 503]),
    st.integers(0, 400),
)
def test_any_json_ends_in_an_answer_or_a_fault(call, value, status, cut):
    body = json.dumps(value).encode()
    for told in (body, body[:cut]):
        with contextlib.suppress(ApiFault, AuthError, ConfigError, LostAnswer):
            JSON_CALLS[call](CannedJson(told, status))


def test_a_cut_query_is_none(answers):
    body = answers["query"]
    whole = DataApi(CannedJson(body), "66.0").query("x")
    assert whole
    for at in range(len(body.rstrip())):
        with pytest.raises(LostAnswer):
            DataApi(CannedJson(body[:at]), "66.0").query("x")
