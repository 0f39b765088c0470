"""Credentials of External Client Apps over REST: read, stage, rotate, drop.

Source: Connect REST API Developer Guide, "OAuth Credentials", "App OAuth Staged
Credentials" (documented); that former credentials keep serving until they are dropped
is observed in tools that rotate.
"""

from __future__ import annotations

from dataclasses import dataclass

from metadeploy.emulator import externalapps, ids
from metadeploy.emulator.apps import OauthApp, oauth_app, oauth_apps
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.records import permissions_of
from metadeploy.emulator.rest_call import Call, Routes, no_resource
from metadeploy.emulator.staged import (
    Staged,
    drop_staged,
    put_staged,
    staged_of,
)
from metadeploy.emulator.state import StoredComponent
from metadeploy.emulator.wire import Answer, Json, json_answer
from metadeploy.model import Ref

_PERMISSIONS = {"ExternalClientAppDeveloper", "ViewClientSecret"}
_PARTS = ("key", "secret", "keyandsecret")


@dataclass(frozen=True)
class _Consumer:
    """The OAuth consumer of an app; it has one."""

    app: OauthApp
    id: str
    url: str

    @property
    def name(self) -> str:
        return self.app.ref.full_name


def _usage(call: Call) -> Answer:
    apps: list[Json] = [
        {
            "identifier": app.id,
            "developerName": app.ref.full_name,
            "name": app.label,
            "credentialsUrl": f"{call.base}/apps/oauth/credentials/{app.id}",
        }
        for app in oauth_apps(call.org)
        if app.is_external
    ]
    return json_answer({"apps": apps, "currentPageUrl": call.request.path})


def _consumers(call: Call) -> Answer:
    consumer = _consumer(call, call.args[0])
    described: Json = {
        "id": consumer.id,
        "key": consumer.app.consumer_key,
        "name": consumer.name,
        "stagedCredentialsUrl": f"{consumer.url}/staged",
        "url": consumer.url,
    }
    return json_answer(
        {
            "consumers": [described],
            "currentPageUrl": call.request.path,
            "nextPageUrl": None,
        }
    )


def _credentials(call: Call) -> Answer:
    consumer = _consumer(call, *call.args)
    part = call.request.parameters.get("part", "keyandsecret").lower()
    if part not in _PARTS:
        raise Fault("INVALID_INPUT", f"part must be one of {', '.join(_PARTS)}")
    found: dict[str, Json] = {"id": consumer.id}
    if "key" in part:
        found["key"] = consumer.app.consumer_key
    if "secret" in part:
        found["secret"] = consumer.app.consumer_secret
    return json_answer(found)


def _consumer(call: Call, app_id: str, consumer_id: str = "") -> _Consumer:
    """Return the consumer a path names. Raises Fault: 403 or 404.

    app_id: the app's Id, or its developer name.
    """
    _allow(call)
    component = _header(call, app_id)
    app = oauth_app(call.org, component.ref) if component else None
    if component is None or app is None:
        raise no_resource()
    credentials = externalapps.satellite(
        call.org, externalapps.GLOBAL, component.ref.full_name
    )
    found = str(credentials.extra["consumer_id"]) if credentials else ""
    if consumer_id and consumer_id[:15] != found[:15]:
        raise no_resource()
    return _Consumer(app, found, f"{call.base}/apps/oauth/credentials/{app.id}/{found}")


def _header(call: Call, app_id: str) -> StoredComponent | None:
    found = call.org.component_by_id(app_id)
    if found is not None and found.ref.type == externalapps.HEADER:
        return found
    return call.org.component(Ref(externalapps.HEADER, app_id))


def _allow(call: Call) -> None:
    if not call.org.settings.secrets_in_rest:
        message = (
            "Access to external client app consumer secrets via REST API is not "
            "currently enabled"
        )
        raise Fault("FUNCTIONALITY_NOT_ENABLED", message)
    if not permissions_of(call.org, call.session.user_id) >= _PERMISSIONS:
        raise Fault(
            "INSUFFICIENT_ACCESS",
            "You need External Client App Developer and View Client Secret",
        )


