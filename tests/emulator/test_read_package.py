"""A deploy's zip: manifests, stray files, what is told about each."""

from __future__ import annotations

import pytest
from deployer import XMLNS, Deployer, app, manifest, permission_set
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.emulator.judge import BadFile, read_file
from metadeploy.emulator.package import read_intake, read_manifest
from metadeploy.emulator.state import OrgState
from metadeploy.emulator.tree import escape
from metadeploy.emulator.zips import write_zip
from metadeploy.model import METADATA_NS, Ref
from metadeploy.schema import path_of

SET = "permissionsets/P.permissionset"


def problems(files: dict[str, str | bytes]) -> list[tuple[str, str]]:
    """Return (file, problem) of a zip's intake."""
    data = {p: b.encode() if isinstance(b, str) else b for p, b in files.items()}
    intake = read_intake(write_zip(data))
    found = list(intake.problems)
    for package in intake.packages:
        found += package.problems
    return [(p.file_name, p.text) for p in found]


def refusals(path: str, body: str, version: str = "66.0") -> list[str]:
    """Return why the one file of a package is refused."""
    kinds = {SET: "PermissionSet"}
    named = manifest({kinds.get(path, "ApexClass"): ("*",)}, version)
    intake = read_intake(
        write_zip({"package.xml": named.encode(), path: body.encode()})
    )
    components = intake.packages[0].components
    return [c.refused.problem for c in components if c.refused]


# -- manifests


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<Pack/>", "Error parsing file: Element Pack invalid at this location"),
        (f"<Package {XMLNS}></Package>", "Required field is missing: version"),
        (
            f"<Package {XMLNS}><version>99.0</version></Package>",
            "Invalid version specified:99.0",
        ),
        (
            f"<Package {XMLNS}><version>v66</version></Package>",
            "Invalid version specified:v66",
        ),
        (
            f"<Package {XMLNS}><typez/><version>66.0</version></Package>",
            f"Error parsing file: Element {{{METADATA_NS}}}typez invalid at this"
            " location in type Package",
        ),
        (
            f"<Package {XMLNS}><types><x/></types></Package>",
            f"Error parsing file: Element {{{METADATA_NS}}}x invalid at this location"
            " in type PackageTypeMembers",
        ),
        (
            f"<Package {XMLNS}><types><members>A</members></types></Package>",
            "Required field is missing: name",
        ),
    ],
)
def test_bad_manifests(text: str, problem: str) -> None:
    assert problems({"package.xml": text}) == [("package.xml", problem)]


def test_a_bad_destructive_manifest_is_named() -> None:
    found = problems(
        {"package.xml": manifest({}), "destructiveChanges.xml": "<Package/>"}
    )
    assert found[0][0] == "destructiveChanges.xml"


def test_types_may_be_split_and_in_any_order() -> None:
    text = (
        f"<Package {XMLNS}><version>66.0</version><types><name>Profile</name>"
        "<members>B</members></types><types><members> A </members><members>B</members>"
        "<name>Profile</name></types></Package>"
    )
    found = read_manifest(text.encode(), "package.xml")
    assert found.version == 66.0
    assert found.members == {"Profile": ("B", "A")}


# -- files


def test_strays_and_unlisted_files_are_told() -> None:
    found = problems(
        {"package.xml": manifest({}), "readme.md": "x", SET: permission_set()}
    )
    assert found == [("readme.md", "Not in package.xml"), (SET, "Not in package.xml")]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            "hello",
            "Error parsing file: ParseError at [row,col]:[1,1] Message: Start tag",
        ),
        ("", "Error parsing file: ParseError"),
        (f"<Profile {XMLNS}/>", "Error parsing file: Element {http://soap.sforce.com"),
        ("<PermissionSet/>", "Error parsing file: Element PermissionSet invalid"),
        (
            '<!DOCTYPE x [<!ENTITY y "z">]><PermissionSet/>',
            "Error parsing file: ParseError at [row,col]:[1,1] Message: DOCTYPE",
        ),
        (
            permission_set("<license><x/></license>"),
            f"Error parsing file: Element {{{METADATA_NS}}}x invalid at this location"
            " in type string",
        ),
        (
            permission_set('<x:license xmlns:x="urn:other">a</x:license>'),
            "Error parsing file: Element {urn:other}license invalid at this location",
        ),
        (permission_set("<license>a</license>" * 2), "Error parsing file: Element lic"),
    ],
)
def test_bad_files(body: str, problem: str) -> None:
    (found,) = refusals(SET, body)
    assert found.startswith(problem)


