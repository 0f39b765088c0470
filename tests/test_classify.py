"""What became of a request that failed, code by code."""

from __future__ import annotations

import pytest
from fake_org import failure, result

from metadeploy.classify import Fate, fate, kept_nothing, was_locked_out
from metadeploy.errors import (
    ApiFault,
    AuthError,
    ConfigError,
    DeployTimeout,
    LostAnswer,
    Unreachable,
)
from metadeploy.model import Ref

LOCKED = "unable to obtain exclusive access to this record"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unreachable("no network"), Fate.NOT_SENT),
        (LostAnswer("reset"), Fate.UNKNOWN),
        (ApiFault("SERVER_UNAVAILABLE", "later"), Fate.UNKNOWN),
        (ApiFault("UNKNOWN_EXCEPTION", "ErrorId"), Fate.UNKNOWN),
        (ApiFault("INVALID_CROSS_REFERENCE_KEY", "invalid"), Fate.UNKNOWN),
        (ApiFault("INVALID_QUERY_LOCATOR", "gone"), Fate.UNKNOWN),
        (ApiFault("API_CURRENTLY_DISABLED", "upgrade"), Fate.BUSY),
        (ApiFault("UNABLE_TO_LOCK_ROW", LOCKED), Fate.BUSY),
        (
            ApiFault("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "wait"),
            Fate.BUSY,
        ),
        (
            ApiFault("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded."),
            Fate.BUSY,
        ),
        (
            ApiFault("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
            Fate.REFUSED,
        ),
        (ApiFault("INVALID_SESSION_ID", "expired"), Fate.REFUSED),
        (ApiFault("INSUFFICIENT_ACCESS", "no"), Fate.REFUSED),
        (ApiFault("", "the retrieve failed"), Fate.REFUSED),
        (AuthError("no token"), Fate.REFUSED),
        (AuthError("no whole answer", lost=True), Fate.NOT_SENT),
        (ConfigError("the journal"), Fate.REFUSED),
        (DeployTimeout("0Af", 1.0), Fate.REFUSED),
    ],
)
def test_fates(error, expected):
    assert fate(error) is expected


SET = Ref("PermissionSet", "A")


@pytest.mark.parametrize(
    ("ended", "locked"),
    [
        (result("Failed", messages=(failure(SET, LOCKED),)), True),
        (
            result("Failed", messages=(failure(SET, f"UNABLE_TO_LOCK_ROW: {LOCKED}"),)),
            True,
        ),
        (result("Failed", error_code="ALREADY_IN_PROCESS", error_message="x"), True),
        (
            result(
                "Failed",
                error_message="administration setup has already been locked for"
                " maintenance",
            ),
            True,
        ),
        (
            result(
                "Failed", messages=(failure(SET, LOCKED), failure(SET, "no licence"))
            ),
            False,
        ),
        (
            result(
                "Failed",
                error_message="no licence",
                messages=(failure(SET, LOCKED),),
            ),
            False,
        ),
        (result("Failed"), False),
        (result("Canceled"), False),
        (result("Succeeded", messages=(failure(SET, LOCKED),)), False),
    ],
)
def test_locks_of_others(ended, locked):
    assert was_locked_out(ended) is locked


@pytest.mark.parametrize(
    ("ended", "nothing"),
    [
        (result("Failed"), True),
        (result("Canceled"), True),
        (result("FinalizingFailed"), True),
        (result("Polished"), True),
        (result("Polished", success=True), False),
        (result("SucceededPartial"), False),
        (result("SucceededPartial", success=True), False),
    ],
)
def test_what_an_org_may_have_kept(ended, nothing):
    assert kept_nothing(ended) is nothing
