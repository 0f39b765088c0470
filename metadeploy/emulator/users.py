"""What OAuth tells of a user: the identity URL and userinfo.

Source: "Identity URLs", "OpenID Connect Userinfo" in the OAuth help (documented).
"""

from __future__ import annotations

from metadeploy.emulator.soql_time import seconds_of
from metadeploy.emulator.state import OrgState, Record
from metadeploy.emulator.wire import Json

_URLS = {
    "enterprise": "/services/Soap/c/{version}/",
    "metadata": "/services/Soap/m/{version}/",
    "partner": "/services/Soap/u/{version}/",
    "tooling_soap": "/services/Soap/T/{version}/",
    "rest": "/services/data/v{version}/",
    "sobjects": "/services/data/v{version}/sobjects/",
    "search": "/services/data/v{version}/search/",
    "query": "/services/data/v{version}/query/",
    "tooling_rest": "/services/data/v{version}/tooling/",
    "recent": "/services/data/v{version}/recent/",
}


def identity_url(base_url: str, org: OrgState, user_id: str) -> str:
    """Return the URL that names a user; clients read both ids from its end."""
    return f"{base_url}/id/{org.id}/{user_id}"


def identity(base_url: str, org: OrgState, user: Record) -> Json:
    """Return what the identity URL answers."""
    user_id = str(user["Id"])
    return {
        "id": identity_url(base_url, org, user_id),
        "asserted_user": True,
        "user_id": user_id,
        "organization_id": org.id,
        "username": user["Username"],
        "nick_name": user["Alias"],
        "display_name": user["Name"],
        "email": user["Email"],
        "email_verified": True,
        "first_name": user["FirstName"],
        "last_name": user["LastName"],
        "timezone": user["TimeZoneSidKey"],
        "photos": _photos(base_url),
        "addr_street": None,
        "addr_city": None,
        "addr_state": None,
        "addr_country": None,
        "addr_zip": None,
        "mobile_phone": None,
        "mobile_phone_verified": False,
        "is_lightning_login_user": False,
        "status": {"created_date": None, "body": None},
        "urls": _urls(base_url, user_id),
        "active": user["IsActive"],
        "user_type": "STANDARD",
        "language": user["LanguageLocaleKey"],
        "locale": user["LocaleSidKey"],
        "utcOffset": 0,
        "last_modified_date": user["LastModifiedDate"],
        "is_app_installed": True,
    }


def userinfo(base_url: str, org: OrgState, user: Record) -> Json:
    """Return what the OpenID Connect userinfo endpoint answers."""
    user_id = str(user["Id"])
    return {
        "sub": identity_url(base_url, org, user_id),
        "user_id": user_id,
        "organization_id": org.id,
        "preferred_username": user["Username"],
        "nickname": user["Alias"],
        "name": user["Name"],
        "email": user["Email"],
        "email_verified": True,
        "given_name": user["FirstName"],
        "family_name": user["LastName"],
        "zoneinfo": user["TimeZoneSidKey"],
        "photos": _photos(base_url),
        "profile": f"{base_url}/{user_id}",
        "picture": f"{base_url}/profilephoto/005/F",
        "address": {},
        "is_salesforce_integration_user": False,
        "urls": _urls(base_url, user_id),
        "active": user["IsActive"],
        "user_type": "STANDARD",
        "language": user["LanguageLocaleKey"],
        "locale": user["LocaleSidKey"],
        "utcOffset": 0,
        "updated_at": int(seconds_of(str(user["LastModifiedDate"]))),
    }


def _photos(base_url: str) -> Json:
    photo = f"{base_url}/profilephoto/005"
    return {"picture": f"{photo}/F", "thumbnail": f"{photo}/T"}


def _urls(base_url: str, user_id: str) -> Json:
    urls: dict[str, Json] = {name: base_url + path for name, path in _URLS.items()}
    urls["profile"] = f"{base_url}/{user_id}"
    urls["custom_domain"] = base_url
    return urls
