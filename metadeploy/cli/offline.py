"""validate and render: what needs no org."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from metadeploy import __version__, privatefile
from metadeploy.cli import completing, options
from metadeploy.cli.output import (
    Document,
    Json,
    annotate,
    document,
    problem_json,
    shown,
    unobeyed_json,
    write_json,
)
from metadeploy.cli.terminal import columns, page_width, wrapped
from metadeploy.errors import ConfigError
from metadeploy.model import Problem, Severity
from metadeploy.orgfile import Policy

if TYPE_CHECKING:
    from metadeploy.rules.suppression import Suppressed


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=completing.files)
@click.option(
    "--org",
    "orgs",
    multiple=True,
    shell_complete=completing.orgs,
    help="Only for these orgs. [default: all]",
)
@click.option(
    "--staged", is_flag=True, help="Check what is staged in git, not the files."
)
@click.option(
    "--policy",
    "policies",
    type=click.Choice(get_args(Policy)),
    multiple=True,
    help="Ask for this policy too; isv: what Salesforce asks of vendors.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github", "gitlab"]),
    metavar="FORMAT",
    help="Print text, json, sarif, github or gitlab. [default: text]",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Show what each PATH touches, and check nothing. With --staged alone: what is"
    " staged, and what the git hook looks at for it.",
)
@options.as_json
def validate(
    paths: tuple[str, ...],
    orgs: tuple[str, ...],
    staged: bool,
    policies: tuple[str, ...],
    form: str | None,
    explain: bool,
    as_json: bool,
) -> int:
    """Check templates and org files, offline.

    Everything that is wrong is told at once, each as file:line. With PATH, only what
    is wrong in those files or folders is told. No key and no network is needed.

    --staged checks all of the project, as it is staged; the git hook does only what
    the edit reaches (see `metadeploy hooks --help`).
    """
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json is not --format {form}")
    workspace = options.find_workspace()
    if staged and explain and not paths:
        from metadeploy import history
        from metadeploy.cli import explaining

        edit = history.staged_edit(workspace, datetime.now(UTC))
        return explaining.tell_edit(edit.was, edit.now, as_json=as_json)
    if staged:
        from metadeploy import history

        project = history.staged(workspace, datetime.now(UTC))
    else:
        project = workspace.project()
    names = project.select(orgs)
    if explain:
        if not paths:
            raise click.UsageError("--explain wants the files to explain")
        from metadeploy.cli import explaining

        chosen = _below(paths, workspace.root)
        return explaining.tell(project, chosen, names, as_json=as_json)
    verdict = project.examine(names, policies=policies)
    inside = _inside(paths, workspace.root)
    problems = [p for p in verdict.problems if inside(p)]
    quiet = [s for s in verdict.suppressed if inside(s.problem)]
    errors = [p for p in problems if p.severity is Severity.ERROR]
    if as_json or form == "json":
        body: Document = {
            "orgs": list(names),
            "problems": [problem_json(p) for p in problems],
            "suppressed": [_suppressed_json(s) for s in quiet],
        }
        write_json(document("validate", body))
        return 1 if errors else 0
    say = annotate if form == "github" else click.echo
    for line in _lines(form, problems, quiet, workspace.root):
        say(line)
    warnings = options.counted(len(problems) - len(errors), "warning")
    checked = f"{options.counted(len(names), 'org')} checked"
    found = options.counted(len(errors), "error")
    kept = f", {len(quiet)} suppressed" if quiet else ""
    click.echo(f"{checked}: {found}, {warnings}{kept}.", err=True)
    return 1 if errors else 0


def _lines(
    form: str | None, problems: list[Problem], quiet: list[Suppressed], root: Path
) -> Iterable[str]:
    """Return what to print in a form that is not --json's."""
    if form in (None, "text"):
        return map(_line, problems)
    from metadeploy.reports import github, gitlab, sarif
    from metadeploy.reports.finding import findings

    found = findings(problems, quiet, folder=options.in_repository(root))
    if form == "sarif":
        return [unobeyed_json(sarif.text(found, __version__))]
    if form == "gitlab":
        return [unobeyed_json(gitlab.code_quality(found))]
    return github.problems(found)


def _line(problem: Problem) -> str:
    # The first stays one line: editors and people look for path:line in it.
    width = columns(sys.stdout) and page_width()
    lines = wrapped(shown(str(problem)), width)
    if problem.remedy:
        lines += wrapped(shown(problem.remedy), width, indent="    ")
    return "\n".join(lines)


def _suppressed_json(suppressed: Suppressed) -> dict[str, Json]:
    by = suppressed.by
    return {
        **problem_json(suppressed.problem),
        "reason": by.reason,
        "suppressedBy": {"path": by.path, "line": by.line},
    }


def _below(paths: Iterable[str], root: Path) -> list[str]:
    """Return paths as the project's own. Raises ConfigError for one outside."""
    found = []
    for path in paths:
        full = Path(path).resolve()
        if not full.is_relative_to(root):
            raise ConfigError(
                f"{path} is not in the project {root}",
                hint="Name what is below it; -C DIR means another project.",
            )
        found.append(full.relative_to(root).as_posix())
    return found


def _inside(paths: tuple[str, ...], root: Path) -> Callable[[Problem], bool]:
    """Return what tells whether a problem is in these files or folders, if any."""
    wanted = _below(paths, root) or ["."]
    return lambda p: any(
        w in (".", p.path) or p.path.startswith(f"{w}/") for w in wanted
    )


@click.command()
@click.argument("org", shell_complete=completing.orgs)
@click.option(
    "--out",
    metavar="DIR",
    shell_complete=completing.folders,
    help="Write the files below this folder.",
)
@click.option(
    "--reveal-secrets", is_flag=True, help="Write consumer secrets, not `***`."
)
@options.as_json
def render(org: str, out: str | None, reveal_secrets: bool, as_json: bool) -> int:
    """Write an org's package as it would be sent.

    It is what creates everything: the org's consumer keys are in it where its Id and
    the master are known; consumer secrets are masked. Without --out, all goes to
    stdout.
    """
    from metadeploy.api import Orgs

    with Orgs(options.find_workspace()) as connected:
        name = options.one_org(connected.project, org)
        files, note = connected.render(name, reveal_secrets=reveal_secrets)
    if note:
        click.echo(shown(note), err=True)
    if out is not None:
        for path, body in files.items():
            _write(Path(out) / path, body, private=reveal_secrets)
    if as_json:
        write_json(
            document("render", {"org": name, "files": list(files), "note": note})
        )
    elif out is not None:
        click.echo(f"{options.counted(len(files), 'file')} written to {out}.", err=True)
    else:
        for path, content in files.items():
            click.echo(shown(f"=== {path}"))
            click.echo(shown(content.decode("utf-8", "replace")))
    return 0


def _write(path: Path, body: bytes, *, private: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        privatefile.refuse_link(path)
        if not private:
            path.write_bytes(body)
            return
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    options.save(path, body)
