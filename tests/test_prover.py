"""Proofs whose trouble is of this side, or of the way there: no other app suffers."""

from __future__ import annotations

from fake_org import FakeOrg
from raw_server import http

from metadeploy import orgfile, yamlfile
from metadeploy.connection import Connection
from metadeploy.errors import ConfigError
from metadeploy.keys import Masters, derive
from metadeploy.model import Secret
from metadeploy.proof import Subject
from metadeploy.prover import AppProver
from metadeploy.reach import LOOPBACK

ORG_ID = "00DWs000003xYZ1MAM"
MASTERS = Masters(Secret("m" * 32))
KEY = derive(MASTERS.current, ORG_ID, "Portal", 1).consumer_key
SUBJECT = Subject("Portal", ORG_ID, KEY, client_credentials=True)


def prover(url, *, masters=lambda: MASTERS):
    document = yamlfile.read("kind: emulated\n", "orgs/dev.yaml")
    org, _ = orgfile.read("dev", "orgs/dev.yaml", document, None)
    stand_in = FakeOrg()
    return AppProver(
        org=org,
        connection=Connection(url, Secret(""), reach=LOOPBACK),
        masters=masters,
        secret=lambda source: Secret("s"),
        clock=stand_in,
        progress=stand_in,
    )


def test_nobody_answers():
    (proof,) = prover("http://127.0.0.1:1").prove(SUBJECT, until=0)
    assert (proof.ok, proof.flow) == (False, "client_credentials")
    assert proof.detail == (
        "cannot reach http://127.0.0.1:1: connection refused or host unknown"
    )


def test_a_page_instead_of_an_answer(raw_server):
    server = raw_server(http("<html>", 503, Content_Type="text/html"))
    (proof,) = prover(server.url).prove(SUBJECT, until=0)
    assert proof.ok is False
    assert "HTTP 503 with text/html" in proof.detail


def test_no_master():
    def no_master():
        raise ConfigError("there is no master", hint="Make one.")

    found = prover("http://127.0.0.1:1", masters=no_master).prove(SUBJECT, until=0)
    assert [(p.ok, p.detail, p.hint) for p in found] == [
        (False, "there is no master", "Make one.")
    ]


def test_a_key_whose_secret_nobody_knows():
    subject = Subject("Portal", ORG_ID, "OrgsOwnKey0001", client_credentials=True)
    (proof,) = prover("http://127.0.0.1:1").prove(subject, until=0)
    assert proof.ok is None
    assert "the org's own" in proof.detail
