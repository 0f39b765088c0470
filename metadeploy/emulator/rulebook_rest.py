"""What the emulated orgs do and say over REST, SOQL, OAuth and HTTP, and how we know.

The second half of `rulebook`: the same marks, and a test for each message too. OAuth's
refusals are in `oauth_errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from metadeploy.emulator.rulebook import Behaviour, Complaint

_REST = "REST API Developer Guide"
_SOQL = "SOQL and SOSL Reference"
_HINT = (
    " If you are attempting to use a custom {what}, be sure to append the '{suffix}'"
    " after the {name} name. Please reference your WSDL or the describe call for the"
    " appropriate names."
)


def _complaint(text: str, when: str, mark: str, source: str = "") -> Complaint:
    return Complaint(text, when, mark, source, "rest")


REST_COMPLAINTS: Mapping[str, Complaint] = MappingProxyType(
    {
        "no_session": _complaint(
            "401 INVALID_SESSION_ID: Session expired or invalid",
            "no token, a dead one, or one of elsewhere",
            "observed",
            "what simple-salesforce and Salesforce CLI look for; the text is recalled",
        ),
        "auth_header": _complaint(
            "401 INVALID_AUTH_HEADER: INVALID_HEADER_TYPE",
            "an Authorization header that is neither Bearer nor OAuth",
            "recalled",
        ),
        "no_api_scope": _complaint(
            "401 INVALID_SESSION_ID: This session is not valid for use with the REST"
            " API",
            "a token without the scopes api, web or full",
            "recalled",
        ),
        "no_api_permission": _complaint(
            "403 API_CURRENTLY_DISABLED: API is disabled for this User",
            "a user without the permission API Enabled",
            "recalled",
        ),
        "no_resource": _complaint(
            "404 NOT_FOUND: The requested resource does not exist",
            "an unknown path, sObject or version; describe of Tooling's SourceMember",
            "observed",
            "Salesforce CLI waits for this very text of SourceMember",
        ),
        "not_emulated": _complaint(
            "404 NOT_FOUND: The requested resource does not exist (not emulated:"
            " {path})",
            "a resource the platform has and these orgs do not",
            "inferred",
        ),
        "retired_version": _complaint(
            "410 UNSUPPORTED_API_VERSION: The requested REST API version {version} has"
            " been retired",
            "versions 21.0 to 30.0",
            "documented",
            "API end-of-life page; the wording is recalled",
        ),
        "method": _complaint(
            "405 METHOD_NOT_ALLOWED: HTTP Method '{method}' not allowed. Allowed are"
            " {allowed}",
            "a method the resource does not have",
            "recalled",
        ),
        "no_record": _complaint(
            "404 NOT_FOUND: The requested resource does not exist",
            "reading a record that is not there",
            "observed",
            "simple-salesforce wants a 404",
        ),
        "bad_id": _complaint(
            "404 NOT_FOUND: Provided external ID field does not exist or is not"
            " accessible: {text}",
            "a record's path that ends in no id",
            "recalled",
        ),
        "deleted": _complaint(
            "404 ENTITY_IS_DELETED: entity is deleted",
            "updating or deleting a record that is not there",
            "recalled",
        ),
        "bad_json": _complaint(
            "400 JSON_PARSER_ERROR: {text}",
            "a body that is not the JSON it should be; the wording is ours",
            "documented",
            f"{_REST}, status codes",
        ),
        "missing_field": _complaint(
            "400 REQUIRED_FIELD_MISSING: Required fields are missing: {fields}",
            "creating a record without what it needs",
            "recalled",
        ),
        "unknown_field": _complaint(
            "400 INVALID_FIELD: No such column '{name}' on sobject of type {sobject}",
            "a field the sObject does not have",
            "recalled",
        ),
        "not_writeable": _complaint(
            "400 INVALID_FIELD_FOR_INSERT_UPDATE: Field is not writeable:"
            " SetupEntityAccess.SetupEntityType",
            "an access row with its type given",
            "observed",
            "public field notes; the code is recalled",
        ),
        "read_only_sobject": _complaint(
            "405 INVALID_TYPE_FOR_OPERATION: entity type {sobject} does not support"
            " create",
            "creating what cannot be created",
            "recalled",
        ),
        "no_rights": _complaint(
            "403 INSUFFICIENT_ACCESS_OR_READONLY: insufficient access rights on object"
            " id",
            "a user without the permission to change that sObject",
            "recalled",
        ),
        "too_many_records": _complaint(
            "400 EXCEEDED_ID_LIMIT: record limit reached. cannot submit more than 200"
            " records into this call",
            "more than 200 records in composite/sobjects",
            "documented",
            f"{_REST}, sObject Collections; the wording is recalled",
        ),
        "rolled_back": _complaint(
            "ALL_OR_NONE_OPERATION_ROLLED_BACK: Record rolled back because not all"
            " records were valid and the request was using AllOrNone header",
            "a good record beside a bad one, with allOrNone",
            "documented",
            f"{_REST}, sObject Collections; the wording is recalled",
        ),
        "malformed_query": _complaint(
            "400 MALFORMED_QUERY: {context}unexpected token: '{token}'",
            "SOQL that is none, or mixes AND and OR without parentheses",
            "observed",
            "simple-salesforce wants 400 and the code; the wording is recalled",
        ),
        "empty_query": _complaint(
            "400 MALFORMED_QUERY: A query string has to be specified",
            "a query without q",
            "recalled",
        ),
        "unknown_sobject": _complaint(
            "400 INVALID_TYPE: {context}sObject type '{name}' is not supported."
            + _HINT.format(what="object", suffix="__c", name="entity"),
            "a query of an sObject the org, or that API, does not have",
            "observed",
            "public issues",
        ),
        "unknown_column": _complaint(
            "400 INVALID_FIELD: {context}No such column '{name}' on entity '{sobject}'."
            + _HINT.format(what="field", suffix="__c", name="custom field"),
            "a query of a field the sObject does not have: ConsumerKey among them",
            "observed",
            "public issues",
        ),
        "unknown_relationship": _complaint(
            "400 INVALID_FIELD: {context}Didn't understand relationship '{name}' in"
            " field path."
            + _HINT.format(
                what="relationship", suffix="__r", name="custom relationship"
            ),
            "a parent that is none",
            "recalled",
        ),
        "unknown_children": _complaint(
            "400 INVALID_TYPE: {context}Didn't understand relationship '{name}' in FROM"
            " part of query call."
            + _HINT.format(
                what="relationship", suffix="__r", name="custom relationship"
            ),
            "a subquery of children that are none",
            "recalled",
        ),
        "mistyped_filter": _complaint(
            "400 INVALID_FIELD: {context}value of filter criterion for field '{name}'"
            " must be of type {type} and should not be enclosed in quotes",
            "a filter value of another type than its field",
            "recalled",
        ),
        "bad_filter_id": _complaint(
            "400 INVALID_QUERY_FILTER_OPERATOR: {context}invalid ID field: {text}",
            "an id in a filter that is none",
            "recalled",
        ),
        "offset": _complaint(
            "400 NUMBER_OUTSIDE_VALID_RANGE: Maximum SOQL offset allowed is 2000",
            "OFFSET over 2000",
            "documented",
            f"{_SOQL}, OFFSET; the wording is recalled",
        ),
        "locator": _complaint(
            "400 INVALID_QUERY_LOCATOR: invalid query locator",
            "a next page that is somebody else's, too old, or none",
            "recalled",
        ),
        "multipart": _complaint(
            "400 INVALID_MULTIPART_REQUEST: No zip file part was found",
            "metadata/deployRequest without a zip",
            "inferred",
        ),
        "secrets_off": _complaint(
            "403 FUNCTIONALITY_NOT_ENABLED: Access to external client app consumer"
            " secrets via REST API is not currently enabled",
            "apps/oauth/credentials where the org does not allow it",
            "observed",
            "tools look for 'not currently enabled'; the rest is inferred",
        ),
        "too_large": _complaint(
            "413 EXCEEDED_MAX_SIZE_REQUEST: the body is longer than 52428800 bytes",
            "a body over 50 MB, also once it is unpacked",
            "documented",
            "Metadata API limits; the wording is ours",
        ),
    }
)

REST_BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        "REST",
        "Any version from 31.0 to 66.0 serves; /services/data lists them ascending and"
        " needs no session.",
        "observed",
        "Salesforce CLI takes the highest, CumulusCI the last",
    ),
    Behaviour(
        "query",
        "Pages of 2,000 rows, 200 to 2,000 by Sforce-Query-Options; nextRecordsUrl"
        " lives two days and runs the query again.",
        "documented",
        f"{_REST}, Query More Results; that it runs again is the emulator's own",
    ),
    Behaviour(
        "query",
        "columns=true answers columnMetadata, entityName, groupBy, idSelected and"
        " keyPrefix.",
        "observed",
        "Salesforce CLI",
    ),
    Behaviour(
        "SOQL",
        "Text compares without case, ids with; != and NOT IN hold for null; null sorts"
        " first unless NULLS LAST; weeks begin on Sunday; all times are UTC.",
        "documented",
        f"{_SOQL}; null in NOT IN is inferred",
    ),
    Behaviour(
        "SOQL",
        "No TYPEOF, no formulas, geolocation or currency functions, no SOSL.",
        "inferred",
        "not emulated",
    ),
    Behaviour(
        "tooling/query",
        "Knows DeployRequest, Organization, PermissionSet, Profile and User, and"
        " InstalledSubscriberPackage, of which there are none.",
        "inferred",
        "that SetupEntityAccess is none of them is observed, as is that CumulusCI asks"
        " for the packages",
    ),
    Behaviour(
        "tooling/query",
        "Scratch orgs track their sources: SourceMember tells what was changed and"
        " removed, with a RevisionCounter that grows with time. Other orgs do not.",
        "documented",
        "Tooling API Developer Guide; Salesforce CLI's use of it is observed",
    ),
    Behaviour(
        "SetupAuditTrail",
        "Tells who has created, changed or deleted apps, permission sets and profiles,"
        " and who was given an app by records; Display is nothing to filter by.",
        "documented",
        "Object Reference, SetupAuditTrail; most actions and words are observed in"
        " what people publish; that a change is one row for each component is inferred",
    ),
    Behaviour(
        "SetupEntityAccess",
        "A row that a deploy made may be created by hand once more: it is the same row"
        " then, and a further creation is refused.",
        "inferred",
        "checks of Salesforce CLI and simple-salesforce do so",
    ),
    Behaviour(
        "metadata/deployRequest",
        "The same jobs as SOAP's. Parts of a request are told by content type; booleans"
        " may be text; the answer to POST is 201. PATCH with status Canceling cancels.",
        "observed",
        "Salesforce CLI, jsforce, CumulusCI; PATCH is documented",
    ),
    Behaviour(
        "apps/oauth",
        "Staged credentials live 30 days. After a rotation the former ones take their"
        " place, and serve until they are dropped.",
        "documented",
        "Connect REST API Developer Guide; that they serve is observed in tools",
    ),
    Behaviour(
        "OAuth",
        "JWT bearer: exp may be milliseconds or text and 5 minutes old; aud is a login"
        " host or this server, with or without a slash; a user unknown to the world has"
        " not approved the app.",
        "observed",
        "Salesforce CLI, simple-salesforce, CumulusCI; the unknown user is inferred",
    ),
    Behaviour(
        "OAuth",
        "Permitted users: with an admin-approved app, or API Access Control, access"
        " decides and nobody is asked; else the user must have approved the app once.",
        "documented",
        "help, Manage OAuth Access Policies",
    ),
    Behaviour(
        "OAuth",
        "Client credentials run as the app's user, whatever access that user has.",
        "inferred",
        "",
    ),
    Behaviour(
        "OAuth",
        "Refresh tokens end by policy, by revoking, by deleting the OauthToken record,"
        " by blocking the app. A changed policy bites at the next refresh.",
        "documented",
        "help, Manage OAuth Access Policies; Object Reference, OauthToken",
    ),
    Behaviour(
        "OAuth",
        "With rotation each refresh token serves once; sending it again ends all tokens"
        " of the approval.",
        "documented",
        "help, Rotate Refresh Tokens; that a reuse ends all is RFC 9700's",
    ),
    Behaviour(
        "OAuth",
        "Access tokens are opaque, 00D…!EMU.…, and live as long as the app's session"
        " policy says, else two hours. There is no expires_in.",
        "observed",
        "jsforce refuses SOAP with a JWT below API 68",
    ),
    Behaviour(
        "OAuth",
        "A connected app of another org is not installed here: only users who may"
        " approve uninstalled apps, or use any API client, get further.",
        "observed",
        "public issues since September 2025",
    ),
    Behaviour(
        "OAuth",
        "Salesforce CLI's own app, PlatformCLI, is known to every org; its device flow"
        " is closed.",
        "observed",
        "Salesforce CLI; forcedotcom/cli#3368",
    ),
    Behaviour(
        "OAuth",
        "IP relaxation: the profile's loginIpRanges, and the app's trusted ranges, are"
        " judged by 127.0.0.1.",
        "documented",
        "help, Connected App IP Relaxation; the address is the emulator's own",
    ),
    Behaviour(
        "HTTP",
        "Chunked and gzip bodies, double slashes, whatever follows /Soap/m/{version},"
        " any Content-Type and SOAPAction. Only Hosts of loopback are answered.",
        "observed",
        "traffic of real clients; the Host check is the emulator's own",
    ),
)
