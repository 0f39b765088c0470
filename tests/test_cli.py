"""The command line: its help, its errors, what needs no org, and a terminal."""

from __future__ import annotations

import os
import pty
import re
import sys

import click
import pytest
from apps import edit, git

from metadeploy import cli

# -- help


@pytest.mark.parametrize("command", ["metadeploy", *cli.COMMANDS])
def test_help(command, snapshot, capsys):
    words = [] if command == "metadeploy" else [command]
    assert cli.run([*words, "--help"]) == 0
    snapshot.assert_match(capsys.readouterr().out, "help.txt")


def test_the_help_that_is_printed_without_loading_is_the_commands_own():
    group = cli.metadeploy
    with click.Context(group) as ctx:
        for name, (_, text) in cli.COMMANDS.items():
            assert group.get_command(ctx, name).get_short_help_str(80) == text


def leaves(command, words=()):
    if isinstance(command, click.Group):
        with click.Context(command) as ctx:
            for name in command.list_commands(ctx):
                yield from leaves(command.get_command(ctx, name), (*words, name))
    else:
        yield " ".join(words), command


def test_every_command_takes_json_and_says_what_it_does():
    found = dict(leaves(cli.metadeploy))
    assert len(found) >= 20
    for name, command in found.items():
        opts = {o for p in command.params for o in p.opts}
        assert "--json" in opts, name
        assert command.help and command.help.strip(), name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)


def test_a_new_master_as_json(runner):
    made = runner("keys", "init", "--json").json
    assert made["variable"] == "METADEPLOY_MASTER_KEY" and len(made["master"]) == 64


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plann"], "No such command 'plann'. Did you mean 'plan'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["plan", "--outt", "x"], "No such option '--outt'. Did you mean '--out'?"),
        (["deploy", "--wait", "soon"], "'soon' is not a valid float range"),
        (["render"], "Missing argument 'ORG'"),
        (["render", "*"], "one org is wanted, not dev, prod, uat"),
        (["deploy"], "name the orgs to deploy to, or '*' for all"),
        (["deploy", "dev"], "nobody is there to be asked: --auto-approve answers"),
    ],
)
def test_wrong_usage(runner, words, message):
    ran = runner(*words)
    assert (ran.code, message in ran.err) == (64, True), ran.err
    as_json = runner(*words, "--json")
    assert as_json.code == 64
    assert message in as_json.json["error"]["message"]


# -- validate


def test_validate_finds_nothing_in_the_example(runner):
    ran = runner("validate")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "3 orgs checked: 0 errors, 0 warnings.\n"
    assert runner("validate", "--json").json == {
        "schemaVersion": 1,
        "command": "validate",
        "orgs": ["dev", "prod", "uat"],
        "problems": [],
        "suppressed": [],
    }


BREAKS = [
    ("orgs/dev.yaml", "tags: [playground]", "tags: [a]\ntags: [b]",
     "orgs/dev.yaml:4: duplicate key 'tags', first on line 3 [MD001]"),
    ("orgs/dev.yaml", "tags:", "tag:",
     "orgs/dev.yaml:3: unknown key 'tag'; did you mean tags? [MD010]"),
    ("orgs/dev.yaml", "[playground]", "playground",
     "orgs/dev.yaml:3: tags must be a list, not text [MD010]"),
    ("templates/connectedApps/Portal.connectedApp.j2", "{{ contact }}", "{{ contat }}",
     "templates/connectedApps/Portal.connectedApp.j2:7: 'contat' is undefined for org"
     " dev (orgs/dev.yaml); did you mean contact? [MD021]"),
    ("templates/connectedApps/Portal.connectedApp.j2", "</infoUrl>", "</infoUrL>",
     "templates/connectedApps/Portal.connectedApp.j2:9: "),
    ("templates/connectedApps/Portal.connectedApp.j2", "infoUrl>", "infoUrI>",
     "templates/connectedApps/Portal.connectedApp.j2:9: "),
    ("orgs/defaults.yaml", "Chatter", "Chater",
     "templates/connectedApps/Portal.connectedApp.j2:26: "),
    ("orgs/dev.yaml", "http://localhost", "http://dev.acme.example",
     "templates/connectedApps/Portal.connectedApp.j2:19: "),
    ("templates/permissionsets/Portal_API.permissionset.j2",
     "    <label>Portal API</label>\n", "",
     "templates/permissionsets/Portal_API.permissionset.j2:3: "),
]  # fmt: skip


@pytest.mark.parametrize(("path", "old", "new", "line"), BREAKS)
def test_validate_names_the_place(runner, project, path, old, new, line):
    edit(project / path, old, new)
    ran = runner("validate")
    assert ran.code == 1
    found = [row for row in ran.out.split("\n") if row.startswith(line)]
    assert found, ran.out
    as_json = runner("validate", "--json")
    assert as_json.code == 1 and as_json.json["problems"]


def test_validate_can_be_limited(runner, project):
    edit(project / "orgs/dev.yaml", "tags:", "tag:")
    edit(project / "orgs/uat.yaml", "tags:", "tag:")
    assert runner("validate", project / "orgs/uat.yaml").out.count("MD010") == 1
    assert runner("validate", project / "orgs").out.count("MD010") == 2
    assert runner("validate", "--org", "prod").code == 0
    assert "is not in the project" in runner("validate", "/etc").err


