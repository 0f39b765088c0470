"""Projects and orgs to plan for: by hand, and any by hypothesis."""

from __future__ import annotations

from fake_org import ORG, app, component
from hypothesis import strategies as st

from metadeploy.access import raise_access
from metadeploy.model import Ref
from metadeploy.plan import Actual, OrgFacts
from metadeploy.wanted import Wanted

FACTS = OrgFacts(ORG, "Acme", False)
EMPTY = Actual(FACTS, (), {}, {})


def wanted_of(*components, choices=None, version="66.0"):
    return Wanted.of("dev", version, raise_access(components), choices or {})


def actual_of(*components, access=None, facts=FACTS):
    holders = {a: frozenset(h) for a, h in (access or {}).items()}
    return Actual(facts, raise_access(components).components, holders, {})


def permission_set(name, label="P", permissions=(), accesses=()):
    """accesses: pairs of app and whether it is given."""
    declared = "".join(
        f"<connectedAppAccesses><connectedApp>{a}</connectedApp><enabled>"
        f"{str(given).lower()}</enabled></connectedAppAccesses>"
        for a, given in accesses
    )
    rows = "".join(
        f"<userPermissions><enabled>true</enabled><name>{p}</name></userPermissions>"
        for p in permissions
    )
    ref = Ref("PermissionSet", name)
    return component(ref, f"{declared}<label>{label}</label>{rows}")


names = st.sampled_from(["A", "B", "C"])
labels = st.sampled_from(["one", "two"])
permissions = st.frozensets(st.sampled_from(["ApiEnabled", "RunReports"]))
accesses = st.dictionaries(names, st.booleans(), max_size=3)
apps = st.dictionaries(names, labels, max_size=3)
sets = st.dictionaries(names, st.tuples(labels, permissions, accesses), max_size=2)


@st.composite
def projects(draw):
    found = [app(name, label=label) for name, label in draw(apps).items()]
    for name, (label, rights, declared) in draw(sets).items():
        rows = sorted(declared.items())
        found.append(permission_set(name, label, sorted(rights), rows))
    return tuple(found)


holders = st.frozensets(
    st.builds(Ref, st.sampled_from(["Profile", "PermissionSet"]), names)
)
access_maps = st.dictionaries(names, holders, max_size=3)


@st.composite
def actuals(draw):
    return actual_of(*draw(projects()), access=draw(access_maps))
