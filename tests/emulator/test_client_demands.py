"""What real clients demanded of the emulated org, each found by running one.

`make test-clients` runs the clients themselves; these say it without them.
"""

from __future__ import annotations

import pytest

from metadeploy.emulator import records
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.seed import admin_of
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
