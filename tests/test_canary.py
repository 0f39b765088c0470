"""No command lets a secret out: each is driven, well and badly, and every byte that it
wrote is searched for every secret that it knew, in many forms.

A new command is one line in `drives`; one that is not driven fails.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import secrets
import subprocess
import sys
import zipfile
from urllib.parse import quote

import click
import pytest
from apps import PORTAL, edit, git, key_pair
from canaries import Search

from metadeploy import cli

# Commands whose standard output is the secret, for that is what they are for.
TELL = {"keys export", "keys init", "emulator token", "emulator password"}
# Files that are secrets, below the test's folder: what the user keeps, what a command
# was told to write there, and the emulated orgs themselves.
ALLOWED = (
    "kept/",
    "project/revealed/",
    "project/.metadeploy/emulator/",
    "project/.metadeploy/certs/",
    "project/.metadeploy/tokens/",
)
HANDED = """
import os, pathlib, sys
words = pathlib.Path("/proc/self/cmdline")
seen = words.read_bytes() if words.exists() else b""
seen += repr(dict(os.environ)).encode() + repr(sys.argv).encode()
pathlib.Path("child-saw").open("ab").write(seen)
print(pathlib.Path("../kept/command").read_text())
"""


def drives(at):
    """Yield (words, whether it ends well); a function is something done in between."""
    yield "init ../other", True
    yield "init certs/portal.crt", False
    yield "completion bash", True
    yield "completion no-such", False
    yield "orgs", True
    yield "orgs nobody", False
    yield "validate", True
    yield "validate orgs/nothing.yaml", True
    yield "validate --org nobody", False
    yield "validate --staged --explain", True
    yield "hooks install", True
    yield "hooks run pre-commit", None
    yield "hooks run pre-push", None
    yield "hooks run no-secrets --all", None
    yield "hooks run nothing", False
    yield "hooks run pre-commit ../other", False
    yield "hooks uninstall", True
    yield "hooks uninstall --no-such", False
    yield "hooks install --no-such", False
    yield "render dev", True
    yield "render dev --out rendered", True
    yield "render dev --reveal-secrets --out revealed", True
    yield "render *", False
    yield "trust", True
    yield "trust --forget", True
    yield "trust --no-such", False
    yield "plan dev --out saved.plan", True
    reports = "--report markdown=r.md --report junit=r.xml --report html=r.html"
    reports += " --report github"
    yield f"plan dev prod {reports}", True
    yield "plan dev prod", True
    yield "plan nobody", False
    yield "doctor dev --check-creation", True
    yield "doctor nobody", False
    yield "deploy --plan saved.plan --auto-approve", True
    yield "deploy --plan saved.plan --auto-approve", False  # stale
    yield "deploy dev --auto-approve", True
    yield "deploy prod --auto-approve", False  # refused
    yield "deploy uat --auto-approve --dry-run", True
    yield "emulator fault deploy-fails --on deploy --skip 1", True
    yield f"deploy uat --auto-approve {reports}", False
    yield "emulator fault reset-after-apply --on deploy", True
    yield "deploy uat --auto-approve --wait 0.2", None
    yield "drift dev", None
    yield "drift nobody", False
    yield "log dev", True
    yield "log nobody", False
    yield "diff dev..uat", None
    yield "diff nobody..uat", False
    yield "promote uat --out promotion.plan", None
    yield "promote uat --auto-approve --plan promotion.plan", None
    yield "promote uat --auto-approve", None
    yield "promote nobody", False
    yield "runs list", True
    yield "runs list nobody", False
    yield "runs show nothing", False
    yield "runs resume dev", None
    yield "runs resume nobody", False
    yield "runs cancel nobody", False
    yield "runs cancel dev", None
    yield "rollback dev --dry-run --auto-approve", None
    yield "rollback dev --dry-run --auto-approve --push --remote nowhere", None
    yield "rollback nobody", False
    yield f"verify dev {reports.replace('=r', '=v')}", True
    yield "verify dev --as nobody@dev.emulated", False
    for kind in ("session-expired", "maintenance", "cut"):
        yield f"emulator fault {kind} --on retrieve", True
        yield "plan dev", None
    yield "emulator fault maintenance --on */query", True
    yield "verify dev", None
    yield "emulator fault --clear", True
    yield "emulator fault no-such-kind", False
    yield "keys list dev", True
    yield "keys list nobody", False
    yield "keys export dev --app Portal", True
    yield "keys export dev --app Portal --format kubernetes", True
    yield f"keys export dev --app Portal --format command -- {at.child}", True
    yield "keys export dev --app Portal --format command -- false", False
    yield "keys export dev --app Nobody", False
    yield "keys rotate dev --app Portal", False
    yield "keys init", True
    yield "keys init --no-such", False
    yield "certs create extra", True
    yield "certs create portal", False
    yield "certs list", True
    yield "certs list --no-such", False
    yield "adopt dev --app Nobody", False
    yield "adopt dev --app Portal", None
    yield "migrate dev --app Portal --dry-run", None
    yield "migrate dev --app Nobody", False
    yield at.add_real_orgs
    yield "plan real-jwt", True
    yield "plan real-token", True
    yield "verify real-jwt", None
    yield "doctor real-jwt", None
    for name in ("secret", "url", "soap", "command", "pem", "host"):
        yield f"plan real-{name}", False
    yield "trust", True
    yield "plan real-command", False
    yield at.lose_the_master
    yield "keys list dev", False
    yield "deploy prod --production --auto-approve", False
    yield "emulator token uat", True
    yield "emulator token nobody", False
    yield "emulator password dev user@dev.emulated", True
    yield "emulator password dev nobody@dev.emulated", False
    yield "emulator refresh uat --from prod", True
    yield "emulator refresh uat --from nobody", False
    yield "emulator reset prod", True
    yield "emulator reset nobody", False
    yield f"emulator serve --port {at.served['url'].rpartition(':')[2]}", False


class Place:
    """A project on emulated orgs that are served, and every secret about it."""

    def __init__(self, folder, project, words):
        self.folder, self.project, self.words = folder, project, words
        self.search = Search()
        self.driven, self.outputs = set(), 0
        self.child = f"{sys.executable} handed.py"
        self.kept = folder / "kept"
        self.kept.mkdir()
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        (project / "handed.py").write_text(HANDED)
        (self.kept / "portal.key").write_text(key_pair()[0])
        # Its first lines are the public part, which the certificate has too.
        private = key_pair()[0].splitlines()[10:]
        self.search.add("private key", "\n".join(private))
        self.search.add("emulated session", "!EMU.")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "METADEPLOY_CONFIG": str(self.kept / "config.yaml"),
            "METADEPLOY_MASTER_KEY": self.keep("master"),
            "NO_COLOR": "1",
        }
        for name in ("client secret", "refresh token", "command", "password"):
            self.keep(name)
        self._with_certificate()
        git(project, "init", "--quiet", "--initial-branch", "main")
        git(project, "add", "templates", "orgs", "certs")
        git(project, "commit", "--quiet", "--message", "all")

    def keep(self, name, text=""):
        """Make a secret, or take one; keep it in a file; look for it from now on."""
        text = text or f"canary<{name.split()[0]}>&/+'é{secrets.token_hex(16)}"
        (self.kept / name.replace(" ", "-")).write_text(text)
        self.search.add(name, text)
        return text

    def _with_certificate(self):
        certificate = key_pair()[1]
        (self.project / "certs").mkdir()
        (self.project / "certs" / "portal.crt").write_text(certificate)
        element = "<certificate>{{ file('certs/portal.crt') }}</certificate>\n        "
        edit(self.project / PORTAL, "<isAdminApproved>", f"{element}<isAdminApproved>")
        login = "{flow: jwt, username: admin@dev.emulated, private_key: {file: KEY}}"
        login = login.replace("KEY", "../kept/portal.key")
        apps = f"\napps: {{Portal: {{login: {login}}}}}\nvalues:"
        edit(self.project / "orgs/dev.yaml", "\nvalues:", apps)

    def command(self, words):
        """The command line of words, with this place's own options."""
        debug = [w for w in self.words if w == "--debug"]
        before, dashes, after = words.partition(" -- ")
        as_json = [w for w in self.words if w == "--json"]
        said = [*before.split(), *as_json, *(dashes + after).split()]
        return [sys.executable, "-m", "metadeploy", *debug, *said]

    def run(self, words):
        """Run a command, look at all that it says, and return how it ended."""
        done = subprocess.run(
            self.command(words),
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        name = leaf(words)
        self.driven.add((name, done.returncode == 0))
        self.search.look(f"stderr of {words}", done.stderr)
        if name not in TELL:
            self.search.look(f"stdout of {words}", done.stdout)
        quiet = name in TELL or name == "hooks run" or "--clear" in words
        assert done.stdout or done.stderr or quiet, words
        return done

    def told(self, words):
        done = self.run(words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def add_real_orgs(self):
        """Orgs that are no emulated ones, as far as we know: real logins, by https."""
        url, org_id = self.served["httpsUrl"], self.served["orgs"][0]["orgId"]
        place = url.removeprefix("https://")
        (self.kept / "config.yaml").write_text(
            f"allowed_hosts: ['{place}']\nca_bundle: '{self.served['caPath']}'\n"
        )
        (self.kept / "config.yaml").chmod(0o600)
        app = self.told("keys export dev --app Portal --format json")
        self.search.add("consumer secret", app["consumerSecret"])
        token = self.told("emulator token dev")["accessToken"]
        self.env["SF_ACCESS_TOKEN"] = self.keep("access token", token)
        refresh = self.keep("sf token", f"5Aep861canary{secrets.token_hex(20)}")
        auth_url = f"force://{app['consumerKey']}::{refresh}@{place}"
        self.env["SFDX_AUTH_URL"] = auth_url
        said = self.told("emulator password dev admin@dev.emulated")
        self.keep("own password", said["password"])
        client = f"client_id: {app['consumerKey']}"
        user = "username: admin@dev.emulated"
        kept = "{file: ../kept/%s}"
        command = f"{{command: [{', '.join(self.child.split())}]}}"
        logins = {
            "jwt": f"flow: jwt, {client}, {user}, private_key: {kept % 'portal.key'}",
            "token": "flow: access_token",
            "secret": "flow: client_credentials, client_id: 3MVG9x, client_secret: "
            + kept % "client-secret",
            "soap": f"flow: soap, {user}, password: {kept % 'password'}",
            "url": "flow: sfdx_auth_url",
            "pem": f"flow: jwt, {client}, {user}, private_key: {kept % 'master'}",
            "command": f"flow: access_token, access_token: {command}",
            "host": "flow: access_token",
        }
        for name, login in logins.items():
            at = "https://acme.my.salesforce.com" if name == "host" else url
            (self.project / f"orgs/real-{name}.yaml").write_text(
                f"kind: sandbox\norg_id: {org_id}\nlogin: {{url: '{at}', {login}}}\n"
                "templates: [permissionsets/*]\n"
            )

    def lose_the_master(self):
        self.env["METADEPLOY_MASTER_KEY"] = self.keep("bad master", "canary-bad-master")

    def look_at_files(self):
        """Look at every file that is not a secret itself, and at every name."""
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            self.search.look(f"the name {name}", os.fsencode(name))
            if path.is_file() and not name.startswith(ALLOWED):
                self.search.look(name, path.read_bytes())


def leaves():
    """The name of every command that can be given."""
    context = click.Context(cli.metadeploy)
    found = set()
    for name in cli.COMMANDS:
        command = cli.metadeploy.get_command(context, name)
        subcommands = getattr(command, "commands", None)
        found |= {f"{name} {sub}" for sub in subcommands} if subcommands else {name}
    return found


def leaf(words):
    first, second = [*words.split(), ""][:2]
    return first if first in leaves() else f"{first} {second}"


@pytest.fixture
def place(tmp_path, project, request):
    folder = tmp_path / "all"
    folder.mkdir()
    inside = folder / "project"
    inside.mkdir()
    for name in ("templates", "orgs"):
        (project / name).rename(inside / name)
    made = Place(folder, inside, request.param)
    with (folder / "served.err").open("wb") as errors:
        serving = subprocess.Popen(
            made.command("emulator serve"),
            cwd=inside,
            env=made.env,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        line = serving.stdout.readline()
        made.search.look("stdout of emulator serve", line)
        made.driven.add(("emulator serve", True))
        made.served = json.loads(line)
        yield made
        serving.terminate()
        assert serving.wait(20) == 0
        serving.stdout.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "place",
    [["--debug"], ["--json"]],
    indirect=True,
    ids=["text and debug", "json"],
)
def test_no_command_lets_a_secret_out(place, counted):
    wrong = []
    for drive in drives(place):
        if callable(drive):
            drive()
            continue
        words, good = drive
        done = place.run(words)
        said = (done.stdout + done.stderr).decode()
        as_wanted = good is None or (done.returncode == 0) == good
        if not as_wanted or "Traceback" in said:
            wrong.append((words, done.returncode, said[-600:]))
    assert wrong == [], "\n".join(map(str, wrong))
    place.look_at_files()
    assert not place.search.found, "\n".join(place.search.found)
    assert {name for name, _ in place.driven} == leaves(), "add what is new to drives"
    assert {name for name, good in place.driven if not good} == leaves()
    seen = (place.project / "child-saw").read_bytes()
    assert b"handed.py" in seen and b"PATH" in seen  # and no secret, as searched above
    search = place.search
    for path in place.kept.iterdir():  # it does find them where they are
        before = len(search.found)
        search.look("control", path.read_bytes())
        assert len(search.found) > before or path.suffix in (".yaml", ".json")
    about = f"bytes searched for {search.secrets} secrets in {search.ways} forms"
    counted(about, search.bytes)


CANARY = "canary<&>'\"é\\ 0123456789"


def packed(text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.xml", f"<a>{text}</a>" * 9)
    return out.getvalue()


HIDDEN = {
    "plain": CANARY.encode(),
    "base64": base64.b64encode(CANARY.encode()),
    "base64 1": base64.b64encode(b"1" + CANARY.encode() + b"rest"),
    "base64 2": base64.b64encode(b"12" + CANARY.encode() + b"rest"),
    "url": quote(CANARY).encode(),
    "json": json.dumps({"a": CANARY}).encode(),
    "hex": CANARY.encode().hex().encode(),
    "zip": packed(CANARY),
    "zip in base64": b"<zipFile>" + base64.b64encode(packed(CANARY)) + b"</zipFile>",
    "gzip": b"x" + gzip.compress(CANARY.encode()),
    "zip in gzip": gzip.compress(packed(CANARY)),
}


@pytest.mark.parametrize("data", HIDDEN.values(), ids=HIDDEN)
def test_the_search_finds_what_is_hidden(data):
    search = Search()
    search.add("it", CANARY)
    search.look("here", b"before " + data + b" after")
    assert search.found
    search = Search()
    search.add("it", "canary of another kind")
    search.look("here", b"before " + data + b" after")
    assert search.found == []


def test_no_option_takes_a_secret():
    """What is on a command line, everybody on the machine may read."""
    context = click.Context(cli.metadeploy)
    words = ("secret", "token", "password", "master", "private", "auth-url", "pin")
    todo = [cli.metadeploy.get_command(context, name) for name in cli.COMMANDS]
    seen = 0
    while todo:
        command = todo.pop()
        todo += list(getattr(command, "commands", {}).values())
        for option in command.params:
            if getattr(option, "is_flag", False):
                continue
            seen += 1
            said = " ".join([*option.opts, str(option.metavar)]).lower()
            assert not any(word in said for word in words), (command.name, said)
    assert seen > 30
