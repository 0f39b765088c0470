"""Reports whose page is looked at: of plans, of a fleet, and of hostile texts."""

from __future__ import annotations

from datetime import UTC, datetime

from fake_org import app, component, holder
from msgspec.structs import replace
from planning import actual_of, wanted_of

from metadeploy.diff import AccessChange, Action, Change, FieldChange
from metadeploy.errors import ApiFault, DeployFailed, PlanRefused
from metadeploy.model import DeployMessage, DeployResult, Ref
from metadeploy.plan import Risk, make_plan
from metadeploy.proof import Proof
from metadeploy.reports.account import Account, Known, KnownKey, Report, State

AT = datetime(2026, 11, 28, 4, 5, tzinfo=UTC)
PORTAL = Ref("ConnectedApp", "Portal")


def portal(ip="ENFORCE", scopes=("Api",), description="", name="Portal"):
    found = "".join(f"<scopes>{s}</scopes>" for s in scopes)
    return component(
        Ref("ConnectedApp", name),
        f"<contactEmail>a@b.example</contactEmail><description>{description}"
        "</description><label>Portal</label><oauthConfig><callbackUrl>https://a.example"
        f"</callbackUrl><isAdminApproved>true</isAdminApproved>{found}</oauthConfig>"
        f"<oauthPolicy><ipRelaxation>{ip}</ipRelaxation><refreshTokenPolicy>infinite"
        "</refreshTokenPolicy></oauthPolicy>",
    )


def planned(org, wanted, actual, recorded=(), **more):
    """The account of a plan, as the command line makes it."""
    plan = make_plan(actual, wanted, recorded)
    live = {"Portal": KnownKey("3MVG9" + "x" * 80, "derived", 1)}
    account = Account(
        org,
        State.DONE,
        "What is to be done.",
        plan.facts.org_id,
        changes=plan.changes,
        access=plan.access_changes,
        new_keys=plan.new_keys,
        drift=plan.drift,
        known=Known(plan.wanted, live, frozenset(plan.seen.recorded)),
    )
    return replace(account, **more)


def three_orgs():
    """One that is as wanted, one to be changed that drifted, one that is refused."""
    wanted = wanted_of(portal(), holder("P", "Portal"), app("Ledger"))
    have = {"Portal": [Ref("PermissionSet", "P")]}
    same = actual_of(portal(), holder("P"), app("Ledger"), access=have)
    lines = "\n".join(f"line {n}" for n in range(20))
    was = portal("BYPASS", ("Api", "Web"), f"one &amp; two\n{lines}")
    other = actual_of(was, holder("P"), access={"Portal": [Ref("Profile", "Admin")]})
    dev = planned("dev", wanted, same, wanted.components)
    sit = planned("sit", wanted_of(portal(description=f"one and two\n{lines}!")), other)
    uat = planned("uat", wanted, other, (portal(), holder("P")))
    prod = planned(
        "prod",
        wanted,
        actual_of(),
        state=State.REFUSED,
        refusals=("prod is a production org. Allow it with --production.",),
        risks=(Risk("x", "Somebody may be locked out."),),
    )
    return Report("plan", (dev, sit, uat, prod), at=AT)


def many_orgs(count, same=True):
    """A fleet: one in ten is to be changed, each alike or each its own way."""
    accounts = []
    for number in range(count):
        want = "Same" if same else f"Company portal of customer {number}"
        was = want if number % 10 else "Else"
        wanted = wanted_of(portal(description=want), app("Ledger"))
        actual = actual_of(portal(description=was), app("Ledger"))
        org = f"customer-{number:04}"
        accounts.append(planned(org, wanted, actual, wanted.components))
    return Report("plan", tuple(accounts), at=AT)