# -- staged credentials


def _staged(call: Call) -> Answer:
    consumer = _consumer(call, *call.args)
    found = staged_of(call.org, consumer.name)
    listed = [_staged_json(consumer, found)] if found else []
    return json_answer({"stagedCredentials": listed, "url": f"{consumer.url}/staged"})


def _stage(call: Call) -> Answer:
    """Make new credentials beside the ones that serve. There is one place for them."""
    consumer = _consumer(call, *call.args)
    if staged_of(call.org, consumer.name) is not None:
        # Inferred: tools look first, and drop what is there.
        message = "Staged credentials already exist for this consumer"
        raise Fault("DUPLICATE_VALUE", message)
    user = call.org.record("User", call.session.user_id)
    staged = Staged(
        id=ids.new_id("StagedCredentials"),
        key=ids.new_consumer_key(),
        secret=ids.new_consumer_secret(),
        state="Active",
        created=call.world.clock(),
        created_by=str(user["Name"]) if user else "",
    )
    put_staged(call.org, consumer.name, staged)
    listed = [_staged_json(consumer, staged)]
    return json_answer(
        {"stagedCredentials": listed, "url": f"{consumer.url}/staged"}, 201
    )


def _one_staged(call: Call) -> Answer:
    consumer, staged = _named(call)
    return json_answer(_staged_json(consumer, staged))


def _rotate(call: Call) -> Answer:
    """Have the staged credentials serve; the former ones take their place."""
    consumer, staged = _named(call)
    if call.json_object().get("command") != "rotate":
        raise Fault("INVALID_INPUT", "command must be rotate")
    if staged.state != "Active":
        raise Fault("INVALID_OPERATION", "These credentials were rotated already")
    app = consumer.app
    former = Staged(
        staged.id,
        app.consumer_key,
        app.consumer_secret,
        "Rotated",
        staged.created,
        staged.created_by,
    )
    with call.world.transaction():
        externalapps.replace_credentials(
            call.org,
            consumer.name,
            key=staged.key,
            secret=staged.secret,
            by=call.session.user_id,
        )
        put_staged(call.org, consumer.name, former)
        call.org.log("credentials rotated", app=str(app.ref))
    return json_answer(_staged_json(consumer, former))


def _drop(call: Call) -> Answer:
    consumer, _ = _named(call)
    drop_staged(call.org, consumer.name)
    return Answer(204, "", b"")


def _named(call: Call) -> tuple[_Consumer, Staged]:
    consumer = _consumer(call, *call.args[:2])
    staged = staged_of(call.org, consumer.name)
    if staged is None or staged.id[:15] != call.args[2][:15]:
        raise no_resource()
    return consumer, staged


def _staged_json(consumer: _Consumer, staged: Staged) -> Json:
    url = f"{consumer.url}/staged/{staged.id}"
    return {
        "createdBy": staged.created_by,
        "createdDate": ids.timestamp(staged.created),
        "expirationDate": ids.timestamp(staged.expires),
        "id": staged.id,
        "key": staged.key,
        "secret": staged.secret,
        "stagedCredentialsUrl": url,
        "state": staged.state,
        "url": url,
    }


_CONSUMER = "apps/oauth/credentials/([^/]+)/([^/]+)"
ROUTES: Routes = {
    "apps/oauth/usage": {"GET": _usage},
    "apps/oauth/credentials/([^/]+)": {"GET": _consumers},
    _CONSUMER: {"GET": _credentials},
    f"{_CONSUMER}/staged": {"GET": _staged, "POST": _stage},
    f"{_CONSUMER}/staged/([^/]+)": {
        "GET": _one_staged,
        "PATCH": _rotate,
        "DELETE": _drop,
    },
}
