"""The tables: whole, and equal to what the platform says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from metadeploy import schema
from metadeploy.model import Ref

_TYPES = sorted(schema.metadata_types())
_PACKED = [n for n in _TYPES if schema.metadata_types()[n].layout != "child"]
_SEGMENT = st.from_regex(r"X[A-Za-z0-9_ %()&é-]{0,20}", fullmatch=True)


@st.composite
def refs(draw: st.DrawFn) -> Ref:
    found = schema.metadata_types()[draw(st.sampled_from(_PACKED))]
    name = draw(_SEGMENT)
    if found.layout in ("folder", "space"):
        name = f"{draw(_SEGMENT)}/{name}"
    elif found.layout == "inner":
        name = f"{draw(_SEGMENT)}.{name}"
    return Ref(found.name, name)


@given(refs(), st.sampled_from(["", "force-app/main/default/", "/tmp/./a/"]))
def test_every_type_packs_and_unpacks_a_path(ref: Ref, place: str) -> None:
    assert schema.ref_of(place + schema.path_of(ref)) == ref


@pytest.mark.parametrize(
    ("path", "ref"),
    [
        ("connectedApps/Portal.connectedApp", Ref("ConnectedApp", "Portal")),
        ("a/profiles/A b.profile-meta.xml", Ref("Profile", "A b")),
        ("profiles/A %28B%29.profile", Ref("Profile", "A %28B%29")),
        ("settings/ConnectedApp.settings", Ref("Settings", "ConnectedApp")),
        ("reports/A/B.report", Ref("Report", "A/B")),
        ("reports/A/B-meta.xml", Ref("ReportFolder", "A/B")),
        ("documents/F/a.png-meta.xml", Ref("Document", "F/a.png")),
        ("documents/F-meta.xml", Ref("DocumentFolder", "F")),
        ("lwc/aura/aura.js", Ref("LightningComponentBundle", "aura")),
        ("experiences/s.site-meta.xml", Ref("ExperienceBundle", "s")),
        (
            "digitalExperiences/site/a/b/c.json",
            Ref("DigitalExperienceBundle", "site/a"),
        ),
        (
            "objects/Account/fields/X__c.field-meta.xml",
            Ref("CustomField", "Account.X__c"),
        ),
    ],
)
def test_a_file_belongs_to_a_component(path: str, ref: Ref) -> None:
    assert schema.ref_of(path) == ref


@pytest.mark.parametrize(
    "path",
    [
        "",
        "README.md",
        "connectedApps",
        "connectedApps/Portal.txt",
        "connectedApps/.connectedApp",
        "connectedApps/../Portal.connectedApp",
        "connectedApps/Por\ntal.connectedApp",
        "connectedApps\\Portal.connectedApp",
        "aura/a.js",
        "digitalExperiences/site",
        "reports/A",
        "territories/A.territory2",
        "fields/X__c.field-meta.xml",
    ],
)
def test_a_file_that_is_no_component(path: str) -> None:
    assert schema.ref_of(path) is None


_PARTS = ["classes", "territory2Models", "territories", "objects", "fields", "lwc"]
_LEAVES = ["A.cls", "...cls", ".territory2", "a.field-meta.xml", "documents", "\n"]


@given(
    st.lists(
        st.sampled_from([*_PARTS, *_LEAVES, "reports", "x"]) | st.text(), max_size=6
    )
)
def test_a_path_never_surprises(segments: list[str]) -> None:
    ref = schema.ref_of("/".join(segments))
    if ref:
        assert schema.path_of(ref)


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        (Ref("CustomField", "Account.X__c"), "objects/Account.object"),
        (Ref("CustomLabel", "Hello"), "labels/CustomLabels.labels"),
        (Ref("LightningComponentBundle", "a"), "lwc/a"),
        (Ref("ReportFolder", "A"), "reports/A-meta.xml"),
        (
            Ref("Territory2", "M.T"),
            "territory2Models/M/territories/T.territory2",
        ),
        (Ref("Territory2Model", "M"), "territory2Models/M/M.territory2Model"),
    ],
)
def test_a_component_has_a_place(ref: Ref, path: str) -> None:
    assert schema.path_of(ref) == path


@pytest.mark.parametrize(
    "ref",
    [
        Ref("Profile", ""),
        Ref("Profile", "a/b"),
        Ref("Report", "../a"),
        Ref("Report", "a//b"),
        Ref("Profile", "a\\b"),
        Ref("Profile", "a\0b"),
        Ref("DigitalExperienceBundle", "a/b/c"),
        Ref("Territory2", "T"),
        Ref("Territory2", "M."),
        Ref("Territory2", "M.."),
        Ref("Profile", ".."),
    ],
)
def test_a_name_that_makes_no_path(ref: Ref) -> None:
    with pytest.raises(ValueError, match="cannot be the name of"):
        schema.path_of(ref)


def test_an_unknown_type_has_no_path() -> None:
    with pytest.raises(KeyError):
        schema.path_of(Ref("Nonsense", "A"))


def test_what_a_package_calls_it() -> None:
    assert schema.root_name(Ref("Profile", "Admin")) == "Profile"
    settings = Ref("Settings", "ConnectedApp")
    assert schema.root_name(settings) == "ConnectedAppSettings"
    assert schema.manifest_type("ReportFolder") == "Report"
    assert schema.manifest_type("Settings") == "Settings"
    assert schema.manifest_type("Nonsense") == "Nonsense"


def test_scopes_have_two_names_and_one_that_stays() -> None:
    assert schema.canonical_scope("Email") == "Basic"
    assert schema.canonical_scope("OfflineAccess") == "RefreshToken"
    assert schema.canonical_scope("SFApiPlatform") == "SFAP"
    assert schema.canonical_scope("Unheard") == "Unheard"
    assert schema.oauth_scope("Chatter") == "chatter_api"
    with pytest.raises(KeyError):
        schema.oauth_scope("chatter_api")
    wire = schema.enum("ConnectedAppOauthAccessScope") or ()
    assert schema.scopes() == (*wire, "SFApiPlatform")
    for scope in schema.scopes():
        assert schema.canonical_scope(schema.canonical_scope(scope)) in wire
        assert schema.oauth_scope(scope)


def test_what_we_know_of_a_secret() -> None:
    table = schema.fields("ConnectedAppOauthConfig")
    assert table is not None
    assert table["consumerSecret"].flags == {"create-only", "secret", "write-only"}
    assert table["consumerSecret"].since == 32
    assert table["isSecretRequiredForRefreshToken"].default == "true"
    assert schema.fields("Nonsense") is None
    assert schema.enum("Nonsense") is None
    assert schema.item_key("Nonsense") == ()


def _lines(table: str) -> list[str]:
    path = Path(schema.__file__).with_name(f"{table}.tsv")
    lines = path.read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")][1:]


@pytest.mark.parametrize(
    ("table", "key", "columns"),
    [
        ("types", 1, 7),
        ("fields", 2, 8),
        ("enums", 2, 3),
        ("items", 1, 2),
        ("scopes", 1, 3),
    ],
)
def test_a_table_is_whole(table: str, key: int, columns: int) -> None:
    rows = [line.split("\t") for line in _lines(table)]
    assert {len(row) for row in rows} == {columns}
    keys = [tuple(row[:key]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert all(all(k) for k in keys)


def test_tables_point_to_one_another() -> None:
    types = schema.metadata_types()
    assert all(not t.owner or t.owner in types for t in types.values())
    scalars = {"string", "boolean", "int", "double", "base64Binary"}
    structs = {line.split("\t")[0] for line in _lines("fields")}
    for struct in structs:
        for field in (schema.fields(struct) or {}).values():
            known = field.kind in scalars or field.kind in structs
            assert known or schema.enum(field.kind), f"{struct}.{field.name}"
            if field.many and field.kind in structs:
                assert schema.item_key(field.kind), f"{struct}.{field.name}"
            if field.many and field.kind not in structs:
                assert "set" in field.flags, f"{struct}.{field.name}"
    for line in _lines("items"):
        struct, key = line.split("\t")
        assert set(key.split(",")) <= set(schema.fields(struct) or {}), struct
    for line in _lines("enums"):
        struct, dot, name = line.split("\t")[0].partition(".")
        assert not dot or name in (schema.fields(struct) or {}), line


# What the platform itself says, where its WSDL is at hand.

_WSDL = Path(__file__).parents[2] / "shared" / "wsdl" / "metadata-66.0.wsdl"
_XSD = "{http://www.w3.org/2001/XMLSchema}"

needs_wsdl = pytest.mark.skipif(
    not _WSDL.exists(), reason=f"there is no {_WSDL.name} to compare with"
)


@cache
def _named(kind: str) -> dict[str, etree._Element]:
    root = etree.parse(str(_WSDL)).getroot()
    return {e.get("name", ""): e for e in root.iter(f"{_XSD}{kind}") if e.get("name")}


def _elements(struct: str) -> Iterator[etree._Element]:
    extension = _named("complexType")[struct].find(f".//{_XSD}extension")
    if extension is not None and extension.get("base") != "tns:Metadata":
        yield from _elements(extension.get("base", "").partition(":")[2])
    yield from _named("complexType")[struct].iter(f"{_XSD}element")


@needs_wsdl
def test_fields_are_those_of_the_wsdl() -> None:
    structs = dict.fromkeys(line.split("\t")[0] for line in _lines("fields"))
    for struct in structs:
        told = [
            (
                e.get("name"),
                e.get("type", "").partition(":")[2],
                e.get("minOccurs") != "0",
                e.get("maxOccurs") == "unbounded",
            )
            for e in _elements(struct)
        ]
        table = (schema.fields(struct) or {}).values()
        now = [f for f in table if f.until is None]
        assert [(f.name, f.kind, f.required, f.many) for f in now] == told, struct
        assert [f.name for f in table] == sorted(f.name for f in table), struct


@needs_wsdl
def test_the_family_of_external_client_apps_is_whole() -> None:
    for name in _named("complexType"):
        if name.startswith(("ExternalClientApp", "ExtlClntApp", "ConnectedApp")):
            assert schema.fields(name), name


@needs_wsdl
def test_enums_are_those_of_the_wsdl() -> None:
    for name in dict.fromkeys(line.split("\t")[0] for line in _lines("enums")):
        if "." in name:
            struct, _, field = name.partition(".")
            assert (schema.fields(struct) or {})[field].kind == "string"
            continue
        told = _named("simpleType")[name].iter(f"{_XSD}enumeration")
        assert schema.enum(name) == tuple(e.get("value") for e in told), name


@needs_wsdl
def test_most_types_are_those_of_the_wsdl() -> None:
    # The others came after API 66, went before it, or are Settings, which the WSDL
    # has one by one.
    known = _named("complexType")
    unknown = [name for name in _TYPES if name not in known]
    assert "Settings" in unknown
    assert len(_TYPES) > 550
    assert len(unknown) < 50
