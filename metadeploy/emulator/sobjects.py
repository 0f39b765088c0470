"""The sObjects an emulated org has, and their fields, as data.

Sources: Object Reference pages of each (documented); what is left out here is
unknown to the org, and a query naming it gets INVALID_FIELD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metadeploy.emulator.ids import PREFIXES


@dataclass(frozen=True, slots=True)
class SField:
    """One field: name, type as in describe ("id", "reference", "string", …)."""

    name: str
    type: str
    createable: bool = False
    updateable: bool = False
    filterable: bool = True
    nillable: bool = True
    reference_to: tuple[str, ...] = ()
    relationship_name: str = ""
    length: int = 0
    picklist: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ChildRelation:
    """A subquery name on a parent: its rows are those of `sobject` whose `field`
    holds the parent's Id."""

    name: str
    sobject: str
    field: str


@dataclass(frozen=True, slots=True)
class SObject:
    """One sObject: its fields in describe order and what may be done with it.

    tooling: only the Tooling API knows it.
    """

    name: str
    fields: tuple[SField, ...]
    children: tuple[ChildRelation, ...] = ()
    createable: bool = False
    updateable: bool = False
    deletable: bool = False
    tooling: bool = False
    by_name: Mapping[str, SField] = field(default_factory=dict, compare=False)
    """Fields by lower-case name: field names are not case-sensitive (documented)."""

    @property
    def key_prefix(self) -> str:
        return PREFIXES.get(self.name, "0EM")


# User permissions that are also fields of Profile and PermissionSet (Permissions…).
PERMISSION_FIELDS = (
    "ApiEnabled",
    "ApiUserOnly",
    "AssignPermissionSets",
    "AuthorApex",
    "CanApproveUninstalledApps",
    "ClientSecretRotation",
    "CustomizeApplication",
    "ExternalClientAppAdmin",
    "ExternalClientAppDeveloper",
    "ExternalClientAppViewer",
    "ManageProfilesPermissionsets",
    "ManageRemoteAccess",
    "ManageUsers",
    "ModifyAllData",
    "ModifyMetadata",
    "UseAnyApiClient",
    "ViewAllData",
    "ViewClientSecret",
    "ViewSetup",
)

