"""How the partner endpoint describes an sObject."""

from __future__ import annotations

from metadeploy.emulator.envelope import Content, Nil
from metadeploy.emulator.sobjects import SField, SObject


def describe_sobject(table: SObject) -> dict[str, Content]:
    """Return a DescribeSObjectResult, every element the schema asks for in order."""
    yes = dict.fromkeys(("queryable", "replicateable", "retrieveable"), True)
    off = dict.fromkeys(
        (
            "activateable",
            "compactLayoutable",
            "custom",
            "customSetting",
            "deepCloneable",
            "deprecatedAndHidden",
            "feedEnabled",
            "hasSubtypes",
            "idEnabled",
            "isInterface",
            "isSubtype",
            "layoutable",
            "mergeable",
            "mruEnabled",
            "searchable",
            "undeletable",
        ),
        False,
    )
    nil = dict.fromkeys(
        (
            "associateEntityType",
            "associateParentEntity",
            "defaultImplementation",
            "implementedBy",
            "implementsInterfaces",
            "networkScopeFieldName",
            "urlDetail",
            "urlEdit",
            "urlNew",
        ),
        Nil(),
    )
    found: dict[str, Content] = {
        **yes,
        **off,
        **nil,
        "childRelationships": [
            {
                "cascadeDelete": True,
                "childSObject": relation.sobject,
                "deprecatedAndHidden": False,
                "field": relation.field,
                "relationshipName": relation.name,
            }
            for relation in table.children
        ],
        "createable": table.createable,
        "deletable": table.deletable,
        "fields": [_describe_field(field) for field in table.fields],
        "keyPrefix": table.key_prefix,
        "label": table.name,
        "labelPlural": table.name,
        "name": table.name,
        "updateable": table.updateable,
    }
    return dict(sorted(found.items()))


_SOAP_TYPES = {"boolean": "xsd:boolean", "int": "xsd:int", "datetime": "xsd:dateTime"}
_ID_TYPES = frozenset({"id", "reference"})


def _describe_field(field: SField) -> dict[str, Content]:
    off = dict.fromkeys(
        (
            "aiPredictionField",
            "autoNumber",
            "calculated",
            "caseSensitive",
            "custom",
            "deprecatedAndHidden",
            "externalId",
            "permissionable",
            "polymorphicForeignKey",
            "queryByDistance",
            "restrictedPicklist",
            "searchPrefilterable",
            "unique",
        ),
        False,
    )
    soap_type = "tns:ID" if field.type in _ID_TYPES else "xsd:string"
    found: dict[str, Content] = {
        **off,
        "aggregatable": True,
        "byteLength": field.length * 3,
        "createable": field.createable,
        "defaultedOnCreate": not field.nillable and not field.createable,
        "digits": 8 if field.type == "int" else 0,
        "filterable": field.filterable,
        "groupable": field.type not in ("datetime",),
        "idLookup": field.type == "id",
        "label": field.label,
        "length": field.length,
        "name": field.name,
        "nameField": field.name == "Name",
        "nillable": field.nillable,
        "precision": 0,
        "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship_name or None,
        "scale": 0,
        "soapType": _SOAP_TYPES.get(field.type, soap_type),
        "sortable": True,
        "type": field.type,
        "updateable": field.updateable,
    }
    return dict(sorted(found.items()))
