"""Every rule, and what the platform refuses among them; house.py has our own.

Ids are stable and never reused: MD0xx files of a project, MD1xx structure, MD2xx
connected apps, MD3xx access, MD4xx External Client Apps, MD5xx names, MD6xx org files,
MD7xx security, MD8xx policies that are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from metadeploy.rules import house
from metadeploy.rules.rule import GUIDE, WSDL, Rule, error, warning

_STRUCTURE = (
    error(
        "MD101",
        "well-formed",
        why="The org refuses a file that is not well-formed XML.",
        remedy="Close every element, and let values pass through {{ }} for escaping.",
        source="XML 1.0",
    ),
    error(
        "MD102",
        "root-element",
        why="The root element has to name the type, in the metadata namespace.",
        remedy="Begin the file with the root element and xmlns that are named here.",
        source=GUIDE,
    ),
    error(
        "MD103",
        "unknown-element",
        why="The org refuses a file with an element that its type does not have.",
        remedy="Correct the name, move the element, or remove it.",
        source=f"{WSDL}; observed",
    ),
    error(
        "MD104",
        "unknown-type",
        why="A package can hold metadata types that the platform knows, no others.",
        remedy="Use the folder and the suffix of a metadata type.",
        source=WSDL,
    ),
    error(
        "MD105",
        "element-twice",
        why="An element that is not a list may be given once.",
        remedy="Keep one of them.",
        source=WSDL,
    ),
    error(
        "MD106",
        "not-together",
        why="The org refuses repeated elements with other elements between them.",
        remedy="Put all elements of that name one after the other.",
        source="observed",
    ),
    error(
        "MD107",
        "api-version",
        why="The org refuses what came after, or went before, the package's version.",
        remedy="Change api_version in the org file, or leave it out for this org.",
        source=f"{GUIDE}; observed",
    ),
    error(
        "MD108",
        "missing-element",
        why="The org refuses a component that lacks a required element.",
        remedy="Add what is missing.",
        source=WSDL,
    ),
    error(
        "MD109",
        "empty-element",
        why="A required element needs a value.",
        remedy="Give it a value; check the org's values if it comes from there.",
        source=WSDL,
    ),
    error(
        "MD110",
        "wrong-kind",
        why="The org refuses a value of the wrong kind.",
        remedy="Write true or false for a boolean ({{ value | lower }} in a template).",
        source=WSDL,
    ),
    error(
        "MD111",
        "not-allowed",
        why="Only the values of the list are accepted; case matters.",
        remedy="Use one of the allowed values.",
        source=f"{WSDL}; {GUIDE}",
    ),
    error(
        "MD112",
        "full-name",
        why="In a file, the file's name is the component's name.",
        remedy="Remove the element; rename the file to rename the component.",
        source=GUIDE,
    ),
    error(
        "MD113",
        "mixed-content",
        why="An element holds either text or other elements.",
        remedy="Remove what should not be there.",
        source=WSDL,
    ),
    warning(
        "MD114",
        "attribute",
        why="Metadata files use no attributes but xmlns and xsi:nil.",
        remedy="Remove the attribute.",
        source=WSDL,
    ),
    error(
        "MD115",
        "listed-twice",
        why="The org refuses a list that names the same thing twice.",
        remedy="Keep one of them.",
        source="observed",
    ),
)

_APPS = (
    error(
        "MD201",
        "callback-url",
        why="The org compares callback URLs to the character, so each must be whole.",
        remedy="Write absolute URLs, one a line.",
        source=f"{GUIDE}, ConnectedApp; RFC 6749 §3.1.2",
    ),
    error(
        "MD202",
        "callback-url-scheme",
        why="An authorisation code must not travel unencrypted.",
        remedy="Use https, or the app's own scheme; http is for localhost only.",
        source=f"{GUIDE}, ConnectedApp; observed",
    ),
    error(
        "MD203",
        "callback-url-length",
        why="All callback URLs of an app share 2000 characters.",
        remedy="Remove URLs, or make a second app for some of them.",
        source=f"{GUIDE}, ConnectedApp",
    ),
    error(
        "MD204",
        "consumer-key",
        why="A consumer key has 8 to 256 letters and digits.",
        remedy="Leave consumerKey out: metadeploy derives one for each org.",
        source=f"{GUIDE}, ConnectedApp",
    ),
    warning(
        "MD205",
        "consumer-key-characters",
        why="Keys with '_' or '.' do work but are not documented.",
        remedy="Use letters and digits only.",
        source="observed",
    ),
    error(
        "MD206",
        "consumer-secret",
        why="A secret in a template or an org file is a secret in git.",
        remedy="Remove it, and change it in the org if it was ever committed: "
        "metadeploy derives secrets.",
        source="metadeploy",
    ),
    error(
        "MD207",
        "refresh-token-policy",
        why="The API takes any text here, but the org refuses or ignores others.",
        remedy="Write infinite, zero, specific_lifetime:N:HOURS|DAYS|MONTHS "
        "or specific_inactivity:N:HOURS|DAYS|MONTHS.",
        source=f"{GUIDE}, ConnectedAppOauthPolicy",
    ),
    error(
        "MD208",
        "number-range",
        why="The org accepts numbers of that range only.",
        remedy="Use a number within the range.",
        source=GUIDE,
    ),
    error(
        "MD209",
        "https-url",
        why="The org accepts absolute https URLs only.",
        remedy="Write the URL with https://.",
        source=f"{GUIDE}, ConnectedApp",
    ),
    error(
        "MD210",
        "client-credentials-user",
        why="The client credentials flow runs as one user, who must be named.",
        remedy="Name the user who the app acts as.",
        source=f"{GUIDE}, ConnectedAppOauthConfig",
    ),
    error(
        "MD211",
        "ip-range",
        why="An IP range needs two addresses of one family, the lower one first.",
        remedy="Correct the addresses.",
        source=GUIDE,
    ),
    error(
        "MD212",
        "email",
        why="The org refuses an app without a usable contact address.",
        remedy="Write an address such as team@example.com.",
        source=f"{GUIDE}, ConnectedApp",
    ),
    error(
        "MD213",
        "certificate",
        why="The certificate is the PEM text itself, not its name in the org.",
        remedy="Put the whole text in, from BEGIN CERTIFICATE to END CERTIFICATE.",
        source=f"{GUIDE}, ConnectedAppOauthConfig; observed",
    ),
    error(
        "MD214",
        "private-key",
        why="A private key in a template or an org file is a secret in git.",
        remedy="Remove it, make a new key pair, and put only the certificate here.",
        source="metadeploy",
    ),
    error(
        "MD215",
        "asset-token-scopes",
        why="Asset tokens need the scopes Api and OpenID.",
        remedy="Add the missing scopes.",
        source=f"{GUIDE}, ConnectedAppOauthAssetToken",
    ),
    error(
        "MD216",
        "not-admin-approved",
        why="Who is pre-authorised counts for nothing while all users may approve "
        "the app themselves.",
        remedy="Set isAdminApproved to true, or remove the profiles and permission "
        "sets.",
        source=f"{GUIDE}, ConnectedApp",
    ),
)

_ACCESS = (
    warning(
        "MD301",
        "foreign-app",
        why="Access to an app that we don't deploy works only where it is installed.",
        remedy="Correct the name if you meant an app of this project; otherwise make "
        "sure that the app is installed in the org.",
        source="metadeploy",
    ),
    error(
        "MD302",
        "app-name",
        why="Access names an app of ours by its API name, an app of another org by its "
        "label; neither has more than 80 characters.",
        remedy="Use that name.",
        source=GUIDE,
    ),
    error(
        "MD303",
        "access-without-approval",
        why="Access counts for nothing while all users may approve the app themselves.",
        remedy="Let the app be admin approved, or remove the access.",
        source=f"{GUIDE}, ConnectedAppOauthConfig",
    ),
    warning(
        "MD304",
        "nobody-may-use",
        why="An admin-approved app that nobody was given locks everybody out.",
        remedy="Give access by connectedAppAccesses in a profile or permission set.",
        source="observed",
    ),
)

_CLIENTS = (
    warning(
        "MD401",
        "no-parent-app",
        why="Settings and policies of an External Client App need the app itself.",
        remedy="Correct the name, or make sure that the app exists in the org.",
        source=f"{GUIDE}; observed",
    ),
    error(
        "MD402",
        "comma-list",
        why="A comma-separated list has no empty places.",
        remedy="Write the names with one comma between two of them.",
        source=GUIDE,
    ),
    error(
        "MD403",
        "one-per-app",
        why="An External Client App has each kind of settings once: 'duplicate value "
        "found: ExternalClientApplicationId'.",
        remedy="Merge the two files.",
        source="observed",
    ),
    error(
        "MD404",
        "both-kinds",
        why="A connected app and an External Client App of one name collide.",
        remedy="Keep one of them; remove the other from the org first.",
        source="observed",
    ),
    error(
        "MD405",
        "refresh-token-validity",
        why="A limited refresh token needs to know for how long.",
        remedy="Add refreshTokenValidityPeriod and refreshTokenValidityUnit.",
        source=GUIDE,
    ),
    warning(
        "MD406",
        "rotates-always",
        why="The org makes a new key or secret at every deploy of this file.",
        remedy="Set it to false after the one deploy that needs it.",
        source=GUIDE,
    ),
    error(
        "MD407",
        "too-many",
        why="The org accepts 128 of them.",
        remedy="Merge some of them.",
        source=GUIDE,
    ),
)

_NAMES = (
    error(
        "MD501",
        "api-name",
        why="API names have letters, digits and single underscores, begin with a "
        "letter and end without underscore.",
        remedy="Rename the file.",
        source=GUIDE,
    ),
    error(
        "MD502",
        "same-name",
        why="Names are compared without case, so only one of them can exist.",
        remedy="Rename or remove one of them.",
        source=GUIDE,
    ),
    error(
        "MD503",
        "no-path",
        why="A component's name is part of a path in the package.",
        remedy="Rename the file; special characters are percent-encoded, as in %2F.",
        source="observed",
    ),
    error(
        "MD504",
        "too-long",
        why="The org refuses longer text.",
        remedy="Shorten it.",
        source=f"{GUIDE}, PermissionSet",
    ),
)

# The sections of docs/rules.md, in its order.
GROUPS: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "Files of a project": house.FILES,
        "Structure": _STRUCTURE,
        "Connected apps": _APPS,
        "Access": _ACCESS,
        "External Client Apps": _CLIENTS,
        "Names": _NAMES,
        "Org files": house.ORGS,
        "Security": house.SECURITY,
        "Policy isv: apps that vendors hand to their customers": house.ISV,
    }
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.id: rule for group in GROUPS.values() for rule in group}
)
