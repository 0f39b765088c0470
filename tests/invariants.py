"""What has to hold whatever went wrong, read from the org, the journal and the files.

Each is a function that fails with what it found. The numbers are those of
docs/reliability.md.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from scene import MASTER, Package, Scene

from metadeploy import deploy as flow
from metadeploy import keys, package
from metadeploy.emulator.apps import oauth_app
from metadeploy.emulator.state import OrgState
from metadeploy.errors import MetadeployError
from metadeploy.journal import OPEN, Journal
from metadeploy.model import Component, Ref, Secret

INVARIANTS = {
    "I1": "at most one deploy of ours is at work in an org, and none is taken twice",
    "I2": "every run is ended, or open and `resume` ends it",
    "I3": "success is claimed only of an org that matches",
    "I4": "no secret is in any file or output",
    "I5": "the org is as before or as planned",
    "I6": "the key and secret that the org has are the derived ones",
    "I7": "the bytes sent are the bytes planned",
    "I8": "the newest refresh token is on disk before its session is used"
    " (`tests/test_login.py`)",
    "I9": "requests stay within a budget",
}
ENDED = {
    "Verified",
    "Unverified",
    "Failed",
    "Canceled",
    "NotSent",
    "Checked",
}
# A clean run takes 24; one whose answer is lost asks for a minute, and is sent again.
MOST_REQUESTS = 90


def one_at_a_time(org: OrgState) -> None:
    """I1: never two deploys of ours queued or running."""
    at_work: set[object] = set()
    for event, about in org.events():
        if event == "deploy queued" and not about["check_only"]:
            at_work.add(about["id"])
            assert len(at_work) == 1, at_work
        elif event == "deploy ended":
            at_work.discard(about["id"])


def none_twice(packages: Iterable[Package]) -> None:
    """I1: no package of a run is taken a second time."""
    taken = [p.folder for p in packages if not p.check_only]
    assert len(taken) == len(set(taken)), taken


def runs_are_ended_or_open(journal: Journal) -> None:
    """I2."""
    for run in journal.runs():
        assert run.status in {*OPEN, *ENDED}, run.status
        assert run.open == (run.finished is None), run
        assert [e.status for e in journal.events(run.id)][-1] == run.status


# What is for its owner alone, and holds secrets: tokens, the emulated orgs and their
# master secret.
_KEPT = {"tokens", "emulator", "emulated-master"}


def no_secret(folder: Path, texts: Iterable[str], secrets: Iterable[Secret]) -> int:
    """I4: return how many bytes were searched."""
    forms = [form for s in secrets for form in _forms(s.reveal())]
    searched = 0
    found = [
        path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _KEPT & set(path.parts)
    ]
    for data in (*found, *(text.encode() for text in texts)):
        searched += len(data)
        assert not any(form in data for form in forms), "a secret came out"
    return searched


def _forms(text: str) -> set[bytes]:
    data = text.encode()
    # Base64 of what is around it holds these letters, wherever it begins.
    inside = {
        base64.b64encode(b"x" * shift + data)[4 if shift else 0 : -4]
        for shift in range(3)
    }
    return {data, data.hex().encode(), quote(text).encode(), *inside}


def derived_key(org: OrgState, master: Secret = MASTER, app: str = "Portal") -> None:
    """I6: if the org has the app, then with our key and secret."""
    for kind in ("ConnectedApp", "ExternalClientApplication"):
        found = oauth_app(org, Ref(kind, app))
        if found is not None:
            made = keys.derive(master, org.id, app, 1)
            assert made.consumer_secret is not None
            assert found.consumer_key == made.consumer_key
            assert found.consumer_secret == made.consumer_secret.reveal()


def sent_as_planned(
    packages: Iterable[Package], journal: Journal, *, whole: bool = True
) -> None:
    """I7: what reached the org is what was written down before, folder by folder.

    whole: the first package is all of the plan's, but for keys.
    """
    intents = {r.id: r.intent.package for r in journal.runs()}
    for one in packages:
        if one.check_only:
            continue
        _, run_id, number = one.folder.split("_")
        sends = {s.number: s for s in journal.sends(run_id)}
        assert package.digest(one.files) == sends[int(number)].digest
        if number == "1" and whole:
            bare = {p: _without_key(p, body) for p, body in one.files.items()}
            assert package.digest(bare) == intents[run_id]


def _without_key(path: str, body: bytes) -> bytes:
    if not path.endswith(".connectedApp"):
        return body
    app = Component(Ref("ConnectedApp", Path(path).stem), body)
    return keys.without_key(app).body


def before_or_planned(
    has: dict[str, object], before: dict[str, object], planned: dict[str, object]
) -> None:
    """I5: a deploy is all or nothing; access by records is row by row."""
    has, before, planned = dict(has), dict(before), dict(planned)
    now, was, will = (
        set(one.pop("access"))  # type: ignore[call-overload]
        for one in (has, before, planned)
    )
    assert was & will <= now <= was | will, now
    assert has in (before, planned)


def check(
    scene: Scene,
    ended: flow.Outcome | None,
    before: dict[str, object],
    planned: dict[str, object],
) -> int:
    """All of them; return how many bytes were searched.

    ended: what the last attempt claimed.
    """
    one_at_a_time(scene.org)
    none_twice(scene.packages)
    runs_are_ended_or_open(scene.journal)
    if ended is not None:
        claimed = ended.verified is None or ended.verified.ok
        assert claimed == scene.matches()
    before_or_planned(scene.has(), before, planned)
    derived_key(scene.org)
    sent_as_planned(scene.packages, scene.journal)
    spent = sum(scene.requests.values())
    assert spent <= MOST_REQUESTS, scene.requests
    made = keys.derive(MASTER, scene.org.id, "Portal", 1)
    assert made.consumer_secret is not None
    said = [*scene.told.lines, *map(_said, scene.errors)]
    secrets = [MASTER, made.consumer_secret, *scene.tokens]
    return no_secret(scene.folder, said, secrets)


def _said(error: MetadeployError) -> str:
    return f"{error!r} {error.message} {error.hint} {error.args}"
