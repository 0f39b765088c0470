"""Emulated orgs: served, joined, made new, refreshed, broken on request."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from apps import edit


def test_a_served_org_is_joined(runner, project):
    server = subprocess.Popen(
        [sys.executable, "-m", "metadeploy", "-C", project, "emulator", "serve"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        ready = json.loads(server.stdout.readline())
        assert [o["org"] for o in ready["orgs"]] == ["dev", "prod", "uat"]
        token = runner("emulator", "token", "dev").json
        assert token["instanceUrl"] == ready["url"]
        assert token["username"] == ready["orgs"][0]["username"]
        assert token["orgId"] == ready["orgs"][0]["orgId"]
        assert token["accessToken"].startswith(token["orgId"][:15] + "!")
        assert runner("deploy", "dev", "--auto-approve").code == 0
        ran = runner("emulator", "token", "dev", "--username", "nobody@x")
        assert ran.code == 1 and "has no user nobody@x" in ran.err
    finally:
        server.terminate()
        assert server.wait(10) == 0
        server.stdout.close()
    late = runner("emulator", "token", "dev")
    assert late.code == 1 and late.json["instanceUrl"] is None


@pytest.fixture
def served(project):
    """The project's emulated orgs, served by another process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "metadeploy", "-C", project, "emulator", "serve"],
        stdout=subprocess.PIPE,
        text=True,
    )
    yield json.loads(server.stdout.readline())
    server.terminate()
    server.wait(10)
    server.stdout.close()


def test_faults_on_request(runner, served):
    kinds = runner("emulator", "fault").json["kinds"]
    assert "reset-after-apply" in kinds
    made = runner(
        *("emulator", "fault", "fault", "--on", "retrieve", "--org", "dev"),
        *("--set", "code=INSUFFICIENT_ACCESS", "--set", "message=no rights"),
    )
    assert made.code == 0 and made.json["id"]
    failed = runner("plan", "dev")
    assert failed.code == 1 and "INSUFFICIENT_ACCESS: no rights" in failed.err
    assert runner("plan", "dev").code == 0
    runner("emulator", "fault", "maintenance", "--times", "0", "--on", "retrieve")
    assert "HTTP 503 with text/html" in runner("plan", "uat").err
    assert runner("emulator", "fault", "--clear").code == 0
    assert runner("plan", "uat").code == 0
    wrong = runner("emulator", "fault", "nope")
    assert wrong.code == 1 and "no fault is called 'nope'" in wrong.err


def test_faults_need_a_server(runner):
    ran = runner("emulator", "fault", "status")
    assert ran.code == 1 and "no server runs" in ran.err


def test_a_refreshed_sandbox_gets_new_keys(runner):
    runner("deploy", "uat", "prod", "--auto-approve", "--production")
    before = runner("keys", "list", "uat", "--json").json["orgs"][0]
    ran = runner("emulator", "refresh", "uat", "--from", "prod", "--json")
    assert ran.json["orgs"][0]["orgId"] != before["orgId"]
    after = runner("keys", "list", "uat", "--json").json["orgs"][0]
    assert after["orgId"] == ran.json["orgs"][0]["orgId"]
    old = {a["consumerKey"] for a in before["apps"]}
    assert old.isdisjoint(a["consumerKey"] for a in after["apps"])


def test_a_user_gets_a_password(runner):
    ran = runner("emulator", "password", "dev", "user@dev.emulated")
    assert ran.json["username"] == "user@dev.emulated" and len(ran.json["password"]) > 8
    ran = runner("emulator", "password", "dev", "nobody@dev.emulated")
    assert ran.code == 1 and "has no user nobody@dev.emulated" in ran.err


def test_reset_makes_an_org_new(runner):
    runner("deploy", "dev", "--auto-approve")
    assert runner("emulator", "reset", "dev").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 2
    # What a new org does not have was not changed by anybody.
    assert runner("plan", "dev", "--json").json["orgs"][0]["drift"] == []


def test_what_an_emulated_org_is_like_is_said_in_its_file(runner, project):
    edit(
        project / "orgs/dev.yaml",
        "values:",
        "emulator:\n  kind: sandbox\n  edition: Unlimited Edition\n"
        "  eca_consumer_keys: false\n"
        "  profiles: {Partner Portal: Customer Community}\n"
        "  users: [{username: p@acme.example, profile: Partner Portal}]\nvalues:",
    )
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.out
    # An org may refuse the key of an External Client App: then it makes one itself.
    assert ran.json["orgs"][0]["ownKeys"] == ["Ledger"]
    token = runner("emulator", "token", "dev", "--username", "p@acme.example")
    assert "has no user" not in token.err
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("token", "*"),
        ("password", "*", "user@dev.emulated"),
        ("refresh", "uat", "--from", "*"),
        ("refresh", "*", "--from", "prod"),
    ],
)
def test_several_orgs_where_one_is_wanted(runner, words):
    ran = runner("emulator", *words)
    assert (ran.code, "one org is wanted, not dev, prod, uat" in ran.err) == (64, True)
