"""metadeploy doctor: what is shown, and what it exits with."""

from __future__ import annotations


def test_an_emulated_org(runner):
    done = runner("doctor", "dev")
    assert done.code == 0
    assert "  ok        login           by emulated\n" in done.out
    assert "failed" not in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_it_is_one_document(runner):
    done = runner("doctor", "dev", "uat", "--check-creation", "--json")
    assert done.code == 0
    found = done.json
    assert (found["command"], found["ok"]) == ("doctor", True)
    assert [org["org"] for org in found["orgs"]] == ["dev", "uat"]
    for org in found["orgs"]:
        assert org["checks"][-1] == {
            "name": "app-creation",
            "status": "ok",
            "found": "connected apps may be created",
            "advice": "",
        }


def test_an_org_that_blocks_new_apps(runner, project):
    path = project / "orgs" / "dev.yaml"
    text = path.read_text() + "\nemulator: {connected_app_creation: blocked}\n"
    path.write_text(text)
    done = runner("doctor", "dev", "--check-creation")
    assert done.code == 0
    assert "the org lets nobody create connected apps" in done.out


def test_a_login_that_fails(runner, project, monkeypatch):
    monkeypatch.setenv("TOKEN", "canary-token")
    config = project / "config.yaml"
    config.write_text("allowed_hosts: ['127.0.0.1:1']")
    config.chmod(0o600)
    monkeypatch.setenv("METADEPLOY_CONFIG", str(config))
    (project / "orgs" / "far.yaml").write_text(
        "kind: sandbox\norg_id: 00DWs000003xYZ1MAM\n"
        "login: {flow: client_credentials, url: 'https://127.0.0.1:1',\n"
        "  client_id: 3MVG9x, client_secret: {env: TOKEN}}\n"
        "values: {integration_user: a@b.c, portal: {url: 'https://a.example'}}\n"
    )
    done = runner("doctor", "far", "dev")
    assert done.code == 1
    assert "  failed    login           cannot reach https://127.0.0.1:1" in done.out
    assert "Check the URL and the network" in done.out
    assert "canary" not in done.out + done.err
    assert "dev\n  ok        server" in done.out


def test_an_org_file_that_is_no_good(runner, project):
    (project / "orgs" / "bad.yaml").write_text("kind: sandbox\n")
    (project / "orgs" / "worse.yaml").write_text("kind: castle\n")
    done = runner("doctor", "bad", "worse", "dev", "--json")
    assert done.code == 1
    bad, worse, dev = done.json["orgs"]
    assert [(c["name"], c["found"]) for c in bad["checks"]] == [
        ("server", "org bad has no login"),
        ("login", "org bad has no login"),
    ]
    assert "`metadeploy validate`" in bad["checks"][0]["advice"]
    assert [c["name"] for c in worse["checks"]] == ["org-file"]
    assert "kind cannot be 'castle'" in worse["checks"][0]["found"]
    assert len(dev["checks"]) > 5
