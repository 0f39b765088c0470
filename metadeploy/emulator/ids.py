"""Ids, keys, tokens and times in the shapes that clients and people know."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from metadeploy.model import id18

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TO_BASE62 = bytes(ord(_BASE62[n % 62]) for n in range(256))

# Key prefixes (observed: facts of the Object Reference, CumulusCI, public scripts).
PREFIXES = {
    "Organization": "00D",
    "User": "005",
    "Profile": "00e",
    "UserLicense": "100",
    "PermissionSet": "0PS",
    "PermissionSetAssignment": "0Pa",
    "SetupEntityAccess": "0J0",
    "ConnectedApplication": "0H4",
    "ExternalClientApplication": "0xI",
    "ExtlClntAppOauthPlcyCnfg": "0xo",
    "OauthToken": "0CQ",
    "LoginHistory": "0Ya",
    "SetupAuditTrail": "0Ym",
    "DeployRequest": "0Af",
    "RetrieveRequest": "09S",
    "InstalledSubscriberPackage": "0A3",
    "SubscriberPackage": "033",
    "SourceMember": "0MZ",
    "ConnectedApp": "0H4",
    "ApexClass": "01p",
    "ApexPage": "066",
    "ApexTrigger": "01q",
    "CustomObject": "01I",
    "CustomField": "00N",
    "CustomApplication": "02u",
    "CustomTab": "01r",
    "CustomPermission": "0CP",
    "Flow": "301",
    "Layout": "00h",
    "RecordType": "012",
    "StaticResource": "081",
    "Certificate": "0P1",
    "OauthConsumer": "888",
}
_OTHER_PREFIX = "0EM"


def letters(count: int) -> str:
    """Return `count` random characters of [0-9A-Za-z]."""
    return secrets.token_bytes(count).translate(_TO_BASE62).decode()


def new_id(kind: str) -> str:
    """Return a fresh 18-character id with the prefix of `kind`, an sObject or type."""
    return id18(PREFIXES.get(kind, _OTHER_PREFIX) + letters(12))


def new_consumer_key() -> str:
    """Return a consumer key as orgs generate them: "3MVG9…", 85 characters.

    Observed: retrieved apps. Real ones may also hold `_` and `.`.
    """
    return "3MVG9" + letters(80)


def new_consumer_secret() -> str:
    """Return a consumer secret: 64 upper-case hex digits (recalled)."""
    return secrets.token_hex(32).upper()


def new_token(org_id: str) -> str:
    """Return an opaque session token of that org, marked as emulated.

    Real tokens are "<15-character org id>!<opaque>"; clients accept only [.\\w]
    behind the "!" (Salesforce CLI). A client can refuse "!EMU." off loopback.
    """
    return f"{org_id[:15]}!EMU.{letters(86)}"


def timestamp(seconds: float) -> str:
    """Write a time as the platform's SOAP does: UTC with milliseconds and "Z".

    Observed: CumulusCI parses nothing without fraction and UTC.
    """
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
