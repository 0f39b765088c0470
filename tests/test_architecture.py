"""Who may import whom, read from the source; and what a start may load.

A new module fails here until it has a place: that is the moment to think of one.
"""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "metadeploy"

# Pure: no disk, network, clock or chance. Imports only its like.
CORE = {
    "access",
    "assertion",
    "audit",
    "classify",
    "delta",
    "diff",
    "errors",
    "explain",
    "externalapp",
    "failpoint",
    "handover",
    "installed",
    "keys",
    "leaks",
    "lift",
    "live",
    "lockdown",
    "model",
    "near",
    "narrow",
    "oauth_errors",
    "orgfile",
    "orgschema",
    "package",
    "plan",
    "planfile",
    "project",
    "proof",
    "reach",
    "reads",
    "redact",
    "render",
    "rollback",
    "rotation",
    "sandbox",
    "scopes",
    "sourcetree",
    "wanted",
    "xmlfile",
    "yamlfile",
}
CORE_PACKAGES = ("reports", "rules", "schema")

# The order of steps; edges arrive as arguments. Imports the core and its like.
FLOW = {
    "adopt",
    "deploy",
    "doctor",
    "drifting",
    "planning",
    "reading",
    "reconcile",
    "sending",
    "target",
    "verify",
}

# What touches the world, and what else than the core each may import.
EDGES: dict[str, set[str]] = {
    "auth": {"connection"},
    "certs": set(),
    "connection": set(),
    "credentials_api": {"connection"},
    "data_api": {"connection"},
    "doctor_api": {"connection", "doctor"},
    "emulated": {"emulator.*", "privatefile"},
    "gitcommand": set(),
    "history": {"repository", "workspace"},
    "hookfiles": {"gitcommand", "privatefile"},
    "hooking": {"history", "repository"},
    "journal": set(),
    "late": set(),
    "login": {
        "auth",
        "connection",
        "emulated",
        "refreshing",
        "sf_logins",
        "soap_login",
        "target",
        "workspace",
    },
    "master": {"secretsource", "userconfig"},
    "metadata_api": {"connection"},
    "orgjournal": {"history", "journal", "workspace"},
    "orglock": {"privatefile"},
    "prover": {"auth", "connection", "target"},
    "refreshing": {"auth"},
    "privatefile": set(),
    "repository": {"gitcommand"},
    "secretsource": set(),
    "sf_logins": {"secretsource"},
    "soap_login": {"auth", "connection"},
    "trust": {"privatefile", "userconfig"},
    "userconfig": set(),
    "workspace": {"privatefile", "secretsource", "trust"},
}

# One caller of it all is the Python API; the command line is another.
API = "api"
RUNS = "runs"  # the API too: for what has run
APP_KEYS = "appkeys"  # and for the keys of apps
PROMOTION = "promotion"  # and for what git knows of orgs
WIRING = {API, APP_KEYS, RUNS, PROMOTION}
CLI: dict[str, set[str]] = {
    "cli": set(),
    "cli.adopt": set(),
    "cli.certs": {"certs", "privatefile", "workspace"},
    "cli.change": {API, PROMOTION, "deploy", "verify"},
    "cli.completion": set(),
    "cli.debug": set(),
    "cli.doctor": {"doctor"},
    "cli.emulator": {"emulated", "emulator.server", "journal"},
    "cli.explaining": set(),
    "cli.hooks": {"hookfiles", "hooking"},
    "cli.interrupt": {API},
    "cli.keys": {API, APP_KEYS, "master", "secretsource", "userconfig"},
    "cli.completing": {"repository"},
    "cli.obeyed": set(),
    "cli.offline": {API, "history", "privatefile"},
    "cli.options": {"privatefile", "workspace"},
    "cli.output": set(),
    "cli.progress": set(),
    "cli.promotion": {API, PROMOTION, "deploy"},
    "cli.reporting": {API, PROMOTION, RUNS, "deploy", "verify"},
    "cli.runs": {API, PROMOTION, RUNS, "deploy"},
    "cli.show": {RUNS, "deploy", "verify"},
    "cli.start": set(),
    "cli.terminal": set(),
    "cli.trust": {"trust"},
    "cli.work": {API, RUNS, "deploy"},
}