@pytest.mark.parametrize("word", ["true", "1", " true ", "false", "0"])
def test_spellings_of_a_boolean(word: str) -> None:
    text = f"<hasActivationRequired>{word}</hasActivationRequired>"
    assert refusals(SET, permission_set(text)) == []


def test_absent_values_and_names_inside_are_passed_over() -> None:
    nil = (
        '<description xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
        ' i:nil="true"/><fullName>Other</fullName><!-- hello -->'
    )
    tree = read_file(permission_set(nil).encode(), "PermissionSet", 66.0)
    assert tree == {"label": ["P"]}


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        ("idTokenValidity", "720", True),
        ("idTokenValidity", "7.5", False),
        ("idTokenValidity", "", False),
    ],
)
def test_numbers(kind: str, value: str, good: bool) -> None:
    text = app(config=f"<idTokenConfig><{kind}>{value}</{kind}></idTokenConfig>")
    try:
        read_file(text.encode(), "ConnectedApp", 66.0)
    except BadFile as bad:
        assert not good
        assert bad.problem == f"'{value}' is not valid for the type xsd:int"
    else:
        assert good


def test_elements_that_went_are_refused_too() -> None:
    body = (
        f"<ExtlClntAppOauthConfigurablePolicies {XMLNS}><externalClientApplication>E"
        "</externalClientApplication><isNamedUserJwtEnabled>true"
        "</isNamedUserJwtEnabled></ExtlClntAppOauthConfigurablePolicies>"
    )
    root = "ExtlClntAppOauthConfigurablePolicies"
    assert read_file(body.encode(), root, 63.0)
    with pytest.raises(BadFile, match="not valid in version 66"):
        read_file(body.encode(), root, 66.0)


def test_enum_values_have_a_version_too() -> None:
    text = app(config="<scopes>MCP</scopes>").encode()
    assert read_file(text, "ConnectedApp", 66.0)
    with pytest.raises(BadFile, match="'MCP' is not a valid value for the enum"):
        read_file(text, "ConnectedApp", 65.0)


def test_a_place_is_told_in_any_encoding() -> None:
    text = permission_set("\n<description>ä</description>\n  <nonsense/>")
    body = ('<?xml version="1.0" encoding="ISO-8859-1"?>\n' + text).encode("latin-1")
    with pytest.raises(BadFile) as caught:
        read_file(body, "PermissionSet", 66.0)
    assert (caught.value.line, caught.value.column) == (4, 11)


def test_code_and_what_describes_it() -> None:
    path = "classes/A.cls"
    meta = f"<ApexClass {XMLNS}><apiVersion>%s</apiVersion></ApexClass>"

    def refused(described: str) -> list[str]:
        files = {
            "package.xml": manifest({"ApexClass": ("A",)}),
            path: "class A {}",
            f"{path}-meta.xml": described,
        }
        intake = read_intake(write_zip({p: b.encode() for p, b in files.items()}))
        return [c.refused.problem for c in intake.packages[0].components if c.refused]

    assert refused(meta % "66.0") == []
    assert refused(meta % "67.0") == ['The ApexClass apiVersion can\'t be "67.0"']
    assert refused(meta % "x") == ['The ApexClass apiVersion can\'t be "x"']
    assert refused("<nope")[0].startswith("Error parsing file: ")


def test_a_type_without_a_table_must_be_xml_of_its_name(org: OrgState) -> None:
    deployer = Deployer(org)
    path = path_of(Ref("Flow", "X"))
    assert deployer.problem({path: "hello"}).startswith(
        "Error parsing file: Content is"
    )
    assert deployer.problem({path: f"<Other {XMLNS}/>"}).endswith(
        "Other invalid at this location"
    )
    assert deployer.deploy({path: f"<Flow {XMLNS}/>"}).success


# -- laws


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])))
def test_text_survives(text: str) -> None:
    body = permission_set(f"<description>{escape(text)}</description>")
    tree = read_file(body.encode(), "PermissionSet", 66.0)
    assert tree
    assert tree["description"] == [text]


@given(st.binary(max_size=300))
def test_any_bytes_are_judged_not_crashed_on(body: bytes) -> None:
    with pytest.raises(BadFile):
        read_file(body, "PermissionSet", 66.0)
