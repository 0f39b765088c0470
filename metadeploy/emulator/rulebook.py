"""What the emulated orgs do and say about metadata, and how we know.

docs/emulator.md is written from these tables; a test produces every message of
COMPLAINTS by the situation that causes it.

mark: "documented" (Salesforce's own pages), "observed" (public issues, scripts, WSDL,
traffic of real clients), "recalled" (by practitioners, no source read), "inferred".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MARKS = ("documented", "observed", "recalled", "inferred")


@dataclass(frozen=True)
class Complaint:
    """One message of an org. text: with `{…}` where the situation fills something in.

    where: "row" (a component of a deploy), "fault", "retrieve" or "record".
    """

    text: str
    when: str
    mark: str
    source: str
    where: str = "row"


@dataclass(frozen=True)
class Behaviour:
    """One rule an org follows. operation: the call it is seen in."""

    operation: str
    rule: str
    mark: str
    source: str


_GUIDE = "Metadata API Developer Guide"
_SDR = "forcedotcom/source-deploy-retrieve"
_HARDIS = "hardisgroupcom/sfdx-hardis"
_FIELD = "public field notes"

COMPLAINTS: Mapping[str, Complaint] = MappingProxyType(
    {
        "creation_blocked": Complaint(
            "You can't create a connected app. To enable connected app creation,"
            " contact Salesforce Customer Support.",
            "a new ConnectedApp where creation is blocked",
            "observed",
            f"{_FIELD}; {_GUIDE}, ConnectedApp",
        ),
        "key_taken": Complaint(
            "The consumer key is already taken",
            "a new app brings a key that any app of any org has",
            "documented",
            "Salesforce DX Developer Guide, troubleshooting",
        ),
        "key_not_allowed": Complaint(
            "You cannot provide a Consumer Key",
            "an app that exists is sent another key",
            "observed",
            "SFDO-Tooling/CumulusCI#2943",
        ),
        "unknown_element": Complaint(
            "Error parsing file: Element {http://soap.sforce.com/2006/04/metadata}{name}"
            " invalid at this location in type {type}",
            "an element the type does not have, such as connectedAppAccesses",
            "observed",
            _FIELD,
        ),
        "element_too_new": Complaint(
            "Property '{name}' not valid in version {version}",
            "an element that is newer, or older, than the package's version",
            "observed",
            _FIELD,
        ),
        "not_contiguous": Complaint(
            "Error parsing file: Element {name} is duplicated at this location in type"
            " {type}",
            "elements of one name that do not stand together",
            "observed",
            _FIELD,
        ),
        "bad_enum": Complaint(
            "'{value}' is not a valid value for the enum '{enum}'",
            "a value the enum does not have",
            "observed",
            _FIELD,
        ),
        "bad_value": Complaint(
            "'{value}' is not valid for the type xsd:{type}",
            "text where a boolean or a number belongs",
            "observed",
            "forcedotcom/CustomMetadataLoader#80",
        ),
        "required_field": Complaint(
            "Required field is missing: {name}",
            "one required element is not there",
            "observed",
            _HARDIS,
        ),
        "required_fields": Complaint(
            "Required fields are missing: [{names}]",
            "several required elements are not there",
            "recalled",
            "",
        ),
        "not_well_formed": Complaint(
            "Error parsing file: ParseError at [row,col]:[{line},{column}] Message:"
            " {message}",
            "a file that is not XML",
            "inferred",
            "the wording of the Java parser",
        ),
        "dangling": Complaint(
            "In field: {field} - no {type} named {name} found",
            "a profile, permission set or app names what the org does not have",
            "observed",
            f"{_HARDIS}; for ConnectedApp the field names are inferred",
        ),
        "unknown_permission": Complaint(
            "Unknown user permission: {name}",
            "a user permission no org knows",
            "observed",
            _HARDIS,
        ),
        "permission_dependency": Complaint(
            "Permission {name} depends on permission(s): {names}",
            "a permission without the ones it needs",
            "observed",
            _HARDIS,
        ),
        "required_field_permission": Complaint(
            "You cannot deploy to a required field: {name}",
            "field permissions of a required or master-detail field",
            "observed",
            _HARDIS,
        ),
        "only_default_app": Complaint(
            "You can't remove the only default app from the profile.",
            "a profile's default app is switched off",
            "observed",
            _HARDIS,
        ),
        "repeated_item": Complaint(
            "Field:{field}, value:{value} appears more than once",
            "the same thing twice in one list",
            "observed",
            _HARDIS,
        ),
        "duplicate": Complaint(
            "duplicate value found: <unknown> duplicates value on record with id:"
            " <unknown>",
            "createMetadata of what is there, or a new profile of a name that is taken",
            "observed",
            "certinia/apex-mdapi#22",
            "fault",
        ),
        "duplicate_satellite": Complaint(
            "duplicate value found: ExternalClientApplicationId duplicates value on"
            " {name}",
            "a satellite under another name than the one the org knows",
            "observed",
            _FIELD,
        ),
        "duplicate_name": Complaint(
            "This {type} already exists or has been previously used: {name}. Please"
            " choose a different name.",
            "a permission set record of a name that is taken",
            "observed",
            _FIELD,
            "record",
        ),
        "no_rights_for_app": Complaint(
            "insufficient access rights on cross-reference id",
            "a connected app of a user without Customize Application and Modify All"
            " Data or Manage Connected Apps",
            "documented",
            f"{_GUIDE}, ConnectedApp; the wording is observed elsewhere",
        ),
        "no_record_rights": Complaint(
            "insufficient access rights on object id",
            "a record call of a user who lacks the permission",
            "recalled",
            "",
            "record",
        ),
        "no_metadata_rights": Complaint(
            "INSUFFICIENT_ACCESS: insufficient access rights on cross-reference id: use"
            " of the Metadata API requires a user with the ModifyAllData or"
            " ModifyMetadata permissions",
            "a metadata call of a user without either",
            "recalled",
            "",
            "fault",
        ),
        "no_api": Complaint(
            "API_DISABLED_FOR_ORG: API is not enabled for this Organization or Partner",
            "a call of a user without API Enabled",
            "recalled",
            "",
            "fault",
        ),
        "no_manifest": Complaint(
            "No package.xml found",
            "a zip without package.xml, told once for each top folder",
            "observed",
            "forcedotcom/CustomMetadataLoader#34",
        ),
        "file_missing": Complaint(
            "An object '{name}' of type {type} was named in package.xml, but was not"
            " found in zipped directory",
            "package.xml names what no file holds",
            "observed",
            "forcedotcom/cli#2182",
        ),
        "not_listed": Complaint(
            "Not in package.xml",
            "a file package.xml does not name",
            "observed",
            "SFRelatedListEditor#16",
        ),
        "type_not_available": Complaint(
            "Entity type '{type}' is not available in this organization",
            "a type that is newer than the package's version",
            "observed",
            _FIELD,
        ),
        "unknown_type": Complaint(
            "Unknown type name '{type}' specified in package.xml",
            "package.xml names a type no org has",
            "recalled",
            "",
        ),
        "component_version": Complaint(
            'The {type} apiVersion can\'t be "{version}"',
            "a class or page is newer than the org",
            "observed",
            _HARDIS,
        ),
        "feature_off": Complaint(
            "Not available for deploy for this organization",
            "settings of a feature the org does not have",
            "observed",
            _HARDIS,
        ),
        "no_test_run": Complaint(
            "INVALID_OPERATION: testLevel of NoTestRun cannot be used in production"
            " organizations",
            "a deploy to production with testLevel NoTestRun",
            "observed",
            f"{_FIELD}; DevOps Center documentation",
            "fault",
        ),
        "not_found": Complaint(
            "Entity of type '{type}' named '{name}' cannot be found",
            "a retrieve names what is not there; it still succeeds",
            "observed",
            _SDR,
            "retrieve",
        ),
        "system_app": Complaint(
            "Metadata API received improper input. Please ensure file name and"
            " capitalization is correct. Load of metadata from db failed for metadata"
            " of type:ConnectedApp and file name:{name}.",
            "a retrieve of `*` meets an app that cannot be retrieved",
            "observed",
            f"{_HARDIS}; {_FIELD}",
            "retrieve",
        ),
        "zip_taken": Complaint(
            "INVALID_LOCATOR: Retrieve result has been deleted",
            "a retrieve's zip is asked for again",
            "observed",
            f"{_SDR}; the code is recalled",
            "fault",
        ),
        "nothing_to_delete": Complaint(
            "No {type} named: {name} found",
            "destructive changes name what is not there; a warning, the rest goes on",
            "observed",
            _SDR,
        ),
        "no_parent_app": Complaint(
            "Enter the name of the parent external client app",
            "a satellite without externalClientApplication",
            "observed",
            f"{_FIELD}, a single report",
        ),
        "plugin_settings": Complaint(
            "Invalid plugin settings",
            "an OAuth plugin switched on that is not there; another org's oauthLink",
            "observed",
            f"{_HARDIS}; the situation is inferred",
        ),
        "policy_too_early": Complaint(
            'Cannot invoke "String.split(String)" because "oauthLink" is null',
            "an OAuth policy before the OAuth settings",
            "observed",
            _FIELD,
        ),
        "canvas_location": Complaint(
            "Organization is not configured to support location {name}",
            "a canvas location the org does not have",
            "observed",
            "forcedotcom/sf-skills",
        ),
        "not_writeable": Complaint(
            "Field is not writeable: SetupEntityAccess.SetupEntityType",
            "an access row with its type given",
            "observed",
            _FIELD,
            "record",
        ),
        "duplicate_access": Complaint(
            "duplicate value found: ParentId, SetupEntityId duplicates value on record"
            " with id: {id}",
            "the same access row created by hand twice",
            "inferred",
            "",
            "record",
        ),
        "no_update": Complaint(
            "entity type SetupEntityAccess does not support update",
            "an update of an access row",
            "documented",
            "Object Reference, SetupEntityAccess; the wording is recalled",
            "record",
        ),
        "restricted_picklist": Complaint(
            "bad value for restricted picklist field: {value}",
            "an ipRelaxationPolicyType or unit no org has",
            "recalled",
            "",
        ),
        "locked": Complaint(
            "UNABLE_TO_LOCK_ROW: unable to obtain exclusive access to this record",
            "somebody else holds the lock for too long",
            "recalled",
            "the code is in the WSDL",
            "fault",
        ),
        "bad_version": Complaint(
            "UNSUPPORTED_API_VERSION: Invalid Api version specified on URL",
            "a version the org does not speak, or with a v",
            "observed",
            _FIELD,
            "fault",
        ),
        "bad_session": Complaint(
            "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader: Illegal"
            " Session. Session not found, missing session hash: EMU This error usually"
            " occurs after a session expires or a user logs out.",
            "no session, a dead one, or one of elsewhere",
            "observed",
            _FIELD,
            "fault",
        ),
        "bad_login": Complaint(
            "INVALID_LOGIN: Invalid username, password, security token; or user locked"
            " out.",
            "SOAP login with what does not fit",
            "recalled",
            "",
            "fault",
        ),
        "login_disabled": Complaint(
            "INVALID_OPERATION: SOAP API login() is disabled by default in this org.",
            "SOAP login where it is switched off",
            "observed",
            _FIELD,
            "fault",
        ),
        "login_retired": Complaint(
            "INVALID_OPERATION: SOAP API login() is not available in API version"
            " {version}",
            "SOAP login from API 65 on",
            "documented",
            "API end-of-life page; the wording is inferred",
            "fault",
        ),
        "bad_job": Complaint(
            "INVALID_CROSS_REFERENCE_KEY: invalid cross reference id",
            "an id of no deploy or retrieve of this org",
            "recalled",
            "",
            "fault",
        ),
        "cancel_too_late": Complaint(
            "INVALID_ID_FIELD: Deployment already completed",
            "cancelDeploy of what is done",
            "recalled",
            "",
            "fault",
        ),
        "cancel_finalizing": Complaint(
            "INVALID_OPERATION: A deployment that is finalizing can't be canceled",
            "cancelDeploy while a deploy is being finalized",
            "documented",
            f"{_GUIDE}, cancelDeploy(); the wording is inferred",
            "fault",
        ),
        "not_validated": Complaint(
            "INVALID_ID_FIELD: Cannot quick deploy: the deployment {id} {problem}",
            "deployRecentValidation of no valid validation",
            "documented",
            f"{_GUIDE}, deployRecentValidation(); the wording is inferred",
            "fault",
        ),
        "too_many_records": Complaint(
            "LIMIT_EXCEEDED: record limit reached. cannot submit more than {number}"
            " records into this operation",
            "more than ten components in a CRUD call",
            "documented",
            f"{_GUIDE}, CRUD calls; the wording is recalled",
            "fault",
        ),
        "too_many_queries": Complaint(
            "LIMIT_EXCEEDED: Only 3 ListMetadataQuery are allowed",
            "listMetadata with more than three queries",
            "documented",
            f"{_GUIDE}, listMetadata(); the wording is recalled",
            "fault",
        ),
        "still_assigned": Complaint(
            "The permission set is assigned to users. Remove the assignments first.",
            "deleting a permission set that users have",
            "inferred",
            "",
        ),
        "bad_callback": Complaint(
            "Invalid callback URL: {url}",
            "http for anything but localhost, or no URL at all",
            "inferred",
            "that it is refused is observed in practice",
        ),
        "rotation_warning": Complaint(
            "The consumer key or secret will be rotated: deploy with ignoreWarnings to"
            " go on",
            "shouldRotateConsumerKey without ignoreWarnings",
            "documented",
            f"{_GUIDE}, ExtlClntAppGlobalOauthSettings; the wording is inferred",
        ),
    }
)

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        "deploy",
        "One deploy of an org runs at a time, the others wait in order. A deploy moves"
        " on when its status, or a waiting one's, is asked for.",
        "documented",
        f"{_GUIDE}, limits; that asking moves it is the emulator's own",
    ),
    Behaviour(
        "deploy",
        "With rollbackOnError, or checkOnly, nothing of a deploy stays; without, what"
        " succeeded stays and the status is SucceededPartial.",
        "documented",
        f"{_GUIDE}, deploy()",
    ),
    Behaviour(
        "deploy",
        "package.xml is looked for at the root, else in every top folder, whatever"
        " singlePackage says; the folder is echoed in fileName.",
        "observed",
        "Salesforce CLI and CumulusCI",
    ),
    Behaviour(
        "deploy",
        "A row of package.xml has an empty componentType. A row whose component was"
        " identical has changed=false.",
        "recalled",
        "",
    ),
    Behaviour(
        "deploy",
        "destructiveChangesPre.xml and destructiveChanges.xml run first,"
        " destructiveChangesPost.xml last; no wildcards.",
        "documented",
        f"{_GUIDE}, deleting components",
    ),
    Behaviour(
        "deploy",
        "Apex is not run: named test classes only have to be there.",
        "inferred",
        "not emulated",
    ),
    Behaviour(
        "cancelDeploy",
        "A waiting deploy is canceled at once, a running one goes through Canceling.",
        "recalled",
        "",
    ),
    Behaviour(
        "deployRecentValidation",
        "A validation serves once, within ten days, if it ran tests and nothing was"
        " deployed since; the answer is a new id.",
        "documented",
        f"{_GUIDE}, deployRecentValidation(); tests and later deploys recalled",
    ),
    Behaviour(
        "retrieve",
        "Files lie below unpackaged/ unless singlePackage; the zip is handed over once;"
        " problems are messages and the status stays Succeeded.",
        "observed",
        _SDR,
    ),
    Behaviour(
        "retrieve",
        "A profile has only the sections of components named beside it;"
        " userPermissions, loginIpRanges, loginHours, custom, userLicense and"
        " description always.",
        "documented",
        f"{_GUIDE}, Profile",
    ),
    Behaviour(
        "retrieve",
        "Elements that the asked version does not know are left out.",
        "inferred",
        "",
    ),
    Behaviour(
        "ConnectedApp",
        "Key and secret are taken at creation only, generated where absent, and free"
        " again after deletion. A key identical to the app's is accepted.",
        "observed",
        "CumulusCI, sfdx-hardis, Gearset; the identical key is inferred",
    ),
    Behaviour(
        "ConnectedApp",
        "consumerSecret never comes back; scopes come back merged (Profile, Email,"
        " Address, Phone as Basic; OfflineAccess as RefreshToken) in enum order.",
        "documented",
        f"{_GUIDE}, ConnectedApp",
    ),
    Behaviour(
        "ConnectedApp",
        "profileName and permissionSetName replace who has access; one empty element"
        " clears it; no element leaves it. They are the SetupEntityAccess rows.",
        "documented",
        f"{_GUIDE}, ConnectedApp; that silence leaves it is inferred",
    ),
    Behaviour(
        "ConnectedApp",
        "createMetadata forgets isAdminApproved and the assignments; updateMetadata"
        " sets them.",
        "observed",
        "forcedotcom/cli#2203",
    ),
    Behaviour(
        "ConnectedApp",
        "A pluginExecutionUser whom the org does not have is dropped without a word.",
        "documented",
        f"{_GUIDE}, ConnectedApp",
    ),
    Behaviour(
        "Profile",
        "A deploy is an overlay: what the file does not name stays. A new profile"
        " begins as Minimum Access - Salesforce (API 60 and later) or Standard User.",
        "documented",
        f"{_GUIDE}, Profile",
    ),
    Behaviour(
        "Profile",
        "Only enabled userPermissions and customPermissions, granted fieldPermissions,"
        " and objectPermissions with allowRead, come back.",
        "documented",
        f"{_GUIDE}, Profile",
    ),
    Behaviour(
        "Profile",
        "Object permissions of standard objects in standard profiles are left alone"
        " from API 50 on.",
        "documented",
        f"{_GUIDE}, Profile; that it is silent is inferred",
    ),
    Behaviour(
        "PermissionSet",
        "API 40 and later replace the whole; earlier versions overlay.",
        "documented",
        f"{_GUIDE}, PermissionSet; the overlay is inferred",
    ),
    Behaviour(
        "ExternalClientApplication",
        "The org makes the policy files itself, under names that begin with the app's;"
        " deleting the app deletes its satellites.",
        "observed",
        f"{_FIELD}; {_HARDIS}",
    ),
    Behaviour(
        "ExtlClntAppGlobalOauthSettings",
        "A full replacement: a certificate that is left out is cleared. Another"
        " consumer key is ignored without a word. Certificate and secret never come"
        " back.",
        "observed",
        _FIELD,
    ),
    Behaviour(
        "ExtlClntAppOauthConfigurablePolicies",
        "commaSeparatedProfile and commaSeparatedPermissionSet replace who has access,"
        " empty ones clear it; switching to AdminApprovedPreAuthorized ends the app's"
        " tokens.",
        "observed",
        f"{_FIELD}, the tokens a single report; the empty ones are inferred",
    ),
    Behaviour(
        "other types",
        "Kept and given back as they came, if well-formed, of a known type and named in"
        " package.xml.",
        "inferred",
        "not emulated beyond that",
    ),
    Behaviour(
        "sandbox refresh",
        "A new org id; usernames get the sandbox's name, emails .invalid; tokens die;"
        " copied apps get new keys.",
        "observed",
        "Salesforce and Copado documentation; reports on keys differ",
    ),
)
