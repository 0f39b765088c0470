"""What an org says about metadata types themselves."""

from __future__ import annotations

from functools import lru_cache

from metadeploy import schema
from metadeploy.emulator.envelope import Content
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.state import OrgState
from metadeploy.model import METADATA_NS

_TOP_LEVEL = frozenset({"file", "folder", "bundle", "space", "own"})
_SOAP_TYPES = frozenset(
    {"string", "boolean", "int", "long", "double", "date", "dateTime", "base64Binary"}
)


def describe_metadata(org: OrgState, version: float) -> dict[str, Content]:
    """Return a DescribeMetadataResult: the types as of that API version.

    partialSaveAllowed is false in production (recalled).
    """
    production = org.settings.is_production
    return {
        "metadataObjects": _objects(version),
        "organizationNamespace": org.settings.namespace,
        "partialSaveAllowed": not production,
        "testRequired": production,
    }


@lru_cache(maxsize=64)
def _objects(version: float) -> tuple[dict[str, Content], ...]:
    children: dict[str, list[str]] = {}
    rows = schema.metadata_types()
    for name, row in rows.items():
        if row.layout == "child":
            children.setdefault(row.owner, []).append(name)
    return tuple(
        {
            "childXmlNames": sorted(children.get(name, ())),
            "directoryName": row.directory,
            "inFolder": row.in_folder,
            "metaFile": row.meta_file,
            "suffix": row.suffix or None,
            "xmlName": name,
        }
        for name, row in sorted(rows.items())
        if row.layout in _TOP_LEVEL and (row.since is None or row.since <= version)
    )


def describe_value_type(name: str, version: float) -> dict[str, Content]:
    """Return a DescribeValueTypeResult for "{namespace}Type". Raises Fault.

    Types without a field table are named as not emulated.
    """
    namespace, _, local = name.rpartition("}")
    if namespace not in (f"{{{METADATA_NS}", ""):
        raise Fault("INVALID_TYPE", f"Unknown namespace in type: {name}")
    root = local
    if schema.fields(root) is None:
        known = root in schema.metadata_types()
        raise Fault(
            "INVALID_TYPE",
            f"describeValueType of {root} is not emulated"
            if known
            else f"Unknown type:{root}",
        )
    return {
        "apiCreatable": True,
        "apiDeletable": True,
        "apiReadable": True,
        "apiUpdatable": True,
        "valueTypeFields": [_name_field(), *_fields(root, version)],
    }


def _name_field() -> dict[str, Content]:
    return _field("fullName", "string", required=True, is_name=True)


def _field(
    name: str, soap_type: str, *, required: bool, is_name: bool = False
) -> dict[str, Content]:
    return {
        "isForeignKey": False,
        "isNameField": is_name,
        "minOccurs": 1 if required else 0,
        "name": name,
        "soapType": soap_type,
        "valueRequired": required,
    }


def _fields(struct: str, version: float) -> list[dict[str, Content]]:
    found: list[dict[str, Content]] = []
    for field in (schema.fields(struct) or {}).values():
        if field.since is not None and version < field.since:
            continue
        inner = _fields(field.kind, version)
        values = schema.enum(field.kind)
        told = _field(field.name, field.kind, required=field.required)
        picklist: list[Content] = [
            {"active": True, "defaultValue": False, "label": value, "value": value}
            for value in values or ()
        ]
        found.append(
            {
                "fields": inner,
                "isForeignKey": told["isForeignKey"],
                "isNameField": told["isNameField"],
                "minOccurs": told["minOccurs"],
                "name": told["name"],
                "picklistValues": picklist,
                "soapType": told["soapType"],
                "valueRequired": told["valueRequired"],
            }
        )
    return found
