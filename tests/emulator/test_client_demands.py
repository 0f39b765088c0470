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
from metadeploy.emulator.state import OrgState
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
