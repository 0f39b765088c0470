"""Whatever is done to the apps of two orgs, keys and access stay true to a model."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from deployer import Deployer, app, manifest, permission_set
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.state import open_world
from metadeploy.emulator.tree import parse, text, texts, tree_of
from metadeploy.model import Ref

ORGS = st.sampled_from(["one", "two"])
NAMES = st.sampled_from(["A", "B"])
KEYS = st.sampled_from(["", "key_number_1", "key_number_2"])
SETS = st.none() | st.sets(st.sampled_from(["P", "Q"]))


class Apps(RuleBasedStateMachine):
    """Two orgs in one world. model: (org, app) -> (key, names with access)."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = open_world(self.folder / "world.db")
        self.deployers = {
            name: Deployer(self.world.create_org(name)) for name in ("one", "two")
        }
        sets = {
            f"permissionsets/{name}.permissionset": permission_set(label=name)
            for name in ("P", "Q")
        }
        for deployer in self.deployers.values():
            assert deployer.deploy(sets).success
        self.model: dict[tuple[str, str], tuple[str, set[str]]] = {}

    def teardown(self) -> None:
        self.world.close()
        shutil.rmtree(self.folder)

    @rule(org=ORGS, name=NAMES, key=KEYS, access=SETS)
    def deploy(self, org: str, name: str, key: str, access: set[str] | None) -> None:
        said = "".join(
            f"<permissionSetName>{n}</permissionSetName>"
            for n in (sorted(access) or [""] if access is not None else [])
        )
        files = {f"connectedApps/{name}.connectedApp": app(key=key, access=said)}
        job = self.deployers[org].deploy(files)
        known = self.model.get((org, name))
        taken = {k for k, _ in self.model.values()}
        allowed = key in ("", known[0]) if known else key not in taken
        assert job.success == allowed
        if not job.success:
            return
        component = self.world.org(org).component(Ref("ConnectedApp", name))
        assert component
        before = known[1] if known else set()
        now = before if access is None else access
        self.model[org, name] = (str(component.extra["key"]), set(now))

    @rule(org=ORGS, name=NAMES)
    def delete(self, org: str, name: str) -> None:
        files = {
            "package.xml": manifest({}),
            "destructiveChanges.xml": manifest({"ConnectedApp": (name,)}),
        }
        job = self.deployers[org].deploy(files)
        assert job.success
        deleted = any(r.deleted for r in job.rows)
        assert deleted == ((org, name) in self.model)
        self.model.pop((org, name), None)

    @rule(org=ORGS, name=NAMES, holder=st.sampled_from(["P", "Q"]))
    def toggle_row(self, org: str, name: str, holder: str) -> None:
        if (org, name) not in self.model:
            return
        state = self.world.org(org)
        component = state.component(Ref("ConnectedApp", name))
        parent = state.component(Ref("PermissionSet", holder))
        assert component and parent
        rows = [
            r
            for r in state.records("SetupEntityAccess")
            if (r["ParentId"], r["SetupEntityId"]) == (parent.id, component.id)
        ]
        admin = admin_of(state)
        key, access = self.model[org, name]
        if rows:
            assert holder in access
            state.delete_record("SetupEntityAccess", str(rows[0]["Id"]), as_user=admin)
            self.model[org, name] = (key, access - {holder})
        else:
            values = {"ParentId": parent.id, "SetupEntityId": component.id}
            state.create_record("SetupEntityAccess", values, as_user=admin)
            self.model[org, name] = (key, access | {holder})

    @invariant()
    def keys_have_the_owners_of_the_model(self) -> None:
        rows = self.world.store.all("SELECT name FROM names WHERE kind='consumer_key'")
        assert {str(row[0]) for row in rows} == {k for k, _ in self.model.values()}
        for (org, name), (key, _) in self.model.items():
            found = self.world.org_of_consumer_key(key)
            assert found == (self.world.org(org), Ref("ConnectedApp", name))

    @invariant()
    def files_say_what_rows_say(self) -> None:
        for org, deployer in self.deployers.items():
            files = deployer.retrieve({"ConnectedApp": ("A", "B")})
            for name in ("A", "B"):
                body = files.get(f"connectedApps/{name}.connectedApp")
                assert (body is not None) == ((org, name) in self.model)
                if body is not None:
                    tree = tree_of(parse(body.encode()))
                    key, access = self.model[org, name]
                    assert text(tree, "oauthConfig", "consumerKey") == key
                    assert set(texts(tree, "permissionSetName")) == access


TestApps = Apps.TestCase
TestApps.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
