"""External Client Apps: the header, its satellites, what the org makes itself (§4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from metadeploy import schema
from metadeploy.emulator import ids, records
from metadeploy.emulator.connectedapps import (
    KEY_NOT_ALLOWED,
    KEY_TAKEN,
    VALID_KEY,
    access_names,
    check_callbacks,
    parents_named,
    user_id_of,
)
from metadeploy.emulator.judge import BadFile
from metadeploy.emulator.state import OrgState, Plain, StoredComponent
from metadeploy.emulator.tree import Tree, text
from metadeploy.emulator.writing import (
    Writer,
    Written,
    not_found,
    put_tree,
    stored_tree,
    with_defaults,
    without_empty,
)
from metadeploy.model import Ref

HEADER = "ExternalClientApplication"
GLOBAL = "ExtlClntAppGlobalOauthSettings"
SETTINGS = "ExtlClntAppOauthSettings"
OAUTH_POLICY = "ExtlClntAppOauthConfigurablePolicies"
POLICY = "ExtlClntAppConfigurablePolicies"
# Written out, so that nobody loads the table of types to know them.
SATELLITES = (
    "ExtlClntAppCanvasSettings",
    "ExtlClntAppConfigurablePolicies",
    "ExtlClntAppGlobalOauthSettings",
    "ExtlClntAppMobileConfigurablePolicies",
    "ExtlClntAppMobileSettings",
    "ExtlClntAppNotificationSettings",
    "ExtlClntAppOauthConfigurablePolicies",
    "ExtlClntAppOauthSecuritySettings",
    "ExtlClntAppOauthSettings",
    "ExtlClntAppPushConfigurablePolicies",
    "ExtlClntAppPushSettings",
    "ExtlClntAppSamlConfigurablePolicies",
    "ExtlClntAppSampleConfigurablePolicies",
    "ExtlClntAppSampleSettings",
)
ADMIN_APPROVED = "AdminApprovedPreAuthorized"
_PARENT = "externalClientApplication"


# -- finding


def satellite(org: OrgState, kind: str, app: str) -> StoredComponent | None:
    """Return the one satellite of that type an app has, or None."""
    found = org.world.named("satellite", f"{org.id} {kind} {app}")
    if found is None:
        return None
    return org.component(Ref(kind, found[1].partition(" ")[2]))


def _put(
    writer: Writer,
    ref: Ref,
    tree: Tree,
    extra: dict[str, Plain],
    *,
    also_changed: bool = False,
) -> Written:
    """Store a satellite, and note which app it hangs on."""
    org = writer.org
    app = str(extra["parent"])
    value = f"{ref.type} {ref.full_name}"
    org.release("satellite", value)
    org.claim("satellite", f"{org.id} {ref.type} {app}", value)
    return put_tree(writer, ref, tree, extra=extra, also_changed=also_changed)


def satellites(org: OrgState, app: str) -> list[StoredComponent]:
    """Return everything that hangs on an app."""
    found = (satellite(org, kind, app) for kind in SATELLITES)
    return [component for component in found if component is not None]


# -- the header


def write_header(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Create or update the app itself. Raises BadFile."""
    org = writer.org
    old = org.component(ref)
    if old is None and org.component(Ref("ConnectedApp", ref.full_name)):
        # Observed that the two collide; the wording is inferred.
        raise BadFile(
            f"duplicate value found: <unknown> duplicates value on {ref.full_name}"
        )
    settled = without_empty(tree)
    settled.setdefault("distributionState", ["Local"])
    settled.setdefault("isProtected", ["false"])
    settled.setdefault("label", [ref.full_name])
    # Documented format; the org's own, whatever the file says.
    settled["orgScopedExternalApp"] = [f"{org.id}:{ref.full_name}"]
    written = put_tree(writer, ref, settled)
    values: dict[str, Plain] = {
        "DeveloperName": ref.full_name,
        "MasterLabel": text(settled, "label"),
        "Language": "en_US",
        "ContactEmail": text(settled, "contactEmail") or None,
        "Description": text(settled, "description") or None,
        "DistributionState": text(settled, "distributionState"),
        "IsProtected": text(settled, "isProtected") == "true",
        "OrgScopedExternalApp": text(settled, "orgScopedExternalApp"),
    }
    records.save(org, HEADER, written.id, values, by=writer.user_id)
    return written


def delete_header(writer: Writer, component: StoredComponent) -> None:
    """Delete an app; its satellites follow, its key is free again (observed)."""
    org = writer.org
    for found in satellites(org, component.ref.full_name):
        delete_satellite(writer, found)
    org.release("consumer_key", _owner(component.ref.full_name))
    org.revoke_all(app=component.ref)
    records.remove_access(org, entity_id=component.id)
    records.erase(org, HEADER, component.id)
    org.remove(component.ref)


