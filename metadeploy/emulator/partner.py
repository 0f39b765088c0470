"""The partner endpoint: logging in, querying, and a few calls on records.

Source: SOAP API Developer Guide (documented); the element names that
simple-salesforce and jsforce look for, measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lxml import etree
from msgspec import Struct

from metadeploy.emulator import ids, records, soql
from metadeploy.emulator.envelope import (
    PARTNER,
    Call,
    Content,
    Nil,
    Raw,
    answer,
    child,
    child_text,
    children,
    fault_answer,
    flag,
    no_operation,
    write,
)
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.partner_describe import describe_sobject
from metadeploy.emulator.rights import require_api, session_of
from metadeploy.emulator.sobjects import SField, SObject, sobject_of_id
from metadeploy.emulator.state import OrgState, Plain, Record, Session, World
from metadeploy.emulator.tree import escape, local_name
from metadeploy.emulator.wire import Answer
from metadeploy.model import id18

_BATCH, _LEAST_BATCH, _MOST_BATCH = 500, 200, 2000
_MOST = 200
_CURSOR_SECONDS = 172_800.0


class _Asked(Struct, frozen=True):
    world: World
    session: Session
    version: float
    element: etree._Element
    headers: Mapping[str, etree._Element]
    base_url: str

    @property
    def org(self) -> OrgState:
        return self.session.org


def serve(world: World, call: Call, version: float, base_url: str) -> Answer:
    """Answer one request at /services/Soap/u/…, faults included."""
    try:
        if call.name == "login":
            result = _login(world, call.operation, version, base_url)
            return answer("login", result, namespace=PARTNER)
        operation = _OPERATIONS.get(call.name)
        if operation is None:
            return no_operation(call)
        session = session_of(world, call.session_id)
        asked = _Asked(world, session, version, call.operation, call.headers, base_url)
        if call.name != "logout":
            require_api(session)
        return answer(call.name, operation(asked), namespace=PARTNER)
    except Fault as fault:
        return fault_answer(fault, namespace=PARTNER)


# -- sessions


def _login(
    world: World, element: etree._Element, version: float, base_url: str
) -> Content:
    username = child_text(element, "username")
    found = world.user_by_username(username)
    if found is not None:
        _refuse_login(found[0], version)
    # Not told apart: no such user, wrong password, inactive (recalled text).
    password = child(element, "password")
    given = (password.text or "") if password is not None else ""
    if (
        found is None
        or not found[1]["IsActive"]
        or not found[0].check_password(str(found[1]["Id"]), given)
    ):
        raise Fault(
            "INVALID_LOGIN",
            "Invalid username, password, security token; or user locked out.",
        )
    org, user = found
    user_id = str(user["Id"])
    token = org.issue_token(user_id, scopes=("full", "api", "web"))
    org.log("soap login", user=user_id)
    minutes = org.settings.access_token_minutes
    return {
        "metadataServerUrl": f"{base_url}/services/Soap/m/{version:.1f}/{org.id}",
        "passwordExpired": False,
        "sandbox": org.settings.is_sandbox,
        "serverUrl": f"{base_url}/services/Soap/u/{version:.1f}/{org.id}",
        "sessionId": token,
        "userId": user_id,
        "userInfo": _user_info(org, user, minutes * 60),
    }


def _refuse_login(org: OrgState, version: float) -> None:
    if version > org.settings.soap_login_newest:
        # Documented that there is none; the wording is inferred.
        raise Fault(
            "INVALID_OPERATION",
            f"SOAP API login() is not available in API version {version:.1f}",
        )
    if not org.settings.soap_login:
        # Observed.
        raise Fault(
            "INVALID_OPERATION", "SOAP API login() is disabled by default in this org."
        )


def _logout(asked: _Asked) -> Content:
    asked.org.revoke_token(asked.session.token)
    return None


def _get_user_info(asked: _Asked) -> Content:
    user = asked.org.record("User", asked.session.user_id)
    if user is None:
        raise Fault("INVALID_SESSION_ID", "The session's user is gone")
    left = int(asked.session.expires_at - asked.world.clock())
    return _user_info(asked.org, user, left)


def _user_info(org: OrgState, user: Record, seconds: int) -> dict[str, Content]:
    return {
        "accessibilityMode": False,
        "chatterExternal": False,
        "currencySymbol": "£",
        "orgAttachmentFileSizeLimit": 5_242_880,
        "orgDefaultCurrencyIsoCode": "GBP",
        "orgDefaultCurrencyLocale": "en_GB",
        "orgDisallowHtmlAttachments": False,
        "orgHasPersonAccounts": False,
        "organizationId": org.id,
        "organizationMultiCurrency": False,
        "organizationName": org.name,
        "profileId": str(user["ProfileId"]),
        "roleId": Nil(),
        "sessionSecondsValid": seconds,
        "userDefaultCurrencyIsoCode": Nil(),
        "userEmail": str(user["Email"]),
        "userFullName": str(user["Name"]),
        "userId": str(user["Id"]),
        "userLanguage": str(user["LanguageLocaleKey"]),
        "userLocale": str(user["LocaleSidKey"]),
        "userName": str(user["Username"]),
        "userTimeZone": str(user["TimeZoneSidKey"]),
        "userType": str(user["UserType"]),
        "userUiSkin": "Theme3",
    }


# -- queries


class DataSource:
    """An org's records as the data calls see them: without the Tooling API's."""

    def __init__(self, org: OrgState) -> None:
        self._org = org

    def describe(self, name: str) -> SObject:
        """Return an sObject. Raises Fault INVALID_TYPE."""
        found = self._org.describe(name)
        if found.tooling:
            raise Fault("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def records(self, name: str) -> Sequence[Record]:
        """Return all records of an sObject."""
        return self._org.records(name)


def _query(asked: _Asked) -> Content:
    return _page(asked, child_text(asked.element, "queryString"), 0)


def _query_more(asked: _Asked) -> Content:
    locator, _, offset = child_text(asked.element, "queryLocator").rpartition("-")
    found = asked.world.grant("soap cursor", locator)
    if found is None or found[0] != asked.org or not offset.isdigit():
        raise Fault("INVALID_QUERY_LOCATOR", "invalid query locator")
    return _page(asked, str(found[1]["query"]), int(offset), locator=locator)


def _page(asked: _Asked, text: str, offset: int, *, locator: str = "") -> Content:
    """Return one page; a later one runs the query again."""
    result = soql.query(text, DataSource(asked.org), now=asked.world.clock())
    end = offset + _batch_size(asked)
    done = end >= len(result.rows)
    if not done and not locator:
        locator = "01g" + ids.letters(15)
        body: dict[str, Plain] = {"query": text}
        asked.world.put_grant(
            "soap cursor", locator, asked.org, body, lifetime=_CURSOR_SECONDS
        )
    return _query_result(
        result.rows[offset:end], result.total, "" if done else f"{locator}-{end}"
    )


def _batch_size(asked: _Asked) -> int:
    header = asked.headers.get("QueryOptions")
    text = child_text(header, "batchSize") if header is not None else ""
    if not text.isdigit():
        return _BATCH
    return min(max(int(text), _LEAST_BATCH), _MOST_BATCH)


def _query_result(
    rows: Sequence[soql.Row], total: int, locator: str
) -> dict[str, Content]:
    return {
        "done": not locator,
        "queryLocator": locator or Nil(),
        "records": [_sobject_of_row(row) for row in rows],
        "size": total,
    }


def _sobject_of_row(row: soql.Row) -> Raw:
    out = [f"<sf:type>{escape(row.sobject)}</sf:type>"]
    write("sf:Id", row.id or Nil(), out)
    for name, value in row.values.items():
        if name != "Id":
            write(f"sf:{name}", _field_content(value), out)
    return Raw("".join(out), ' xsi:type="sf:sObject"')


def _field_content(value: soql.Value) -> Content:
    if value is None:
        return Nil()
    if isinstance(value, soql.Row):
        return _sobject_of_row(value)
    if isinstance(value, soql.Result):
        out: list[str] = []
        for name, content in _query_result(value.rows, value.total, "").items():
            write(name, content, out)
        return Raw("".join(out), ' xsi:type="QueryResult"')
    return value


# -- records


def _create(asked: _Asked) -> Content:
    return _each(asked, children(asked.element, "sObjects"), _create_one)


def _update(asked: _Asked) -> Content:
    return _each(asked, children(asked.element, "sObjects"), _update_one)


def _delete(asked: _Asked) -> Content:
    return _each(asked, children(asked.element, "ids"), _delete_one)


class _Undone(Exception):
    """Leaves the transaction: not everything could be done."""


def _each(
    asked: _Asked,
    elements: Sequence[etree._Element],
    action: Callable[[_Asked, etree._Element], str],
) -> Content:
    if len(elements) > _MOST:
        raise Fault(
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {_MOST} records into this"
            " operation",
        )
    header = asked.headers.get("AllOrNoneHeader")
    all_or_none = header is not None and flag(header, "allOrNone", False)
    results: list[dict[str, Content]] = []
    with asked.world.transaction():
        try:
            with asked.world.store.savepoint():
                for element in elements:
                    results.append(_one(asked, element, action))
                if all_or_none and any(not r["success"] for r in results):
                    raise _Undone
        except _Undone:
            results = [r if not r["success"] else _rolled_back() for r in results]
    return results


def _one(
    asked: _Asked,
    element: etree._Element,
    action: Callable[[_Asked, etree._Element], str],
) -> dict[str, Content]:
    try:
        with asked.world.store.savepoint():
            return {"id": action(asked, element), "success": True}
    except Fault as fault:
        return _error(fault)


def _error(fault: Fault) -> dict[str, Content]:
    error: dict[str, Content] = {
        "fields": list(fault.fields),
        "message": fault.message,
        "statusCode": fault.code,
    }
    return {"errors": error, "id": Nil(), "success": False}


def _rolled_back() -> dict[str, Content]:
    # Recalled wording.
    return _error(
        Fault(
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was"
            " using AllOrNone header",
        )
    )


def _values(element: etree._Element) -> tuple[str, dict[str, Plain]]:
    name = ""
    values: dict[str, Plain] = {}
    for inner in element:
        field, text = local_name(inner), inner.text or ""
        if field == "type":
            name = text.strip()
        elif field == "fieldsToNull":
            values[text.strip()] = None
        else:
            values[field] = text
    return name, values


def _create_one(asked: _Asked, element: etree._Element) -> str:
    name, values = _values(element)
    if not values.get("Id"):
        values.pop("Id", None)
    return asked.org.create_record(name, values, as_user=asked.session.user_id)


def _update_one(asked: _Asked, element: etree._Element) -> str:
    name, values = _values(element)
    record_id = str(values.pop("Id", "") or "")
    if not record_id:
        raise Fault("MISSING_ARGUMENT", "Id not specified in an update call")
    asked.org.update_record(name, record_id, values, as_user=asked.session.user_id)
    return id18(record_id)


def _delete_one(asked: _Asked, element: etree._Element) -> str:
    record_id = (element.text or "").strip()
    table = sobject_of_id(record_id)
    if table is None:
        raise Fault("MALFORMED_ID", f"malformed id {record_id}")
    asked.org.delete_record(table.name, record_id, as_user=asked.session.user_id)
    return id18(record_id)


def _retrieve(asked: _Asked) -> Content:
    table = DataSource(asked.org).describe(child_text(asked.element, "sObjectType"))
    wanted: list[SField] = []
    for name in child_text(asked.element, "fieldList").split(","):
        field = table.by_name.get(name.strip().lower())
        if field is None:
            raise Fault(
                "INVALID_FIELD",
                f"No such column '{name.strip()}' on entity '{table.name}'.",
            )
        wanted.append(field)
    found: list[Content] = []
    for element in children(asked.element, "ids"):
        record = records.one_record(asked.org, table, (element.text or "").strip())
        if record is None:
            found.append(Nil())
        else:
            values = {field.name: record[field.name] for field in wanted}
            found.append(
                _sobject_of_row(soql.Row(table.name, str(record["Id"]), values))
            )
    return found


# -- describe


def _describe_sobjects(asked: _Asked) -> Content:
    source = DataSource(asked.org)
    names = [(e.text or "").strip() for e in children(asked.element, "sObjectType")]
    return [describe_sobject(source.describe(name)) for name in names]


_OPERATIONS: Mapping[str, Callable[[_Asked], Content]] = {
    "logout": _logout,
    "getUserInfo": _get_user_info,
    "query": _query,
    "queryAll": _query,
    "queryMore": _query_more,
    "create": _create,
    "update": _update,
    "delete": _delete,
    "retrieve": _retrieve,
    "describeSObject": _describe_sobjects,
    "describeSObjects": _describe_sobjects,
}
