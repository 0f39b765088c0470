"""One deploy, from its zip to its rows: all or nothing, or what could be done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from metadeploy import schema
from metadeploy.emulator import externalapps
from metadeploy.emulator.components import delete_component, write_component
from metadeploy.emulator.judge import BadFile
from metadeploy.emulator.package import (
    DESTRUCTIVE,
    MANIFEST,
    Intake,
    ManifestFile,
    Package,
    Problem,
    SourceFile,
)
from metadeploy.emulator.state import OrgState
from metadeploy.emulator.writing import Writer, Written
from metadeploy.model import Ref


class Row(Struct, frozen=True):
    """One DeployMessage: what the org did with one component."""

    component_type: str
    full_name: str
    file_name: str
    success: bool
    created: bool = False
    changed: bool = False
    deleted: bool = False
    id: str = ""
    problem: str = ""
    problem_type: str = ""
    line: int = 0
    column: int = 0


class Outcome(Struct, frozen=True):
    """What came of a deploy. kept: whether anything was written for good."""

    rows: tuple[Row, ...] = ()
    error_code: str = ""
    error_message: str = ""
    total: int = 0
    kept: bool = True
    tests_failed: tuple[tuple[str, str], ...] = ()

    @property
    def deployed(self) -> int:
        """How many components succeeded, manifests not counted."""
        return sum(r.success and r.component_type != "" for r in self.rows)

    @property
    def errors(self) -> int:
        return sum(not r.success for r in self.rows)


class Rules(Struct, frozen=True):
    """The options that decide how a deploy goes on after a failure, and what stays."""

    check_only: bool = False
    rollback_on_error: bool = True
    ignore_warnings: bool = False
    purge_on_delete: bool = False
    tests: tuple[str, ...] = ()


class _RolledBack(Exception):
    """Leaves the transaction without a trace, the outcome in hand."""


class _Run(Struct):
    org: OrgState
    user_id: str
    rules: Rules
    rows: list[Row] = field(default_factory=list)


# What is written first. Within a package, what others point at comes before them;
# inferred: the platform resolves such references in one package too.
_FIRST = (
    "CustomObject",
    "CustomPermission",
    "ApexClass",
    "ApexPage",
    "CustomTab",
    "CustomApplication",
    "Flow",
    "Settings",
)
_LAST = (
    "PermissionSet",
    "PermissionSetGroup",
    "Profile",
    "ConnectedApp",
    "ExternalClientApplication",
    "ExtlClntAppGlobalOauthSettings",
    "ExtlClntAppOauthSettings",
    "ExtlClntAppOauthSecuritySettings",
    "ExtlClntAppConfigurablePolicies",
    "ExtlClntAppOauthConfigurablePolicies",
)
_RANK: Mapping[str, int] = {
    **{name: n for n, name in enumerate(_FIRST)},
    **{name: 100 + n for n, name in enumerate(_LAST)},
}


def run(org: OrgState, user_id: str, intake: Intake, rules: Rules) -> Outcome:
    """Apply a package to an org inside the world's open transaction.

    With check_only, or with a failure and rollback_on_error, nothing stays.
    """
    job = _Run(org, user_id, rules)
    outcome = Outcome()
    try:
        with org.world.store.savepoint():
            outcome = _apply(job, intake)
            failed = bool(outcome.errors or outcome.tests_failed)
            if rules.check_only or (failed and rules.rollback_on_error):
                raise _RolledBack
    except _RolledBack:
        return replace(outcome, kept=False)
    return outcome


def _apply(job: _Run, intake: Intake) -> Outcome:
    job.rows += (_problem_row(p, job.rules) for p in intake.problems)
    total = 0
    for package in intake.packages:
        total += _apply_package(job, package)
    failed = _missing_tests(job.org, job.rules.tests)
    rows = tuple(sorted(job.rows, key=lambda r: (r.component_type, r.full_name)))
    return Outcome(rows, total=max(total, _errors(rows)), tests_failed=failed)


def _errors(rows: Iterable[Row]) -> int:
    return sum(not r.success for r in rows)


def _missing_tests(org: OrgState, tests: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the named test classes that the org lacks, each with a message.

    Apex is not run here: a class that is there counts as passed without a run.
    """
    return tuple(
        (name, f"Apex class {name} was not found in this organization")
        for name in tests
        if org.component(Ref("ApexClass", name)) is None
    )


