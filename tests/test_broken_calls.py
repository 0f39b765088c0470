"""The n-th call of the system fails: file, connection or journal, with each errno.

Then one command goes on, and nothing is lost. As SQLite is tested: for n = 1, 2, …
until nothing fails any more. The whole suite runs a sample of n, make soak all.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

import invariants
import pytest
from processes import Served, serving, write_planned_project
from scene import has

from metadeploy import keys

NAMES = ("ENOSPC", "EIO", "EACCES", "EMFILE")
ERRNOS = tuple(getattr(errno, name) for name in NAMES)
DEPLOY = ("deploy", "dev", "--auto-approve")
SAMPLES = 200 if os.environ.get("METADEPLOY_SOAK") else 20
# What a command says when it did not end well: never a traceback.
CODES = {1, 69}


class Template(NamedTuple):
    """A project; its org after a clean run; the calls that this took."""

    folder: Path
    before: dict[str, object]
    planned: dict[str, object]
    calls: list[str]


@pytest.fixture(scope="module")
def template(tmp_path_factory, zygote):
    folder = tmp_path_factory.mktemp("template")
    write_planned_project(folder, zygote)
    with serving(folder, tmp_path_factory.mktemp("clean"), zygote) as clean:
        before = has(clean.org)
        assert clean.run(*DEPLOY, fail_at=0, errno=0) == 0, clean.out
        calls = (clean.folder / "calls").read_text().splitlines()
        return Template(folder, before, has(clean.org), calls)


def hold(one: Served, made: Template) -> int:
    """What has to hold at every time; returns the bytes searched."""
    invariants.one_at_a_time(one.org)
    invariants.none_twice(one.packages)
    invariants.before_or_planned(has(one.org), made.before, made.planned)
    invariants.derived_key(one.org, one.master)
    with one.journal() as journal:
        invariants.runs_are_ended_or_open(journal)
        invariants.sent_as_planned(one.packages, journal)
    secret = keys.derive(one.master, one.org.id, "Portal", 1).consumer_secret
    assert secret is not None
    assert "Traceback" not in one.out, one.out
    return invariants.no_secret(one.folder, [], [one.master, secret])


@pytest.mark.parametrize("sample", range(SAMPLES))
def test_a_call_that_fails(template, tmp_path, zygote, counted, sample):
    whole = len(template.calls)
    if SAMPLES > whole <= sample:
        return  # nothing fails any more
    at = 1 + (sample if whole < SAMPLES else sample * whole // SAMPLES)
    number = ERRNOS[sample % len(ERRNOS)]
    with serving(template.folder, tmp_path, zygote) as one:
        code = one.run(*DEPLOY, fail_at=at, errno=number)
        about = f"{template.calls[at - 1]}, call {at}: {one.out}"
        if code == 0:
            assert has(one.org) == template.planned, about
        else:
            assert code in CODES, about
        searched = hold(one, template)
        assert one.run("runs", "resume", "dev") == 0, about
        if has(one.org) != template.planned:
            assert code != 0
            assert one.run(*DEPLOY) == 0, one.out
        assert has(one.org) == template.planned
        searched += hold(one, template)
    counted("broken calls", 1)
    counted("bytes searched for secrets", searched)
