"""Rules for names, and for what org files pin."""

from __future__ import annotations

import pytest
from rule_files import component, found

from metadeploy import rules
from metadeploy.model import Component, Ref, Source

LABEL = "<label>A</label>"
ORG = "00DWs000003xYZ1"
ORG_18 = "00DWs000003xYZ1MAM"


@pytest.mark.parametrize("name", ["A", "Portal_API", "portal2"])
def test_api_names_that_work(name: str) -> None:
    assert found(component(Ref("PermissionSet", name), LABEL)) == []


@pytest.mark.parametrize("name", ["2A", "_A", "A_", "A__B", "A B", "Ä", "A-B"])
def test_api_names_that_do_not_work(name: str) -> None:
    assert found(component(Ref("PermissionSet", name), LABEL)) == [
        f"1: '{name}' cannot be the name of a PermissionSet [MD501]"
    ]


def test_api_names_end_somewhere() -> None:
    ref = Ref("ExternalClientApplication", "A" * 81)
    assert found(component(ref)) == [
        "1: the name has 81 characters; 80 are allowed [MD501]"
    ]


def test_profiles_have_freer_names() -> None:
    assert found(component(Ref("Profile", "Sales %28EMEA%29 – Füße"))) == []
    assert [
        str(p)
        for p in rules.check([component(Ref("Profile", "A/B"))], api_version="66.0")
    ] == ["Profile A/B:1: 'A/B' cannot be the name of a Profile [MD503]"]


def test_two_components_of_one_name() -> None:
    first = component(Ref("PermissionSet", "Api"), LABEL)
    second = component(Ref("PermissionSet", "API"), LABEL)
    given = [
        Component(c.ref, c.body, Source(path))
        for c, path in ((first, "templates/a.j2"), (second, "templates/b.j2"))
    ]
    assert [str(p) for p in rules.check(given, api_version="66.0")] == [
        "templates/b.j2:1: PermissionSet API comes from templates/a.j2 as well [MD502]"
    ]


def test_a_permission_set_has_short_texts() -> None:
    given = component(
        Ref("PermissionSet", "A"),
        f"<description>{'x' * 256}</description>",
        f"<label>{'x' * 81}</label>",
    )
    assert found(given) == [
        "2: description has 256 characters; 255 are allowed [MD504]",
        "3: label has 81 characters; 80 are allowed [MD504]",
    ]


def test_an_org_has_one_file() -> None:
    keys: list[rules.Pin] = [
        ("uat", "orgs/uat.yaml", 2, "org_id", ORG_18),
        ("dev", "orgs/dev.yaml", 2, "org_id", ORG),
        ("old", "orgs/old.yaml", 2, "org_id", "not an id"),
        ("prod", "orgs/prod.yaml", 3, "org_id", "00DWs000003xYZ2"),
    ]
    assert [str(p) for p in rules.check_orgs(keys)] == [
        "orgs/uat.yaml:2: org id 00DWs000003xYZ1MAM of uat is that of dev "
        "(orgs/dev.yaml:2) too [MD601]"
    ]


def test_a_key_is_pinned_once() -> None:
    key = "abcdefgh12345678"
    keys: list[rules.Pin] = [
        ("dev", "orgs/dev.yaml", 9, "consumer_key", key),
        ("dev", "orgs/dev.yaml", 12, "consumer_key", key),
        ("uat", "orgs/uat.yaml", 9, "consumer_key", key.upper()),
    ]
    assert [str(p) for p in rules.check_orgs(keys)] == [
        "orgs/dev.yaml:12: consumer key abcdefgh… of dev is pinned by dev "
        "(orgs/dev.yaml:9) too [MD602]"
    ]
