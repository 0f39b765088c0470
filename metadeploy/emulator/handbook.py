"""docs/emulator.md: what the emulated orgs do, and how we know, from the same tables
that the tests go by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from metadeploy.emulator.injection import KINDS
from metadeploy.emulator.oauth_errors import REFUSALS
from metadeploy.emulator.rulebook import BEHAVIOURS, COMPLAINTS, Complaint
from metadeploy.emulator.rulebook_rest import REST_BEHAVIOURS, REST_COMPLAINTS

PAGE = "docs/emulator.md"
_HEAD = """\
# The emulated org

A Salesforce small enough to read, on this machine only: SOAP Metadata and partner API,
REST, OAuth. It judges by its own rules, refuses what the platform refuses with the
platform's words, and answers what it does not emulate with a fault that says so.

No real org was asked for this page. So each rule says how we know it:

- **documented**: Salesforce's own pages say so;
- **observed**: seen in public issues, scripts and WSDLs, or in the traffic of real
  clients;
- **recalled**: by practitioners, no source was read;
- **inferred**: our own conclusion, or a choice of the emulator.

This page is written by `python -m metadeploy.emulator > docs/emulator.md`; a test
produces every message below by the situation that causes it.
"""
OPERATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "SOAP Metadata API, `/services/Soap/m/{version}[/…]`": (
            "deploy checkDeployStatus cancelDeploy deployRecentValidation retrieve",
            "checkRetrieveStatus checkStatus listMetadata describeMetadata",
            "describeValueType readMetadata createMetadata updateMetadata",
            "upsertMetadata deleteMetadata renameMetadata",
        ),
        "SOAP partner API, `/services/Soap/u/{version}`": (
            "login logout getUserInfo query queryAll queryMore create update delete",
            "retrieve describeSObject describeSObjects",
        ),
        "REST, `/services/data/v{version}/…`": (
            "limits query queryAll sobjects composite/sobjects tooling/query",
            "tooling/sobjects metadata/deployRequest apps/oauth/usage",
            "apps/oauth/credentials",
        ),
        "OAuth": (
            "/services/oauth2/authorize /services/oauth2/token",
            "/services/oauth2/revoke /services/oauth2/introspect",
            "/services/oauth2/userinfo /.well-known/openid-configuration /id/keys",
            "/id/{org}/{user} /setup/connect",
        ),
    }
)
"""What is served, as texts of names. All of them are documented by Salesforce."""
_FAULTS = """\
Every fault that a server can produce strikes on request, at the exact point of a
request: in tests through `RunningServer.injections`, from outside at
`/emulator/faults`, with the token in the file `admin-token` beside the world:

```sh
curl -X POST "$URL/emulator/faults" -H "Authorization: Bearer $(cat admin-token)" \\
  -d '{"kind": "reset-after-apply", "on": "deploy"}'
```

`on` is a glob over the SOAP operation or the path, `org` an org Id, `skip` and `times`
say which of the requests (`times` 0: all of them), `applied` that the org acts first.
"""
_PLACES = {
    "row": "In a row of a deploy",
    "fault": "As a SOAP fault",
    "retrieve": "As a message of a retrieve",
    "record": "About a record",
}


def text() -> str:
    """Return the whole page, as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## What it serves\n"
    for place, names in OPERATIONS.items():
        listed = ", ".join(f"`{name}`" for name in " ".join(names).split())
        yield f"- {place}: {listed}."
    yield ""
    yield "## What it does\n"
    rows = [(b.operation, b.rule, _mark(b.mark, b.source)) for b in BEHAVIOURS]
    rows += [(b.operation, b.rule, _mark(b.mark, b.source)) for b in REST_BEHAVIOURS]
    yield from _table(("", "rule", "known from"), rows)
    yield "## What it says\n"
    for place, title in _PLACES.items():
        yield f"### {title}\n"
        found = [c for c in COMPLAINTS.values() if c.where == place]
        yield from _complaints(found)
    yield "### Over REST\n"
    yield from _complaints(REST_COMPLAINTS.values())
    yield "### Over OAuth\n"
    yield from _table(
        ("error", "description", "when", "known from"),
        [
            (f"`{r.error}`", f"`{r.description}`", _said(r.when), r.mark)
            for r in REFUSALS.values()
        ],
    )
    yield "## Faults on request\n"
    yield _FAULTS
    yield from _table(
        ("kind", "strikes", "what happens"),
        [(f"`{k}`", point.value, what) for k, (point, what) in KINDS.items()],
    )


def _complaints(found: Iterable[Complaint]) -> Iterator[str]:
    yield from _table(
        ("message", "when", "known from"),
        [(f"`{c.text}`", _said(c.when), _mark(c.mark, c.source)) for c in found],
    )


def _mark(mark: str, source: str) -> str:
    return f"{mark}: {source}" if source else mark


def _said(when: str) -> str:
    return when[:1].upper() + when[1:]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(head)
    yield "|---" * len(head) + "|"
    for row in rows:
        yield _row(row)
    yield ""


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