def deployed():
    """One that went well, one that failed, one of which nobody knows."""
    wanted, nothing = wanted_of(portal(), holder("P", "Portal")), actual_of()
    proofs = (
        Proof("Portal", "jwt", True, "token", user="a@b.example", got_token=True),
        Proof("Portal", "jwt", False, "user hasn't approved", hint="Give it to them."),
        Proof("Portal", "web", None, "no login"),
    )
    left = Change(Action.UPDATE, PORTAL, (FieldChange("label", "Portal", "P"),))
    lost = AccessChange("Portal", Ref("Profile", "Admin"), Action.REVOKE)
    dev = planned("dev", wanted, nothing, state=State.DIFFERS, proofs=proofs)
    dev = replace(dev, left=(left,), left_access=(lost,), notes=("deploy 0Af1",))
    rows = (
        DeployMessage("ConnectedApp", "Portal", "p.app", False, "taken", "Error", 3, 4),
        DeployMessage("PermissionSet", "P", "p.set", True, "odd"),
        DeployMessage("Profile", "Admin", "", True),
    )
    result = DeployResult("0Af", "Failed", True, False, messages=rows)
    error = DeployFailed(result, "deploy 0Af ended Failed")
    uat = planned("uat", wanted, nothing, state=State.FAILED, error=error)
    uat = replace(uat, messages=rows)
    sit = Account("sit", State.UNKNOWN, "Nobody knows.", error=ApiFault("X", "lost"))
    refused = PlanRefused(["no"])
    prod = Account("prod", State.REFUSED, "No.", refusals=("no",), error=refused)
    return Report("deploy", (dev, uat, sit, prod), ApiFault("Y", "all"), "salesforce")


def drifted():
    """One that somebody changed."""
    wanted = wanted_of(portal(), holder("P", "Portal"))
    fields = (
        FieldChange("oauthPolicy.ipRelaxation", "BYPASS", "ENFORCE"),
        FieldChange("startUrl", "https://evil.example", None),
        FieldChange("infoUrl", None, "https://a.example"),
        FieldChange("oauthConfig.scopes", (), ("Api",)),
    )
    change = Change(Action.UPDATE, PORTAL, fields)
    access = AccessChange("Portal", Ref("Profile", "Admin"), Action.GRANT)
    known = Known(wanted, {}, frozenset({PORTAL}))
    account = Account(
        "dev",
        State.DIFFERS,
        "Not as it was deployed.",
        drift=(change, Change(Action.DELETE, Ref("Profile", "X"), ())),
        drift_access=(access,),
        known=known,
    )
    return Report("drift", (account,), at=AT)


EVIL = (
    "</script></style></title><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\"' onmouseover=alert(1) x='<!--]]>javascript:alert(1)&lt;&#60;"
    "\u202e\u2066\x00\x1b[31m\ud800" + "W" * 3_000
)


def hostile(text=EVIL):
    """A report with that text wherever one from elsewhere can be."""
    fields = (
        FieldChange(f"a{text}", text, f"x{text}"),
        FieldChange("b", None, text),
        FieldChange("c", (text,), (f"{text}y", text)),
    )
    ref, holder_ = Ref("ConnectedApp", text), Ref("PermissionSet", text)
    change = Change(Action.UPDATE, ref, fields)
    created = Change(Action.CREATE, ref, fields[1:2])
    access = AccessChange(text, holder_, Action.GRANT)
    rows = (DeployMessage(text, text, text, False, text, text, 1, 1),)
    wanted = replace(wanted_of(), access={text: wanted_of().access.get("", _ALL)})
    account = Account(
        text,
        State.DIFFERS,
        "Said by us.",
        text,
        changes=(change, created),
        access=(access,),
        replaced=(ref,),
        left=(change,),
        left_access=(access,),
        drift=(change,),
        drift_access=(access,),
        refusals=(text,),
        risks=(Risk("x", text),),
        proofs=(Proof(text, text, False, text, user=text, hint=text),),
        messages=rows,
        notes=(text,),
        known=Known(wanted, {text: KnownKey(text, "org", 1)}, frozenset({ref})),
    )
    failed = Account(text, State.FAILED, "It went wrong.", error=ApiFault(text, text))
    return Report("deploy", (account, failed), ApiFault("X", text), text, AT)


_ALL = wanted_of(holder("A", "X")).access["X"]
REPORTS = {
    "plan": three_orgs,
    "deploy": deployed,
    "drift": drifted,
    "nothing": lambda: Report("plan", ()),
}