# Libraries, and what of Python's own reaches out: who alone may import each.
# "*" stands for everybody.
OWNERS: dict[str, set[str]] = {
    "click": set(CLI),
    "cryptography": {"assertion", "certs", "rules.x509", "sf_logins"},
    "filelock": {"refreshing"},
    "jinja2": {"reads", "render", "sandbox"},
    "keyring": {"secretsource"},
    "lxml": {"*"},
    "markupsafe": {"sandbox"},
    "msgspec": {"*"},
    "platformdirs": {"userconfig"},
    "requests": {"connection"},
    "rich": {"cli.progress"},
    "ruamel": {"handover", "workspace", "yamlfile"},
    "urllib3": {"connection"},
    "zeep": {"metadata_api"},
    "_typeshed": {"*"},
    "asyncio": set(),
    "getpass": {"orgjournal"},
    "http": {"connection", "emulated"},
    "logging": {"cli.debug", "connection", "metadata_api"},
    "multiprocessing": set(),
    "pickle": set(),
    "random": set(),
    "shutil": set(),
    "signal": {"cli.emulator", "cli.interrupt"},
    "socket": {"connection", "emulated"},
    "sqlite3": {"cli.completing", "emulated", "journal", "orglock"},
    "ssl": {"connection"},
    "subprocess": {"cli.keys", "gitcommand", "repository", "secretsource", "sf_logins"},
    "tempfile": {"metadata_api"},
    "threading": {
        API,
        "cli.emulator",
        "cli.progress",
        "connection",
        "emulated",
        "journal",
    },
    "time": {API, "auth", "connection", "orgjournal", RUNS},
}

# What of Python's own the core needs; all else is refused there.
PURE = {
    "__future__",
    "base64",
    "binascii",
    "codecs",
    "collections",
    "dataclasses",
    "datetime",  # as values: a clock is refused below
    "difflib",
    "enum",
    "fnmatch",
    "functools",
    "hashlib",
    "hmac",
    "html",
    "io",
    "itertools",
    "ipaddress",
    "json",
    "re",
    "sys",
    "types",
    "typing",
    "urllib",
    "zipfile",
    "zlib",
}
IMPURE_FUNCTIONS = {"open", "input", "print", "exec", "eval"}
IMPURE_METHODS = {"now", "today", "utcnow", "fromtimestamp"}
# Data of our own that comes with us is no outside world.
OWN_DATA = {"reports.page": {"pathlib"}, "schema.tables": {"pathlib"}}


@dataclass(frozen=True)
class Import:
    """One import: by which module, of what, and when it is loaded."""

    of: str
    line: int
    at_start: bool


