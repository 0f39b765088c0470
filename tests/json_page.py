"""docs/reference/json.md, written from documents that commands print.

`python tests/json_page.py` has each command of DRIVES print its document, on emulated
orgs, and writes down which fields it has. What a field means stands in MEANS.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pages import Terminal

REPOSITORY = Path(__file__).parent.parent
PAGE = "docs/reference/json.md"
COMMAND = "python tests/json_page.py"

# What is typed, in this order. One that begins with # is only done, not looked at.
DRIVES = """\
# git init -qb main
init .
# git add . && git commit -qm First
orgs
validate
# sed -i.bak 's/{{ contact }}/{{ contat }}/' templates/connectedApps/Portal.*
validate
# git checkout -q . && git clean -qfd
validate --explain orgs/dev.yaml
hooks install
# sed -i.bak 's/Chatter/Chater/' orgs/defaults.yaml && rm orgs/*.bak && git add .
validate --staged --explain
hooks run pre-commit
# git reset -q --hard
hooks uninstall
render dev
doctor dev
plan dev prod
deploy dev --auto-approve
deploy prod --auto-approve
plan nobody
# sed -i.bak 's/Reads orders/Reads all orders/' orgs/defaults.yaml && rm orgs/*.bak
# git commit -qam Second
drift dev
plan dev
deploy dev --auto-approve --dry-run
deploy dev --auto-approve
diff dev..uat
promote uat --auto-approve
log uat
verify dev
keys list dev
keys export dev --app Portal
keys rotate dev --app Ledger
keys init
certs create portal
certs list
# rm -r templates && mkdir templates
adopt dev --app Portal
# git checkout -q . && git clean -qfd
# sed -i.bak 's/Reads all/Reads no/' orgs/defaults.yaml && rm orgs/*.bak
deploy dev --auto-approve
drift dev
# git checkout -q .
migrate dev --app Billing --dry-run
trust
rollback dev --auto-approve
# sed -i.bak 's/Reads all/Writes/' orgs/defaults.yaml && rm orgs/*.bak
# printf 'emulator: {deploy_polls: 9}\\n' >> orgs/dev.yaml
deploy dev --auto-approve --wait 0
runs list
runs show {run}
runs cancel dev
runs resume dev
runs list nobody
emulator reset prod
completion bash
"""

# By a field's name, or by that of what it is in and its own where one name means two.
MEANS = {
    "orgs": "one for each org, in the order asked for",
    "orgs.orgs": "one for each org",
    "validate.orgs": "the orgs that were checked",
    "org": "the org file's name",
    "shell": "which one",
    "script": "what the shell is to run",
    "orgId": "18 characters; null where not known",
    "error": "why the command failed; nothing else beside it",
    "orgs.error": "why this org failed; not there if it did not",
    "name": "the error's class; see [Errors](errors.md)",
    "checks.name": "which check",
    "message": "what happened",
    "hint": "what to do",
    "exitCode": "as the process ends",
    # changes
    "changes": "components first, then access",
    "action": "create, update or delete; grant or revoke",
    "trail.action": "the action's name in SetupAuditTrail",
    "type": "the metadata type; ConnectedAppAccess for access",
    "apps.type": "ConnectedApp or ExternalClientApplication",
    "fullName": "the component's name",
    "fields": "what differs within it",
    "path": "which element, such as oauthConfig.scopes",
    "problems.path": "the file",
    "explained.path": "the file asked about",
    "certificates.path": "the file",
    "actual": "in the org; null for nothing",
    "wanted": "by the templates; null for nothing",
    "recorded": "as it was deployed; null for nothing",
    "consumerKey": "the key that the app gets",
    "apps.consumerKey": "the app's key, null before it is there",
    "rotate.consumerKey": "the app's key",
    "export.consumerKey": "the app's key",
    "origin": "derived, pinned, or org for the org's own",
    "generation": "of the derived key",
    "wantedGeneration": "as the org file says",
    "app": "the app's API name",
    "holder": "who may use the app, by name",
    "holderType": "Profile or PermissionSet",
    "replaced": "apps that are deleted and created anew, for a new key",
    "drift": "what somebody else changed since the last deploy",
    "access": "who got or lost an app since the last deploy",
    "refusals": "why the plan may not run",
    "error.refusals": "the same as text, where the plan was refused",
    "risks": "what may go wrong though the plan does what it says",
    "code": "see [Refusals and risks](refusals.md)",
    "proofs.code": "the OAuth error, or none",
    "flag": "what allows it; empty where nothing does",
    "remedy": "what to do",
    "fingerprint": "SHA-256 of org, live state and package",
    # runs
    "runId": "the run, for `runs` and `rollback`",
    "deployId": "0Af…; of the last package",
    "status": "how far it came: Verified is the good end",
    "orgs.status": "Unchanged, Refused, or the org's own word: Succeeded, Failed, …",
    "checks.status": "ok, warning or failed",
    "checkOnly": "a dry run: nothing is kept",
    "verified": "the org was read again and does not differ; apps gave tokens",
    "repaired": "access that was missing after the deploy",
    "proofs": "one for each login that was tried",
    "ownKeys": "apps whose key the org made itself",
    "messages": "the org's rows about components",
    "ok": "true, false, or null where nothing was tried",
    "doctor.ok": "no check failed",
    "expected": "as the org file wants it: token or refused",
    "flow": "the OAuth flow",
    "user": "who ran it",
    "proofs.user": "who logged in",
    "trail.user": "who did it",
    "detail": "in words",
    "scopes": "of the token",
    "granted": "scopes that it has",
    "missing": "declared, and not granted",
    "extra": "granted, and not declared",
    "begun": "when, ISO 8601 in UTC",
    "finished": "when it ended; null while it is open",
    "open": "`runs resume` has something to do",
    "events": "what happened, in order",
    "at": "when",
    "packages": "what was sent",
    "number": "of the package, from 0",
    "commit": "git's, null for none",
    "subject": "the first line of its message",
    "certificates.subject": "whose it is",
    "exact": "the commit holds all that was deployed, and it was all",
    "undoes": "the run that was taken back",
    "promotedFrom": "the org that had it already",
    "runs": "the newest first",
    # messages
    "fileName": "the file within the package",
    "success": "the org's word for it",
    "created": "the org's word for it",
    "apps.created": "when the app was created",
    "changed": "the org's word for it",
    "rotate.changed": "false where the step had been done before",
    "deleted": "the org's word for it",
    "problem": "what is wrong",
    "problemType": "Error or Warning",
    "line": "of the file",
    "column": "of the file",
    # what is live
    "live": "the commit that the org has",
    "ref": "refs/metadeploy/ORG",
    "why": "why the ref did not move; empty if it did",
    "pushed": "the remote that it was pushed to",
    "notPushed": "why not",
    "from": "what would be promoted",
    "to": "where it would go to",
    "trail": "rows of the setup audit trail that speak of what changed",
    "untold": "why there are none, if the org would not tell",
    "display": "the row's own words",
    "when": "when",
    "section": "the row's section",
    # offline
    "problems": "what is wrong, all at once",
    "severity": "error or warning",
    "rule": "see [Rules](../rules.md)",
    "docs": "where the rule is explained",
    "suppressed": "problems that are suppressed, and the reason",
    "explained": "what each file touches",
    "judged": "the orgs that the git hook looks at",
    "judged.texts": "what it looks at there; null for all",
    "judged.why": "what reaches the org, or why all is looked at",
    "folder": "where git looks for hooks",
    "hooks.hook": "its name",
    "hook": "the hook that ran",
    "hooks": "one for each hook",
    "hooks.state": "installed, changed, as it was, removed or not installed",
    "hooks.kept": "the hook that was there before, or null",
    "run.orgs": "the orgs that were looked at",
    "run.notes": "what was not looked at, or did not pass",
    "makes": "components that come of it, by org",
    "reads": "files that it reads",
    "usedBy": "files that read it",
    "values": "names that it reads, or defines",
    "files": "what would be sent",
    "note": "what is not as in a deploy",
    "written": "files that were written",
    "kept": "files that were there already",
    "lost": "what the new kind has no place for",
    "notes": "what to know",
    # orgs and keys
    "kind": "as the org file says",
    "tags": "as the org file says",
    "url": "where one logs in; null for an emulated org",
    "apiVersion": "of the package",
    "promoteFrom": "the org before it",
    "apps": "one for each app that templates make",
    "ageDays": "since it was created",
    "deployed": "the org has the app",
    "consumerSecret": "its secret",
    "step": "stage, finish or discard",
    "otherConsumerKey": "the key beside it, null for none",
    "otherExpires": "when that ends",
    "master": "a new master secret",
    "variable": "where it goes to",
    "certificate": "the file to commit",
    "privateKey": "the file never to commit",
    "certificates": "one for each file in certs/",
    "daysLeft": "until it ends",
    "expired": "it has ended",
    "notAfter": "when it ends",
    "notBefore": "when it begins",
    "sha256": "its fingerprint",
    "unread": "files that are no certificates",
    "checks": "what was looked at, in order",
    "found": "what is so",
    "advice": "what to do",
    "commands": "that org files name",
    "trusted": "they may run now",
    "username": "its administrator",
}
# Objects that several commands have get a section of their own.
SHARED = (
    "changes",
    "consumerKey",
    "drift",
    "refusals",
    "proofs",
    "messages",
    "live",
    "error",
)
_HEAD = f"""\
# JSON documents

