"""Credentials as texts, for whoever uses an app."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from metadeploy import handover
from metadeploy.errors import ApiFault, ConfigError
from metadeploy.keys import Credentials
from metadeploy.model import Secret

FOUND = handover.pair("Portal-API 1", Credentials("Key_1.x", Secret("S1"), "org", 1))


def test_env():
    assert handover.env_text(FOUND) == (
        "PORTAL_API_1_CONSUMER_KEY=Key_1.x\nPORTAL_API_1_CONSUMER_SECRET=S1\n"
    )
    odd = handover.Pair("1é", "k", Secret("s"))
    assert handover.env_text(odd).startswith("_1__CONSUMER_KEY=k\n")


def test_json():
    found = json.loads(handover.json_text(FOUND))
    assert found == {"consumerKey": "Key_1.x", "consumerSecret": "S1"}


def test_a_kubernetes_secret():
    assert handover.kubernetes_text(FOUND) == (
        "apiVersion: v1\n"
        "kind: Secret\n"
        "metadata:\n"
        "  name: portal-api-1\n"
        "  labels:\n"
        "    app.kubernetes.io/managed-by: metadeploy\n"
        "type: Opaque\n"
        "data:\n"
        "  consumerKey: S2V5XzEueA==\n"
        "  consumerSecret: UzE=\n"
    )


@given(st.text("AZaz09_.", min_size=1, max_size=256), st.text("AZaz09", min_size=1))
def test_a_kubernetes_secret_gives_back_what_went_in(key, secret):
    found = handover.pair("Portal", Credentials(key, Secret(secret), "derived", 1))
    text = handover.kubernetes_text(found, "other")
    manifest = YAML(typ="safe", pure=True).load(text)
    data = {k: base64.b64decode(v).decode() for k, v in manifest["data"].items()}
    assert data == {"consumerKey": key, "consumerSecret": secret}
    assert manifest["metadata"]["name"] == "other"


@pytest.mark.parametrize("name", ["Portal", "-a", "a_b", "a\nb", "x" * 64])
def test_what_kubernetes_would_refuse(name):
    with pytest.raises(ConfigError, match="takes no Secret called"):
        handover.kubernetes_text(FOUND, name)


@pytest.mark.parametrize("text", ["", "a\nB=c", "$(x)", "a b", "é", "x" * 257])
def test_what_an_org_gives_is_not_believed(text):
    with pytest.raises(ApiFault, match="odd characters"):
        handover.pair("Portal", Credentials(text, Secret("s"), "org", 1))
    with pytest.raises(ApiFault, match="odd characters"):
        handover.pair("Portal", Credentials("k", Secret(text), "org", 1))


def test_a_secret_that_nobody_knows():
    with pytest.raises(ConfigError, match="known to the org only"):
        handover.pair("Portal", Credentials("k", None, "org", 1))
