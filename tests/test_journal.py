"""What a journal keeps, whoever else writes and whatever dies."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from msgspec.structs import replace

from metadeploy.errors import ConfigError
from metadeploy.journal import Intent, Journal, Send
from metadeploy.model import Component, Ref
from metadeploy.plan import Before

ORG = "00DWs000003xYZ1MAM"
INTENT = Intent("dev", ORG, 100.5, "finger", "package", False, "c0ffee", "ann")
APP = Component(Ref("ConnectedApp", "Portal"), b"<a/>")
SET = Component(Ref("PermissionSet", "Portal_API"), b"<p/>")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def opened(path):
    made = []

    def journal():
        made.append(Journal(path))
        return made[-1]

    yield journal
    for one in made:
        one.close()


@pytest.fixture
def journal(opened):
    return opened()


def test_the_life_of_a_run(journal, opened):
    run_id = journal.begin(INTENT)

    def seen():
        (run,) = opened().runs(ORG)  # by somebody else: it is on disk
        assert (run.id, run.intent) == (run_id, INTENT)
        return run.status, run.deploy_id, run.finished

    assert seen() == ("Intended", None, None)
    assert journal.sending(run_id, 101.0, "digest", ["0Af0"]) == 1
    assert seen() == ("Sending", None, None)
    journal.sent(run_id, 102.0, "0Af1")
    assert seen() == ("Sent", "0Af1", None)
    journal.ended(run_id, 103.0, "Succeeded")
    assert seen() == ("Deployed", "0Af1", None)
    journal.finish(run_id, "Verified", 200.0, recorded=[APP])
    assert seen() == ("Verified", "0Af1", 200.0)
    assert [(e.at, e.status, e.detail) for e in opened().events(run_id)] == [
        (100.5, "Intended", ""),
        (101.0, "Sending", "package 1"),
        (102.0, "Sent", "0Af1"),
        (103.0, "Deployed", ""),
        (200.0, "Verified", ""),
    ]
    (send,) = opened().sends(run_id)
    assert send == Send(1, "digest", ("0Af0",), "0Af1", "Succeeded")


def test_a_package_that_is_sent_again_keeps_its_number(journal):
    run_id = journal.begin(INTENT)
    assert journal.sending(run_id, 1.0, "one", []) == 1
    assert journal.sending(run_id, 2.0, "one", ["0Af0"]) == 1
    assert journal.sending(run_id, 3.0, "other", []) == 2  # the first never was there
    journal.sent(run_id, 4.0, "0Af1")
    assert journal.sending(run_id, 5.0, "other", []) == 3  # the org has number 2
    assert [(s.number, s.deploy_id) for s in journal.sends(run_id)] == [
        (1, None),
        (2, "0Af1"),
        (3, None),
    ]


def test_a_run_is_found_by_the_id_of_any_of_its_deploys(journal):
    run_id = journal.begin(INTENT)
    for n in (1, 2):
        journal.sending(run_id, 1.0, f"digest {n}", [])
        journal.sent(run_id, 1.0, f"0Af{n}")
    found = {journal.run(i).id for i in (run_id, "0Af1", "0Af2")}
    assert found == {run_id}
    assert journal.run("0Af3") is None


def test_what_was_there_before_comes_back(journal, opened):
    holders = {"Portal": frozenset({SET.ref}), "Nobody": frozenset()}
    before = Before((APP, SET), (Ref("Profile", "New"),), holders)
    run_id = journal.begin(INTENT, b"the plan", before)
    other = journal.begin(INTENT)
    assert opened().before(run_id) == before
    assert opened().plan(run_id) == b"the plan"
    assert opened().before(other) == Before()


def test_a_run_that_takes_another_back_restores_what_was_recorded(journal):
    journal.finish(journal.begin(INTENT), "Verified", 1.0, recorded=[APP, SET])
    new = Component(Ref("Profile", "New"), b"<n/>")
    changed = [replace(APP, body=b"<changed/>"), SET, new]
    run_id = journal.begin(INTENT)
    journal.finish(run_id, "Verified", 2.0, recorded=changed)
    assert len(journal.recorded(ORG)) == 3
    back = journal.begin(replace(INTENT, undoes=run_id))
    journal.finish(back, "Verified", 3.0, recorded=[replace(SET, body=b"<whole/>")])
    assert journal.recorded(ORG) == (APP, SET)


def test_what_is_gone_is_not_recorded_any_more(journal):
    journal.finish(journal.begin(INTENT), "Verified", 1.0, recorded=[APP, SET])
    run_id = journal.begin(INTENT)
    journal.finish(run_id, "Verified", 2.0, recorded=[APP], gone=[SET.ref])
    assert journal.recorded(ORG) == (APP,)
    back = journal.begin(replace(INTENT, undoes=run_id))
    journal.finish(back, "Verified", 3.0)
    assert journal.recorded(ORG) == (APP, SET)


def test_an_org_that_is_new_has_nothing_open(journal):
    open_, over = journal.begin(INTENT), journal.begin(INTENT)
    journal.finish(over, "Verified", 1.0, recorded=[APP])
    journal.forget(ORG)
    assert {r.id: r.status for r in journal.runs()} == {
        open_: "Forgotten",
        over: "Verified",
    }
    assert journal.recorded(ORG) == ()


def test_each_thing_written_down_counts(journal):
    counts = [journal.changes()]
    run_id = journal.begin(INTENT)
    counts.append(journal.changes())
    journal.note(run_id, 1.0, "Unknown", "why")
    counts.append(journal.changes())
    assert counts == sorted(set(counts))


ONE = """
    CREATE TABLE run (
        id TEXT PRIMARY KEY, org TEXT NOT NULL, org_id TEXT NOT NULL,
        started REAL NOT NULL, finished REAL, status TEXT NOT NULL,
        fingerprint TEXT NOT NULL, package TEXT NOT NULL, deploy_id TEXT,
        check_only INTEGER NOT NULL, git_commit TEXT NOT NULL, user TEXT NOT NULL
    ) STRICT;
    CREATE TABLE recorded (
        org_id TEXT NOT NULL, type TEXT NOT NULL, full_name TEXT NOT NULL,
        body BLOB NOT NULL, run TEXT NOT NULL,
        PRIMARY KEY (org_id, type, full_name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO run VALUES
        ('r1', 'dev', '00DWs000003xYZ1MAM', 1.5, 2.5, 'Verified', 'f', 'p', '0Af1', 0,
         'c', 'ann');
    INSERT INTO recorded VALUES
        ('00DWs000003xYZ1MAM', 'ConnectedApp', 'Portal', x'3c612f3e', 'r1');
    PRAGMA user_version = 1;
"""


def test_a_journal_of_the_first_form_is_kept(path, opened):
    with sqlite3.connect(path) as old:
        old.executescript(ONE)
    old.close()
    journal = opened()
    (run,) = journal.runs(ORG)
    assert (run.id, run.status, run.deploy_id, run.finished) == (
        "r1",
        "Verified",
        "0Af1",
        2.5,
    )
    assert (run.intent.user, run.intent.undoes) == ("ann", "")
    assert journal.recorded(ORG) == (APP,)
    assert journal.before("r1") == Before()


def test_what_was_said_of_a_run_comes_back_as_it_was(journal):
    said = replace(INTENT, check_only=True, git_commit="", user="")
    journal.begin(said)
    (run,) = journal.runs(ORG)
    assert run.intent == said
    assert run.intent.check_only is True


def test_the_newest_run_is_first(journal):
    """Whatever the time of day was: a clock set back makes no run older."""
    begun = [journal.begin(replace(INTENT, started=s)) for s in (1.0, 3.0, 2.0, 2.0)]
    assert [r.id for r in journal.runs(ORG)] == begun[::-1]


def test_orgs_are_apart(journal):
    run_id = journal.begin(INTENT)
    journal.finish(run_id, "Verified", 1.0, recorded=[APP])
    assert journal.runs("00D000000000009AAA") == ()
    assert journal.recorded("00D000000000009AAA") == ()


def test_what_is_recorded_is_what_was_last_deployed(journal):
    assert journal.recorded(ORG) == ()
    first = journal.begin(INTENT)
    journal.finish(first, "Verified", 1.0, recorded=[SET, APP])
    assert journal.recorded(ORG) == (APP, SET)
    second = journal.begin(INTENT)
    changed = replace(APP, body=b"<b/>")
    journal.finish(second, "Verified", 2.0, recorded=[changed])
    assert journal.recorded(ORG) == (changed, SET)


def test_a_run_that_ends_unverified_records_nothing(journal):
    journal.finish(journal.begin(INTENT), "Unverified", 1.0)
    assert journal.recorded(ORG) == ()


def test_a_finish_is_written_whole_or_not_at_all(journal):
    run_id = journal.begin(INTENT)

    def breaking():
        yield APP
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        journal.finish(run_id, "Verified", 1.0, recorded=breaking())
    (run,) = journal.runs(ORG)
    assert (run.status, run.finished) == ("Intended", None)
    assert journal.recorded(ORG) == ()
    journal.finish(run_id, "Verified", 1.0, recorded=[APP])
    assert journal.recorded(ORG) == (APP,)


def test_twenty_threads_with_one_journal(journal):
    together = Barrier(20)

    def work(n):
        together.wait()
        run_id = journal.begin(replace(INTENT, org=f"org{n}"))
        journal.sent(run_id, 1.0, f"0Af{n}")
        journal.finish(run_id, "Verified", 1.0, recorded=[APP])
        return run_id, journal.recorded(ORG)

    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(work, range(20)))
    assert all(recorded == (APP,) for _, recorded in done)
    runs = journal.runs(ORG)
    assert {r.id for r in runs} == {run_id for run_id, _ in done}
    assert all(r.deploy_id == r.intent.org.replace("org", "0Af") for r in runs)


def test_twenty_journals_opened_at_once(opened):
    together = Barrier(20)

    def work(n):
        together.wait()
        return opened().begin(INTENT)

    with ThreadPoolExecutor(20) as pool:
        done = set(pool.map(work, range(20)))
    assert {r.id for r in opened().runs(ORG)} == done


WRITER = """
import sys
from pathlib import Path
from metadeploy.journal import Intent, Journal

print("ready", flush=True)
sys.stdin.readline()
journal = Journal(Path(sys.argv[1]))
for n in range(20):
    run_id = journal.begin(Intent("dev", sys.argv[2], float(n), "f", "p", False))
    journal.sent(run_id, 1.0, f"0Af{n}")
    print(run_id, flush=True)
{end}
journal.close()
"""


def writer(path, end=""):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER.replace("{end}", end), str(path), ORG],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once(path, opened):
    with writer(path) as one, writer(path) as two:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [line for p in (one, two) for line in p.stdout.read().split()]
    assert (one.returncode, two.returncode) == (0, 0)
    assert len(told) == 40
    assert {r.id for r in opened().runs(ORG)} == set(told)


def test_a_process_that_is_killed_loses_nothing(path, opened):
    with writer(path, end="import os, signal; os.kill(os.getpid(), 9)") as process:
        told = process.communicate("go\n")[0].split()[1:]
    assert process.returncode == -signal.SIGKILL
    runs = opened().runs(ORG)
    assert {r.id for r in runs} == set(told)
    assert {r.status for r in runs} == {"Sent"}


def test_nobody_else_can_read_it(path, opened):
    before = os.umask(0)
    try:
        journal = opened()
        journal.begin(INTENT)
        modes = {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {path.name + end: 0o600 for end in ("", "-wal", "-shm")}


def test_a_file_that_others_could_read_is_closed_to_them(path, opened):
    path.touch()
    path.chmod(0o644)
    opened()
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_older_file_is_brought_up_to_date(path, opened):
    with sqlite3.connect(path) as old:  # as it was before its first table
        old.execute("PRAGMA user_version = 0")
    old.close()
    journal = opened()
    journal.finish(journal.begin(INTENT), "Verified", 1.0, recorded=[APP])
    journal.close()
    again = opened()  # a file of this version is left as it is
    assert again.recorded(ORG) == (APP,)
    assert len(again.runs(ORG)) == 1


def test_a_later_file_is_left_alone(path, opened):
    opened().close()
    later = sqlite3.connect(path)
    later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(ConfigError) as caught:
        Journal(path)
    assert "journal.sqlite3 is of form 99, not 3" in str(caught.value)
    assert caught.value.hint == "Upgrade metadeploy."


@pytest.mark.parametrize("text", [b"not a database, but a text\n" * 100, b"SQLite"])
def test_a_file_that_is_none(path, text):
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"journal\.sqlite3 cannot be used: file is"):
        Journal(path)
    assert path.read_bytes() == text


def test_a_folder_in_its_place(path):
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be used: Is a directory"):
        Journal(path)


def test_no_folder_for_it(tmp_path):
    with pytest.raises(ConfigError, match="cannot be used: No such file"):
        Journal(tmp_path / "gone" / "journal.sqlite3")


FULL = """
import resource, signal, sys
from pathlib import Path
from metadeploy.errors import ConfigError
from metadeploy.journal import Intent, Journal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
intent = Intent("dev", sys.argv[2], 1.0, "f", "p", False)
run_id = journal.begin(intent)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for work in (lambda: journal.begin(intent), lambda: journal.sent(run_id, 1.0, "0Af1")):
    try:
        work()
    except ConfigError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
journal.sent(run_id, 1.0, "0Af2")
journal.close()
"""


def test_a_full_disk_is_told_and_breaks_nothing(path, opened):
    command = [sys.executable, "-c", FULL, str(path), ORG]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.splitlines() == [
        "the journal journal.sqlite3 cannot be used: disk I/O error",
        "deploy 0Af1 has begun, but the journal journal.sqlite3 cannot be used:"
        " disk I/O error",
    ]
    (run,) = opened().runs(ORG)
    assert (run.status, run.deploy_id) == ("Sent", "0Af2")
