"""Connected apps as an org keeps them: keys, normalisation, who may use them (§1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metadeploy import schema
from metadeploy.emulator import ids, profiles, records
from metadeploy.emulator.judge import BadFile
from metadeploy.emulator.state import OrgState, Plain, StoredComponent
from metadeploy.emulator.tree import Node, Tree, copy, subtree, text, texts
from metadeploy.emulator.writing import (
    Writer,
    Written,
    not_found,
    put_tree,
    refuse_repeated,
    stored_tree,
    with_defaults,
    without_empty,
)
from metadeploy.model import Ref

BLOCKED = (
    "You can't create a connected app. To enable connected app creation, contact"
    " Salesforce Customer Support."
)
KEY_TAKEN = "The consumer key is already taken"
KEY_NOT_ALLOWED = "You cannot provide a Consumer Key"
# Documented: 8-256 alphanumerics. Observed: `_` is taken too (CumulusCI), `.` recalled.
VALID_KEY = re.compile(r"[A-Za-z0-9_.]{8,256}")
_IP_RELAXATIONS = ("ENFORCE", "BYPASS_2FACTOR", "BYPASS", "ENFORCE_RELAXREFRESH")
_REFRESH_POLICY = re.compile(
    r"infinite|zero|specific_(?:lifetime|inactivity):\d+:(?:HOURS|DAYS|MONTHS)"
)
_CALLBACK = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>[^\s#]+)")
_LOOPBACK = re.compile(r"//(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?(?:[/?]|$)")


def write_connected_app(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Create or update a connected app. Raises BadFile with the org's words."""
    org = writer.org
    old = org.component(ref)
    if old is None and org.settings.connected_app_creation == "blocked":
        raise BadFile(BLOCKED)
    if old is None and org.component(Ref("ExternalClientApplication", ref.full_name)):
        # Observed that the two collide; the wording is inferred.
        raise BadFile(
            f"duplicate value found: <unknown> duplicates value on {ref.full_name}"
        )
    parents = _parents(org, tree)
    _check_rights(writer, names_access=bool(parents))
    _check_values(writer, tree)
    settled = _settled(writer, tree, old)
    if writer.crud and old is None:
        # Observed: cli#2203; createMetadata forgets approval and assignments.
        config = subtree(settled, "oauthConfig")
        if config is not None:
            config["isAdminApproved"] = ["false"]
        parents = None
    extra = dict(old.extra) if old else {}
    _keep_credentials(org, ref, tree, settled, extra)
    component_id = old.id if old else org.put(ref, b"-", user_id=writer.user_id)
    access_changed = parents is not None and records.replace_access(
        org, component_id, parents, by=writer.user_id
    )
    written = put_tree(writer, ref, settled, extra=extra, also_changed=access_changed)
    _save_record(org, component_id, settled, by=writer.user_id)
    return Written(written.id, old is None, old is None or written.changed)


def delete_connected_app(writer: Writer, component: StoredComponent) -> None:
    """Delete an app: its key is free again, its tokens end, its access rows go."""
    org = writer.org
    org.release("consumer_key", f"{component.ref.type} {component.ref.full_name}")
    org.revoke_all(app=component.ref)
    records.remove_access(org, entity_id=component.id)
    records.erase(org, "ConnectedApplication", component.id)
    org.remove(component.ref)


def readable(org: OrgState, component: StoredComponent) -> Tree:
    """Return the file as retrieve gives it: with the access that rows say (§1.6).

    Names sorted; profiles by the name that people see (observed).
    """
    tree = stored_tree(component)
    profile_names, set_names = access_names(org, component.id)
    if profile_names:
        tree["profileName"] = list(profile_names)
    if set_names:
        tree["permissionSetName"] = list(set_names)
    return tree


def access_names(org: OrgState, entity_id: str) -> tuple[list[Node], list[Node]]:
    """Return the names of the profiles and of the permission sets with access."""
    profile_names: list[Node] = []
    set_names: list[Node] = []
    for row in records.linked(org, "SetupEntityAccess", entity_id):
        parent = org.record("PermissionSet", str(row["ParentId"]))
        if parent is None:
            continue
        if parent["IsOwnedByProfile"]:
            profile = org.record("Profile", str(parent["ProfileId"]))
            profile_names.append(str(profile["Name"]) if profile else "")
        else:
            set_names.append(str(parent["Name"]))
    return sorted(profile_names, key=str), sorted(set_names, key=str)


