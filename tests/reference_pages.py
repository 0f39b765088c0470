"""docs/reference/*.md, written from the code: `python tests/reference_pages.py`.

What only a person can say (what a refusal means, what to do about an error) stands in
the tables below; a test fails where the code knows more than they do, or less.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import metadeploy
from metadeploy import cli, orgfile, orgschema
from metadeploy.adopt import Adopted
from metadeploy.api import Orgs, Result
from metadeploy.deploy import Outcome
from metadeploy.diff import AccessChange, Change
from metadeploy.doctor import Check
from metadeploy.errors import MetadeployError
from metadeploy.model import DeployMessage, DeployOptions, DeployResult
from metadeploy.plan import Plan, Refusal, Risk
from metadeploy.project import Project
from metadeploy.promotion import (
    Between,
    Commit,
    Entry,
    Found,
    Log,
    Promoted,
    Promotion,
)
from metadeploy.proof import Proof
from metadeploy.runs import Canceled, Followed, Run, Runs, Shown
from metadeploy.verify import Verified
from metadeploy.workspace import Workspace

REPOSITORY = Path(__file__).parent.parent
COMMAND = "python tests/reference_pages.py"
_NOTE = f"This page is written by `{COMMAND}`; a test compares it with the code.\n"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Return words in one line, without HTML outside of code."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [part.replace("<", "\\<") for part in parts[::2]]
    return "`".join(parts)


def _table(head: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = head.split("|")
    yield f"| {' | '.join(c.strip() for c in columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


# -- commands


def commands() -> str:
    """Return the page of all commands."""
    return "\n".join(_commands())


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    yield (
        "`metadeploy [-C DIR] [--debug] COMMAND …`; `metadeploy COMMAND --help` says"
        " the same as this page. ORG is an org file's name, a glob or `tag:NAME`.\n"
    )
    yield (
        "`--json` prints exactly one document on stdout, on failure too ([their"
        " fields](json.md)); progress and messages go to stderr. [Exit"
        " codes](errors.md#exit-codes) are the same everywhere.\n"
    )
    yield _NOTE
    # A command keeps the help option that it is first asked for.
    with cli.metadeploy.make_context("metadeploy", [], resilient_parsing=True) as ctx:
        yield from _table(
            "command | what it does",
            ((f"[`{n}`](#{n})", text) for n, (_, text) in cli.COMMANDS.items()),
        )
        yield "Before COMMAND:\n"
        yield from _options(cli.metadeploy, ctx)
        for name in cli.COMMANDS:
            command = cli.metadeploy.get_command(ctx, name)
            assert command is not None
            yield from _command(command, name, ctx)


def _command(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    with click.Context(command, parent, info_name=name.split()[-1]) as ctx:
        yield f"{'###' if ' ' in name else '##'} {name}\n"
        usage = " ".join(command.collect_usage_pieces(ctx))
        yield f"```text\nmetadeploy {name} {usage}\n```\n"
        yield from _prose(inspect.cleandoc(command.help or ""))
        if isinstance(command, click.Group):
            for child in command.list_commands(ctx):
                found = command.get_command(ctx, child)
                assert found is not None
                if not found.hidden:
                    yield from _command(found, f"{name} {child}", ctx)
        else:
            yield from _options(command, ctx)


def _prose(text: str) -> Iterator[str]:
    for paragraph in text.replace("\f", "").split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```text\n{paragraph.removeprefix(chr(8)).strip()}\n```\n"
        else:
            yield _plain(paragraph) + "\n"


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    records = (p.get_help_record(ctx) for p in command.get_params(ctx))
    rows = [r for r in records if r and r[1] and "--help" not in r[0]]
    if rows:
        yield from _table("option | meaning", ((f"`{n}`", text) for n, text in rows))


# -- org files

_SECTIONS = {
    "OrgFile": "The file",
    "Login": "login",
    "SecretSource": "Where a secret is",
    "App": "apps",
    "AppLogin": "login of an app",
    "Suppress": "suppress",
    "Emulator": "emulator",
    "EmulatedUser": "emulator.users",
}
_TYPES = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


def org_file() -> str:
    """Return the page of all keys of an org file."""
    return "\n".join(_org_file())


def _org_file() -> Iterator[str]:
    yield "# Org files\n"
    yield (
        "`orgs/NAME.yaml` describes one org; NAME may have folders, such as"
        " `customers/acme`. `orgs/defaults.yaml` holds what every org starts from:"
        " mappings are merged, everything else of the org replaces. The files are YAML"
        " 1.2; an unknown key, a wrong type, a key that stands twice are errors with"
        " their line.\n"
    )
    yield (
        "Editors know all this from [org.schema.json](../org.schema.json), when the"
        " first line of a file is `# yaml-language-server: $schema=` and its path or"
        " URL.\n"
    )
    yield _NOTE
    definitions = orgfile.schema()["$defs"]
    assert set(definitions) == set(_SECTIONS)
    for struct, title in _SECTIONS.items():
        yield f"## {title}\n"
        yield _plain(definitions[struct]["description"].split("\n\n")[0]) + "\n"
        required = definitions[struct].get("required", ())
        yield from _table(
            "key | is | means",
            (
                (f"`{name}`", _is(name, entry, required), _means(struct, name))
                for name, entry in definitions[struct]["properties"].items()
            ),
        )


def _is(name: str, entry: Mapping[str, Any], required: Iterable[str]) -> str:
    default = entry.get("default")
    if name in required:
        return f"{_type(entry)}; must be given"
    if isinstance(default, dict) or default in (None, "", []):
        return _type(entry)
    return f"{_type(entry)}; default `{_flow(default)}`"


def _means(struct: str, name: str) -> str:
    says, example = orgschema.SAYS[struct][name]
    return f"{says} For example: `{_flow(example)}`"


def _type(entry: Mapping[str, Any]) -> str:
    if "$ref" in entry:
        title = _SECTIONS[entry["$ref"].rpartition("/")[2]]
        anchor = title.lower().replace(" ", "-").replace(".", "")
        return f"[{title}](#{anchor})"
    if "anyOf" in entry:
        kinds = [_type(e) for e in entry["anyOf"] if e.get("type") != "null"]
        return " or ".join(sorted(kinds, key=len))
    if "enum" in entry:
        return "one of " + ", ".join(f"`{v}`" for v in entry["enum"])
    if entry.get("type") == "array":
        return f"a list of: {_type(entry['items'])}"
    if entry.get("type") == "object":
        held = entry.get("additionalProperties")
        inner = f": name → {_type(held)}" if isinstance(held, dict) and held else ""
        return f"a mapping{inner}"
    return _TYPES.get(entry.get("type", ""), "anything")


def _flow(value: Any) -> str:
    """Write a value as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        is_number = value.replace(".", "").isdigit()
        return json.dumps(value) if is_number or not value else value
    return json.dumps(value)


