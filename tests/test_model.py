"""The values that everything passes around."""

from __future__ import annotations

import copy
import io
import json
import logging
import marshal
import pickle
import pprint
import traceback
from dataclasses import asdict, dataclass
from string import Template

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from metadeploy.errors import (
    ApiFault,
    AuthError,
    DeployFailed,
    DeployTimeout,
    InvalidMetadata,
    MetadeployError,
    PlanRefused,
)
from metadeploy.model import (
    Component,
    DeployResult,
    Manifest,
    Problem,
    Ref,
    Secret,
    Severity,
    Source,
    id18,
    secret_texts,
)

CANARY = "canary"


def test_a_secret_is_not_seen():
    secret = Secret(CANARY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        "%s %r" % ((secret,) * 2),
    ]
    assert shown == ["***", "***", "***", "***", "*** ***"]
    assert CANARY not in repr({"key": [secret]})
    assert secret.reveal() == CANARY


def test_secrets_are_compared_by_what_they_hide():
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("é\ud800") == Secret("é\ud800") != Secret("é")
    assert Secret("a") != "a"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret("a"))


@pytest.mark.parametrize(
    "how",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        lambda s: s.__getstate__(),
        lambda s: s.__reduce_ex__(2),
    ],
)
def test_a_secret_is_not_carried_away(how):
    with pytest.raises(TypeError, match="a Secret is not serialised"):
        how(Secret(CANARY))


class Holder(msgspec.Struct):
    secret: Secret


@dataclass
class PlainHolder:
    secret: Secret


WRITERS = {
    "json": json.dumps,
    "msgspec": msgspec.json.encode,
    "msgspec, msgpack": msgspec.msgpack.encode,
    "msgspec, plain": msgspec.to_builtins,
    "marshal": marshal.dumps,
    "struct": lambda s: msgspec.json.encode(Holder(s)),
    "struct, plain": lambda s: msgspec.to_builtins(Holder(s)),
    "dataclass": lambda s: asdict(PlainHolder(s)),
    "vars": vars,
    "bytes": bytes,
    "list": list,
    "join": lambda s: "".join([s]),
    "add": lambda s: "a" + s,
    "yaml": lambda s: YAML(typ="safe", pure=True).dump({"a": s}, io.StringIO()),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_nothing_writes_a_secret_down(write):
    with pytest.raises((TypeError, ValueError, YAMLError)) as caught:
        write(Secret(CANARY))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_what_takes_any_value_gets_the_mask():
    secret, out = Secret(CANARY), io.StringIO()
    assert json.dumps({"a": secret}, default=str) == '{"a": "***"}'
    assert CANARY not in repr(msgspec.structs.asdict(Holder(secret)))
    assert "secret=***" in repr(Holder(secret)) and "***" in repr(PlainHolder(secret))
    pprint.pprint([secret], out)
    record = logging.LogRecord("a", 10, "a", 1, "%s %r", (secret, secret), None)
    out.write(logging.Formatter().format(record))
    print(secret, Template("$a").substitute(a=secret), f"{secret}", file=out)
    assert CANARY not in out.getvalue()


def test_no_member_of_a_secret_is_its_text():
    secret = Secret(CANARY)
    for name in {*dir(secret), *secret.__slots__}:
        value = getattr(secret, name)
        assert value != CANARY and CANARY not in repr(value), name


def test_locals_in_a_traceback_do_not_show_it():
    def fails(secret):
        raise LookupError(f"no such {secret}")

    with pytest.raises(LookupError) as caught:
        fails(Secret(CANARY))
    found = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    said = "".join(found.format())
    assert "secret = ***" in said
    assert CANARY not in said.replace("Secret(CANARY)", "")


def test_what_was_a_secret_is_known():
    Secret("canary-known-for-good")
    assert "canary-known-for-good" in secret_texts()


def test_refs_are_ordered_by_type_then_name():
    refs = [Ref("Profile", "A"), Ref("ConnectedApp", "Z"), Ref("ConnectedApp", "B")]
    assert [str(r) for r in sorted(refs)] == [
        "ConnectedApp B",
        "ConnectedApp Z",
        "Profile A",
    ]


def test_where_a_line_comes_from():
    made = Source("templates/a.j2", (("templates/a.j2", 3), ("templates/m.j2", 7)))
    assert [made.locate(n) for n in (0, 1, 2, 99)] == [
        ("templates/a.j2", 3),
        ("templates/a.j2", 3),
        ("templates/m.j2", 7),
        ("templates/m.j2", 7),
    ]
    plain = Source("force-app/a.profile")
    assert [plain.locate(n) for n in (0, 5)] == [
        ("force-app/a.profile", 1),
        ("force-app/a.profile", 5),
    ]


def test_components_are_equal_by_name_and_bytes():
    ref = Ref("Profile", "A")
    one, two = Component(ref, b"x", Source("a")), Component(ref, b"x", Source("b"))
    assert one == two
    assert hash(one) == hash(two)
    assert one != Component(ref, b"y")
    assert one != Component(Ref("Profile", "B"), b"x")
    assert (one == (ref, b"x")) is False
    assert len({one, two}) == 1


def test_a_manifest_is_sorted_and_names_each_once():
    refs = [Ref("Profile", "B"), Ref("ConnectedApp", "A"), Ref("Profile", "A")]
    made = Manifest.of([*refs, refs[0]], "66.0")
    assert made == Manifest("66.0", {"ConnectedApp": ("A",), "Profile": ("A", "B")})
    assert list(made.members) == ["ConnectedApp", "Profile"]


def test_a_problem_as_people_read_it():
    problem = Problem("a.j2", 3, "what", "MD101")
    assert str(problem) == "a.j2:3: what [MD101]"
    assert str(Problem("a.j2", 0, "what", "MD101")) == "a.j2: what [MD101]"
    warning = Problem("a.j2", 3, "what", "MD101", Severity.WARNING)
    assert str(warning) == "a.j2:3: warning: what [MD101]"


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("001A0000006Vm9r", "001A0000006Vm9rIAC"),
        ("00DWs000003xYZ1", "00DWs000003xYZ1MAM"),
        ("000000000000000", "000000000000000AAA"),
        ("AAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA555"),
    ],
)
def test_an_id_of_18_characters(short, long):
    assert id18(short) == long == id18(long)