def parents_named(
    org: OrgState, profile_names: Iterable[str], set_names: Iterable[str]
) -> set[str]:
    """Return the permission sets that stand for those names. Raises BadFile.

    Inferred: the names of the fields and types in the message.
    """
    found: set[str] = set()
    for name in profile_names:
        component = org.component(Ref("Profile", profiles.full_name_of(name)))
        shadow = records.shadow_of(org, component.id) if component else None
        if shadow is None or profiles.display_name(name) != name:
            raise not_found("profileName", "Profile", name)
        found.add(str(shadow["Id"]))
    for name in set_names:
        component = org.component(Ref("PermissionSet", name))
        if component is None:
            raise not_found("permissionSetName", "PermissionSet", name)
        found.add(component.id)
    return found


def _parents(org: OrgState, tree: Tree) -> set[str] | None:
    """Return who shall have access; None where the file says nothing of it.

    Documented: the list replaces what is assigned, one empty element clears it.
    Inferred: without any element what is assigned stays.
    """
    if "profileName" not in tree and "permissionSetName" not in tree:
        return None
    refuse_repeated(tree, "profileName", "permissionSetName")
    return parents_named(
        org,
        [n for n in texts(tree, "profileName") if n],
        [n for n in texts(tree, "permissionSetName") if n],
    )


def _settled(writer: Writer, tree: Tree, old: StoredComponent | None) -> Tree:
    """Return what the org keeps of the file, as it will give it back."""
    settled = without_empty(copy(tree))
    for name in ("profileName", "permissionSetName"):
        settled.pop(name, None)
    user = text(settled, "pluginExecutionUser")
    if user and not user_id_of(writer.org, user):
        del settled["pluginExecutionUser"]  # documented: dropped without a word
    config = subtree(settled, "oauthConfig")
    if config is not None:
        config.pop("consumerSecret", None)
        if "scopes" in config:
            config["scopes"] = canonical_scopes(texts(config, "scopes"))
        config["callbackUrl"] = [_lines(text(config, "callbackUrl"))]
        settled.setdefault("oauthPolicy", [{}])
        kept = old.extra.get("key") if old else None
        if kept:
            config["consumerKey"] = [str(kept)]
    return with_defaults(settled, "ConnectedApp")


def canonical_scopes(names: Iterable[str]) -> list[Node]:
    """Return scopes as an org reports them: merged, in the order of the enum (§1.4)."""
    wanted = {schema.canonical_scope(name) for name in names}
    return [name for name in schema.scopes() if name in wanted]


def _lines(value: str) -> str:
    """Return callback URLs separated by plain line breaks, as an org keeps them."""
    return "\n".join(
        part.strip() for part in re.split(r"[\r\n]+", value) if part.strip()
    )


def _keep_credentials(
    org: OrgState, ref: Ref, tree: Tree, settled: Tree, extra: dict[str, Plain]
) -> None:
    """Decide key and secret by the table of §1.7, and note the secret in `extra`."""
    config = subtree(settled, "oauthConfig")
    if config is None:
        return
    sent_key = text(tree, "oauthConfig", "consumerKey")
    sent_secret = text(tree, "oauthConfig", "consumerSecret")
    if extra.get("key"):
        # Observed: another key is refused. Inferred: the same one is not.
        if sent_key and sent_key != extra["key"]:
            raise BadFile(KEY_NOT_ALLOWED)
        if sent_secret and sent_secret != extra["secret"]:
            raise BadFile("You cannot provide a Consumer Secret")
        return
    key = sent_key or ids.new_consumer_key()
    if not org.claim("consumer_key", key, f"{ref.type} {ref.full_name}"):
        raise BadFile(KEY_TAKEN)
    config["consumerKey"] = [key]
    extra["key"] = key
    extra["secret"] = sent_secret or ids.new_consumer_secret()
    extra["consumer_id"] = ids.new_id("OauthConsumer")
    extra["usable_from"] = int(org.world.clock())


