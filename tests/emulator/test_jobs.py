"""Deploys as jobs: the queue, cancel, check-only and quick deploys, partial success."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from deployer import Deployer, app, manifest, pack, permission_set, row_of

from metadeploy.emulator import jobs
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.jobs import DeployOptions
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import World, open_world
from metadeploy.emulator.zips import read_zip, write_zip
from metadeploy.model import Ref

SET = {"permissionsets/P.permissionset": permission_set()}
BROKEN = {"permissionsets/B.permissionset": permission_set("<nonsense/>")}
VALIDATE = DeployOptions(check_only=True, test_level="RunLocalTests")


def slow(world: World, polls: int) -> Deployer:
    return Deployer(world.create_org("slow", OrgSettings(deploy_polls=polls)))


def statuses(deployer: Deployer, deploy_id: str, count: int) -> list[str]:
    return [deployer.status(deploy_id).status for _ in range(count)]


def test_a_quick_org_is_done_before_it_answers(world: World) -> None:
    deployer = slow(world, 0)
    deploy_id = deployer.submit(SET)
    assert jobs.load_deploy(deployer.org, deploy_id).status == "Succeeded"
    assert deployer.org.component(Ref("PermissionSet", "P"))


@pytest.mark.parametrize(
    ("polls", "seen"),
    [
        (1, ["Succeeded"]),
        (2, ["InProgress", "Succeeded"]),
        (4, ["InProgress", "InProgress", "Finalizing", "Succeeded"]),
    ],
)
def test_a_slow_org_needs_that_many_polls(
    world: World, polls: int, seen: list[str]
) -> None:
    deployer = slow(world, polls)
    deploy_id = deployer.submit(SET)
    assert jobs.load_deploy(deployer.org, deploy_id).status == "Pending"
    assert statuses(deployer, deploy_id, polls + 1) == [*seen, "Succeeded"]
    assert deployer.org.component(Ref("PermissionSet", "P"))


def test_nothing_is_there_before_the_end(world: World) -> None:
    deployer = slow(world, 2)
    deploy_id = deployer.submit(SET)
    job = deployer.status(deploy_id)
    assert (job.done, job.success, job.rows) == (False, False, ())
    assert deployer.org.component(Ref("PermissionSet", "P")) is None


def test_progress_is_told(world: World) -> None:
    deployer = slow(world, 4)
    more = {f"permissionsets/P{n}.permissionset": permission_set() for n in range(7)}
    deploy_id = deployer.submit({**SET, **more})
    seen = [deployer.status(deploy_id) for _ in range(4)]
    assert [j.total for j in seen] == [8, 8, 8, 8]
    assert [j.deployed for j in seen] == [2, 4, 6, 8]


def test_one_deploy_of_an_org_runs_at_a_time_in_order(world: World) -> None:
    deployer = slow(world, 2)
    first, second, third = (deployer.submit(SET) for _ in range(3))
    # Asking about a waiting deploy moves the running one.
    assert statuses(deployer, third, 2) == ["Pending", "Pending"]
    assert jobs.load_deploy(deployer.org, first).status == "Succeeded"
    assert statuses(deployer, second, 2) == ["InProgress", "Succeeded"]
    assert statuses(deployer, third, 2) == ["InProgress", "Succeeded"]
    active = [e for e, d in deployer.org.events() if e == "deploy ended"]
    assert len(active) == 3
    assert [j.id for j in jobs.recent_deploys(deployer.org)] == [third, second, first]


def test_orgs_do_not_wait_for_one_another(world: World) -> None:
    waiting = slow(world, 3)
    waiting.submit(SET)
    other = Deployer(world.create_org("other"))
    assert other.deploy(SET).success


def test_a_waiting_deploy_is_canceled_at_once(world: World) -> None:
    deployer = slow(world, 2)
    first, second = deployer.submit(SET), deployer.submit(SET)
    deployer.status(first)
    assert jobs.cancel_deploy(deployer.session, second) == (second, True)
    job = deployer.status(second)
    assert (job.status, job.done, job.success) == ("Canceled", True, False)
    assert job.canceled_by == deployer.session.user_id
    assert deployer.status(first).status == "Succeeded"


def test_a_running_deploy_goes_through_canceling(world: World) -> None:
    deployer = slow(world, 3)
    deploy_id = deployer.submit(SET)
    deployer.status(deploy_id)
    assert jobs.cancel_deploy(deployer.session, deploy_id) == (deploy_id, False)
    assert jobs.load_deploy(deployer.org, deploy_id).status == "Canceling"
    assert deployer.status(deploy_id).status == "Canceled"
    assert deployer.org.component(Ref("PermissionSet", "P")) is None
    assert deployer.submit(SET)


def test_a_failure_undoes_everything(world: World) -> None:
    deployer = slow(world, 0)
    job = deployer.deploy({**SET, **BROKEN})
    assert (job.status, job.total, job.deployed, job.errors) == ("Failed", 2, 1, 1)
    assert row_of(job, "P").success
    assert deployer.org.component(Ref("PermissionSet", "P")) is None
    broken = row_of(job, "B")
    assert (broken.problem_type, broken.line) == ("Error", 1)
    assert broken.file_name == "permissionsets/B.permissionset"


def test_without_rollback_the_good_part_stays(world: World) -> None:
    deployer = slow(world, 0)
    job = deployer.deploy({**SET, **BROKEN}, DeployOptions(rollback_on_error=False))
    assert (job.status, job.success) == ("SucceededPartial", False)
    assert deployer.org.component(Ref("PermissionSet", "P"))
    alone = deployer.deploy(BROKEN, DeployOptions(rollback_on_error=False))
    assert alone.status == "Failed"


def test_production_rolls_back_always(world: World) -> None:
    org = world.create_org("prod", OrgSettings(kind="production"))
    with pytest.raises(Fault, match="rollbackOnError must be true"):
        Deployer(org).submit(SET, DeployOptions(rollback_on_error=False))


def test_check_only_keeps_nothing(world: World) -> None:
    deployer = slow(world, 0)
    job = deployer.deploy(SET, DeployOptions(check_only=True))
    assert (job.success, row_of(job, "P").created) == (True, True)
    assert deployer.org.component(Ref("PermissionSet", "P")) is None
    assert deployer.deploy(
        {"connectedApps/A.connectedApp": app(key="samekey1")},
        DeployOptions(check_only=True),
    ).success
    assert deployer.deploy(
        {"connectedApps/A.connectedApp": app(key="samekey1")}
    ).success


def test_a_validation_is_deployed_once_under_a_new_id(world: World) -> None:
    deployer = slow(world, 0)
    validated = deployer.submit(SET, VALIDATE)
    quick = jobs.quick_deploy(deployer.session, validated)
    assert quick != validated
    job = deployer.status(quick)
    assert (job.status, job.options.check_only) == ("Succeeded", False)
    assert deployer.org.component(Ref("PermissionSet", "P"))
    with pytest.raises(Fault, match="out of date"):
        jobs.quick_deploy(deployer.session, validated)


def test_what_cannot_be_quick_deployed(world: World, clock: Any) -> None:
    deployer = slow(world, 0)
    failed = deployer.submit(BROKEN, VALIDATE)
    untested = deployer.submit(SET, DeployOptions(check_only=True))
    superseded = deployer.submit(SET, VALIDATE)
    deployer.deploy({"permissionsets/Q.permissionset": permission_set(label="Q")})
    old = deployer.submit(SET, VALIDATE)
    clock.now += 11 * 86400
    deployer = Deployer(deployer.org)
    for deploy_id, why in [
        (failed, "not a successful validation"),
        (untested, "ran no tests"),
        (superseded, "the organization changed"),
        (old, "older than 10 days"),
    ]:
        with pytest.raises(Fault, match=why):
            jobs.quick_deploy(deployer.session, deploy_id)


def test_a_quick_deploy_waits_its_turn(world: World) -> None:
    deployer = slow(world, 1)
    validated = deployer.submit(SET, VALIDATE)
    assert deployer.status(validated).success
    first = deployer.submit(SET)
    quick = jobs.quick_deploy(deployer.session, validated)
    assert deployer.status(quick).status == "Pending"
    assert jobs.load_deploy(deployer.org, first).success
    assert deployer.status(quick).success


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DeployOptions(test_level="Some"), "not a valid value for the enum"),
        (DeployOptions(test_level="RunSpecifiedTests"), "needs runTests"),
        (
            DeployOptions(test_level="RunLocalTests", run_tests=("T",)),
            "can be used only",
        ),
    ],
)
def test_contradicting_options_are_refused(
    world: World, options: DeployOptions, message: str
) -> None:
    deployer = slow(world, 0)
    with pytest.raises(Fault, match=message):
        deployer.submit(SET, options)
    assert jobs.recent_deploys(deployer.org) == []


def test_named_tests_have_to_be_there(world: World) -> None:
    deployer = slow(world, 0)
    options = DeployOptions(test_level="RunSpecifiedTests", run_tests=("MyTest",))
    job = deployer.deploy(SET, options)
    assert (job.status, job.test_errors) == ("Failed", 1)
    assert job.test_failures[0][0] == "MyTest"
    meta = '<ApexClass xmlns="http://soap.sforce.com/2006/04/metadata"/>'
    files = {
        **SET,
        "classes/MyTest.cls": "@isTest class MyTest {}",
        "classes/MyTest.cls-meta.xml": meta,
    }
    assert deployer.deploy(files, options).success


def test_a_record_of_the_tooling_api_follows_the_job(world: World) -> None:
    deployer = slow(world, 2)
    deploy_id = deployer.submit(SET, DeployOptions(check_only=True))
    (record,) = deployer.org.records("DeployRequest")
    assert (record["Id"], record["Status"], record["CheckOnly"]) == (
        deploy_id,
        "Pending",
        True,
    )
    statuses(deployer, deploy_id, 2)
    (record,) = deployer.org.records("DeployRequest")
    assert (record["Status"], record["NumberComponentsDeployed"]) == ("Succeeded", 1)
    assert record["CreatedById"] == deployer.session.user_id


def test_ids_may_have_15_characters(world: World) -> None:
    deployer = slow(world, 0)
    deploy_id = deployer.submit(SET)
    assert deployer.status(deploy_id[:15]).id == deploy_id
    with pytest.raises(Fault, match="INVALID_ID_FIELD"):
        deployer.status("nonsense")


def test_the_top_folder_is_echoed_in_file_names(world: World) -> None:
    deployer = slow(world, 0)
    data = pack(SET, folder="md_run42/")
    deploy_id = jobs.submit_deploy(deployer.session, data, DeployOptions())
    names = {r.file_name for r in deployer.status(deploy_id).rows}
    assert names == {
        "md_run42/package.xml",
        "md_run42/permissionsets/P.permissionset",
    }


def test_two_folders_are_two_packages(world: World) -> None:
    other = {"permissionsets/Q.permissionset": permission_set(label="Q")}
    data = write_zip(
        {**read_zip(pack(SET, folder="a/")), **read_zip(pack(other, folder="b/"))}
    )
    deployer = slow(world, 0)
    job = deployer.status(jobs.submit_deploy(deployer.session, data, DeployOptions()))
    assert (job.success, job.total) == (True, 2)


def test_what_is_no_zip_fails_as_a_whole(world: World) -> None:
    deployer = slow(world, 0)
    deploy_id = jobs.submit_deploy(deployer.session, b"nonsense", DeployOptions())
    job = deployer.status(deploy_id)
    assert (job.status, job.success, job.rows) == ("Failed", False, ())
    assert job.error_message.startswith("The zip file is not valid")


def test_an_oversized_zip_is_refused(world: World) -> None:
    deployer = slow(world, 0)
    with pytest.raises(Fault, match="LIMIT_EXCEEDED"):
        jobs.submit_deploy(deployer.session, bytes(jobs.MAX_ZIP + 1), DeployOptions())


def test_destructive_changes_before_and_after(world: World) -> None:
    deployer = slow(world, 0)
    key = {"connectedApps/A.connectedApp": app(key="samekey1")}
    deployer.deploy({**SET, "connectedApps/Old.connectedApp": app(key="samekey1")})
    job = deployer.deploy(
        {
            **key,
            "package.xml": manifest({"ConnectedApp": ("A",)}),
            "destructiveChangesPre.xml": manifest({"ConnectedApp": ("Old",)}),
            "destructiveChangesPost.xml": manifest({"PermissionSet": ("P",)}),
        }
    )
    assert job.success
    assert {r.full_name for r in job.rows if r.deleted} == {"Old", "P"}
    # Afterwards would have been too late for the key.
    again = deployer.deploy(
        {
            "connectedApps/B.connectedApp": app(key="samekey1"),
            "package.xml": manifest({"ConnectedApp": ("B",)}),
            "destructiveChangesPost.xml": manifest({"ConnectedApp": ("A",)}),
        }
    )
    assert row_of(again, "B").problem == "The consumer key is already taken"
    assert deployer.org.component(Ref("ConnectedApp", "A"))


def test_destructive_changes_know_no_wildcard(world: World) -> None:
    deployer = slow(world, 0)
    files = {
        "package.xml": manifest({}),
        "destructiveChanges.xml": manifest({"PermissionSet": ("*",)}),
    }
    assert deployer.problem(files).startswith("Wildcards are not allowed")


def test_missing_files_can_be_allowed(world: World) -> None:
    deployer = slow(world, 0)
    files = {**SET, "package.xml": manifest({"PermissionSet": ("P", "Q")})}
    assert not deployer.deploy(files).success
    allowed = DeployOptions(allow_missing_files=True, ignore_warnings=True)
    job = deployer.deploy(files, allowed)
    assert job.success
    assert row_of(job, "Q").problem_type == "Warning"
    assert not deployer.deploy(files, DeployOptions(allow_missing_files=True)).success


def test_files_that_are_not_listed_can_be_taken(world: World) -> None:
    deployer = slow(world, 0)
    files = {**SET, "package.xml": manifest({})}
    assert not deployer.deploy(files).success
    assert deployer.deploy(files, DeployOptions(auto_update_package=True)).success


def test_a_wildcard_lists_everything(world: World) -> None:
    deployer = slow(world, 0)
    files = {**SET, "package.xml": manifest({"PermissionSet": ("*",)})}
    assert deployer.deploy(files).success


def test_rows_name_line_and_column(world: World) -> None:
    deployer = slow(world, 0)
    text = permission_set("\n    <nonsense>1</nonsense>")
    job = deployer.deploy({"permissionsets/B.permissionset": text})
    broken = row_of(job, "B")
    # As in "Element actionCalls is duplicated … (134:16)": the tag's last letter.
    assert (broken.line, broken.column) == (2, len("    <nonsense"))


def test_many_processes_worth_of_deploys_leave_one_app(
    world: World, tmp_path: Path
) -> None:
    """Fifty threads on two openings create one app with one key, and no deadlock."""
    org = world.create_org("busy", OrgSettings())
    other = open_world(world.store.path, clock=world.clock)
    deployers = [Deployer(w.org("busy")) for w in (world, other)]
    outcomes: list[str] = []

    def deploy(number: int) -> None:
        files = {"connectedApps/A.connectedApp": app(key=f"keynumber{number}")}
        outcomes.append(deployers[number % 2].deploy(files).status)

    threads = [threading.Thread(target=deploy, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(outcomes)) == ["Failed", "Succeeded"]
    assert outcomes.count("Succeeded") == 1
    component = org.component(Ref("ConnectedApp", "A"))
    assert component
    assert world.org_of_consumer_key(str(component.extra["key"])) == (
        org,
        component.ref,
    )
    keys = world.store.all("SELECT name FROM names WHERE kind = 'consumer_key'")
    assert len(keys) == 1
    other.close()


WORKER = """
import sys
from pathlib import Path
from deployer import Deployer, app
from metadeploy.emulator.state import open_world
world = open_world(Path(sys.argv[1]))
deployer = Deployer(world.org("busy"))
print("ready", flush=True)
sys.stdin.read(1)
won = 0
for number in range(15):
    path = f"connectedApps/A{number}.connectedApp"
    files = {path: app(key=f"thekeyof{sys.argv[2]}{number}")}
    won += any(r.created for r in deployer.deploy(files).rows)
print(won)
world.close()
"""


def test_two_processes_share_a_world(world: World) -> None:
    """Both deploy the same fifteen apps: each app is created once, by one of them."""
    org = world.create_org("busy")
    here = Path(__file__).parent
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(world.store.path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(here)},
            text=True,
        )
        for name in "ab"
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("!")
        worker.stdin.flush()
    won = [int(worker.communicate()[0]) for worker in workers]
    assert sum(won) == 15
    assert len(org.components("ConnectedApp")) == 15
    keys = world.store.all("SELECT value FROM names WHERE kind = 'consumer_key'")
    assert len({key for (key,) in keys}) == 15
    ended = [d["status"] for e, d in org.events() if e == "deploy ended"]
    assert sorted(ended) == ["Failed"] * 15 + ["Succeeded"] * 15