def delete_satellite(writer: Writer, component: StoredComponent) -> None:
    """Delete one satellite; that of the credentials frees the key."""
    org = writer.org
    if component.ref.type == GLOBAL:
        org.release("consumer_key", _owner(str(component.extra.get("parent"))))
    org.release("satellite", f"{component.ref.type} {component.ref.full_name}")
    if component.ref.type == OAUTH_POLICY:
        records.erase(org, "ExtlClntAppOauthPlcyCnfg", component.id)
    org.remove(component.ref)


def _owner(app: str) -> str:
    return f"{HEADER} {app}"


# -- satellites


def _parent(writer: Writer, ref: Ref, tree: Tree) -> StoredComponent:
    """Return the app a satellite names. Raises BadFile."""
    app = text(tree, _PARENT).strip()
    if not app:
        # Observed (a single report).
        raise BadFile("Enter the name of the parent external client app")
    header = writer.org.component(Ref(HEADER, app))
    if header is None:
        raise not_found(_PARENT, HEADER, app)
    other = satellite(writer.org, ref.type, app)
    if other is not None and other.ref != ref:
        # Observed: a satellite under another name than the one the org knows.
        raise BadFile(
            "duplicate value found: ExternalClientApplicationId duplicates value on"
            f" {other.ref.full_name}"
        )
    return header