def _check_rights(writer: Writer, *, names_access: bool) -> None:
    """Refuse a user who may not write connected apps, or say who has them.

    Documented (ConnectedApp): Customize Application with Modify All Data or Manage
    Connected Apps; with profiles or permission sets Modify All Data and Manage Profiles
    and Permission Sets. That this is what is said is inferred.
    """
    given = records.permissions_of(writer.org, writer.user_id)
    needs = {"CustomizeApplication"}
    if names_access:
        needs |= {"ModifyAllData", "ManageProfilesPermissionsets"}
    if not needs <= given or given.isdisjoint({"ModifyAllData", "ManageRemoteAccess"}):
        raise BadFile("insufficient access rights on cross-reference id")


def _check_values(writer: Writer, tree: Tree) -> None:
    """Refuse what the platform refuses beyond structure. Wordings are inferred."""
    config = subtree(tree, "oauthConfig") or {}
    for name in ("consumerKey", "consumerSecret"):
        value = text(config, name)
        if value and not VALID_KEY.fullmatch(value):
            raise BadFile(
                f"Invalid {name}: it must be 8 to 256 alphanumeric characters"
            )
    if config:
        check_callbacks(text(config, "callbackUrl"))
    user = text(config, "oauthClientCredentialUser")
    if user and not user_id_of(writer.org, user):
        raise not_found("oauthClientCredentialUser", "User", user)
    policy = subtree(tree, "oauthPolicy") or {}
    relaxation = text(policy, "ipRelaxation")
    if relaxation and relaxation not in _IP_RELAXATIONS:
        raise BadFile(f"Invalid ipRelaxation: {relaxation}")
    refresh = text(policy, "refreshTokenPolicy")
    if refresh and not _REFRESH_POLICY.fullmatch(refresh):
        raise BadFile(f"Invalid refreshTokenPolicy: {refresh}")
    validity = text(config, "idTokenConfig", "idTokenValidity")
    if validity and not 1 <= int(validity) <= 720:
        raise BadFile("Invalid idTokenValidity: it must be 1 to 720 minutes")
    for location in texts(tree, "canvasConfig", "locations"):
        if location in writer.org.settings.unsupported_canvas_locations:
            # Observed: SFSK.
            raise BadFile(
                f"Organization is not configured to support location {location}"
            )


def check_callbacks(value: str) -> None:
    """Refuse callback URLs the platform refuses: length documented, words inferred."""
    if len(value) > 2000:
        raise BadFile("Callback URL: data value too large (max length=2000)")
    for url in _lines(value).split("\n"):
        match = _CALLBACK.fullmatch(url)
        secure = match and (
            match["scheme"].lower() != "http" or _LOOPBACK.match(match["rest"])
        )
        if not secure:
            raise BadFile(f"Invalid callback URL: {url}")


def user_id_of(org: OrgState, username: str) -> str:
    """Return the id of this org's user of that name, "" for none."""
    found = org.world.named("username", username.lower())
    return found[1] if found and found[0].key == org.key else ""


def _save_record(org: OrgState, component_id: str, tree: Tree, *, by: str) -> None:
    policy = subtree(tree, "oauthPolicy") or {}
    refresh = text(policy, "refreshTokenPolicy").split(":")
    values: dict[str, Plain] = {
        "Name": text(tree, "label"),
        "OptionsAllowAdminApprovedUsersOnly": (
            text(tree, "oauthConfig", "isAdminApproved") == "true"
        ),
        "OptionsRefreshTokenValidityMetric": refresh[0] == "specific_inactivity",
        "OptionsHasSessionLevelPolicy": "sessionPolicy" in tree,
        "OptionsIsInternal": False,
        "StartUrl": text(tree, "startUrl") or None,
        "MobileStartUrl": text(tree, "mobileStartUrl") or None,
        "RefreshTokenValidityPeriod": int(refresh[1]) if len(refresh) > 1 else None,
    }
    records.save(org, "ConnectedApplication", component_id, values, by=by)
