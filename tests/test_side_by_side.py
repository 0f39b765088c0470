"""Several processes at one org, other people in it, full disks, readers that leave."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import invariants
import pytest
from emulator.deployer import Deployer, permission_set
from processes import serving, write_planned_project
from scene import has

DEPLOY = ("deploy", "dev", "--auto-approve")
MANY = 50 if os.environ.get("METADEPLOY_SOAK") else 8


@pytest.fixture(scope="module")
def template(tmp_path_factory, zygote):
    folder = tmp_path_factory.mktemp("template")
    write_planned_project(folder, zygote)
    return folder


@pytest.fixture
def served(template, tmp_path, zygote):
    with serving(template, tmp_path, zygote) as made:
        yield made


def command(project: Path, *words: str, **how) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    quiet = {k: v for k, v in os.environ.items() if not k.startswith("METADEPLOY_")}
    quiet |= {"METADEPLOY_CONFIG": str(project / "none.yaml"), "NO_COLOR": "1"}
    words = (sys.executable, "-m", "metadeploy", "-C", str(project), *words)
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.Popen(words, text=True, env=quiet, **how)


def deploys(org):
    return [
        about
        for event, about in org.events()
        if event == "deploy queued" and not about["check_only"]
    ]


@pytest.mark.parametrize("waits", [True, False], ids=["they wait", "they do not"])
def test_many_processes_at_one_org(served, waits):
    words = (*DEPLOY, "--lock-timeout", "5") if waits else DEPLOY
    started = [command(served.project, *words) for _ in range(MANY if waits else 3)]
    ended = [(*p.communicate(timeout=110), p.returncode) for p in started]
    codes = [code for _, _, code in ended]
    assert 0 in codes, ended
    for _, err, code in ended:
        assert "Traceback" not in err
        # Who comes late finds it done, or busy, or that another plan was carried out.
        assert (
            code == 0
            or "another metadeploy process is at work" in err
            or ("not as it was" in err)
        ), err
    if waits:
        assert codes == [0] * MANY, ended
    assert len(deploys(served.org)) == 1
    invariants.one_at_a_time(served.org)
    invariants.none_twice(served.packages)
    with served.journal() as journal:
        assert [r.status for r in journal.runs()] == ["Verified"]


def test_the_same_org_under_two_names(served):
    """The lock is by the org's own Id; two files that pin one Id are a problem."""
    org_id = served.org.id
    for name in ("dev", "other"):
        file = served.project / f"orgs/{name}.yaml"
        file.write_text(f'kind: emulated\norg_id: {org_id}\napi_version: "66.0"\n')
    assert served.run("validate") == 1
    assert f"org id {org_id} of other is that of dev" in served.out
    assert served.run("deploy", "other", "--auto-approve") == 1
    assert deploys(served.org) == []


def test_somebody_elses_deploy_is_waited_for(served):
    file = served.project / "orgs/dev.yaml"
    file.write_text(file.read_text() + "emulator: {deploy_polls: 3}\n")
    served.run("plan", "dev")  # the org is made as its file says
    other = Deployer(served.org)
    waiting = other.submit({"permissionsets/A.permissionset": permission_set()})
    assert served.run(*DEPLOY) == 1
    assert "is at work on another deploy" in served.out
    assert served.run(*DEPLOY, "--allow-queue") == 0, served.out
    assert other.status(waiting).success
    assert len(deploys(served.org)) == 2
    invariants.none_twice(p for p in served.packages if p.folder.startswith("md_"))


def limited(bytes_: int):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))

    return limit


@pytest.mark.parametrize("room", [0, 4_096, 16_384, 40_000])
def test_a_full_disk_stops_it_before_anything_is_sent(served, room):
    """No file may be longer: what is written then fails, as where the disk is full.

    The signal that comes with it is ignored by Python itself.
    """
    journal = served.project / ".metadeploy/journal.sqlite3"
    assert journal.exists()  # planning made it
    before = has(served.org)
    ran = command(served.project, *DEPLOY, preexec_fn=limited(room))
    _, err = ran.communicate(timeout=100)
    assert ran.returncode in (1, 69), err
    assert "Traceback" not in err
    sent = deploys(served.org)
    assert len(sent) <= 1
    if sent:  # it could be written down before, and then no more: its id is told
        assert str(sent[0]["id"])[:15] in err or "runs resume" in err
    else:
        assert has(served.org) == before
    assert served.run("runs", "resume", "dev") == 0, served.out
    assert served.run(*DEPLOY) == 0, served.out
    assert len(deploys(served.org)) == 1
    assert served.statuses()[0] == "Verified"


def test_a_reader_that_leaves_ends_nothing_badly(served):
    shell = shutil.which("head")
    assert shell is not None
    ran = command(served.project, *DEPLOY)
    assert ran.stdout is not None and ran.stderr is not None
    with ran:
        ran.stdout.close()  # as `| head -0` does
        err = ran.stderr.read()
        code = ran.wait(timeout=100)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert code in (0, 1, 141), err
    assert served.run("runs", "resume", "dev") == 0
    assert served.run(*DEPLOY) == 0
    assert len(deploys(served.org)) == 1
