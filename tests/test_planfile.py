"""Saved plans: they come back as they were, hold no secret, and nothing else passes."""

from __future__ import annotations

import base64
import json

import pytest
from fake_org import ORG, app, holder
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from planning import EMPTY, actual_of, actuals, projects, wanted_of

from metadeploy import keys, planfile
from metadeploy.access import raise_access
from metadeploy.errors import ConfigError
from metadeploy.keys import KeyChoice
from metadeploy.model import Ref, Secret
from metadeploy.plan import Before, Seen, make_plan

MASTER = Secret("canary-master-" * 3)
APP = Ref("ConnectedApp", "Portal")
PORTAL = (app(), holder("Portal_API", "Portal"))


@st.composite
def plans(draw):
    recorded = raise_access(draw(projects())).components
    replaced = draw(st.sampled_from([frozenset(), frozenset({APP})]))
    actual, wanted = draw(actuals()), wanted_of(*draw(projects()))
    return make_plan(actual, wanted, recorded, replaced=replaced)


@given(st.lists(plans(), max_size=3))
def test_a_plan_comes_back_as_it_was(made):
    text = planfile.dumps(made)
    read = planfile.loads(text)
    # What the org had is read again before the plan is applied.
    assert read == tuple(replace(p, before=Before(), seen=Seen()) for p in made)
    assert [p.fingerprint for p in read] == [p.fingerprint for p in made]
    assert planfile.dumps(read) == text
    # Equal components may come from elsewhere; these come from the same places.
    sources = [[c.source for c in p.package] for p in made]
    assert [[c.source for c in p.package] for p in read] == sources


@given(actuals(), projects())
def test_a_plan_that_was_saved_is_found_fresh(actual, components):
    made = make_plan(actual, wanted_of(*components))
    (read,) = planfile.loads(planfile.dumps([made]))
    assert make_plan(actual, read.wanted).fingerprint == made.fingerprint


def texts_in(value):
    """Every text in a JSON document, and what it is as base64."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts_in(key)
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, str):
        yield value
        try:
            yield base64.b64decode(value, validate=True).decode()
        except ValueError:
            return


def test_no_secret_is_in_a_saved_plan():
    choices = {"Portal": KeyChoice(2)}
    data = planfile.dumps([make_plan(EMPTY, wanted_of(*PORTAL, choices=choices))])
    said = "\n".join(texts_in(json.loads(data)))
    made = keys.derive(MASTER, ORG, "Portal", 2)
    assert "<callbackUrl>https://a.example<" in said  # bodies are looked into
    for secret in (made.consumer_key, made.consumer_secret.reveal(), MASTER.reveal()):
        assert secret not in said
    assert "consumerSecret" not in said


def test_people_can_read_who_it_is_for():
    data = planfile.dumps([make_plan(EMPTY, wanted_of(*PORTAL))])
    said = json.loads(data)
    assert said["metadeploy_plan"] == 1
    (plan,) = said["plans"]
    assert plan["facts"] == {"org_id": ORG, "name": "Acme", "production": False}
    assert data.startswith(b'{\n  "metadeploy_plan": 1,\n')


GOOD = planfile.dumps([make_plan(actual_of(app()), wanted_of(*PORTAL))])


def changed(**top):
    return json.dumps({**json.loads(GOOD), **top}).encode()


def without(name):
    said = json.loads(GOOD)
    del said["plans"][0][name]
    return json.dumps(said).encode()


BAD = {
    "nothing": b"",
    "no JSON": b"<plan/>",
    "half a plan": GOOD[: len(GOOD) // 2],
    "another JSON": b'{"schemaVersion": 1, "command": "plan", "orgs": []}',
    "a list": b"[]",
    "an unknown key": changed(more=1),
    "no version": json.dumps({"plans": []}).encode(),
    "no fingerprint": without("fingerprint"),
    "no wanted side": without("wanted"),
    "not UTF-8": GOOD.replace(b"Acme", b"\xff\xfe"),
    "another type": GOOD.replace(b'"production": false', b'"production": "no"'),
    "no such action": GOOD.replace(b'"grant"', b'"abolish"'),
    "no base64": GOOD.replace(b'"body": "', b'"body": "!'),
    "too deep": b'{"metadeploy_plan": 1, "plans": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_plan_is_told(data):
    assert data != GOOD
    with pytest.raises(ConfigError, match="this is no plan that can be") as caught:
        planfile.loads(data)
    assert "metadeploy plan ORG --out FILE" in caught.value.hint


@pytest.mark.parametrize("plans", [[], [{"shape": "of the future"}]])
def test_a_plan_of_another_form_is_told_as_that(plans):
    with pytest.raises(ConfigError) as caught:
        planfile.loads(changed(metadeploy_plan=2, plans=plans, more=1))
    assert str(caught.value) == "the plan is of form 2, not 1"
    assert "Plan again" in caught.value.hint
