"""What a sandbox refresh copies from its source, and what it changes on the way (§11).

Documented and observed: a new org id, usernames with the sandbox's name behind, emails
with ".invalid", tokens gone. Reported both ways, emulated as: copied apps get new keys.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from metadeploy import schema
from metadeploy.emulator import ids, records
from metadeploy.emulator.tree import Tree, parse, subtree, tree_of, write_file

if TYPE_CHECKING:
    from metadeploy.emulator.state import OrgState, Plain, StoredComponent

_OAUTH = ("ConnectedApp", "ExtlClntAppGlobalOauthSettings")
_SCOPED = ("ExternalClientApplication", "ExtlClntAppOauthSettings")


def copy_into(source: OrgState, target: OrgState) -> None:
    """Fill a new, empty org with what a refresh brings from `source`."""
    target.world.store.write(
        "INSERT INTO records SELECT ?, sobject, id, body, link FROM records"
        " WHERE org = ? AND sobject NOT IN"
        " ('OauthToken', 'LoginHistory', 'DeployRequest', 'Organization')",
        (target.key, source.key),
    )
    target.world.store.write(
        "INSERT INTO components SELECT ?, type, name, id, created_by, created,"
        " modified_by, modified, extra, body FROM components WHERE org = ?",
        (target.key, source.key),
    )
    target.world.store.write(
        "INSERT INTO passwords SELECT ?, user, salt, hash FROM passwords WHERE org = ?",
        (target.key, source.key),
    )
    _organization(source, target)
    _users(target)
    _apps(target)


def _organization(source: OrgState, target: OrgState) -> None:
    record = dict(source.records("Organization")[0])
    settings = target.settings
    record |= {
        "Name": target.name,
        "IsSandbox": settings.is_sandbox,
        "InstanceName": settings.instance_name,
        "OrganizationType": settings.organization_type,
        "TrialExpirationDate": None,
    }
    by = str(record["CreatedById"])
    for name in ("Id", "SystemModstamp"):
        record.pop(name)
    records.save(target, "Organization", target.id, record, by=by)


def _users(target: OrgState) -> None:
    for user in target.records("User"):
        username = f"{user['Username']}.{target.name}"
        record_id = str(user["Id"])
        values: dict[str, Plain] = {
            **{k: v for k, v in user.items() if k not in ("Id", "SystemModstamp")},
            "Username": username,
            "Email": f"{user['Email']}.invalid",
        }
        if not target.claim("username", username.lower(), record_id):
            raise ValueError(f"the username {username} is taken in this world")
        records.save(target, "User", record_id, values, by=record_id)


def _apps(target: OrgState) -> None:
    for kind in _OAUTH:
        for component in target.components(kind):
            if component.extra.get("key"):
                _new_credentials(target, component)
    for kind in schema.metadata_types():
        if kind.startswith("ExtlClntApp"):
            for component in target.components(kind):
                app = component.extra.get("parent")
                value = f"{kind} {component.ref.full_name}"
                target.claim("satellite", f"{target.id} {kind} {app}", value)
    for kind in _SCOPED:
        for component in target.components(kind):
            _own_links(target, component)


def _new_credentials(target: OrgState, component: StoredComponent) -> None:
    tree = tree_of(parse(component.body))
    key = ids.new_consumer_key()
    app = component.extra.get("parent")
    owner = f"ExternalClientApplication {app}" if app else str(component.ref)
    target.claim("consumer_key", key, owner)
    config = (subtree(tree, "oauthConfig") or {}) if not app else tree
    config["consumerKey"] = [key]
    extra: dict[str, Plain] = {
        **component.extra,
        "key": key,
        "secret": ids.new_consumer_secret(),
        "consumer_id": ids.new_id("OauthConsumer"),
    }
    _rewrite(target, component, tree, extra)


def _name(component: StoredComponent) -> str:
    return component.ref.full_name


def _own_links(target: OrgState, component: StoredComponent) -> None:
    tree = tree_of(parse(component.body))
    if component.ref.type == "ExternalClientApplication":
        scoped = f"{target.id}:{_name(component)}"
        tree["orgScopedExternalApp"] = [scoped]
        record = target.record("ExternalClientApplication", component.id)
        if record:
            values = {k: v for k, v in record.items() if k != "Id"}
            values |= {"OrgScopedExternalApp": scoped}
            values.pop("SystemModstamp")
            by = component.modified_by
            records.save(
                target, "ExternalClientApplication", component.id, values, by=by
            )
    else:
        app = str(component.extra.get("parent"))
        kind = "ExtlClntAppGlobalOauthSettings"
        found = target.world.named("satellite", f"{target.id} {kind} {app}")
        consumer = _consumer_id(target, kind, found[1]) if found else ""
        if consumer:
            tree["oauthLink"] = [f"{target.id}:{consumer}"]
    _rewrite(target, component, tree, None)


def _consumer_id(target: OrgState, kind: str, value: str) -> str:
    name = value.partition(" ")[2]
    row = target.world.store.one(
        "SELECT extra FROM components WHERE org = ? AND type = ? AND name = ?",
        (target.key, kind, name),
    )
    return str(json.loads(str(row[0])).get("consumer_id", "")) if row else ""


def _rewrite(
    target: OrgState,
    component: StoredComponent,
    tree: Tree,
    extra: dict[str, Plain] | None,
) -> None:
    body = write_file(schema.root_name(component.ref), tree)
    target.put(component.ref, body, user_id=component.modified_by, extra=extra)
