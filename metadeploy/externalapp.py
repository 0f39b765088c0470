"""A ConnectedApp → the files of an External Client App that means the same. Pure.

New connected apps are blocked by default since Spring '26; from one template an app
can be made as either kind. What the other kind has no place for is reported, never
dropped in silence. Source: Metadata API guide, the two families' pages.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree
from msgspec import Struct

from metadeploy import xmlfile
from metadeploy.model import METADATA_NS, Component, Ref, Source

HEADER = "ExternalClientApplication"
GLOBAL = "ExtlClntAppGlobalOauthSettings"
SETTINGS = "ExtlClntAppOauthSettings"
OAUTH_POLICY = "ExtlClntAppOauthConfigurablePolicies"
POLICY = "ExtlClntAppConfigurablePolicies"

# Made by the org itself when the app is: they are updated under the org's names.
POLICIES = (OAUTH_POLICY, POLICY)
# Hold the org's Id: a file from one org must not carry them into another (observed).
ORG_BOUND = {HEADER: "orgScopedExternalApp", SETTINGS: "oauthLink"}

_NAMES = {
    HEADER: "{}",
    GLOBAL: "{}_glblOauth",
    SETTINGS: "{}_oauth",
    OAUTH_POLICY: "{}_oauthPlcy",
    POLICY: "{}_plcy",
}

# Path in a ConnectedApp → where it goes, as it is.
_MOVED = {
    "contactEmail": (HEADER, "contactEmail"),
    "contactPhone": (HEADER, "contactPhone"),
    "description": (HEADER, "description"),
    "iconUrl": (HEADER, "iconUrl"),
    "infoUrl": (HEADER, "infoUrl"),
    "label": (HEADER, "label"),
    "logoUrl": (HEADER, "logoUrl"),
    "plugin": (OAUTH_POLICY, "apexHandler"),
    "pluginExecutionUser": (OAUTH_POLICY, "executeHandlerAs"),
    "startUrl": (OAUTH_POLICY, "startUrl"),
    "sessionPolicy/policyAction": (OAUTH_POLICY, "policyAction"),
    "sessionPolicy/sessionLevel": (OAUTH_POLICY, "requiredSessionLevel"),
    "sessionPolicy/sessionTimeout": (OAUTH_POLICY, "sessionTimeoutInMinutes"),
    "oauthPolicy/isTokenExchangeFlowEnabled": (
        OAUTH_POLICY,
        "isTokenExchangeFlowEnabled",
    ),
    "oauthPolicy/singleLogoutUrl": (OAUTH_POLICY, "singleLogoutUrl"),
    "oauthConfig/callbackUrl": (GLOBAL, "callbackUrl"),
    "oauthConfig/certificate": (GLOBAL, "certificate"),
    "oauthConfig/consumerKey": (GLOBAL, "consumerKey"),
    "oauthConfig/isCodeCredentialEnabled": (GLOBAL, "isCodeCredFlowEnabled"),
    "oauthConfig/isCodeCredentialPostOnly": (GLOBAL, "isCodeCredPostOnly"),
    "oauthConfig/isConsumerSecretOptional": (GLOBAL, "isConsumerSecretOptional"),
    "oauthConfig/isIntrospectAllTokens": (GLOBAL, "isIntrospectAllTokens"),
    "oauthConfig/isNamedUserJwtEnabled": (GLOBAL, "isNamedUserJwtEnabled"),
    "oauthConfig/isPkceRequired": (GLOBAL, "isPkceRequired"),
    "oauthConfig/isRefreshTokenRotationEnabled": (
        GLOBAL,
        "isRefreshTokenRotationEnabled",
    ),
    "oauthConfig/isSecretRequiredForRefreshToken": (
        GLOBAL,
        "isSecretRequiredForRefreshToken",
    ),
    "oauthConfig/isSecretRequiredForTokenExchange": (
        GLOBAL,
        "isSecretRequiredForTokenExchange",
    ),
    "oauthConfig/isTokenExchangeEnabled": (GLOBAL, "isTokenExchangeEnabled"),
    "oauthConfig/oauthClientCredentialUser": (
        OAUTH_POLICY,
        "clientCredentialsFlowUser",
    ),
    "oauthConfig/singleLogoutUrl": (SETTINGS, "singleLogoutUrl"),
    "oauthConfig/assetTokenConfig/assetAudiences": (SETTINGS, "assetTokenAudiences"),
    "oauthConfig/assetTokenConfig/assetIncludeAttributes": (
        SETTINGS,
        "areAttributesIncludedInAssetToken",
    ),
    "oauthConfig/assetTokenConfig/assetIncludeCustomPerms": (
        SETTINGS,
        "areCustomPermsIncludedInAssetToken",
    ),
    "oauthConfig/assetTokenConfig/assetSigningCertId": (
        SETTINGS,
        "assetTokenSigningCertificate",
    ),
    "oauthConfig/assetTokenConfig/assetValidityPeriod": (
        SETTINGS,
        "assetTokenValidity",
    ),
}
_ID_TOKEN = {
    "idTokenAudience": "idTokenAudience",
    "idTokenIncludeAttributes": "idTokenIncludeAttributes",
    "idTokenIncludeCustomPerms": "idTokenIncludeCustomPermissions",
    "idTokenIncludeStandardClaims": "idTokenIncludeStandardClaims",
    "idTokenValidity": "idTokenValidityInMinutes",
}
_STRUCTS = {
    "ipRanges": (
        SETTINGS,
        "trustedIpRanges",
        {
            "description": "description",
            "end": "endIpAddress",
            "start": "startIpAddress",
        },
    ),
    "attributes": (
        SETTINGS,
        "customAttributes",
        {"formula": "formula", "key": "key"},
    ),
    "oauthConfig/idTokenConfig": (GLOBAL, "idTokenConfig", _ID_TOKEN),
}
# Read as a whole below, or meaningless by itself.
_GATHERED = frozenset(
    {
        "oauthConfig/scopes",
        "oauthConfig/isAdminApproved",
        "oauthConfig/isClientCredentialEnabled",
        "oauthPolicy/ipRelaxation",
        "oauthPolicy/refreshTokenPolicy",
        "profileName",
        "permissionSetName",
    }
)
_BRANCHES = frozenset(
    {"oauthConfig", "oauthPolicy", "sessionPolicy", "oauthConfig/assetTokenConfig"}
)
_IP_RELAXATION = {
    "ENFORCE": "Enforce",
    "BYPASS": "Bypass",
    "BYPASS_2FACTOR": "Bypass_2factor",
    "ENFORCE_RELAXREFRESH": "Enforce_RelaxRefresh",
}
_REFRESH = {
    "infinite": "Infinite",
    "zero": "Zero",
    "specific_lifetime": "SpecificLifetime",
    "specific_inactivity": "SpecificInactivity",
}


class Lost(Struct, frozen=True):
    """What an External Client App has no place for: the element, and where it was."""

    element: str
    path: str
    line: int


class Converted(Struct, frozen=True):
    """The files of an External Client App, by Ref, and what they could not hold."""

    components: tuple[Component, ...]
    lost: tuple[Lost, ...]


def convert(app: Component) -> Converted:
    """Return the External Client App that means what a ConnectedApp says.

    Raises XmlError for a body that is not XML.
    """
    bundle = _Bundle(app)
    root = xmlfile.parse(app.body)
    bundle.add(HEADER, "distributionState", "Local", root)
    for kind in _NAMES:
        if kind != HEADER:
            name = "externalClientApplication"
            bundle.add(kind, name, app.ref.full_name, root)
    bundle.walk(root, "")
    bundle.gather(root)
    bundle.add(POLICY, "isEnabled", "true", root)
    bundle.add(POLICY, "isOauthPluginEnabled", "true", root)
    for kind in (GLOBAL, SETTINGS, OAUTH_POLICY, POLICY):
        # Files without a label are labelled by the org, each its own way.
        bundle.add(kind, "label", app.ref.full_name, root)
    return Converted(bundle.components(), tuple(bundle.lost))


def strip_org_bound(component: Component) -> Component:
    """Return the component without what only the org that it came from may hold."""
    name = ORG_BOUND.get(component.ref.type)
    if name is None or name.encode() not in component.body:
        return component
    root = xmlfile.parse(component.body)
    for element in root.findall(f"{{{METADATA_NS}}}{name}"):
        root.remove(element)
    body, behind = xmlfile.canonical_lines(root)
    source = component.source
    if source is not None:
        lines = tuple(source.locate(e.sourceline or 1) for e in behind)
        source = Source(source.path, lines)
    return Component(component.ref, body, source)


def app_of(component: Component) -> str | None:
    """Return the app that a file of an External Client App is part of, else None."""
    if component.ref.type == HEADER:
        return component.ref.full_name
    if not component.ref.type.startswith("ExtlClntApp"):
        return None
    root = xmlfile.parse(component.body)
    return root.findtext(f"{{{METADATA_NS}}}externalClientApplication", "").strip()


class _Bundle:
    """The files under construction; every element remembers its template line."""

    def __init__(self, app: Component) -> None:
        self._app = app
        self._source = app.source or Source(str(app.ref))
        self._roots = {
            kind: etree.Element(f"{{{METADATA_NS}}}{kind}", nsmap={None: METADATA_NS})
            for kind in _NAMES
        }
        self._places: dict[etree._Element, tuple[str, int]] = {}
        self.lost: list[Lost] = []

    def add(
        self, kind: str, name: str, text: str, origin: etree._Element
    ) -> etree._Element:
        """Add a leaf to a file; `origin` is what it was made from."""
        return self._child(self._roots[kind], name, text, origin)

    def _child(
        self, parent: etree._Element, name: str, text: str, origin: etree._Element
    ) -> etree._Element:
        element = etree.SubElement(parent, f"{{{METADATA_NS}}}{name}")
        element.text = text or None
        self._places[element] = self._source.locate(origin.sourceline or 1)
        return element

    def walk(self, element: etree._Element, prefix: str) -> None:
        """Move every leaf below `element` to its place, or report it as lost."""
        for child in element:
            path = f"{prefix}{xmlfile.local_name(child)}"
            if path in _MOVED:
                kind, name = _MOVED[path]
                self.add(kind, name, xmlfile.text_of(child), child)
            elif path in _STRUCTS:
                self._struct(child, *_STRUCTS[path])
            elif path in _BRANCHES:
                self.walk(child, f"{path}/")
            elif path not in _GATHERED and path != "oauthConfig/consumerSecret":
                where = self._source.locate(child.sourceline or 1)
                self.lost.append(Lost(path.replace("/", "."), *where))

    def _struct(
        self,
        origin: etree._Element,
        kind: str,
        name: str,
        names: Mapping[str, str],
    ) -> None:
        struct = self._child(self._roots[kind], name, "", origin)
        for child in origin:
            new = names.get(xmlfile.local_name(child))
            if new is not None:
                self._child(struct, new, xmlfile.text_of(child), child)

    def gather(self, root: etree._Element) -> None:
        """Add what several elements of a ConnectedApp say together."""
        config = root.find(f"{{{METADATA_NS}}}oauthConfig")
        policy = root.find(f"{{{METADATA_NS}}}oauthPolicy")
        if config is not None:
            self._oauth(config)
        if policy is not None:
            self._policy(policy)
        for element, name in (
            ("permissionSetName", "commaSeparatedPermissionSet"),
            ("profileName", "commaSeparatedProfile"),
        ):
            found = root.findall(f"{{{METADATA_NS}}}{element}")
            if found:
                holders = ",".join(filter(None, map(xmlfile.text_of, found)))
                self.add(OAUTH_POLICY, name, holders, found[0])

    def _oauth(self, config: etree._Element) -> None:
        scopes = config.findall(f"{{{METADATA_NS}}}scopes")
        if scopes:
            names = [xmlfile.text_of(s).strip() for s in scopes]
            # The one scope that the two families spell differently (documented).
            text = ", ".join("SFApiPlatform" if n == "SFAP" else n for n in names)
            self.add(SETTINGS, "commaSeparatedOauthScopes", text, scopes[0])
        approved = config.find(f"{{{METADATA_NS}}}isAdminApproved")
        permitted = "AllSelfAuthorized"
        if approved is not None and xmlfile.text_of(approved).strip() in ("true", "1"):
            permitted = "AdminApprovedPreAuthorized"
        origin = config if approved is None else approved
        self.add(OAUTH_POLICY, "permittedUsersPolicyType", permitted, origin)
        flow = config.find(f"{{{METADATA_NS}}}isClientCredentialEnabled")
        if flow is not None:
            for kind in (GLOBAL, OAUTH_POLICY):
                text = xmlfile.text_of(flow)
                self.add(kind, "isClientCredentialsFlowEnabled", text, flow)
        if config.find(f"{{{METADATA_NS}}}isPkceRequired") is None:
            # Silence means false in a ConnectedApp and true here (documented).
            self.add(GLOBAL, "isPkceRequired", "false", config)

    def _policy(self, policy: etree._Element) -> None:
        for element in policy:
            text = xmlfile.text_of(element).strip()
            if xmlfile.local_name(element) == "ipRelaxation":
                value = _IP_RELAXATION.get(text, text)
                self.add(OAUTH_POLICY, "ipRelaxationPolicyType", value, element)
            elif xmlfile.local_name(element) == "refreshTokenPolicy":
                kind, _, span = text.partition(":")
                value = _REFRESH.get(kind, kind)
                self.add(OAUTH_POLICY, "refreshTokenPolicyType", value, element)
                number, _, unit = span.partition(":")
                if number:
                    name = "refreshTokenValidityPeriod"
                    self.add(OAUTH_POLICY, name, number, element)
                    name = "refreshTokenValidityUnit"
                    self.add(OAUTH_POLICY, name, unit.capitalize(), element)

    def components(self) -> tuple[Component, ...]:
        """Return the files, by Ref."""

        def place(element: etree._Element) -> tuple[str, int]:
            return self._places.get(element) or self._source.locate(1)

        found = [
            xmlfile.component(
                Ref(kind, name.format(self._app.ref.full_name)),
                self._roots[kind],
                self._source.path,
                place,
            )
            for kind, name in _NAMES.items()
        ]
        return tuple(sorted(found, key=lambda c: c.ref))