ids = st.text("ABCXYZabcxyz0189", min_size=15, max_size=15)


@given(ids, st.integers(0, 14))
def test_an_id_whose_case_was_lost_is_told(short, at):
    swapped = short[:at] + short[at].swapcase() + short[at + 1 :]
    assert len(id18(short)) == 18
    if swapped != short:
        with pytest.raises(ValueError, match="do not fit the rest"):
            id18(swapped + id18(short)[15:])


@pytest.mark.parametrize(
    "text",
    ["", "00D", "00DWs000003xYZ1M", "00DWs000003xYZ!", "00DWs000003xYZ1mam", "é" * 15],
)
def test_what_is_no_id(text):
    with pytest.raises(ValueError, match="not a Salesforce id"):
        id18(text)


def test_a_problem_is_the_same_whatever_template_told_it():
    one = Problem("a.j2", 3, "what", "MD101", template="a.j2")
    assert one == Problem("a.j2", 3, "what", "MD101", template="b.j2")
    assert len({one, Problem("a.j2", 3, "what", "MD101")}) == 1
    assert one != Problem("a.j2", 3, "what", "MD101", remedy="do y")
    assert (one == "a.j2:3: what [MD101]") is False


# Errors.


def test_errors_say_what_they_hold():
    assert str(ApiFault("INVALID_FIELD", "no such column")) == (
        "INVALID_FIELD: no such column"
    )
    assert str(ApiFault("", "no such column")) == "no such column"
    timeout = DeployTimeout("0Af1", 59.7)
    assert str(timeout) == "deploy 0Af1 is still running after 60 s"
    assert timeout.deploy_id == "0Af1"
    refusal = AuthError("no token", code="invalid_grant", words="ip restricted")
    assert (refusal.code, refusal.words) == ("invalid_grant", "ip restricted")
    result = DeployResult("0Af1", "Failed", True, False)
    assert DeployFailed(result, "why").result is result
    refused = PlanRefused(r for r in ["one", "two"])
    assert (refused.refusals, str(refused)) == (("one", "two"), "one\ntwo")


def test_problems_are_told_by_place():
    problems = [Problem("b", 1, "w", "MD1"), Problem("a", 9, "w", "MD1")]
    error = InvalidMetadata(problems)
    assert [p.path for p in error.problems] == ["a", "b"]
    assert str(error) == "a:9: w [MD1]\nb:1: w [MD1]"


def test_a_hint_of_its_own_or_of_its_kind():
    assert MetadeployError("x").hint == ""
    assert MetadeployError("x", hint="do y").hint == "do y"
    assert "validate" in InvalidMetadata([]).hint
