"""A lost answer: the deploy is found, or shown absent, or nobody knows."""

from __future__ import annotations

import pytest
from fake_org import FakeOrg, Taken, app, failure, holder, result
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from metadeploy.errors import ApiFault, LostAnswer, Unreachable
from metadeploy.model import DeployMessage, Ref, id18
from metadeploy.reconcile import Question, find, find_run, folder_of
from metadeploy.target import Limits

PACKAGE = (app(), holder("Portal_API"))
REFS = frozenset(c.ref for c in PACKAGE)
FOLDER = folder_of("run1", 1)


def numbered(n):
    return id18(f"0Af{n:012}")


def taken(n, folder=FOLDER, components=PACKAGE, check_only=False):
    return Taken(numbered(n), folder, check_only, components)


def question(known=(), refs=REFS, check_only=False):
    return Question(FOLDER, refs, check_only, tuple(known))


@pytest.fixture
def org():
    return FakeOrg()


def test_ours_is_found_by_its_folder(org):
    org.taken = [taken(1, "md_other_1"), taken(2), taken(3, "unpackaged")]
    assert find(org.target(), question()) == numbered(2)
    assert org.time == 0


def test_a_failed_one_is_ours_too(org):
    org.taken = [taken(1)]
    bad = failure(Ref("ConnectedApp", "Portal"), "no", file_name=f"{FOLDER}/x")
    org.statuses = [result("Failed", messages=(bad,))]
    assert find(org.target(), question()) == numbered(1)


def test_an_org_without_it_is_asked_for_the_whole_window(org):
    org.taken = [taken(1, "md_other_1")]
    assert find(org.target(), question()) is None
    assert org.time == org.limits.window
    assert len(org.calls("poll")) == 1  # whose it is, is asked once
    assert org.steps == ["the answer was lost: asking the org what it has"]


def test_what_was_there_before_is_not_looked_at(org):
    org.taken = [taken(1)]
    assert find(org.target(), question(known=[numbered(1)])) is None
    assert org.calls("poll") == []


def test_one_that_shows_up_late(org):
    target = org.target()
    sleep = org.sleep

    def later(seconds):
        sleep(seconds)
        if org.time > 30 and not org.taken:
            org.taken.append(taken(1))

    org.sleep = later
    assert find(target, question()) == numbered(1)


def test_one_that_still_runs_is_waited_for(org):
    org.taken = [taken(1)]
    org.statuses = [*[result("InProgress")] * 9, replace(result(), messages=())]
    assert find(org.target(), question()) == numbered(1)


def test_a_validation_is_not_a_deploy(org):
    org.taken = [taken(1, check_only=True)]
    assert find(org.target(), question()) is None
    assert find(org.target(), question(check_only=True)) == numbered(1)


def rows(*components):
    return tuple(
        DeployMessage(c.ref.type, c.ref.full_name, "", success=True) for c in components
    )


def test_an_org_that_does_not_repeat_folders_tells_by_components(org):
    org.taken = [taken(1)]
    org.folders_told = False
    assert find(org.target(), question()) == numbered(1)


def test_an_org_that_names_no_files_tells_by_components(org):
    org.taken = [taken(1)]
    org.statuses = [result(messages=rows(*PACKAGE))]
    assert find(org.target(), question()) == numbered(1)
    assert org.time == org.limits.window  # one with our folder might still show up


@pytest.mark.parametrize("has", [(), PACKAGE[:1], (holder("Other"),)])
def test_other_components_are_of_others(org, has):
    org.taken = [taken(1, components=has)]
    org.folders_told = False
    manifest = DeployMessage("", "package.xml", "package.xml", success=True)
    org.statuses = [result(messages=(manifest, *rows(*has)))]
    assert find(org.target(), question()) is None


def test_another_package_of_the_same_run_is_another(org):
    org.taken = [taken(1, folder_of("run1", 2))]
    assert find(org.target(), question()) is None


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_what_the_org_kept_nothing_of_is_in_nobodys_way(org, status):
    """Whose it was makes no difference: the same package may be sent again."""
    org.taken = [taken(1)]
    org.statuses = [result(status)]
    assert find(org.target(), question()) is None


def test_time_is_over_before_the_window_is(org):
    org.limits = Limits(until=20.0)
    with pytest.raises(LostAnswer) as caught:
        find(org.target(), question())
    assert caught.value.message == (
        "nobody knows yet whether the org took the package: it was not there in time"
    )
    assert org.time <= 20


def test_the_window_may_end_with_the_time(org):
    org.limits = Limits(until=60.0, window=60.0)
    assert find(org.target(), question()) is None
    assert org.time == 60.0


def test_one_that_runs_for_ever(org):
    org.taken = [taken(1)]
    org.statuses = [result("InProgress")]
    org.limits = Limits(until=200.0)
    with pytest.raises(LostAnswer):
        find(org.target(), question())


@pytest.mark.parametrize("call", ["deploys", "poll"])
@pytest.mark.parametrize(
    "error", [Unreachable("no network"), ApiFault("INVALID_TYPE", "not supported")]
)
def test_an_org_that_does_not_let_us_look(org, call, error):
    org.taken = [taken(1)]
    org.faults[call] = [error] * 9
    with pytest.raises(LostAnswer) as caught:
        find(org.target(), question())
    assert caught.value.message == (
        "nobody knows whether the org took the package, and we cannot look:"
        f" {error.message}"
    )


def test_a_blip_while_looking(org):
    org.taken = [taken(1)]
    org.faults = {"deploys": [LostAnswer("x")], "poll": [LostAnswer("y")]}
    assert find(org.target(), question()) == numbered(1)


@given(st.lists(st.sampled_from(["ours", "other", "known", "check"]), max_size=6))
def test_found_exactly_if_it_is_there(deploys):
    org = FakeOrg()
    known = []
    for n, kind in enumerate(deploys, 1):
        folder = FOLDER if kind in ("ours", "known", "check") else "md_other_1"
        org.taken.append(taken(n, folder, check_only=kind == "check"))
        if kind == "known":
            known.append(numbered(n))
    found = find(org.target(), question(known))
    ours = {numbered(n) for n, kind in enumerate(deploys, 1) if kind == "ours"}
    assert (found in ours) if ours else found is None


# A run whose journal is on another machine.


def test_a_run_is_found_by_its_folder(org):
    org.taken = [
        taken(1, folder_of("run1", 1)),
        taken(2, folder_of("run1", 2)),
        taken(3, folder_of("run10", 1)),
        taken(4, "unpackaged"),
    ]
    assert find_run(org.target(), "run1") == numbered(2)  # the last thing it did
    assert find_run(org.target(), "run10") == numbered(3)
    assert find_run(org.target(), "run") is None
    assert find_run(org.target(), "run2") is None


@pytest.mark.parametrize("call", ["deploys", "poll"])
def test_a_run_is_not_said_to_be_absent_unseen(org, call):
    org.taken = [taken(1)]
    org.faults[call] = [Unreachable("no network")] * 9
    with pytest.raises(LostAnswer, match="we cannot look: no network"):
        find_run(org.target(), "run1")
