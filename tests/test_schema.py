"""The tables: whole, and equal to what the platform says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
