"""External Client Apps from the templates of connected apps, on emulated orgs."""

from __future__ import annotations

import re

import pytest
from apps import edit

APP = "templates/connectedApps/Portal.connectedApp.j2"
ALL_ECA = "apps:\n" + "".join(
    f"  {app}: {{kind: external_client_app}}\n"
    for app in ("Portal", "Billing", "Ledger")
)


@pytest.fixture
def eca(project):
    """The example project, whose apps are External Client Apps in dev."""
    edit(project / "orgs/dev.yaml", "values:", ALL_ECA + "values:")
    return project


def changes(ran):
    return [
        (c["action"], c["type"], c.get("fullName") or c["holder"])
        for c in ran.json["orgs"][0]["changes"]
    ]


def test_the_same_template_makes_an_external_client_app(runner, eca):
    assert runner("validate", "--org", "dev").code == 0
    planned = runner("plan", "dev", "--json")
    kinds = {kind for _, kind, _ in changes(planned)}
    assert "ConnectedApp" not in kinds
    assert {
        "ExternalClientApplication",
        "ExtlClntAppGlobalOauthSettings",
        "ExtlClntAppOauthSettings",
        "ExtlClntAppOauthConfigurablePolicies",
        "ExtlClntAppConfigurablePolicies",
        "ConnectedAppAccess",
    } <= kinds
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.err
    (row,) = ran.json["orgs"]
    assert row["verified"] is True and row["ownKeys"] == []
    assert [p["ok"] for p in row["proofs"]] == [True, True, True]
    again = runner("plan", "dev", "--json", "--detailed-exitcode")
    assert (again.code, changes(again)) == (0, [])
    keys = runner("keys", "list", "dev", "--json").json["orgs"][0]["apps"]
    assert {k["origin"] for k in keys} == {"derived"}


def test_an_app_without_a_policy_has_the_orgs(runner, eca):
    """A template that says nothing of it is no difference from what orgs start with."""
    template = eca / APP
    text = template.read_text("utf-8")
    said = re.sub(r"(?s) *<oauthPolicy>.*</oauthPolicy>\n", "", text)
    assert said != text
    template.write_text(said, "utf-8")
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.out
    again = runner("plan", "dev", "--json", "--detailed-exitcode")
    assert (again.code, changes(again)) == (0, [])


def test_one_change_is_one_change(runner, eca):
    runner("deploy", "dev", "--auto-approve")
    edit(eca / "orgs/dev.yaml", "ip_relaxation: BYPASS", "ip_relaxation: ENFORCE")
    ran = runner("plan", "dev", "--json")
    (change,) = ran.json["orgs"][0]["changes"]
    assert change["type"] == "ExtlClntAppOauthConfigurablePolicies"
    assert change["fields"] == [
        {"path": "ipRelaxationPolicyType", "actual": "Bypass", "wanted": "Enforce"}
    ]
    assert runner("deploy", "dev", "--auto-approve").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_access_of_an_external_client_app(runner, eca):
    runner("deploy", "dev", "--auto-approve")
    edit(eca / "orgs/dev.yaml", "open_to_admins: true", "open_to_admins: false")
    assert changes(runner("plan", "dev", "--json")) == [
        ("revoke", "ConnectedAppAccess", "Admin")
    ]
    assert runner("deploy", "dev", "--auto-approve", "--allow-revoke").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_policies_under_the_orgs_own_names_are_updated_there(runner, eca):
    """An org that has the app already has its policies, named as it likes."""
    runner("deploy", "dev", "--auto-approve")
    ran = runner("plan", "dev", "--json")
    assert changes(ran) == []
    names = policy_names(eca)
    assert all(name.startswith(("Portal", "Billing", "Ledger")) for name in names)


def policy_names(project):
    from metadeploy.emulator.state import open_world

    world = open_world(project / ".metadeploy/emulator/world.sqlite3")
    found = world.org("dev").components("ExtlClntAppOauthConfigurablePolicies")
    world.close()
    return [c.ref.full_name for c in found]


def test_a_certificate_is_not_lost_and_its_change_is_seen(runner, eca, certificates):
    old, new = certificates
    edit(
        eca / APP,
        "<isAdminApproved>",
        "<certificate>{{ certificate }}</certificate>\n        <isAdminApproved>",
    )
    path = eca / "orgs/dev.yaml"
    text = path.read_text()

    def use(certificate):
        indented = certificate.replace("\n", "\n    ").rstrip()
        path.write_text(
            text.replace("values:", f"values:\n  certificate: |\n    {indented}")
        )

    use(old)
    assert runner("deploy", "dev", "--auto-approve").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 0
    # No org gives an app's certificate back: our record tells that it is another one.
    use(new)
    (change,) = runner("plan", "dev", "--json").json["orgs"][0]["changes"]
    assert [f["path"] for f in change["fields"]] == ["certificate"]
    assert runner("deploy", "dev", "--auto-approve").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


@pytest.fixture(scope="module")
def certificates():
    """Two certificates, PEM."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    found = []
    for serial in (1, 2):
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "portal")])
        now = datetime.datetime.now(datetime.UTC)
        built = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        built = built.public_key(key.public_key()).serial_number(serial)
        built = built.not_valid_before(now - datetime.timedelta(days=1))
        built = built.not_valid_after(now + datetime.timedelta(days=90))
        signed = built.sign(key, hashes.SHA256())
        found.append(signed.public_bytes(serialization.Encoding.PEM).decode())
    return found


def test_what_has_no_place_is_told(runner, eca):
    edit(
        eca / APP,
        "    <startUrl>",
        "    <mobileStartUrl>https://m.acme.example</mobileStartUrl>\n    <startUrl>",
    )
    ran = runner("validate", "--org", "dev")
    assert ran.code == 0
    line = (eca / APP).read_text().split("<mobileStartUrl>")[0].count("\n") + 1
    assert (
        f"{APP}:{line}: warning: an External Client App has no place for"
        " mobileStartUrl of Portal [MD011]"
    ) in ran.out


def test_an_org_that_blocks_creation_is_told_before_anything_is_sent(runner, project):
    edit(
        project / "orgs/dev.yaml",
        "values:",
        "emulator: {connected_app_creation: blocked}\nvalues:",
    )
    ran = runner("plan", "dev", "--json")
    (refusal,) = ran.json["orgs"][0]["refusals"]
    assert refusal["code"] == "creation-blocked"
    assert "lets nobody create connected apps (Billing, Portal)" in (refusal["message"])
    refused = runner("deploy", "dev", "--auto-approve")
    assert refused.code == 1
    assert "say `kind: external_client_app` of it" in refused.err
    edit(project / "orgs/dev.yaml", "values:", ALL_ECA + "values:")
    assert runner("deploy", "dev", "--auto-approve").code == 0


def test_a_pem_in_two_lines_is_the_same_one(runner, eca):
    ran = runner("render", "dev", "--json")
    names = ran.json["files"]
    assert "extlClntAppGlobalOauthSets/Portal_glblOauth.ecaGlblOauth" in names
    assert not any(re.search("connectedApp$", name) for name in names)
