"""Records over REST: sObjects described, read, written, many at once.

Source: REST API Developer Guide, "sObject Rows", "sObject Collections"
(documented); wording of refusals recalled unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from metadeploy.emulator.faults import Fault
from metadeploy.emulator.rest_call import (
    Call,
    Routes,
    no_resource,
    record_values,
    rest_value,
)
from metadeploy.emulator.rest_query import TOOLING, tooling_knows
from metadeploy.emulator.sobjects import SField, SObject, sobject_of_id
from metadeploy.emulator.wire import Answer, Json, json_answer
from metadeploy.model import id18

MAX_COLLECTION = 200
_NO_CONTENT = Answer(204, "", b"")


def _table(call: Call, *, tooling: bool = False) -> SObject:
    """Return the sObject a path names; a 404 for any other."""
    try:
        found = call.org.describe(call.args[0])
    except Fault:
        raise no_resource() from None
    if not tooling_knows(call.org, found.name) if tooling else found.tooling:
        raise no_resource()
    return found


# -- describe


def _global(call: Call) -> Answer:
    tables = [call.org.describe(name) for name in call.org.sobjects()]
    return json_answer(
        {
            "encoding": "UTF-8",
            "maxBatchSize": MAX_COLLECTION,
            "sobjects": [_summary(call, t) for t in tables if not t.tooling],
        }
    )


def _tooling_global(call: Call) -> Answer:
    tables = [call.org.describe(name) for name in sorted(TOOLING)]
    return json_answer(
        {
            "encoding": "UTF-8",
            "maxBatchSize": MAX_COLLECTION,
            "sobjects": [_summary(call, table) for table in tables],
        }
    )


def _summary(call: Call, table: SObject) -> dict[str, Json]:
    url = f"{call.base}/sobjects/{table.name}"
    return {
        "name": table.name,
        "label": table.name,
        "labelPlural": table.name,
        "keyPrefix": table.key_prefix,
        "custom": False,
        "customSetting": False,
        "createable": table.createable,
        "updateable": table.updateable,
        "deletable": table.deletable,
        "queryable": True,
        "retrieveable": True,
        "searchable": False,
        "triggerable": False,
        "undeletable": False,
        "urls": {
            "sobject": url,
            "describe": f"{url}/describe",
            "rowTemplate": f"{url}/{{ID}}",
        },
    }


def _basic(call: Call) -> Answer:
    table = _table(call)
    return json_answer({"objectDescribe": _summary(call, table), "recentItems": []})


def _describe(call: Call) -> Answer:
    return json_answer(_described(call, _table(call)))


def _tooling_describe(call: Call) -> Answer:
    """Describe; of SourceMember this must be the plain 404.

    Observed: Salesforce CLI takes any other answer for an org that tracks sources.
    """
    return json_answer(_described(call, _table(call, tooling=True)))


def _described(call: Call, table: SObject) -> Json:
    return {
        **_summary(call, table),
        "fields": [_field_json(field) for field in table.fields],
        "childRelationships": [
            {
                "childSObject": child.sobject,
                "field": child.field,
                "relationshipName": child.name,
                "cascadeDelete": False,
                "deprecatedAndHidden": False,
                "restrictedDelete": False,
            }
            for child in table.children
        ],
        "recordTypeInfos": [],
    }


def _field_json(field: SField) -> Json:
    soap = {"boolean": "xsd:boolean", "int": "xsd:int", "datetime": "xsd:dateTime"}
    soap |= {"id": "tns:ID", "reference": "tns:ID"}
    return {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "soapType": soap.get(field.type, "xsd:string"),
        "length": field.length,
        "custom": False,
        "createable": field.createable,
        "updateable": field.updateable,
        "filterable": field.filterable,
        "sortable": field.filterable,
        "groupable": field.filterable,
        "nillable": field.nillable,
        "defaultedOnCreate": field.type == "boolean",
        "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship_name or None,
        "picklistValues": [
            {"value": value, "label": value, "active": True, "defaultValue": False}
            for value in field.picklist
        ],
    }


# -- one record


def _read(call: Call) -> Answer:
    return _read_from(call, _table(call), call.base)


def _tooling_read(call: Call) -> Answer:
    return _read_from(call, _table(call, tooling=True), f"{call.base}/tooling")


def _read_from(call: Call, table: SObject, base: str) -> Answer:
    record_id = _id_of(table, call.args[1])
    record = call.org.record(table.name, record_id)
    if record is None:
        raise no_resource()
    fields: Sequence[SField] = table.fields
    if wish := call.request.parameters.get("fields", ""):
        fields = [_named_field(table, name.strip()) for name in wish.split(",")]
    url = f"{base}/sobjects/{table.name}/{record['Id']}"
    found: dict[str, Json] = {"attributes": {"type": table.name, "url": url}}
    for field in fields:
        found[field.name] = rest_value(record.get(field.name), field.type)
    return json_answer(found)


def _named_field(table: SObject, name: str) -> SField:
    field = table.by_name.get(name.lower())
    if field is None:
        message = f"No such column '{name}' on sobject of type {table.name}"
        raise Fault("INVALID_FIELD", message)
    return field


def _id_of(table: SObject, text: str) -> str:
    """Return an id with 18 characters; what is none cannot name a record."""
    try:
        return id18(text)
    except ValueError:
        message = (
            "Provided external ID field does not exist or is not accessible: "
            f"{text or table.name}"
        )
        raise Fault("NOT_FOUND", message) from None


def _create(call: Call) -> Answer:
    table = _table(call)
    values = record_values(call.json_object())
    created = call.org.create_record(table.name, values, as_user=call.session.user_id)
    where = (("Location", f"{call.base}/sobjects/{table.name}/{created}"),)
    result: Json = {"id": created, "success": True, "errors": []}
    return json_answer(result, 201, headers=where)


def _update(call: Call) -> Answer:
    table = _table(call)
    values = record_values(call.json_object())
    record_id = _id_of(table, call.args[1])
    call.org.update_record(table.name, record_id, values, as_user=call.session.user_id)
    return _NO_CONTENT


def _delete(call: Call) -> Answer:
    table = _table(call)
    record_id = _id_of(table, call.args[1])
    call.org.delete_record(table.name, record_id, as_user=call.session.user_id)
    return _NO_CONTENT


# -- many records


class _RolledBack(Exception):
    """All or none was asked for, and one failed."""


def _collection(call: Call) -> tuple[list[Mapping[str, Json]], bool]:
    found = call.json_object()
    records, all_or_none = found.get("records"), found.get("allOrNone", False)
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise Fault("JSON_PARSER_ERROR", "records must be a list of objects")
    _check_size(len(records))
    return records, all_or_none is True or all_or_none == "true"


def _check_size(count: int) -> None:
    if count > MAX_COLLECTION:
        message = (
            f"record limit reached. cannot submit more than {MAX_COLLECTION} records"
        )
        raise Fault("EXCEEDED_ID_LIMIT", f"{message} into this call")


def _type_of(record: Mapping[str, Json]) -> str:
    attributes = record.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(kind, str):
        raise Fault("INVALID_INPUT", "Missing attributes.type in a record")
    return kind


def _create_one(call: Call, record: Mapping[str, Json]) -> str:
    user = call.session.user_id
    return call.org.create_record(_type_of(record), record_values(record), as_user=user)


def _update_one(call: Call, record: Mapping[str, Json]) -> str:
    values = record_values(record)
    record_id = str(values.pop("id", None) or values.pop("Id", ""))
    values.pop("Id", None)
    user = call.session.user_id
    call.org.update_record(_type_of(record), record_id, values, as_user=user)
    return record_id


def _create_many(call: Call) -> Answer:
    records, all_or_none = _collection(call)
    return _many(call, [partial(_create_one, call, r) for r in records], all_or_none)


def _update_many(call: Call) -> Answer:
    records, all_or_none = _collection(call)
    return _many(call, [partial(_update_one, call, r) for r in records], all_or_none)


def _delete_many(call: Call) -> Answer:
    parameters = call.request.parameters
    wanted = [i.strip() for i in parameters.get("ids", "").split(",") if i.strip()]
    _check_size(len(wanted))
    all_or_none = parameters.get("allOrNone", "").lower() == "true"
    return _many(call, [partial(_delete_one, call, i) for i in wanted], all_or_none)


def _delete_one(call: Call, record_id: str) -> str:
    table = sobject_of_id(record_id)
    if table is None:
        raise Fault("MALFORMED_ID", f"bad id {record_id}")
    call.org.delete_record(table.name, record_id, as_user=call.session.user_id)
    return record_id


def _many(call: Call, acts: Sequence[Callable[[], str]], all_or_none: bool) -> Answer:
    """Do each, and tell of each; all or none in one transaction if so asked."""
    results: list[Json] = []
    try:
        with call.world.transaction():
            for act in acts:
                results.append(_result(act))
            if all_or_none and any(not _good(result) for result in results):
                raise _RolledBack
    except _RolledBack:
        results = [_rolled_back(r) if _good(r) else r for r in results]
    return json_answer(results)


def _result(act: Callable[[], str]) -> Json:
    try:
        return {"id": act(), "success": True, "errors": []}
    except Fault as fault:
        return _failure(fault.code, fault.message, fault.fields)


def _failure(code: str, message: str, fields: Sequence[str] = ()) -> Json:
    error: Json = {"statusCode": code, "message": message, "fields": list(fields)}
    return {"success": False, "errors": [error]}


def _good(result: Json) -> bool:
    return isinstance(result, Mapping) and result["success"] is True


def _rolled_back(result: Json) -> Json:
    return _failure(
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was "
        "using AllOrNone header",
    )


ROUTES: Routes = {
    "sobjects": {"GET": _global},
    "sobjects/([^/]+)": {"GET": _basic, "POST": _create},
    "sobjects/([^/]+)/describe": {"GET": _describe},
    "sobjects/([^/]+)/([^/]+)": {"GET": _read, "PATCH": _update, "DELETE": _delete},
    "composite/sobjects": {
        "POST": _create_many,
        "PATCH": _update_many,
        "DELETE": _delete_many,
    },
    "tooling/sobjects": {"GET": _tooling_global},
    "tooling/sobjects/([^/]+)/describe": {"GET": _tooling_describe},
    "tooling/sobjects/([^/]+)/([^/]+)": {"GET": _tooling_read},
}