def _apply_package(job: _Run, package: Package) -> int:
    writer = Writer(
        job.org,
        job.user_id,
        package.manifest.version,
        ignore_warnings=job.rules.ignore_warnings,
    )
    deleted = 0
    for name in DESTRUCTIVE[:2]:
        deleted += _destroy(job, writer, package, name)
    job.rows += (_problem_row(p, job.rules) for p in package.problems)
    for source in sorted(package.components, key=_order):
        job.rows.append(_write_row(job, writer, source))
    job.rows += _children_rows(
        package, {r.full_name for r in job.rows if not r.success}
    )
    externalapps.add_generated(writer, {s.ref.type for s in package.components})
    deleted += _destroy(job, writer, package, DESTRUCTIVE[2])
    job.rows.append(_manifest_row(package.manifest.path, MANIFEST))
    problems = sum(p.component_type != "" for p in package.problems)
    return len(package.components) + deleted + problems


def _order(source: SourceFile) -> tuple[int, str, str]:
    return _RANK.get(source.ref.type, 50), source.ref.type, source.ref.full_name


def _write_row(job: _Run, writer: Writer, source: SourceFile) -> Row:
    try:
        with job.org.world.store.savepoint():
            written = write_component(writer, source)
    except BadFile as bad:
        return Row(
            source_type(source),
            source.ref.full_name,
            source.path,
            success=False,
            problem=bad.problem,
            problem_type="Warning" if bad.warning else "Error",
            line=bad.line,
            column=bad.column,
        )
    return _success_row(source, written, ignored=job.rules.ignore_warnings)


def _success_row(source: SourceFile, written: Written, *, ignored: bool) -> Row:
    return Row(
        source_type(source),
        source.ref.full_name,
        source.path,
        success=not written.warning or ignored,
        created=written.created,
        changed=written.changed,
        id=written.id,
        problem=written.warning,
        problem_type="Warning" if written.warning else "",
    )


def source_type(source: SourceFile) -> str:
    """Return the componentType of a row: settings are named in full (observed)."""
    if source.ref.type == "Settings":
        return schema.root_name(source.ref)
    return source.ref.type


def _children_rows(package: Package, failed: set[str]) -> Iterator[Row]:
    """Yield a row for each child that package.xml names, told by its parent's file."""
    parents = {s.ref: s for s in package.components}
    for ref in package.manifest.refs():
        found = schema.metadata_types().get(ref.type)
        if found and found.layout == "child" and ref not in parents:
            owner = Ref(found.owner, ref.full_name.partition(".")[0])
            source = parents.get(owner)
            if source and source.ref.full_name not in failed:
                yield Row(ref.type, ref.full_name, source.path, True, changed=True)


def _problem_row(problem: Problem, rules: Rules) -> Row:
    return Row(
        problem.component_type,
        problem.full_name,
        problem.file_name,
        success=problem.warning and rules.ignore_warnings,
        problem=problem.text,
        problem_type="Warning" if problem.warning else "Error",
        line=problem.line,
        column=problem.column,
    )


def _manifest_row(path: str, name: str) -> Row:
    """Return the row of a manifest: its componentType is empty text (recalled)."""
    return Row("", name, path, success=True, changed=True)


def _destroy(job: _Run, writer: Writer, package: Package, name: str) -> int:
    manifest = package.destructive.get(name)
    if manifest is None:
        return 0
    refs = list(manifest.refs())
    for kind, names in manifest.members.items():
        if "*" in names:
            # Documented: no wildcards here. The wording is inferred.
            text = f"Wildcards are not allowed in {name}"
            job.rows.append(
                Row(kind, "*", manifest.path, False, problem=text, problem_type="Error")
            )
    prefix = package.manifest.path.removesuffix(MANIFEST)
    for ref in sorted(refs, key=lambda r: (-_RANK.get(r.type, 50), r)):
        job.rows.append(_destroy_row(job, writer, manifest, ref, prefix=prefix))
    job.rows.append(_manifest_row(manifest.path, name))
    return len(refs)


def _destroy_row(
    job: _Run, writer: Writer, manifest: ManifestFile, ref: Ref, *, prefix: str
) -> Row:
    file_name = manifest.path
    try:
        if ref.type not in schema.metadata_types():
            raise BadFile(f"Unknown type name '{ref.type}' specified in package.xml")
        with job.org.world.store.savepoint():
            deleted = delete_component(writer, ref)
    except BadFile as bad:
        return Row(
            ref.type,
            ref.full_name,
            file_name,
            success=False,
            problem=bad.problem,
            problem_type="Error",
        )
    if deleted is None:
        # Observed (SDR): a success, told on the manifest's own row.
        return Row(
            "",
            manifest.path.removeprefix(prefix),
            file_name,
            success=True,
            problem=f"No {ref.type} named: {ref.full_name} found",
            problem_type="Warning",
        )
    return Row(
        ref.type, ref.full_name, file_name, success=True, deleted=True, id=deleted
    )
