"""What real clients demanded of the emulated org, each found by running one.

`make test-clients` runs the clients themselves; these say it without them.
"""

from __future__ import annotations

import pytest
import requests

from metadeploy.emulator import records
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import Ref


def test_a_row_that_metadata_made_can_be_created_again_by_hand(org: OrgState) -> None:
    """Salesforce CLI and simple-salesforce give an app to a permission set that the
    app's own file names: the row is theirs then, and created only once by hand."""
    admin = admin_of(org)
    app = org.put(Ref("ConnectedApp", "Portal"), b"<ConnectedApp/>", user_id=admin)
    holder = org.create_record(
        "PermissionSet", {"Name": "Portal_API", "Label": "Portal API"}, as_user=admin
    )
    records.replace_access(org, app, [holder], by=admin)
    wanted = {"ParentId": holder, "SetupEntityId": app}

    made = org.create_record("SetupEntityAccess", wanted, as_user=admin)

    assert [row["Id"] for row in org.records("SetupEntityAccess")] == [made]
    with pytest.raises(Fault, match="duplicate value found") as refused:
        org.create_record("SetupEntityAccess", wanted, as_user=admin)
    assert refused.value.code == "DUPLICATE_VALUE"


def test_the_installed_packages_can_be_asked_for(
    server: RunningServer, org: OrgState
) -> None:
    """CumulusCI asks before it changes a permission set, and stops at an error."""
    query = (
        "SELECT SubscriberPackage.Id, SubscriberPackage.NamespacePrefix,"
        " SubscriberPackageVersionId FROM InstalledSubscriberPackage"
    )
    bearer = {"Authorization": f"Bearer {org.issue_token(admin_of(org))}"}
    path = f"{server.url}/services/data/v66.0/{{}}query/"

    tooling = path.format("tooling/")
    found = requests.get(tooling, params={"q": query}, headers=bearer, timeout=5)
    assert found.json() == {"totalSize": 0, "done": True, "records": []}

    data = path.format("")
    refused = requests.get(data, params={"q": query}, headers=bearer, timeout=5)
    assert refused.status_code == 400
    assert refused.json()[0]["errorCode"] == "INVALID_TYPE"


def test_a_scratch_org_tells_what_changed_since(
    server: RunningServer, world: World, clock
) -> None:
    """Salesforce CLI reads SourceMember before and after each deploy to one."""
    org = world.create_org("scratch", OrgSettings(kind="scratch"))
    admin = admin_of(org)
    bearer = {"Authorization": f"Bearer {org.issue_token(admin)}"}

    def since(revision: int) -> list[tuple[object, ...]]:
        query = (
            "SELECT MemberIdOrName, MemberType, MemberName, IsNameObsolete,"
            " RevisionCounter, IsNewMember, ChangedBy, LastModifiedDate"
            f" FROM SourceMember WHERE RevisionCounter > {revision}"
        )
        url = f"{server.url}/services/data/v66.0/tooling/query"
        found = requests.get(url, params={"q": query}, headers=bearer, timeout=5)
        return [
            (r["MemberName"], r["IsNameObsolete"], r["IsNewMember"])
            for r in found.json()["records"]
        ]

    assert since(0) == []
    for name in ("First", "Second"):
        values = {"Name": name, "Label": name}
        org.create_record("PermissionSet", values, as_user=admin)
    assert sorted(since(0)) == [("First", False, True), ("Second", False, True)]

    made = int(clock.now * 1_000_000)
    clock.now += 1
    first = org.component(Ref("PermissionSet", "First"))
    assert first is not None
    org.update_record("PermissionSet", first.id, {"Label": "1"}, as_user=admin)
    assert since(made) == [("First", False, False)]
    org.delete_record("PermissionSet", first.id, as_user=admin)
    assert since(made) == [("First", True, False)]


@pytest.mark.parametrize("kind", ["developer", "sandbox", "production"])
def test_other_orgs_track_no_sources(
    server: RunningServer, world: World, kind: str
) -> None:
    """Salesforce CLI goes on only after this very 404."""
    org = world.create_org("other", OrgSettings(kind=kind))
    bearer = {"Authorization": f"Bearer {org.issue_token(admin_of(org))}"}
    url = f"{server.url}/services/data/v66.0/tooling/sobjects/SourceMember/describe"
    found = requests.get(url, headers=bearer, timeout=5)
    assert found.status_code == 404
    assert found.json()[0]["message"] == "The requested resource does not exist"