# name:type[/flags][>Target.Relationship] with the flags c = createable,
# u = updateable, n = not filterable, ! = never null.
_TABLES: dict[str, str] = {
    "Organization": """
        Name:string InstanceName:string/! IsSandbox:boolean/!
        OrganizationType:picklist/! TrialExpirationDate:datetime
        NamespacePrefix:string PrimaryContact:string Country:string
        LanguageLocaleKey:picklist/! TimeZoneSidKey:picklist/!
        DefaultLocaleSidKey:picklist/! IsReadOnly:boolean/! FiscalYearStartMonth:int""",
    "User": """
        Username:string/!cu Name:string/! FirstName:string/cu LastName:string/!cu
        Alias:string/!cu Email:email/!cu IsActive:boolean/!cu UserType:picklist/!
        ProfileId:reference/!cu>Profile.Profile FederationIdentifier:string/cu
        TimeZoneSidKey:picklist/!cu LocaleSidKey:picklist/!cu
        LanguageLocaleKey:picklist/!cu EmailEncodingKey:picklist/!cu
        LastLoginDate:datetime""",
    "Profile": """
        Name:string/! UserLicenseId:reference/!>UserLicense.UserLicense
        UserType:picklist/! Description:string PERMISSIONS""",
    "UserLicense": """
        Name:string/! LicenseDefinitionKey:string/! MasterLabel:string/!
        Status:picklist/! TotalLicenses:int/! UsedLicenses:int/!""",
    "PermissionSet": """
        Name:string/!cu Label:string/!cu Description:string/cu
        LicenseId:reference/c>UserLicense.License ProfileId:reference>Profile.Profile
        IsOwnedByProfile:boolean/! IsCustom:boolean/!
        HasActivationRequired:boolean/!cu NamespacePrefix:string Type:picklist/!
        PERMISSIONS""",
    "PermissionSetAssignment": """
        PermissionSetId:reference/!c>PermissionSet.PermissionSet
        AssigneeId:reference/!c>User.Assignee PermissionSetGroupId:reference
        ExpirationDate:datetime IsActive:boolean/!""",
    "SetupEntityAccess": """
        ParentId:reference/!c>PermissionSet.Parent SetupEntityId:reference/!c
        SetupEntityType:picklist""",
    "ConnectedApplication": """
        Name:string/! OptionsAllowAdminApprovedUsersOnly:boolean/!
        OptionsRefreshTokenValidityMetric:boolean/!
        OptionsHasSessionLevelPolicy:boolean/! OptionsIsInternal:boolean/!
        OptionsFullContentPushNotifications:boolean/!
        OptionsCodeCredentialGuestEnabled:boolean/!
        OptionsTokenExchangeManageBitEnabled:boolean/! MobileSessionTimeout:picklist
        PinLength:picklist StartUrl:url MobileStartUrl:url
        RefreshTokenValidityPeriod:int UvidTimeout:int NamedUserUvidTimeout:int""",
    "ExternalClientApplication": """
        DeveloperName:string/! MasterLabel:string/! Language:picklist/!
        ContactEmail:email Description:string DistributionState:picklist/!
        IsProtected:boolean/! OrgScopedExternalApp:string/! NamespacePrefix:string""",
    "ExtlClntAppOauthPlcyCnfg": """
        DeveloperName:string/! MasterLabel:string/! Language:picklist/!
        ExternalClientApplicationId:reference/!>ExternalClientApplication.ExternalClientApplication
        PermittedUsersPolicyType:picklist/! IpRelaxationPolicyType:picklist
        RefreshTokenPolicyType:picklist""",
    "OauthToken": """
        AppName:string/! UserId:reference/!>User.User LastUsedDate:datetime
        UseCount:int AppMenuItemId:reference DeleteToken:string/n
        RequestToken:string/n""",
    "LoginHistory": """
        UserId:reference/! LoginTime:datetime/! LoginType:picklist/! SourceIp:string
        Status:string/! Application:string""",
    # Display is nothing to filter by (documented); see `trail`.
    "SetupAuditTrail": """
        Action:string/! Section:string Display:string/n DelegateUser:string
        CreatedByContext:string CreatedByIssuer:string
        ResponsibleNamespacePrefix:string CreatedDate:datetime/!
        CreatedById:reference/!>User.CreatedBy SystemModstamp:datetime/!""",
    "DeployRequest": """
        Status:picklist/! CheckOnly:boolean/! StartDate:datetime
        CompletedDate:datetime ErrorMessage:string/n ErrorStatusCode:picklist
        StateDetail:string NumberComponentsTotal:int/! NumberComponentsDeployed:int/!
        NumberComponentErrors:int/! NumberTestsTotal:int/! NumberTestsCompleted:int/!
        NumberTestErrors:int/! RollbackOnError:boolean/! RunTestsEnabled:boolean/!
        IgnoreWarnings:boolean/! AllowMissingFiles:boolean/!
        AutoUpdatePackage:boolean/! PurgeOnDelete:boolean/! SinglePackage:boolean/!
        TestLevel:picklist Type:picklist/! ChangeSetName:string
        CanceledById:reference>User.CanceledBy""",
    # Nothing can be installed in an emulated org, so these have no records.
    "InstalledSubscriberPackage": """
        SubscriberPackageId:reference/!>SubscriberPackage.SubscriberPackage
        SubscriberPackageVersionId:reference/! MinPackageVersionId:reference""",
    "SubscriberPackage": """
        Name:string/! NamespacePrefix:string Description:string
        IsPackageValid:boolean/!""",
    # Only scratch orgs have it; see `tracking`.
    "SourceMember": """
        MemberIdOrName:string/! MemberType:string/! MemberName:string/!
        IsNameObsolete:boolean/! IsNewMember:boolean/! RevisionCounter:int/!
        ChangedBy:string""",
}
_TOOLING_ONLY = frozenset(
    {"DeployRequest", "InstalledSubscriberPackage", "SourceMember", "SubscriberPackage"}
)
_CHILDREN: dict[str, tuple[ChildRelation, ...]] = {
    "User": (
        ChildRelation(
            "PermissionSetAssignments", "PermissionSetAssignment", "AssigneeId"
        ),
    ),
    "Profile": (ChildRelation("Users", "User", "ProfileId"),),
    "PermissionSet": (
        ChildRelation("Assignments", "PermissionSetAssignment", "PermissionSetId"),
        ChildRelation("SetupEntityAccessItems", "SetupEntityAccess", "ParentId"),
    ),
    "ConnectedApplication": (
        ChildRelation("SetupEntityAccessItems", "SetupEntityAccess", "SetupEntityId"),
    ),
    "ExternalClientApplication": (
        ChildRelation("SetupEntityAccessItems", "SetupEntityAccess", "SetupEntityId"),
    ),
}
_CREATE = frozenset(
    {"User", "PermissionSet", "PermissionSetAssignment", "SetupEntityAccess"}
)
_UPDATE = frozenset({"User", "PermissionSet"})
_DELETE = frozenset(
    {"PermissionSet", "PermissionSetAssignment", "SetupEntityAccess", "OauthToken"}
)
_NO_AUDIT = frozenset({"UserLicense", "LoginHistory", "SetupAuditTrail"})
_AUDIT = (
    SField("CreatedDate", "datetime", nillable=False),
    SField(
        "CreatedById",
        "reference",
        nillable=False,
        reference_to=("User",),
        relationship_name="CreatedBy",
    ),
    SField("LastModifiedDate", "datetime", nillable=False),
    SField(
        "LastModifiedById",
        "reference",
        nillable=False,
        reference_to=("User",),
        relationship_name="LastModifiedBy",
    ),
    SField("SystemModstamp", "datetime", nillable=False),
)
_LENGTHS = {"string": 255, "id": 18, "reference": 18, "picklist": 40, "url": 2000}