def test_validate_reads_what_is_staged(runner, project):
    git(project, "init", "--quiet")
    git(project, "add", ".")
    edit(project / "orgs/dev.yaml", "tags:", "tag:")
    assert runner("validate").code == 1
    assert runner("validate", "--staged").code == 0
    git(project, "add", ".")
    edit(project / "orgs/dev.yaml", "tag:", "tags:")
    assert runner("validate").code == 0
    assert "orgs/dev.yaml:3: unknown key 'tag'" in runner("validate", "--staged").out


def test_no_project_here(runner, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    ran = runner("validate", at=empty)
    assert ran.code == 1
    assert "no project here" in ran.err and "metadeploy init" in ran.err


# -- init, orgs, render


def test_init_writes_the_example_and_keeps_what_is_there(runner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "portal"
    (folder / "orgs").mkdir(parents=True)
    (folder / "orgs/dev.yaml").write_text("kind: emulated\n")
    ran = runner("init", folder)
    assert ran.code == 0
    assert "orgs/dev.yaml is there already, and stays" in ran.out
    assert (folder / "orgs/dev.yaml").read_text() == "kind: emulated\n"
    assert ".metadeploy/" in (folder / ".gitignore").read_text()
    kept = runner("init", folder, "--json").json
    assert kept["written"] == [] and "orgs/uat.yaml" in kept["kept"]


def test_the_example_is_the_repositorys_own(request):
    root = request.config.rootpath
    scaffold = root / "metadeploy/_scaffold"
    for folder in ("templates", "orgs"):
        ours = {
            p.relative_to(root).as_posix(): p.read_bytes()
            for p in (root / folder).rglob("*")
            if p.is_file()
        }
        shipped = {
            p.relative_to(scaffold).as_posix(): p.read_bytes()
            for p in (scaffold / folder).rglob("*")
            if p.is_file()
        }
        assert ours == shipped, f"cp -r {folder} metadeploy/_scaffold/"


def test_orgs(runner, project):
    rows = runner("orgs", "--json").json["orgs"]
    assert [r["org"] for r in rows] == ["dev", "prod", "uat"]
    assert rows[2]["promoteFrom"] == "dev"
    assert runner("orgs", "tag:uat").out == "uat  emulated  [playground, uat]\n"
    assert "no org is called 'uta'" in runner("orgs", "uta").err
    edit(project / "orgs/dev.yaml", "tags:", "tag:")
    ran = runner("orgs")
    assert ran.code == 1 and "dev   not usable: see metadeploy validate" in ran.out


def test_render_writes_what_would_be_sent(runner, project, snapshot, tmp_path):
    # The Id of an emulated org is of its own choosing; a pinned one is not.
    for name in ("dev", "uat", "prod"):
        kind = {"dev": "developer", "uat": "sandbox", "prod": "production"}[name]
        text = (project / f"orgs/{name}.yaml").read_text()
        login = (
            f"kind: {kind}\norg_id: 00D00000000000{name[0]}\n"
            "login: {flow: access_token, url: https://acme.my.salesforce.com,"
            " access_token: {env: TOKEN}}\n"
        )
        text = re.sub("(?m)^(kind|emulator):.*\n", "", text)
        (project / f"orgs/{name}.yaml").write_text(login + text)
        ran = runner("render", name, "--out", tmp_path / "out" / name)
        assert ran.code == 0
        assert "METADEPLOY_MASTER_KEY is not set" in ran.err
        snapshot.assert_match_dir(tree(tmp_path / "out" / name), f"render-{name}")


def tree(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            *parents, name = path.relative_to(folder).parts
            here = found
            for parent in parents:
                here = here.setdefault(parent, {})
            here[name] = path.read_text()
    return found


def test_render_masks_secrets_unless_told(runner, tmp_path):
    assert runner("emulator", "reset", "dev").code == 0
    runner("render", "dev", "--out", tmp_path / "a")
    app = "connectedApps/Portal.connectedApp"
    assert "<consumerSecret>***<" in (tmp_path / "a" / app).read_text()
    shown = runner("render", "dev")
    assert "<consumerSecret>***<" in shown.out and "=== package.xml" in shown.out
    runner("render", "dev", "--out", tmp_path / "b", "--reveal-secrets")
    text = (tmp_path / "b" / app).read_text()
    exported = runner("keys", "export", "dev", "--app", "Portal", "--format", "json")
    assert exported.json["consumerSecret"] in text
    assert exported.json["consumerKey"] in text
    assert (tmp_path / "b" / app).stat().st_mode & 0o777 == 0o600
    assert "connectedAppAccesses" not in text


# -- at a terminal


def at_terminal(project, words, answer):
    """Run the command line with a terminal for stdin, stdout and stderr."""
    pid, terminal = pty.fork()
    if pid == 0:  # the child is the command
        os.environ.update(TERM="xterm-256color", COLUMNS="80")
        os.environ.pop("NO_COLOR", None)
        os.execv(
            sys.executable,
            [sys.executable, "-m", "metadeploy", "-C", str(project), *words],
        )
    shown = b""
    answered = False
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
        if not answered and b"Only 'yes'" in shown:
            os.write(terminal, answer)
            answered = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_deploy_asks_a_person(project):
    code, shown = at_terminal(project, ["deploy", "dev"], b"y\n")
    assert code == 1 and "not confirmed" in shown
    code, shown = at_terminal(project, ["deploy", "dev"], b"yes\n")
    assert code == 0, shown
    assert "\x1b[38;5;28m" in shown and "deployed and verified" in shown
    code, shown = at_terminal(project, ["plan", "dev"], b"")
    assert code == 0 and "Nothing to do: the org matches." in shown
