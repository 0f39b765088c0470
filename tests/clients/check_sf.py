"""Salesforce CLI against an emulated scratch org: check_sf.py BASE_URL TOKEN PACKAGE

What `client_sf.py` leaves out: logging in with a browser, tokens that end, source
tracking, permission sets, manifests, destructive changes. Prints `ok …` for each thing
that held and exits 0 only if all did. Environment: SF_BIN, NODE22, WIRE_USERNAME,
WIRE_PASSWORD, WIRE_CONSUMER_KEY, WIRE_JWT_KEY_FILE, WIRE_ORG_ID; for https
REQUESTS_CA_BUNDLE and NODE_EXTRA_CA_CERTS. BASE_URL is https: sfdx-url logins are.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

BASE, TOKEN, PACKAGE = sys.argv[1].rstrip("/"), sys.argv[2], Path(sys.argv[3])
PROJECT = Path("sfdx").resolve()
CALLBACK = "http://localhost:1717/OauthRedirect"
MANIFEST = """<?xml version="1.0" encoding="UTF-8"?>
<Package xmlns="http://soap.sforce.com/2006/04/metadata">
    <types>
        <members>{member}</members>
        <name>PermissionSet</name>
    </types>
    <version>66.0</version>
</Package>
"""


def ok(text: str) -> None:
    print("ok  ", text, flush=True)


def environment() -> dict[str, str]:
    path = [os.environ["NODE22"], str(Path(os.environ["SF_BIN"]).parent)]
    return {
        **os.environ,
        "PATH": ":".join([*path, os.environ["PATH"]]),
        "BROWSER": str(Path("browser").resolve()),
        "SF_DISABLE_TELEMETRY": "true",
        "SF_AUTOUPDATE_DISABLE": "true",
        "SF_DISABLE_AUTOUPDATE": "true",
        "SF_SKIP_NEW_VERSION_CHECK": "true",
        "SF_USE_GENERIC_UNIX_KEYCHAIN": "true",
        "SF_DISABLE_LOG_FILE": "true",
        "SF_TEMP_SHOW_SECRETS": "true",
        "SF_ACCESS_TOKEN": TOKEN,
        "NO_COLOR": "1",
    }


def sf(*arguments: str, org: str = "", code: int | None = 0) -> Any:
    """Run sf and return its JSON document; it ends with `code`."""
    command = [os.environ["SF_BIN"], *arguments, "--json"]
    if org:
        command += ["--target-org", org]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    told = (
        f"{command}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-800:]}"
    )
    assert code is None or done.returncode == code, told
    return json.loads(done.stdout)


def browse(url: str) -> None:
    """Do what a person in a browser does, until the app is called back."""
    method, form = "GET", {}
    with requests.Session() as session:
        # sf starts its browser before it listens for being called back.
        patient = HTTPAdapter(max_retries=Retry(connect=8, backoff_factor=0.1))
        session.mount("http://localhost:", patient)
        for _ in range(8):
            page = session.request(
                method, url, data=form, allow_redirects=False, timeout=20
            )
            method, form = "GET", {}
            where = page.headers.get("location")
            if where is not None:
                url = urljoin(url, where)
                continue
            action = re.search(r'<form[^>]* action="([^"]*)"', page.text)
            if action is None:
                return
            hidden = re.findall(
                r'type="hidden" name="([^"]*)" value="([^"]*)"', page.text
            )
            method, url = "POST", urljoin(url, html.unescape(action[1]))
            form = {name: html.unescape(value) for name, value in hidden}
            if 'type="password"' in page.text:
                form["username"] = os.environ["WIRE_USERNAME"]
                form["password"] = os.environ["WIRE_PASSWORD"]
            else:
                form["choice"] = "allow"


def make_project() -> None:
    shutil.copytree(PACKAGE / "source", PROJECT)
    browser = Path("browser")
    command = f'"{sys.executable}" "{Path(__file__).resolve()}" "{BASE}" x x "$1"'
    browser.write_text(f"#!/bin/sh\n{command} >browser.log 2>&1 &\n", "utf-8")
    browser.chmod(0o700)


def check_logins() -> None:
    login = ("org", "login")
    me = sf(*login, "web", "--instance-url", BASE, "--alias", "web")["result"]
    assert me["username"] == os.environ["WIRE_USERNAME"], me
    assert me["orgId"] == os.environ["WIRE_ORG_ID"], me
    assert me["isScratch"] is True, me
    ok("org login web: a browser, a login page, an approval page")
    url = sf("org", "display", "--verbose", org="web")["result"]["sfdxAuthUrl"]
    sf("org", "logout", "--no-prompt", org="web")
    Path("auth-url").write_text(url, "utf-8")
    kept = str(Path("auth-url").resolve())
    sf(*login, "sfdx-url", "--sfdx-url-file", kept, "--alias", "url")
    end_session("url")
    assert sf("data", "query", "-q", "SELECT Id FROM User", org="url")["status"] == 0
    ok("org login sfdx-url; an expired session is refreshed")
    sf(
        *(*login, "jwt", "--instance-url", BASE, "--alias", "jwt"),
        *("--client-id", os.environ["WIRE_CONSUMER_KEY"]),
        *("--jwt-key-file", os.environ["WIRE_JWT_KEY_FILE"]),
        *("--username", os.environ["WIRE_USERNAME"]),
    )
    end_session("jwt")
    assert sf("data", "query", "-q", "SELECT Id FROM User", org="jwt")["status"] == 0
    end_session("jwt")
    assert sf("org", "list", "metadata", "-m", "ConnectedApp", org="jwt")["result"]
    ok("org login jwt; an expired session is renewed, over REST and over SOAP")
    sf(*login, "access-token", "--instance-url", BASE, "--no-prompt", "--alias", "org")


def end_session(org: str) -> None:
    """Revoke an org's access token behind the back of sf."""
    shown = sf("org", "auth", "show-access-token", "--no-prompt", org=org)
    form = {"token": shown["result"]["accessToken"]}
    answer = requests.post(f"{BASE}/services/oauth2/revoke", data=form, timeout=20)
    assert answer.status_code == 200, answer.text