def write_satellite(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Write a satellite without rules of its own. Raises BadFile."""
    header = _parent(writer, ref, tree)
    return _put(writer, ref, without_empty(tree), {"parent": header.ref.full_name})


def write_global(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Write credentials, callback and flows: a full replacement. Raises BadFile.

    Observed: another key for an app that has one is kept silently; a certificate that
    is left out is cleared; neither certificate nor secret comes back.
    """
    org = writer.org
    header = _parent(writer, ref, tree)
    app = header.ref.full_name
    old = org.component(ref)
    extra: dict[str, Plain] = dict(old.extra) if old else {}
    extra["parent"] = app
    before = dict(extra)
    for name in ("consumerKey", "consumerSecret"):
        value = text(tree, name)
        if value and not VALID_KEY.fullmatch(value):
            raise BadFile(
                f"Invalid {name}: it must be 8 to 256 alphanumeric characters"
            )
    if text(tree, "callbackUrl"):
        check_callbacks(text(tree, "callbackUrl"))
    rotated = _rotate(writer, app, tree, extra)
    if not extra.get("key"):
        _first_credentials(org, app, tree, extra)
    settled = without_empty(tree)
    for name in (
        "consumerSecret",
        "shouldRotateConsumerKey",
        "shouldRotateConsumerSecret",
    ):
        settled.pop(name, None)
    extra["certificate"] = text(settled, "certificate")
    settled.pop("certificate", None)
    settled["consumerKey"] = [str(extra["key"])]
    settled = with_defaults(settled, GLOBAL)
    written = _put(writer, ref, settled, extra, also_changed=rotated or extra != before)
    return Written(
        written.id, old is None, written.changed, _ROTATED if rotated else ""
    )


_ROTATED = "The consumer key or secret was rotated"


def _rotate(writer: Writer, app: str, tree: Tree, extra: dict[str, Plain]) -> bool:
    """Rotate what the file asks for (documented: needs ignoreWarnings=true)."""
    key = text(tree, "shouldRotateConsumerKey") == "true" and extra.get("key")
    secret = text(tree, "shouldRotateConsumerSecret") == "true" and extra.get("secret")
    if not key and not secret:
        return False
    if not writer.ignore_warnings:
        raise BadFile(
            "The consumer key or secret will be rotated: deploy with ignoreWarnings to"
            " go on",
            warning=True,
        )
    if key:
        writer.org.release("consumer_key", _owner(app))
        extra["key"] = ids.new_consumer_key()
        writer.org.claim("consumer_key", str(extra["key"]), _owner(app))
    if secret:
        extra["secret"] = ids.new_consumer_secret()
    return True


def _first_credentials(
    org: OrgState, app: str, tree: Tree, extra: dict[str, Plain]
) -> None:
    sent = text(tree, "consumerKey")
    if sent and not org.settings.eca_consumer_keys:
        raise BadFile(KEY_NOT_ALLOWED)
    key = sent or ids.new_consumer_key()
    if not org.claim("consumer_key", key, _owner(app)):
        raise BadFile(KEY_TAKEN)
    extra["key"] = key
    extra["secret"] = text(tree, "consumerSecret") or ids.new_consumer_secret()
    extra["consumer_id"] = ids.new_id("OauthConsumer")


def replace_credentials(
    org: OrgState, app: str, *, key: str = "", secret: str = "", by: str
) -> None:
    """Give an app the credentials that a rotation staged; "" keeps the old one.

    Raises KeyError when the app has no OAuth settings.
    """
    component = satellite(org, GLOBAL, app)
    if component is None:
        raise KeyError(app)
    extra: dict[str, Plain] = dict(component.extra)
    tree = stored_tree(component)
    with org.world.transaction():
        if key:
            org.release("consumer_key", _owner(app))
            org.claim("consumer_key", key, _owner(app))
            extra["key"] = key
            tree["consumerKey"] = [key]
        if secret:
            extra["secret"] = secret
        put_tree(Writer(org, by, 66.0), component.ref, tree, extra=extra)


def write_settings(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Write scopes and trusted addresses; the org adds the link to the consumer."""
    org = writer.org
    header = _parent(writer, ref, tree)
    app = header.ref.full_name
    scopes = split(text(tree, "commaSeparatedOauthScopes"))
    for scope in scopes:
        if scope not in schema.scopes():
            # Inferred: the field is free text; the wording is that of the enum.
            raise BadFile(
                f"'{scope}' is not a valid value for the enum 'ExtlClntAppOauthScope'"
            )
    if (
        len(tree.get("trustedIpRanges", ())) > 128
        or len(tree.get("customAttributes", ())) > 128
    ):
        raise BadFile("Invalid plugin settings")
    credentials = satellite(org, GLOBAL, app)
    consumer = str(credentials.extra["consumer_id"]) if credentials else ""
    link = f"{org.id}:{consumer}" if consumer else ""
    sent = text(tree, "oauthLink")
    if sent and sent != link:
        # Observed text; that a link of another org causes it is inferred.
        raise BadFile("Invalid plugin settings")
    settled = without_empty(tree)
    if scopes:
        settled["commaSeparatedOauthScopes"] = [", ".join(scopes)]
    settled.pop("oauthLink", None)
    if link:
        settled["oauthLink"] = [link]
    return _put(writer, ref, settled, {"parent": app})


def write_oauth_policy(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Write who may use the app, and how long tokens live. Raises BadFile."""
    org = writer.org
    header = _parent(writer, ref, tree)
    app = header.ref.full_name
    if satellite(org, SETTINGS, app) is None:
        # Observed when a policy arrives before the OAuth plugin is there.
        raise BadFile(
            'Cannot invoke "String.split(String)" because "oauthLink" is null'
        )
    _check_policy(org, tree)
    old = org.component(ref)
    before = text(stored_tree(old), "permittedUsersPolicyType")
    settled = {**_default_oauth_policy(app), **without_empty(tree)}
    settled[_PARENT] = [app]
    parents = _policy_parents(org, tree)
    for name in ("commaSeparatedPermissionSet", "commaSeparatedProfile"):
        settled.pop(name, None)
    changed = parents is not None and records.replace_access(
        org, header.id, parents, by=writer.user_id
    )
    written = _put(
        writer,
        ref,
        with_defaults(settled, OAUTH_POLICY),
        {"parent": app},
        also_changed=changed,
    )
    _save_policy_record(writer, ref, written.id, header.id, settled)
    permitted = text(settled, "permittedUsersPolicyType")
    if permitted == ADMIN_APPROVED and before != ADMIN_APPROVED:
        # Observed (a single report): even the session that deploys may die of it.
        org.revoke_all(app=header.ref)
    return written


def _check_policy(org: OrgState, tree: Tree) -> None:
    """Refuse what is wrong beyond structure. Wordings are inferred."""
    for name in ("clientCredentialsFlowUser", "executeHandlerAs"):
        username = text(tree, name)
        if username and not user_id_of(org, username):
            raise not_found(name, "User", username)
    for name in ("ipRelaxationPolicyType", "refreshTokenValidityUnit"):
        value = text(tree, name)
        allowed = schema.enum(f"{OAUTH_POLICY}.{name}") or ()
        if value and value not in allowed:
            raise BadFile(f"bad value for restricted picklist field: {value}")
    specific = text(tree, "refreshTokenPolicyType").startswith("Specific")
    if specific and not text(tree, "refreshTokenValidityPeriod"):
        raise BadFile("Required field is missing: refreshTokenValidityPeriod")


def _policy_parents(org: OrgState, tree: Tree) -> set[str] | None:
    """Return who shall have access; None where the policy says nothing of it.

    Inferred: an empty element clears the list, as in a ConnectedApp. Observed: names,
    not the ids of the documentation; ids are taken as well.
    """
    names = ("commaSeparatedPermissionSet", "commaSeparatedProfile")
    if not any(name in tree for name in names):
        return None
    wanted = split(text(tree, "commaSeparatedPermissionSet"))
    by_id = {i for i in wanted if org.record("PermissionSet", i) is not None}
    try:
        found = parents_named(
            org,
            split(text(tree, "commaSeparatedProfile")),
            [name for name in wanted if name not in by_id],
        )
    except BadFile as bad:
        problem = bad.problem.replace("profileName", names[1])
        raise BadFile(problem.replace("permissionSetName", names[0])) from None
    return found | {str((org.record("PermissionSet", i) or {})["Id"]) for i in by_id}


def split(value: str) -> list[str]:
    """Return the parts of a comma-separated set, in order, without blanks."""
    return [part.strip() for part in value.split(",") if part.strip()]


def _save_policy_record(
    writer: Writer, ref: Ref, component_id: str, header_id: str, tree: Tree
) -> None:
    values: dict[str, Plain] = {
        "DeveloperName": ref.full_name,
        "MasterLabel": text(tree, "label") or ref.full_name,
        "Language": "en_US",
        "ExternalClientApplicationId": header_id,
        "PermittedUsersPolicyType": text(tree, "permittedUsersPolicyType"),
        "IpRelaxationPolicyType": text(tree, "ipRelaxationPolicyType"),
        "RefreshTokenPolicyType": text(tree, "refreshTokenPolicyType"),
    }
    records.save(
        writer.org, "ExtlClntAppOauthPlcyCnfg", component_id, values, by=writer.user_id
    )


def write_policy(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Write the switches of an app and its plugins. Raises BadFile."""
    header = _parent(writer, ref, tree)
    app = header.ref.full_name
    wants_oauth = text(tree, "isOauthPluginEnabled") == "true"
    if wants_oauth and satellite(writer.org, SETTINGS, app) is None:
        # Observed text; the situation is inferred.
        raise BadFile("Invalid plugin settings")
    return _put(writer, ref, without_empty(tree), {"parent": app})


def add_generated(writer: Writer, types: Iterable[str]) -> None:
    """Make the policy files that an org makes for an app which has none.

    types: what the deploy held; without any of ours there is nothing to do.

    Observed: they appear by themselves, under names that only begin with the app's.
    Done when a deploy ends, so that a policy in the same package keeps its own name.
    """
    if WRITE.keys().isdisjoint(types):
        return
    org = writer.org
    for header in org.components(HEADER):
        app = header.ref.full_name
        settings = satellite(org, SETTINGS, app)
        if satellite(org, POLICY, app) is None:
            tree: Tree = {
                _PARENT: [app],
                "isEnabled": ["true"],
                "label": [f"{text(stored_tree(header), 'label')} Policies"],
            }
            if settings is not None:
                tree["isOauthPluginEnabled"] = ["true"]
            write_policy(writer, Ref(POLICY, f"{app}_defaultPolicy"), tree)
        if settings is not None and satellite(org, OAUTH_POLICY, app) is None:
            name = f"{settings.ref.full_name}_defaultPolicy"
            write_oauth_policy(writer, Ref(OAUTH_POLICY, name), {_PARENT: [app]})


def _default_oauth_policy(app: str) -> Tree:
    return {
        "ipRelaxationPolicyType": ["Enforce"],
        "isClientCredentialsFlowEnabled": ["false"],
        "label": [f"{app} OAuth Policy"],
        "permittedUsersPolicyType": ["AllSelfAuthorized"],
        "refreshTokenPolicyType": ["Infinite"],
    }


# -- reading back


def readable_oauth_policy(org: OrgState, component: StoredComponent) -> Tree:
    """Return the policy's file with the access that rows say."""
    tree = stored_tree(component)
    header = org.component(Ref(HEADER, str(component.extra.get("parent"))))
    if header is not None:
        profile_names, set_names = access_names(org, header.id)
        if profile_names:
            tree["commaSeparatedProfile"] = [", ".join(map(str, profile_names))]
        if set_names:
            tree["commaSeparatedPermissionSet"] = [", ".join(map(str, set_names))]
    return tree


WRITE: Mapping[str, Callable[[Writer, Ref, Tree], Written]] = {
    **dict.fromkeys(SATELLITES, write_satellite),
    HEADER: write_header,
    GLOBAL: write_global,
    SETTINGS: write_settings,
    OAUTH_POLICY: write_oauth_policy,
    POLICY: write_policy,
}
DELETE: Mapping[str, Callable[[Writer, StoredComponent], None]] = {
    **dict.fromkeys(SATELLITES, delete_satellite),
    HEADER: delete_header,
}