def _field(text: str) -> SField:
    text, _, target = text.partition(">")
    text, _, flags = text.partition("/")
    name, _, kind = text.partition(":")
    table, _, relation = target.partition(".")
    return SField(
        name,
        kind,
        createable="c" in flags,
        updateable="u" in flags,
        filterable="n" not in flags,
        nillable="!" not in flags,
        reference_to=(table,) if table else (),
        relationship_name=relation,
        length=_LENGTHS.get(kind, 0),
    )


def _sobject(name: str, table: str) -> SObject:
    fields = [SField("Id", "id", nillable=False, length=18)]
    for word in table.split():
        if word == "PERMISSIONS":
            writable = name == "PermissionSet"
            fields += (
                SField(
                    f"Permissions{p}",
                    "boolean",
                    createable=writable,
                    updateable=writable,
                    nillable=False,
                )
                for p in PERMISSION_FIELDS
            )
        else:
            fields.append(_field(word))
    if name not in _NO_AUDIT:
        fields += _AUDIT
    return SObject(
        name,
        tuple(fields),
        _CHILDREN.get(name, ()),
        createable=name in _CREATE,
        updateable=name in _UPDATE,
        deletable=name in _DELETE,
        tooling=name in _TOOLING_ONLY,
        by_name={f.name.lower(): f for f in fields},
    )


SOBJECTS: Mapping[str, SObject] = {n: _sobject(n, t) for n, t in _TABLES.items()}
_BY_LOWER = {name.lower(): table for name, table in SOBJECTS.items()}


def sobject(name: str) -> SObject | None:
    """Return the sObject of that name, in any case (documented), or None."""
    return SOBJECTS.get(name) or _BY_LOWER.get(name.lower())


def sobject_of_id(record_id: str) -> SObject | None:
    """Return the sObject whose key prefix the id bears, or None."""
    prefix = record_id[:3]
    return next((s for s in SOBJECTS.values() if s.key_prefix == prefix), None)
