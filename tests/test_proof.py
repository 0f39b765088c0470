"""What a token or a refusal proves: laws without an org."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy import schema
from metadeploy.model import Component, Ref
from metadeploy.oauth_errors import ERRORS
from metadeploy.proof import (
    Attempt,
    Refused,
    Subject,
    compare_scopes,
    judge_refusal,
    judge_token,
    subject_of,
)

PORTAL = Subject("Portal", "00D000000000001AAA", "key", ("Api", "RefreshToken"))
JWT = Attempt("jwt", "u@a.example")
UNWANTED = Attempt("jwt", "u@a.example", "refused")
NS = 'xmlns="http://soap.sforce.com/2006/04/metadata"'


@pytest.mark.parametrize(
    ("declared", "granted", "missing", "extra"),
    [
        (["Api"], "api id", "", ""),
        (["Api", "RefreshToken"], "api id", "", ""),
        (["Api", "Web"], "api id", "web", ""),
        (["Api"], "api id web", "", "web"),
        (["Api"], "api refresh_token", "", "refresh_token"),
        (["Api", "OfflineAccess"], "api refresh_token", "", ""),
        (["Api", "Profile", "Email"], "api id", "", ""),
        (["Api"], "api profile email", "", ""),
        (["Api", "OpenID"], "api id", "openid", ""),
        (["Full"], "full id", "", ""),
        (["Full"], "api web", "full", ""),
        (["Full"], "full refresh_token", "", "refresh_token"),
        (["Full", "Api"], "full", "", ""),
        (["Nonsense"], "api", "Nonsense", "api"),
        ([], "api", "", ""),
        (["Api"], "", "", ""),
    ],
)
def test_scopes(declared, granted, missing, extra):
    found = compare_scopes(declared, granted.split(), flow="jwt")
    assert found == (tuple(missing.split()), tuple(extra.split()))


def test_a_refresh_token_may_serve_for_less_but_not_for_more():
    assert compare_scopes(["Api", "Web"], ["api"], flow="refresh_token") == ((), ())
    assert compare_scopes(["Api"], ["api", "web"], flow="refresh_token") == (
        (),
        ("web",),
    )


@given(st.lists(st.sampled_from(schema.scopes()), min_size=1))
def test_a_token_with_an_apps_own_scopes_is_right(names):
    granted = [schema.oauth_scope(n) for n in names]
    assert compare_scopes(names, granted, flow="web_server") == ((), ())


def test_a_token_where_none_was_to_be_given_fails():
    assert judge_token(PORTAL, JWT, "005", ["api"]).ok is True
    found = judge_token(PORTAL, UNWANTED, "005", ["api"])
    assert (found.ok, found.got_token) == (False, True)
    assert "Take the app away" in found.hint


@pytest.mark.parametrize("row", ERRORS, ids=lambda e: f"{e.code} {e.words}")
def test_only_lack_of_access_is_the_refusal_that_was_expected(row):
    refused = Refused("no token", row.code, row.words, row.hint)
    assert judge_refusal(PORTAL, JWT, refused).ok is False
    found = judge_refusal(PORTAL, UNWANTED, refused)
    assert found.ok is (row in ERRORS[:2])
    assert found.code == row.code
    assert bool(found.hint) is not found.ok


def test_what_is_no_refusal_proves_nothing():
    found = judge_refusal(PORTAL, UNWANTED, Refused("the connection broke"))
    assert found.ok is False
    assert "expected was a refusal because" in found.detail


def component(kind, name, body):
    return Component(Ref(kind, name), f"<{kind} {NS}>{body}</{kind}>".encode())


def test_the_subject_of_a_connected_app():
    app = component(
        "ConnectedApp",
        "Portal",
        "<oauthConfig><isClientCredentialEnabled>true</isClientCredentialEnabled>"
        "<scopes>Api</scopes><scopes>Web</scopes></oauthConfig>",
    )
    found = subject_of(app, [app], org_id="00D", consumer_key="k")
    assert found == Subject("Portal", "00D", "k", ("Api", "Web"), True, False)


def test_the_subject_of_an_external_client_app():
    of = "<externalClientApplication>Portal</externalClientApplication>"
    key = component(
        "ExtlClntAppGlobalOauthSettings",
        "Portal_glblOauth",
        f"{of}<isRefreshTokenRotationEnabled>1</isRefreshTokenRotationEnabled>",
    )
    scopes = component(
        "ExtlClntAppOauthSettings",
        "Portal_oauth",
        "<commaSeparatedOauthScopes>Api, RefreshToken,</commaSeparatedOauthScopes>"
        + of,
    )
    other = component(
        "ExtlClntAppOauthSettings",
        "A_oauth",
        "<externalClientApplication>A</externalClientApplication>",
    )
    found = subject_of(key, [other, key, scopes], org_id="00D", consumer_key="k")
    assert found == Subject("Portal", "00D", "k", ("Api", "RefreshToken"), False, True)
    alone = subject_of(key, [other, key], org_id="00D", consumer_key="k")
    assert alone.scopes == ()