With `--json` a command prints exactly one document on stdout, on success and on
failure. All but that of `keys export` have `schemaVersion` (1) and `command`. Ignore
fields that you do not know: new ones may come.

This page is written by `{COMMAND}` from documents that
commands print on emulated orgs; a test compares it. `[]` is each item of a list.
"""


def documents(home: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name of a command and the document that it printed, for each drive."""
    run = ""
    with Terminal(home) as terminal:
        terminal.type("mkdir project && cd project")
        for line in DRIVES.splitlines():
            if line.startswith("# "):
                lines, code = terminal.type(line.removeprefix("# "))
                assert code == 0, (line, lines)
                continue
            words = line.replace("{run}", run)
            lines, _ = terminal.type(f"metadeploy {words} --json 2>/dev/null")
            assert lines, f"{words}: no document"
            document = json.loads("\n".join(lines))
            if words == "runs list":
                run = document["runs"][0]["runId"]
            two = " ".join(words.split()[:2])
            yield str(document.get("command", two)), document


class _Shapes:
    """What objects look like: by what they are of, field → types."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, set[str]]] = {}

    def add(self, owner: str, value: Mapping[str, Any], before: str = "") -> None:
        fields = self.of.setdefault(owner, {})
        for name, held in value.items():
            self._field(owner, fields, before + name, name, held)

    def _field(
        self, owner: str, fields: dict[str, set[str]], path: str, name: str, held: Any
    ) -> None:
        kinds = fields.setdefault(path, set())
        if isinstance(held, list):
            kinds.add("list")
            for item in held:
                if isinstance(item, dict):
                    self._object(owner, path + "[].", name, item)
                    kinds.add(name if name in SHARED else "")
                else:
                    kinds.add(f"of {_kind(item)}")
        elif isinstance(held, dict):
            kinds.add(name if name in SHARED else "object")
            self._object(owner, path + ".", name, held)
        else:
            kinds.add(_kind(held))

    def _object(
        self, owner: str, before: str, name: str, held: Mapping[str, Any]
    ) -> None:
        if name in SHARED:
            self.add(f"* {name}", held)
        else:
            self.add(owner, held, before)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {"str": "text", "bool": "boolean", "int": "number"}[type(value).__name__]


def meaning(owner: str, path: str) -> str:
    """Return what a field means. KeyError where nobody has said."""
    steps = [*owner.split()[-1:], *path.replace("[]", "").split(".")]
    inner = ".".join(steps[-2:])
    return MEANS[inner] if inner in MEANS else MEANS[steps[-1]]


def text() -> str:
    """Return the whole page, as Markdown."""
    shapes = _Shapes()
    with tempfile.TemporaryDirectory() as home:
        for command, document in documents(Path(home)):
            said = {k: v for k, v in document.items() if k not in _ALWAYS}
            shapes.add(command, said)
    lines = [_HEAD]
    commands = sorted(o for o in shapes.of if not o.startswith("*"))
    shared = [f"* {name}" for name in SHARED]
    for title, owners in (("Commands", commands), ("What several have", shared)):
        lines.append(f"## {title}\n")
        for owner in owners:
            heading = owner.replace("* ", "Fields of ")
            lines.append(f"### {heading}\n\n| field | is | means |\n|---|---|---|")
            for path, kinds in shapes.of[owner].items():
                name = path.rpartition(".")[2]
                if name in SHARED and kinds <= {"list", "null"}:
                    kinds.add(name)
                row = f"| `{path}` | {_kinds(kinds)} | {meaning(owner, path)} |"
                lines.append(row)
            lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


_ALWAYS = ("schemaVersion", "command")


def _kinds(kinds: set[str]) -> str:
    links = [f"[{k}](#fields-of-{k.lower()})" for k in sorted(kinds) if k in SHARED]
    plain = sorted(k for k in kinds if k and k not in SHARED and k != "list")
    parts = [*links, *(k for k in plain if k != "null")]
    said = ", ".join(parts)
    if "list" in kinds:
        said = f"list {said}".strip() if parts else "list"
    return f"{said or 'text'} or null" if "null" in kinds else said


if __name__ == "__main__":
    (REPOSITORY / PAGE).write_text(text(), "utf-8")
