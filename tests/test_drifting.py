"""Drift of a fake org, and what it says of who did it."""

from __future__ import annotations

from fake_org import ORG, FakeOrg, app
from planning import permission_set, wanted_of

from metadeploy.audit import SetupChange
from metadeploy.drifting import look
from metadeploy.errors import ApiFault
from metadeploy.model import Ref

P = Ref("PermissionSet", "P")
KNOWN = wanted_of(app("Portal"), permission_set("P", accesses=[("Portal", True)]))


def made(label="Portal", holders=(P,)):
    org = FakeOrg()
    for one in wanted_of(app("Portal", label=label), permission_set("P")).components:
        org.kept[one.ref] = one
    org.access["Portal"] = set(holders)
    return org


def test_no_drift_asks_nobody_who_did_it():
    org = made(KNOWN.components[0].ref.full_name)
    org.kept = {c.ref: c for c in KNOWN.components}
    found = look(org.target(), KNOWN, since=5.0)
    assert (found.found, found.org, found.org_id) == (False, "dev", ORG)
    assert org.calls("setup_changes") == []


def test_rows_that_speak_of_it_are_told():
    org = made(label="Mine", holders=(P, Ref("Profile", "Admin")))
    words = (
        "Changed connected app Mine settings",
        "Changed profile System Administrator: Portal connected app is enabled",
        "Changed profile Nobody: x",
    )
    org.trail = tuple(SetupChange("now", "Ann", "x", "y", w) for w in words)
    found = look(org.target(), KNOWN, since=5.0)
    assert found.found and [c.ref.full_name for c in found.changes] == ["Portal"]
    assert [str(a.holder) for a in found.access] == ["Profile Admin"]
    assert [row.words for row in found.trail] == list(words[:2])
    assert ("setup_changes", 5.0) in org.log


def test_an_org_that_lets_nobody_read_its_trail_still_has_drifted():
    org = made(holders=())
    fault = ApiFault("INVALID_TYPE", "sObject type 'SetupAuditTrail' is not supported.")
    org.faults["setup_changes"] = [fault]
    found = look(org.target(), KNOWN, since=None)
    assert found.found and found.trail == ()
    assert found.untold == (
        "the org does not let us read who changed it: INVALID_TYPE: sObject type"
        " 'SetupAuditTrail' is not supported."
    )