# -- errors

# What to do where the error's own text has to say it, for it depends.
REMEDIES = {
    "ConfigError": "The message names the file, key or variable; the hint what to do.",
    "AuthError": "[OAuth errors](../oauth-errors.md) explains each refusal.",
    "ApiFault": "The org's own words; [doctor](commands.md#doctor) finds most causes.",
    "DeployFailed": "The org's messages, each with file and line. Mend, deploy again.",
    "GitError": "Work in a git repository; where there is one, `git fsck` tells.",
    "GitRefused": "git's own words say why: fetch, or ask for the right to push.",
    "OutOfTime": "Run the same command again, with a longer `--wait`.",
    "DeployTimeout": "`metadeploy runs resume ORG`.",
    "Unverified": "`metadeploy plan ORG` shows what is left.",
}
EXITS = {
    0: "done, or nothing differs",
    1: "failed or refused, or a report could not be written",
    cli.DIFFERS: "differences were found: `plan --detailed-exitcode`, `drift`",
    cli.USAGE: "wrong usage: no such option, org or file",
    cli.PARTLY: "some orgs failed, others did not",
    cli.UNKNOWN: "still running, or nobody knows: `metadeploy runs resume`",
    cli.INTERRUPTED: "interrupted: Ctrl-C or SIGTERM",
}


def errors() -> str:
    """Return the page of errors and exit codes."""
    return "\n".join(_errors())


def _errors() -> Iterator[str]:
    yield "# Errors and exit codes\n"
    yield _NOTE
    yield "## Exit codes\n"
    yield from _table("code | means", ((str(c), text) for c, text in EXITS.items()))
    yield (
        "Of several orgs the gravest counts: unknown, then interrupted, then some"
        " failed.\n"
    )
    yield "## Errors\n"
    yield (
        "`error.name` of a [JSON document](json.md), and the class that the Python API"
        " raises. All are `MetadeployError`s, with `message` and `hint`; anything else"
        " is a bug of metadeploy, and shows its traceback.\n"
    )
    for found in error_classes():
        code = cli.exit_code(found.__new__(found))
        yield f"### {found.__name__}\n"
        yield from _prose(inspect.cleandoc(found.__doc__ or ""))
        yield f"What to do: {remedy(found)}\n"
        yield f"Exit code {code}. `from {found.__module__} import {found.__name__}`\n"


