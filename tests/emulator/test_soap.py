"""The SOAP endpoints with what real clients send, and with what nobody should."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

import pytest
from deployer import Deployer, app, pack, permission_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings, UserSpec
from metadeploy.emulator.soap import handle
from metadeploy.emulator.state import OrgState, World
from metadeploy.emulator.wire import Answer

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
METADATA = "http://soap.sforce.com/2006/04/metadata"
PARTNER = "urn:partner.soap.sforce.com"
HOST = "http://127.0.0.1:8123"
LIST = "<listMetadata><queries><type>Profile</type></queries></listMetadata>"


@dataclass(frozen=True)
class Client:
    """Sends envelopes to a world, as one user of one org."""

    world: World
    token: str

    def send(
        self, body: str, *, path: str = "m/66.0", head: str | None = None
    ) -> Answer:
        namespace = PARTNER if path.startswith("u") else METADATA
        if head is None:
            head = f"<SessionHeader><sessionId>{self.token}</sessionId></SessionHeader>"
        text = (
            f'<e:Envelope xmlns:e="{ENVELOPE}" xmlns="{namespace}">'
            f"<e:Header>{head}</e:Header><e:Body>{body}</e:Body></e:Envelope>"
        )
        return self.raw(text.encode(), path=path)

    def raw(self, body: bytes, *, path: str = "m/66.0") -> Answer:
        return handle(self.world, f"/services/Soap/{path}", body, HOST)

    def ok(self, body: str, **more: str) -> str:
        answer = self.send(body, **more)
        assert answer.status == 200, answer.body
        assert answer.content_type == "text/xml;charset=UTF-8"
        return answer.body.decode()

    def fault(self, body: str, **more: str) -> str:
        answer = self.send(body, **more)
        assert answer.status == 500
        found = re.search(
            r"<faultcode>(.*?)</faultcode><faultstring>(.*?)</faultstring>",
            answer.body.decode(),
            re.DOTALL,
        )
        assert found
        return f"{found[1]} {found[2]}"


@pytest.fixture
def client(org: OrgState) -> Client:
    return Client(org.world, org.issue_token(admin_of(org)))


def value(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    assert found
    return found[1]


# -- the envelope


def test_the_envelope_is_the_one_that_clients_need(client: Client) -> None:
    text = client.ok(LIST)
    assert text.startswith(
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope'
        f' xmlns:soapenv="{ENVELOPE}" xmlns="{METADATA}"'
    )
    assert "<soapenv:Body><listMetadataResponse><result><createdById>" in text
    assert "xsi:nil" not in text
    assert client.ok(
        "<listMetadata><queries><type>Flow</type></queries></listMetadata>"
    )
    assert "<listMetadataResponse></listMetadataResponse>" in client.ok(
        "<listMetadata><queries><type>Flow</type></queries></listMetadata>"
    )


@pytest.mark.parametrize(
    "path",
    ["m/66.0", "m/66.0/", "m/51.0", "m/66.0/00D000000000001", "m/64.0/deployRequest/x"],
)
def test_what_follows_the_version_means_nothing(client: Client, path: str) -> None:
    assert "<fullName>Admin</fullName>" in client.ok(LIST, path=path)


@pytest.mark.parametrize("path", ["c/66.0", "T/66.0", "s/66.0", "nonsense"])
def test_other_endpoints_are_named_as_not_emulated(client: Client, path: str) -> None:
    assert "is not emulated" in client.fault(LIST, path=path)


def test_prefixes_namespaces_and_order_do_not_count(client: Client) -> None:
    token = client.token
    body = (
        f'<soap:Envelope xmlns:soap="{ENVELOPE}" xmlns:met="{METADATA}">'
        f"<soap:Header><met:SessionHeader><met:sessionId> {token} </met:sessionId>"
        "</met:SessionHeader><met:CallOptions><met:client>x</met:client>"
        "</met:CallOptions></soap:Header><soap:Body><met:retrieve><request>"
        "<unpackaged><types><name>Profile</name><members>Admin</members></types>"
        "</unpackaged><apiVersion>66.0</apiVersion></request></met:retrieve>"
        "</soap:Body></soap:Envelope>"
    )
    answer = client.raw(body.encode())
    retrieve_id = value(answer.body.decode(), "id")
    text = client.ok(
        "<checkRetrieveStatus><asyncProcessId>"
        f"{retrieve_id}</asyncProcessId></checkRetrieveStatus>"
    )
    assert value(text, "zipFile")


def test_options_of_each_client(client: Client) -> None:
    """simple-salesforce writes True and stray words, CumulusCI options of its own."""
    data = base64.b64encode(pack({"permissionsets/P.permissionset": permission_set()}))
    text = client.ok(
        f"<deploy><ZipFile>{data.decode()}</ZipFile><DeployOptions>None None"
        "<checkOnly>True</checkOnly><runAllTests>false</runAllTests>"
        "<singlePackage>true</singlePackage></DeployOptions></deploy>"
    )
    deploy_id = value(text, "id")
    assert (value(text, "done"), value(text, "state")) == ("false", "Queued")
    text = client.ok(
        f"<checkDeployStatus><asyncProcessId>{deploy_id}</asyncProcessId>"
        "<includeDetails>true</includeDetails></checkDeployStatus>"
    )
    assert (value(text, "checkOnly"), value(text, "status")) == ("true", "Succeeded")
    assert "<componentType></componentType>" in text
    without = client.ok(f"<checkDeployStatus><id>{deploy_id}</id></checkDeployStatus>")
    assert "componentSuccesses" not in without


# -- what is refused


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<fly/>", "soapenv:Client No operation available for request"),
        ("<create/>", "sf:INVALID_OPERATION INVALID_OPERATION: create() is available"),
        ("<retrieve/>", "sf:INVALID_OPERATION"),
        ("<cancelDeploy/>", "sf:INVALID_ID_FIELD INVALID_ID_FIELD: Id not specified"),
        (
            "<deploy><ZipFile>?</ZipFile></deploy>",
            "sf:INVALID_OPERATION INVALID_OPERATION: ZipFile is not valid base64",
        ),
        (
            "<describeMetadata><asOfVersion>99</asOfVersion></describeMetadata>",
            "sf:UNSUPPORTED_API_VERSION",
        ),
        ("<describeValueType><type>{x}Y</type></describeValueType>", "sf:INVALID_TYPE"),
        (
            "<describeValueType><type>{http://soap.sforce.com/2006/04/metadata}Flow"
            "</type></describeValueType>",
            "sf:INVALID_TYPE INVALID_TYPE: describeValueType of Flow is not emulated",
        ),
        (
            "<retrieve><r><rootTypesWithDependencies>Bot</rootTypesWithDependencies></r>"
            "</retrieve>",
            "sf:INVALID_OPERATION INVALID_OPERATION: rootTypesWithDependencies is not",
        ),
        (
            "<deploy><ZipFile></ZipFile><DeployOptions><performRetrieve>true"
            "</performRetrieve></DeployOptions></deploy>",
            "sf:INVALID_OPERATION INVALID_OPERATION: performRetrieve is not emulated",
        ),
        (
            "<retrieve><r><unpackaged><nonsense/></unpackaged></r></retrieve>",
            "sf:INVALID_OPERATION",
        ),
    ],
)
def test_faults_are_in_the_dialect(client: Client, body: str, fault: str) -> None:
    assert client.fault(body).startswith(fault)


def test_a_token_of_too_small_a_scope_is_refused(client: Client, org: OrgState) -> None:
    token = org.issue_token(admin_of(org), scopes=("openid",))
    head = f"<SessionHeader><sessionId>{token}</sessionId></SessionHeader>"
    assert "not valid for use with the API" in client.fault(LIST, head=head)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"\x00\xff",
        b"<x/>",
        b"{}",
        f'<e:Envelope xmlns:e="{ENVELOPE}"/>'.encode(),
        f'<e:Envelope xmlns:e="{ENVELOPE}"><e:Body/></e:Envelope>'.encode(),
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        (
            b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaa"><!ENTITY b'
            b' "&a;&a;&a;&a;">]><x>&b;</x>'
        ),
        b"<a>" * 5000,
        f'<e:Envelope xmlns:e="{ENVELOPE}"><e:Body>'.encode(),
    ],
)
def test_what_is_no_request_gets_a_client_fault(client: Client, body: bytes) -> None:
    answer = client.raw(body)
    assert answer.status == 500
    assert b"<faultcode>soapenv:Client</faultcode>" in answer.body


def test_an_external_entity_is_never_read(client: Client) -> None:
    body = (
        '<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/hostname">]>'
        f'<e:Envelope xmlns:e="{ENVELOPE}"><e:Body><x>&file;</x></e:Body></e:Envelope>'
    )
    answer = client.raw(body.encode())
    assert b"DOCTYPE is disallowed" in answer.body


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=80),
    st.sampled_from(
        [
            "deploy",
            "retrieve",
            "readMetadata",
            "createMetadata",
            "checkDeployStatus",
            "listMetadata",
            "login",
            "query",
        ]
    ),
)
def test_no_content_breaks_the_endpoint(client: Client, text: str, name: str) -> None:
    inner = text.replace("&", "").replace("<", "")
    content = f"<a>{inner}</a><type>{inner}</type><metadata>{inner}</metadata>"
    body = f"<{name}>{content}</{name}>"
    for path in ("m/66.0", "u/64.0"):
        answer = client.send(body, path=path)
        assert answer.status in (200, 500)
        assert b"Traceback" not in answer.body


# -- CRUD


def metadata(kind: str, content: str) -> str:
    xsi = "http://www.w3.org/2001/XMLSchema-instance"
    return f'<metadata xmlns:xsi="{xsi}" xsi:type="{kind}">{content}</metadata>'


def reading(kind: str, name: str) -> str:
    return (
        f"<readMetadata><type>{kind}</type><fullNames>{name}</fullNames></readMetadata>"
    )


def test_all_or_none_undoes_the_others(client: Client) -> None:
    good = metadata("PermissionSet", "<fullName>Good</fullName><label>G</label>")
    bad = metadata("PermissionSet", "<fullName>Bad</fullName>")
    body = f"<createMetadata>{good}{bad}</createMetadata>"
    session = f"<SessionHeader><sessionId>{client.token}</sessionId></SessionHeader>"
    head = session + "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
    text = client.ok(body, head=head)
    assert "ALL_OR_NONE_OPERATION_ROLLED_BACK" in text
    assert "Required field is missing: label" in text
    read = reading("PermissionSet", "Good")
    assert '<records xsi:nil="true"/>' in client.ok(read)
    text = client.ok(body)
    assert text.count("<success>true</success>") == 1
    assert "<label>G</label>" in client.ok(read)


def test_creating_an_app_forgets_its_approval(client: Client, org: OrgState) -> None:
    content = (
        "<fullName>Portal</fullName><contactEmail>a@example.com</contactEmail>"
        "<label>Portal</label><oauthConfig><callbackUrl>https://a.example</callbackUrl>"
        "<isAdminApproved>true</isAdminApproved></oauthConfig>"
        "<profileName>Standard User</profileName>"
    )
    one = metadata("ConnectedApp", content)
    read = reading("ConnectedApp", "Portal")
    client.ok(f"<createMetadata>{one}</createMetadata>")
    assert value(client.ok(read), "isAdminApproved") == "false"
    assert org.records("SetupEntityAccess") == []
    client.ok(f"<updateMetadata>{one}</updateMetadata>")
    text = client.ok(read)
    assert value(text, "isAdminApproved") == "true"
    assert value(text, "profileName") == "Standard User"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (metadata("", "<fullName>x</fullName>"), "xsi:type is missing"),
        (metadata("Nonsense", "<fullName>x</fullName>"), "Unknown type:Nonsense"),
        (
            metadata("PermissionSet", "<fullName>a</fullName><label>a</label>")
            + metadata("Profile", "<fullName>a</fullName>"),
            "of one type",
        ),
        (metadata("PermissionSet", "<label>a</label>"), "missing: fullName"),
        (metadata("ApexClass", "<fullName>a</fullName>"), "not a valid metadata type"),
        (
            metadata("CustomObject", "<fullName>../evil</fullName><label>x</label>"),
            "cannot be the name of a CustomObject",
        ),
    ],
)
def test_what_cannot_be_created(client: Client, body: str, expected: str) -> None:
    answer = client.send(f"<createMetadata>{body}</createMetadata>")
    assert expected in answer.body.decode()
    assert b"<success>true" not in answer.body


def test_settings_are_types_of_their_own_in_crud(client: Client) -> None:
    one = metadata(
        "ConnectedAppSettings",
        "<fullName>ConnectedApp</fullName><enableSkipUserProvisioningWizardWelcomePage>"
        "true</enableSkipUserProvisioningWizardWelcomePage>",
    )
    assert "<success>true" in client.ok(f"<upsertMetadata>{one}</upsertMetadata>")
    read = reading("ConnectedAppSettings", "ConnectedApp")
    assert 'xsi:type="ConnectedAppSettings"' in client.ok(read)


def test_renaming(client: Client, org: OrgState) -> None:
    deployer = Deployer(org)
    files = {
        "permissionsets/P.permissionset": permission_set(),
        "permissionsets/Q.permissionset": permission_set(label="Q"),
        "connectedApps/Portal.connectedApp": app(),
        "profiles/Sales.profile": '<Profile xmlns="' + METADATA + '"/>',
    }
    assert deployer.deploy(files).success

    def rename(kind: str, old: str, new: str) -> str:
        return client.ok(
            f"<renameMetadata><type>{kind}</type><oldFullName>{old}</oldFullName>"
            f"<newFullName>{new}</newFullName></renameMetadata>"
        )

    assert value(rename("PermissionSet", "P", "R"), "fullName") == "R"
    assert "R" in {r["Name"] for r in org.records("PermissionSet")}
    assert "duplicate value found" in rename("PermissionSet", "Q", "R")
    assert "no PermissionSet named P found" in rename("PermissionSet", "P", "S")
    assert "can only contain" in rename("PermissionSet", "Q", "1")
    assert "cannot rename a standard profile" in rename("Profile", "Admin", "Boss")
    assert value(rename("Profile", "Sales", "Selling"), "success") == "true"
    assert "Selling" in {r["Name"] for r in org.records("Profile")}
    assert "not emulated" in rename("ConnectedApp", "Portal", "Gate")


def test_reading_code_is_refused_as_observed(client: Client, org: OrgState) -> None:
    meta = f'<ApexClass xmlns="{METADATA}"/>'
    files = {"classes/A.cls": "class A {}", "classes/A.cls-meta.xml": meta}
    assert Deployer(org).deploy(files).success
    assert client.fault(reading("ApexClass", "A")) == (
        "sf:UNKNOWN_EXCEPTION UNKNOWN_EXCEPTION: ApexClass is not a valid metadata type"
        " for reading"
    )


# -- partner


def test_pages_of_a_query(client: Client, world: World) -> None:
    users = tuple(UserSpec(f"u{n}@example.com") for n in range(250))
    org = world.create_org("large", OrgSettings(users=users))
    person = Client(world, org.issue_token(admin_of(org)))
    session = f"<SessionHeader><sessionId>{person.token}</sessionId></SessionHeader>"
    head = session + "<QueryOptions><batchSize>1</batchSize></QueryOptions>"
    first = person.ok(
        "<query><queryString>SELECT Id FROM User</queryString></query>",
        path="u/64.0",
        head=head,
    )
    assert (value(first, "done"), value(first, "size")) == ("false", "253")
    assert first.count("<records") == 200
    locator = value(first, "queryLocator")
    more = f"<queryMore><queryLocator>{locator}</queryLocator></queryMore>"
    rest = person.ok(more, path="u/64.0")
    assert (value(rest, "done"), rest.count("<records")) == ("true", 53)
    assert "INVALID_QUERY_LOCATOR" in client.fault(more, path="u/64.0")


def test_records_over_soap(client: Client, org: OrgState) -> None:
    def one(content: str) -> str:
        space = "urn:sobject.partner.soap.sforce.com"
        kind = "<s:type>PermissionSet</s:type>"
        return f'<sObjects xmlns:s="{space}">{kind}{content}</sObjects>'

    path = "u/64.0"
    text = client.ok(
        "<create>" + one("<s:Name>P</s:Name><s:Label>P</s:Label>") + "</create>",
        path=path,
    )
    record_id = value(text, "id")
    text = client.ok(
        "<update>"
        + one(f"<s:Id>{record_id}</s:Id><s:Label>New</s:Label>")
        + "</update>",
        path=path,
    )
    assert value(text, "success") == "true"
    text = client.ok(
        "<retrieve><fieldList>Label, Description</fieldList><sObjectType>PermissionSet"
        f"</sObjectType><ids>{record_id}</ids><ids>0PS000000000001</ids></retrieve>",
        path=path,
    )
    assert "<sf:Label>New</sf:Label>" in text
    assert '<sf:Description xsi:nil="true"/>' in text
    assert '<result xsi:nil="true"/>' in text
    text = client.ok(
        f"<delete><ids>{record_id}</ids><ids>zzz</ids></delete>", path=path
    )
    assert text.count("<success>true</success>") == 1
    assert "malformed id zzz" in text
    assert "P" not in {r["Name"] for r in org.records("PermissionSet")}
    missing = client.ok(
        "<update>" + one("<s:Label>x</s:Label>") + "</update>", path=path
    )
    assert "MISSING_ARGUMENT" in missing
    many = "<ids>x</ids>" * 201
    assert "EXCEEDED_ID_LIMIT" in client.fault(f"<delete>{many}</delete>", path=path)


def test_all_or_none_of_records(client: Client, org: OrgState) -> None:
    space = "urn:sobject.partner.soap.sforce.com"

    def one(content: str) -> str:
        kind = "<s:type>PermissionSet</s:type>"
        return f'<sObjects xmlns:s="{space}">{kind}{content}</sObjects>'

    head = (
        f"<SessionHeader><sessionId>{client.token}</sessionId></SessionHeader>"
        "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
    )
    good = one("<s:Id/><s:Name>P</s:Name><s:Label>P</s:Label>")
    text = client.ok(f"<create>{good}{one('')}</create>", path="u/64.0", head=head)
    assert "ALL_OR_NONE_OPERATION_ROLLED_BACK" in text
    assert "P" not in {r["Name"] for r in org.records("PermissionSet")}
    text = client.ok(f"<create>{good}</create>", path="u/64.0", head=head)
    record_id = value(text, "id")
    null = one(f"<s:Id>{record_id}</s:Id><s:fieldsToNull>Description</s:fieldsToNull>")
    assert "<success>true" in client.ok(f"<update>{null}</update>", path="u/64.0")


def test_a_session_outlives_no_user(client: Client, world: World) -> None:
    """A token of a user who is not there opens nothing and breaks nothing."""
    org = world.create_org("empty")
    lost = Client(world, org.issue_token("005000000000001AAA"))
    for body, path in [(LIST, "m/66.0"), ("<getUserInfo/>", "u/64.0")]:
        assert "API_DISABLED_FOR_ORG" in lost.fault(body, path=path)


def test_the_state_of_a_deploy_by_the_old_call(client: Client, org: OrgState) -> None:
    deploy_id = Deployer(org).submit(
        {"permissionsets/P.permissionset": permission_set()}
    )
    text = client.ok(f"<checkStatus><id>{deploy_id}</id></checkStatus>")
    assert (value(text, "state"), value(text, "done")) == ("Completed", "true")


def test_finalizing_is_in_progress_for_older_versions(world: World) -> None:
    org = world.create_org("slow", OrgSettings(deploy_polls=3))
    person = Client(world, org.issue_token(admin_of(org)))
    deploy_id = Deployer(org).submit(
        {"permissionsets/P.permissionset": permission_set()}
    )
    check = f"<checkDeployStatus><id>{deploy_id}</id></checkDeployStatus>"
    person.ok(check)
    assert value(person.ok(check, path="m/65.0"), "status") == "InProgress"
    done = person.ok(check, path="m/63.0")
    assert value(done, "status") == "Succeeded"
    assert "numberFiles" not in done


@pytest.mark.parametrize("version", ["99.0", "v66.0", "x"])
def test_a_retrieve_in_a_version_that_is_not(client: Client, version: str) -> None:
    body = f"<retrieve><r><apiVersion>{version}</apiVersion></r></retrieve>"
    assert "UNSUPPORTED_API_VERSION" in client.fault(body)


def test_the_tooling_sobjects_are_not_for_the_data_api(client: Client) -> None:
    body = "<query><queryString>SELECT Id FROM DeployRequest</queryString></query>"
    assert "INVALID_TYPE" in client.fault(body, path="u/64.0")


def test_login_links_to_where_it_was_asked(world: World, client: Client) -> None:
    users = (UserSpec("anna@example.com", password="a&b <c>"),)
    org = world.create_org("anna", OrgSettings(kind="sandbox", users=users))
    text = client.ok(
        "<login><username>Anna@example.com</username><password>a&amp;b &lt;c&gt;"
        "</password></login>",
        path="u/60.0",
        head="",
    )
    assert value(text, "serverUrl") == f"{HOST}/services/Soap/u/60.0/{org.id}"
    assert value(text, "metadataServerUrl") == f"{HOST}/services/Soap/m/60.0/{org.id}"
    assert (value(text, "sandbox"), value(text, "passwordExpired")) == ("true", "false")
    session = world.org_of_token(value(text, "sessionId"))
    assert session
    assert session.org == org