def names(found: list[dict[str, str]]) -> set[str]:
    return {one["fullName"] for one in found}


def check_tracking() -> None:
    deployed = sf("project", "deploy", "start", org="org")
    assert deployed["result"]["status"] == "Succeeded" and not deployed["warnings"]
    preview = sf("project", "deploy", "preview", org="org")["result"]
    assert preview["toDeploy"] == [] and preview["conflicts"] == [], preview
    assert sf("project", "deploy", "start", org="org")["result"]["files"] == []
    ok("project deploy start of what changed; nothing is left to deploy")
    made = "Name=Made_There Label=There"
    sf("data", "create", "record", "-s", "PermissionSet", "-v", made, org="org")
    preview = sf("project", "retrieve", "preview", org="org")["result"]
    assert "Made_There" in names(preview["toRetrieve"]), preview
    sf("project", "retrieve", "start", org="org")
    there = list(PROJECT.rglob("Made_There.permissionset-meta.xml"))
    assert len(there) == 1
    preview = sf("project", "retrieve", "preview", org="org")["result"]
    assert preview["toRetrieve"] == [], preview
    ok("project retrieve preview and start: what was made in the org")
    member = "PermissionSet:Made_There"
    gone = sf("project", "delete", "source", "-m", member, "--no-prompt", org="org")
    assert gone["result"]["status"] == "Succeeded" and not gone["warnings"], gone
    assert not there[0].exists()
    sf("project", "reset", "tracking", "--no-prompt", org="org")
    ok("project delete source, reset tracking")


def check_manifests() -> None:
    sf("project", "generate", "manifest", "--from-org", "org", "-d", "all", code=0)
    text = (PROJECT / "all" / "package.xml").read_text("utf-8")
    for member in ("Wire_App", "Client_Login", "Wire_Perm_0001", "Wire Profile"):
        assert f"<members>{member}</members>" in text, text
    start = ("project", "retrieve", "start", "--manifest", "all/package.xml")
    found = sf(*start, org="org")["result"]
    assert found["success"] is True and {"Admin", "Wire_App"} <= names(found["files"])
    ok("project generate manifest --from-org; all of it is retrieved")
    none, gone = PROJECT / "none.xml", PROJECT / "gone.xml"
    none.write_text(re.sub("(?s)    <types>.*</types>\n", "", MANIFEST), "utf-8")
    for when in ("pre", "post"):
        made = f"Name=Gone_{when} Label=Gone"
        sf("data", "create", "record", "-s", "PermissionSet", "-v", made, org="org")
        gone.write_text(MANIFEST.format(member=f"Gone_{when}"), "utf-8")
        start = ("project", "deploy", "start", "--manifest", "none.xml")
        done = sf(*start, f"--{when}-destructive-changes", "gone.xml", org="org")
        rows = done["result"]["details"]["componentSuccesses"]
        assert [r["fullName"] for r in rows if r["deleted"]] == [f"Gone_{when}"], rows
    ok("destructive changes before and after")


def check_people() -> None:
    assign = ("org", "assign", "permset", "-n")
    given = sf(*assign, "Wire_Perm_0001", org="org")["result"]
    assert [g["value"] for g in given["successes"]] == ["Wire_Perm_0001"], given
    twice = sf(*assign, "Wire_Perm_0001", org="org", code=1)["result"]
    assert "Duplicate PermissionSetAssignment" in twice["failures"][0]["message"]
    none = sf(*assign, "No_Such_Set", org="org", code=1)["result"]
    assert "not found in target org" in none["failures"][0]["message"]
    ok("org assign permset: new, there already, unknown")
    shown = sf("org", "display", "user", org="org")["result"]
    assert shown["profileName"] == "System Administrator", shown
    where = f"Username='{os.environ['WIRE_USERNAME']}'"
    user = sf("data", "get", "record", "-s", "User", "-w", where, org="org")["result"]
    assert user["Username"] == os.environ["WIRE_USERNAME"]
    soql = "SELECT Profile.Name, COUNT(Id) n FROM User GROUP BY Profile.Name"
    rows = sf("data", "query", "-q", soql, org="org")["result"]["records"]
    assert sum(row["n"] for row in rows) == 4, rows
    jobs = ("data", "query", "--use-tooling-api", "-q")
    rows = sf(*jobs, "SELECT Id, Status FROM DeployRequest", org="org")["result"]
    assert rows["totalSize"] > 0
    assert sf("org", "list", "limits", org="org")["result"]
    fields = sf("sobject", "describe", "-s", "SetupEntityAccess", org="org")["result"]
    assert "SetupEntityType" in {field["name"] for field in fields["fields"]}
    ok("org display user, get record, aggregates, tooling query, limits, describe")


def main() -> None:
    make_project()
    check_logins()
    check_tracking()
    check_manifests()
    check_people()
    print("PASS sf")


if __name__ == "__main__":
    if len(sys.argv) > 4:
        browse(sys.argv[4])
    else:
        main()