def error_classes() -> list[type[MetadeployError]]:
    """Return every public error, its module's order kept."""
    for module in pkgutil.walk_packages(metadeploy.__path__, "metadeploy."):
        if "__main__" not in module.name and "_scaffold" not in module.name:
            importlib.import_module(module.name)

    def below(kind: type[MetadeployError]) -> Iterator[type[MetadeployError]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    found = dict.fromkeys(below(MetadeployError))
    ours = (f for f in found if f.__module__.startswith("metadeploy"))
    return [f for f in ours if not f.__name__.startswith("_")]


def remedy(found: type[MetadeployError]) -> str:
    """Return what to do about an error, "" where nobody has said."""
    kinds = (k for k in found.__mro__ if issubclass(k, MetadeployError))
    told = (REMEDIES.get(k.__name__) or k.hint for k in kinds)
    return next(filter(None, told), "")


# -- refusals and risks

REFUSALS = {
    "production": "The org says of itself that it is a production org.",
    "deletion": "Components are deleted.",
    "revoke": "Access to an app is taken away.",
    "lockout": "An admin-approved app would have nobody left who may use it.",
    "interruption": "A connected app is deleted and created anew, for a new key: its"
    " clients fail, its users' approvals end.",
    "api-access-control": "API Access Control is switched on and keeps users out of"
    " apps, or nobody can tell whom.",
    "mass-change": "More than 30 % of what the org has of ours changes (from 10"
    " components on): most likely the wrong org or branch.",
    "unfinished": "A run of this org never came to its end, so nobody knows what it"
    " did. `metadeploy runs resume` finds out.",
    "queue": "Somebody else's deploy runs in the org; ours would wait behind it.",
    "unverified": "`promote`: the source's last run is not verified.",
    "drifted": "`promote`: the source is not as its commit says.",
    "unmerged": "`promote`: the branch does not hold the commit.",
    "unknown-app": "Access is declared to an app that the org does not have.",
    "unknown-holder": "Access is declared for a profile or permission set that the org"
    " does not have.",
    "creation-blocked": "The org lets nobody create connected apps (the rule since"
    " Spring '26).",
    "collision": "The org has an app of that name as the other kind, connected app or"
    " External Client App.",
}
RISKS = {
    "app-stops": "An app stops working, for all.",
    "users-lose-access": "Users lose access to an app.",
    "not-known": "What the org would not tell, so nobody can say.",
}
_WHERE = (
    "With no flag: correct what the refusal names, then plan again. Another org than"
    " the one pinned, and a saved plan whose org has moved since, are refused too, and"
    " nothing allows them.\n"
)


def refusals() -> str:
    """Return the page of refusals and risks."""
    return "\n".join(_refusals())


def _refusals() -> Iterator[str]:
    yield "# Refusals and risks\n"
    yield (
        "A plan is refused, before anything is sent, until what is risky in it is"
        " allowed by name. There is no flag for all at once. `code` is what JSON"
        " documents and `allowed` of the Python API say.\n"
    )
    yield _NOTE
    yield "## Refusals\n"
    flags = told("Refusal")
    yield from _table(
        "code | why | allow it with",
        (
            (f"`{code}`", text, f"`{flags[code]}`" if flags.get(code) else "")
            for code, text in REFUSALS.items()
        ),
    )
    yield _WHERE
    yield "## Risks\n"
    yield (
        "What may go wrong though the plan does what it says. A risk is shown, and"
        " refuses nothing.\n"
    )
    yield from _table("code | means", ((f"`{c}`", t) for c, t in RISKS.items()))


def told(kind: str) -> dict[str, str]:
    """Return code → flag ("" for none) of each Refusal or Risk that the code makes."""
    found: dict[str, str] = {}
    for path in sorted((REPOSITORY / "metadeploy").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == kind
            ):
                texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
                assert texts, f"{path}:{node.lineno}"
                flag = next((t for t in texts[1:] if str(t).startswith("--")), "")
                found[str(texts[0])] = str(flag)
    return found


# -- the environment

VARIABLES = {
    "METADEPLOY_MASTER_KEY": "The [master secret](../how-to/master-secret.md).",
    "METADEPLOY_MASTER_KEY_FILE": "A file that holds it.",
    "METADEPLOY_MASTER_KEY_PREVIOUS": "The one before, while keys are moved to the new"
    " one.",
    "METADEPLOY_CONFIG": "Your own configuration file, instead of"
    " `metadeploy/config.yaml` in the user configuration folder.",
    "SF_ACCESS_TOKEN": "The token of `flow: access_token`, where the org file names no"
    " other place.",
    "SFDX_AUTH_URL": "The URL of `flow: sfdx_auth_url`, likewise.",
    "SF_USE_GENERIC_UNIX_KEYCHAIN": "`true`: the Salesforce CLI keeps its key in"
    " `~/.sfdx/key.json`, for `flow: sf`.",
    "USE_GENERIC_UNIX_KEYCHAIN": "The same, by its older name.",
    "NO_COLOR": "Anything but nothing: no colours. It counts first.",
    "FORCE_COLOR": "Anything but nothing or 0: colours where there is no terminal too.",
    "CLICOLOR_FORCE": "The same.",
    "TERM": "`dumb`: no colours, and no progress that moves.",
    "COLUMNS": "How wide to write: what a terminal does not say, or a pipe.",
    "GITHUB_ACTIONS": "Its runner reads the output: no text of an org"
    " [gives it orders](../terminal.md#what-a-ci-runner-would-obey).",
    "TF_BUILD": "The same, in Azure Pipelines.",
    "TEAMCITY_VERSION": "The same, in TeamCity.",
    "GITHUB_STEP_SUMMARY": "Where `--report github` adds its summary; GitHub sets it.",
    "PRE_COMMIT": "Set by pre-commit: with nothing staged, hooks look at all files.",
    "PRE_COMMIT_TO_REF": "The commit that is pushed, for `hooks run render`; likewise.",
    "PRE_COMMIT_LOCAL_BRANCH": "The branch, where that is not said; likewise.",
}
FURTHER = """\
Also, `{env: NAME}` in an org file or in your configuration reads the variable it names.
`XDG_CONFIG_HOME` (Linux) moves the user configuration folder. git's own variables
(`GIT_DIR`, `GIT_INDEX_FILE`, …) count as git hooks set them, those that would make git
run something do not.

Not read, on purpose: proxies (`HTTPS_PROXY`, …), `REQUESTS_CA_BUNDLE`, `.netrc`. Your
configuration [says them](../how-to/connect-an-org.md#hosts-proxies-and-certificates).

Programs that metadeploy starts (commands of org files, `keys export --format command`)
see none of `METADEPLOY_*`, `SFDX_*` and `SF_ACCESS_TOKEN`.
"""


def environment() -> str:
    """Return the page of variables that are read."""
    head = ["# Environment variables\n", _NOTE]
    rows = ((f"`{name}`", text) for name, text in VARIABLES.items())
    return "\n".join([*head, *_table("variable | means", rows), FURTHER])


# -- Python

# The way in, and what comes back: what a script needs to know.
PUBLIC: Mapping[str, tuple[type, ...]] = {
    "Orgs": (Orgs, Result),
    "Projects on disk": (Workspace, Project),
    "Plans": (Plan, Change, AccessChange, Refusal, Risk),
    "Deploys": (DeployOptions, Outcome, Verified, Proof, DeployResult, DeployMessage),
    "Runs": (Runs, Run, Shown, Followed, Canceled),
    "Promotion": (Promotion, Promoted, Between, Found, Log, Entry, Commit),
    "Checks of an org": (Check,),
    "Adopting": (Adopted,),
}


def python() -> str:
    """Return the page of the Python API."""
    return "\n".join(_python())


def _python() -> Iterator[str]:
    yield "# Python API\n"
    yield (
        "What the command line does, as functions; it is one caller of them. [Provision"
        " customers' orgs from a script](../how-to/provision.md) shows how they go"
        " together. Values are frozen; what goes wrong is one of the"
        " [errors](errors.md#errors).\n"
    )
    yield _NOTE
    for title, kinds in PUBLIC.items():
        yield f"## {title}\n"
        for kind in kinds:
            yield from _class(kind)


def _class(kind: type) -> Iterator[str]:
    yield f"### {kind.__name__}\n"
    yield f"`from {kind.__module__} import {kind.__name__}`\n"
    yield from _prose(inspect.cleandoc(kind.__doc__ or ""))
    fields = [
        (f"`{name}`", f"`{annotation}`")
        for name, annotation in inspect.get_annotations(kind).items()
        if not name.startswith("_")
    ]
    if fields:
        yield from _table("field | is", fields)
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else member
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        if not function.__doc__:
            continue
        yield f"```python\n{_signature(name, member)}\n```\n"
        yield from _prose(inspect.cleandoc(function.__doc__))


def _signature(name: str, member: Any) -> str:
    function = member.fget if isinstance(member, property) else member
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(found, ast.FunctionDef) and found.returns is not None
    returns = ast.unparse(found.returns)
    if isinstance(member, property):
        return f"{name}: {returns}"
    found.args.args = [a for a in found.args.args if a.arg != "self"]
    arguments = ast.unparse(found.args)
    line = f"{name}({arguments}) -> {returns}"
    if len(line) > 79:
        parts = re.split(r", (?=\*|\w+:)", arguments)
        inner = "".join(f"    {part},\n" for part in parts)
        line = f"{name}(\n{inner}) -> {returns}"
    return line


PAGES = {
    "docs/reference/python.md": python,
    "docs/reference/commands.md": commands,
    "docs/reference/org-file.md": org_file,
    "docs/reference/errors.md": errors,
    "docs/reference/refusals.md": refusals,
    "docs/reference/environment.md": environment,
}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (REPOSITORY / page).write_text(text(), "utf-8")
