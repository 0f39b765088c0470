"""Deploys to a stand-in for an org: how tests of the flow begin."""

from __future__ import annotations

from fake_org import FakeJournal, app, component, holder

from metadeploy import deploy as flow
from metadeploy import reading
from metadeploy.access import raise_access
from metadeploy.diff import AccessChange, Action
from metadeploy.errors import ConfigError, LostAnswer
from metadeploy.model import Ref, Secret
from metadeploy.plan import make_plan
from metadeploy.wanted import Wanted

MASTER = Secret("m" * 32)
APP = Ref("ConnectedApp", "Portal")
SET = Ref("PermissionSet", "Portal_API")
GRANT = AccessChange("Portal", SET, Action.GRANT)
PORTAL = (app(), holder("Portal_API", "Portal"))
LOST = LostAnswer("reset")


def wanted_of(*components, choices=None):
    return Wanted.of("dev", "66.0", raise_access(components), choices or {})


def master():
    return MASTER


def no_master():
    raise ConfigError("no master")


def planned(org, *components, **how):
    """The plan of these components, without the flow's own questions to the org."""
    actual = reading.read_actual(org.target(), wanted_of(*components))
    made = make_plan(actual, wanted_of(*components), **how)
    org.log.clear()
    org.slept.clear()
    org.steps.clear()
    return made


def deployed(org, *components):
    """Have the org match these components, without a word in the log."""
    plan = planned(org, *components)
    flow.deploy(org.target(), plan, FakeJournal([]), master)
    for seen in (org.log, org.sent, org.slept, org.steps):
        seen.clear()
    return plan


def run(org, journal, plan, *, key=master, **how):
    return flow.deploy(org.target(), plan, journal, key, **how)


def client_app(name, label="Portal"):
    parent = f"<externalClientApplication>{name}</externalClientApplication>"
    return (
        component(
            Ref("ExternalClientApplication", name),
            "<contactEmail>a@example.com</contactEmail><distributionState>Local"
            f"</distributionState><label>{label}</label>",
        ),
        component(
            Ref("ExtlClntAppOauthConfigurablePolicies", f"{name}_oauthPlcy"),
            f"{parent}<label>{label}</label>"
            "<permittedUsersPolicyType>AllSelfAuthorized</permittedUsersPolicyType>",
        ),
    )