@cache
def modules() -> dict[str, Path]:
    """Module name below metadeploy, "" for itself → its file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        if "_scaffold" not in path.parts:
            steps = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(s for s in steps if s != "__init__")] = path
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    tree = ast.parse(modules()[module].read_text("utf-8"))
    return tuple(_imports(tree, at_start=True))


def _imports(node: ast.AST, *, at_start: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        now = at_start and not isinstance(child, ast.FunctionDef)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            now = False
        if isinstance(child, ast.Import):
            for name in child.names:
                yield Import(name.name, child.lineno, now)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            for name in child.names:
                whole = f"{child.module}.{name.name}"
                is_module = whole.removeprefix("metadeploy.") in modules()
                yield Import(
                    whole if is_module else str(child.module), child.lineno, now
                )
        yield from _imports(child, at_start=now)


def ours(module: str) -> Iterator[tuple[str, Import]]:
    """Our own modules that a module imports, "" left out: that is the version only."""
    for one in imports(module):
        if one.of == "metadeploy" or one.of.startswith("metadeploy."):
            name = one.of.removeprefix("metadeploy").removeprefix(".")
            if name:
                yield name, one


def others(module: str) -> Iterator[tuple[str, Import]]:
    for one in imports(module):
        name = one.of.partition(".")[0]
        if name != "metadeploy":
            yield name, one


def is_core(name: str) -> bool:
    return name in CORE or name.partition(".")[0] in CORE_PACKAGES


def is_emulator(name: str) -> bool:
    return name.partition(".")[0] == "emulator"


def refused(module: str, may: set[str]) -> list[str]:
    """Imports of our own modules that are neither the core nor in `may`."""
    return [
        f"{module}:{one.line} imports {name}"
        for name, one in ours(module)
        if not (is_core(name) or name in may)
        and f"{name.partition('.')[0]}.*" not in may
    ]


def test_every_module_has_a_place():
    placed = {*CORE, *FLOW, *EDGES, *CLI, *WIRING, "", "__main__"}
    found = {m for m in modules() if not is_emulator(m)}
    missing = {m for m in found - placed if not is_core(m)}
    assert missing == set(), "say above what these are"
    assert placed - found == set(), "these are no more"


def test_every_branch_of_the_core_is_measured():
    settings = configparser.ConfigParser()
    settings.read(ROOT.parent / "setup.cfg", "utf-8")
    said = settings["coverage:report"]["include"].split()
    wanted = {f"metadeploy/{name}.py" for name in CORE}
    assert set(said) == wanted | {f"metadeploy/{name}/*" for name in CORE_PACKAGES}
    assert settings["coverage:report"]["fail_under"] == "100"


def test_places_do_not_overlap():
    places = [CORE, FLOW, set(EDGES), set(CLI), WIRING]
    assert sum(map(len, places)) == len(set().union(*places))


def test_the_core_imports_only_the_core():
    found = [r for m in modules() if is_core(m) for r in refused(m, set())]
    assert found == []


def test_model_and_errors_are_at_the_bottom():
    assert list(ours("model")) == []
    assert {name for name, _ in ours("errors")} <= {"model"}


def test_the_flow_imports_no_edge():
    assert [r for m in FLOW for r in refused(m, FLOW)] == []


@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_imports_no_other(edge):
    assert refused(edge, EDGES[edge]) == []


def test_only_the_api_wires_edges_to_the_flow():
    assert refused(API, {*EDGES, *FLOW}) == []
    for module in WIRING - {API}:
        assert refused(module, {API, *EDGES, *FLOW}) == []
    both = {
        m
        for m in modules()
        if not is_emulator(m)
        if {n for n, _ in ours(m)} & set(EDGES)
        if {n for n, _ in ours(m)} & {"deploy", "planning", "reading", "verify"}
    }
    assert both == WIRING
    callers = {m for m in modules() for n, _ in ours(m) if n == API}
    assert callers == WIRING - {API} | {*(m for m, may in CLI.items() if API in may)}


@pytest.mark.parametrize("command", CLI)
def test_a_command_imports_what_it_calls(command):
    assert refused(command, {*CLI, *CLI[command]}) == []


@pytest.mark.parametrize("table", [EDGES, CLI], ids=["edges", "cli"])
def test_nothing_is_allowed_that_nobody_needs(table):
    for module, may in table.items():
        used = {name for name, _ in ours(module)}
        used |= {f"{name.partition('.')[0]}.*" for name in used}
        assert may <= used, module


def test_the_emulator_judges_by_its_own_rules():
    found = [
        f"{module}:{one.line} imports {name}"
        for module in modules()
        if is_emulator(module)
        for name, one in ours(module)
        if not is_emulator(name)
        and name != "model"
        and name.partition(".")[0] != "schema"
    ]
    assert found == []


def test_who_owns_what_reaches_out():
    found = [
        f"{module}:{one.line} imports {name}"
        for module in modules()
        if not is_emulator(module)
        for name, one in others(module)
        if (name in OWNERS or name not in sys.stdlib_module_names)
        if not {"*", module} & OWNERS.get(name, set())
    ]
    assert found == []


def test_nobody_owns_what_nobody_imports():
    used: dict[str, set[str]] = {}
    for module in modules():
        for name, _ in others(module):
            used.setdefault(name, set()).add(module)
    for name, owners in OWNERS.items():
        if name == "click":  # each command may, few need to
            continue
        assert owners - {"*"} <= used.get(name, set()), name


def test_the_core_is_pure():
    found = []
    for module in filter(is_core, modules()):
        allowed = PURE | OWN_DATA.get(module, set())
        found += [
            f"{module}:{one.line} imports {name}"
            for name, one in others(module)
            if name in sys.stdlib_module_names and name not in allowed
        ]
        found += [
            f"{module}:{one.line} imports {one.of}"
            for name, one in others(module)
            if name == "urllib" and one.of != "urllib.parse"
        ]
        tree = ast.parse(modules()[module].read_text("utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            method = name.rpartition(".")[2] if "." in name else ""
            if name in IMPURE_FUNCTIONS or method in IMPURE_METHODS:
                found.append(f"{module}:{node.lineno} calls {name}")
    assert found == []


def test_no_module_imports_itself_by_a_detour():
    """A cycle of imports at start works by luck of who is first."""
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path, module))
        if module in done:
            return
        for name, one in ours(module):
            # A package's own submodules are loaded by it.
            if one.at_start and name in modules() and name != module:
                visit(name, (*path, module))
        done.add(module)

    for module in modules():
        visit(module, ())


# What a start loads.

HEAVY = {
    "asyncio",
    "cryptography",
    "git",
    "requests",
    "rich",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "urllib3",
    "zeep",
}


def loaded(*words: str, at: Path) -> set[str]:
    """Return every module that `metadeploy WORDS` loads, by -X importtime."""
    command = [sys.executable, "-X", "importtime", "-m", "metadeploy", *words]
    done = subprocess.run(command, cwd=at, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }


def test_help_loads_next_to_nothing(tmp_path):
    found = loaded("--help", at=tmp_path)
    assert "click" in found
    heavy = {*HEAVY, "jinja2", "lxml", "msgspec", "ruamel", "metadeploy.project"}
    assert {m for m in found if m.partition(".")[0] in heavy or m in heavy} == set()


def test_validate_loads_nothing_that_it_does_not_need(project):
    found = loaded("validate", at=project)
    assert {"jinja2", "lxml", "msgspec", "ruamel.yaml"} <= found
    assert {m for m in found if m.partition(".")[0] in HEAVY} == set()
    assert not {m for m in found if m.startswith("metadeploy.emulat")}
    assert "metadeploy.api" not in found


def test_staged_validation_needs_git_and_no_more(project):
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(project), *words], check=True)
    found = loaded("validate", "--staged", at=project)
    heavy = {m for m in found if m.partition(".")[0] in HEAVY}
    assert heavy <= {"subprocess"}
    assert "metadeploy.repository" in found


def test_real_orgs_need_no_emulator():
    program = (
        "import sys, metadeploy.api;"
        "print(*(m for m in sys.modules if m.startswith('metadeploy.emulat')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []


HOOK = ("hooks", "run", "pre-commit")


def in_a_repository(project, *, commit=True):
    """Stage all of a project; return the project."""
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@acme.example")
    steps = [("init", "-q"), ("add", ".")]
    steps += [(*who, "commit", "-qm", "First")] if commit else []
    for words in steps:
        subprocess.run(["git", "-C", str(project), *words], check=True)
    return project


def test_a_hook_with_nothing_to_do_loads_next_to_nothing(project):
    in_a_repository(project)
    (project / "README.md").write_text("x")
    subprocess.run(["git", "-C", str(project), "add", "."], check=True)
    found = loaded(*HOOK, at=project)
    assert {"metadeploy.leaks", "metadeploy.repository"} <= found
    heavy = {*HEAVY, "click", "jinja2", "lxml", "msgspec", "ruamel"} - {"subprocess"}
    assert {m for m in found if m.partition(".")[0] in heavy} == set()


def test_a_hook_loads_what_renders_and_judges_but_no_command_line(project):
    found = loaded(*HOOK, at=in_a_repository(project, commit=False))
    assert {"jinja2", "lxml", "msgspec", "ruamel.yaml", "metadeploy.narrow"} <= found
    heavy = {m for m in found if m.partition(".")[0] in {*HEAVY, "click"}}
    assert heavy <= {"subprocess"}
    assert not {
        m for m in found if m.startswith(("metadeploy.emulat", "metadeploy.cli"))
    }


def test_what_waits_is_not_touched_by_a_hook(project):
    """What a list of ours says is late and is not would be loaded all the same."""
    program = """
import sys
from metadeploy import late
late.let_wait()
before = set(sys.modules)
from pathlib import Path
from metadeploy import hooking
assert not hooking.run("pre-commit", [], Path()).errors
waiting = {
    name
    for name in late.LATE & sys.modules.keys()
    if object.__getattribute__(sys.modules[name], "__class__").__name__ == "_LazyModule"
}
print(*sorted((late.LATE & sys.modules.keys()) - waiting - before))
import json
assert json.loads("[1]") == [1], "and it is there when it is used"
"""
    at = in_a_repository(project, commit=False)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=at, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")
