"""Access to apps of others: refused before anything is sent where it cannot be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from fake_org import app, holder
from msgspec.structs import replace
from planning import actual_of, wanted_of

from metadeploy.errors import ApiFault
from metadeploy.installed import refusals
from metadeploy.model import Ref
from metadeploy.plan import make_plan

SET, ADMIN = Ref("PermissionSet", "P"), Ref("Profile", "Admin")


@dataclass
class Records:
    """What an org says of its apps and holders."""

    apps: tuple[str, ...] = ()
    fault: ApiFault | None = None
    asked: int = 0

    def app_names(self):
        self.asked += 1
        return self.apps

    def parent_id(self, holder):
        if self.fault is not None:
            raise self.fault
        return "0PS000000000001AAA"


def planned(*components, access=None):
    return make_plan(actual_of(access=access), wanted_of(*components))


def found(records, plan, *known):
    return [(r.code, r.message, r.remedy) for r in refusals(records, plan, known)]


def test_an_app_that_the_org_has():
    records = Records(apps=("Data Loader",))
    assert found(records, planned(holder("P", "Data Loader")), "Data Loader") == []
    assert records.asked == 0


def test_an_app_that_is_nearly_there():
    ((code, message, remedy),) = found(
        Records(apps=("Data Loader", "Other")), planned(holder("P", "Data Loder"))
    )
    assert code == "unknown-app"
    assert message == "PermissionSet P:1: the org has no app called 'Data Loder'"
    assert remedy.startswith("Did you mean Data Loader? An app of another org")


def test_only_what_is_missing_is_told_at_its_own_place():
    plan = planned(holder("P", "Ghost"), holder("Q", "Loader"), holder("R", "Zombie"))
    told = found(Records(), plan, "Loader")
    assert [message for _, message, _ in told] == [
        "PermissionSet P:1: the org has no app called 'Ghost'",
        "PermissionSet R:1: the org has no app called 'Zombie'",
    ]


def test_an_app_that_is_nowhere():
    plan = planned(holder("P", "Ghost"))
    plan = replace(plan, wanted=replace(plan.wanted, places=()))
    ((_, message, remedy),) = found(Records(), plan)
    assert message == "the org has no app called 'Ghost'"
    assert remedy.startswith("An app of another org goes by its label")


def test_apps_of_our_own_and_those_taken_away_are_not_looked_for():
    records = Records()
    assert found(records, planned(app(), holder("P", "Portal"))) == []
    assert found(records, planned(holder("P", "-Ghost"))) == []
    assert records.asked == 0


def test_a_holder_that_comes_along_need_not_be_there():
    records = Records(fault=ApiFault("", "the org has 0 of PermissionSet P"))
    assert found(records, planned(holder("P", "Loader")), "Loader") == []


def test_a_holder_that_is_not_there():
    records = Records(fault=ApiFault("", "the org has 0 of Profile Admin"))
    plan = planned(holder("Admin", "Loader", type_="Profile"))
    ((code, message, _),) = found(records, plan, "Loader")
    assert code == "unknown-holder"
    assert message == "Profile Admin:1: the org has 0 of Profile Admin"


def test_who_loses_access_need_not_be_looked_for():
    records = Records(fault=ApiFault("", "the org has 0 of Profile Admin"))
    plan = planned(
        holder("Admin", "-Loader", type_="Profile"), access={"Loader": {ADMIN}}
    )
    assert plan.access_changes
    assert found(records, plan, "Loader") == []


def test_a_fault_of_the_org_is_no_word_on_the_holder():
    records = Records(fault=ApiFault("INVALID_SESSION_ID", "expired"))
    plan = planned(holder("Admin", "Loader", type_="Profile"))
    with pytest.raises(ApiFault, match="expired"):
        found(records, plan, "Loader")
