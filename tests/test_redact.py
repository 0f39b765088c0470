"""What is masked, in every form that it may be written in; and what is not."""

from __future__ import annotations

import base64
import json
import string
from html import escape
from urllib.parse import quote, urlencode

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from metadeploy.redact import MASK, SHORTEST, forms, redact

SESSION = "00DWs000003xYZ1!AQ4AQFx.canary_Zz09"
PEM = f"-----BEGIN PRIVATE KEY-----\n{'canary' * 11}\n-----END PRIVATE KEY-----"
AUTH_URL = "force://PlatformCLI::5Aep8.canary@acme.my.salesforce.com"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJjYW5hcnkifQ.canary-sign"
FIELDS = (
    "access_token",
    "refresh_token",
    "client_secret",
    "assertion",
    "sessionId",
    "consumerSecret",
    "password",
    "private_key",
    "METADEPLOY_MASTER_KEY",
)
SHAPES = {
    "session": SESSION,
    "session, 18": SESSION.replace("!", "MAM!"),
    "refresh token": "5Aep861canary.canary==",
    "private key": PEM,
    "rsa key": PEM.replace("PRIVATE", "RSA PRIVATE"),
    "sealed key": PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    "cut key": PEM[:60],
    "auth url": AUTH_URL,
    "jwt": JWT,
    "bearer": "Authorization: Bearer canary",
    "basic": "Basic Y2FuYXJ5OmNhbmFyeQ==canary",
    **{f"form {n}": f"{n}=canary/x" for n in FIELDS},
    **{f"json {n}": json.dumps({n: "canary/x"}) for n in FIELDS},
    **{f"xml {n}": f"<m:{n}>canary/x</m:{n}>" for n in FIELDS},
    **{f"yaml {n}": f"{n}: canary/x" for n in FIELDS},
}
WRAPS = {
    "plain": lambda t: t,
    "url": lambda t: quote(t, safe=""),
    "form": lambda t: urlencode({"x": t, "y": "z"}),
    "xml": lambda t: f"<a>{escape(t)}</a>",
    "json": lambda t: json.dumps({"a": t, "b": 1}),
    "json in json": lambda t: json.dumps(json.dumps({"a": t})),
    "repr": repr,
    "base64": lambda t: base64.b64encode(t.encode()).decode(),
    "base64, shifted": lambda t: base64.b64encode(b"x" + t.encode()).decode(),
    "base64, in a line": lambda t: (
        f"({base64.b64encode(b'yz ' + t.encode()).decode()})"
    ),
    "base64, for URLs": lambda t: base64.urlsafe_b64encode(t.encode() + b"?>").decode(),
}


def leaks(text, canary="canary"):
    """Whether a canary can be read out of a text, in base64 too."""
    if canary in text:
        return True
    for run in text.replace("_", "/").replace("-", "+").split():
        for first in range(4):
            part = "".join(c for c in run if c.isalnum() or c in "+/")[first:]
            part = part[:-1] if len(part) % 4 == 1 else part
            if canary.encode() in base64.b64decode(part + "=" * (-len(part) % 4)):
                return True
    return False


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_what_looks_secret_is_masked(text, wrap):
    wrapped = wrap(text)
    assert leaks(wrapped)
    found = redact(f"before {wrapped} after")
    assert not leaks(found)
    assert found.startswith("before ") and MASK in found
    assert redact(found) == found


KNOWN = "pä$$ <&\"'canary\\ word"


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_what_is_known_is_masked(wrap):
    found = redact(f"before {wrap(KNOWN)} after", [KNOWN, "short"])
    assert not leaks(found)
    assert found.startswith("before ") and found.endswith(" after")


def test_a_line_of_a_known_text_is_masked():
    (line,) = (one for one in PEM.splitlines() if "canary" in one)
    assert redact(f"at {line}", [PEM]) == f"at {MASK}"
    assert redact(KNOWN.encode().hex(), [KNOWN]) == MASK


@pytest.mark.parametrize(
    "text",
    [
        "METADEPLOY_MASTER_KEY is not set: no consumer key can be derived",
        "its answer has no access_token",
        "login.private_key is missing: flow jwt needs it",
        "private_key: {file: ~/.keys/uat.key}",
        "no token from https://acme.my.salesforce.com: invalid_grant: ip restricted",
        "org uat is pinned to 00DWs000003xYZ1MAM",
        "3MVG9pe2TCoA1Pf4canary_key.with85characters",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "templates/connectedApps/Portal.connectedApp.j2:3: what [MD101]",
        "a Bearer token",
        "",
        "short",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text, ["short", "", " " * 20]) == text


def test_the_rest_of_a_text_stays():
    text = f"POST a?access_token=canary&b=c {{'x': 1}} {SESSION}, {AUTH_URL}\nnext"
    assert (
        redact(text)
        == f"POST a?access_token={MASK}&b=c {{'x': 1}} {MASK}, {MASK}\nnext"
    )
    assert redact("xaaaaaaaabbbbbbbby", ["aaaaaaaa", "bbbbbbbb"]) == f"x{MASK}y"
    assert redact("xaaaaaaaabbbbbbbby", ["aaaaaaaabbbb", "bbbbbbbb"]) == f"x{MASK}y"


HOSTILE = (
    "00D",
    "00DWs000003xYZ1",
    "00DWs000003xYZ1!",
    "access_token",
    "access_token=",
    "access_token\\",
    "sid ",
    "eyJ",
    "eyJaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ",
    "-----END PRIVATE KEY-----",
    "Bearer ",
    "Bearer+",
    "force://",
    "5Aep861",
    "a",
    "=",
    "%3D",
    "&",
    "&amp;",
    "\\",
    '"',
    "<sessionId>",
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_takes_more_than_its_length(piece):
    """Were the time quadratic, each of these would take an hour."""
    text = piece * (400_000 // len(piece))
    found = redact(text, ["aaaaaaaaab", "known-secret"])
    assert len(found) <= len(text) + len(MASK)


secrets = st.text(min_size=SHORTEST, max_size=60).filter(
    lambda s: len(s.strip()) >= SHORTEST and "*" not in s
)
pieces = st.one_of(
    st.text(max_size=20),
    st.sampled_from([*SHAPES.values(), *HOSTILE]),
    st.text(string.ascii_letters + string.digits + "+/=", max_size=60),
)


@given(st.lists(pieces), st.lists(secrets, max_size=3))
@example(["Authorization: Bearer ***0"], [])
@example(["Authorization%3A%20Bearer%20canary", "-----BEGIN PRIVATE KEY-----x0"], [])
def test_masking_twice_is_masking_once(texts, known):
    found = redact("".join(texts), known)
    assert redact(found, known) == found


@given(secrets, st.text(), st.text(), st.data())
def test_no_form_of_a_known_secret_is_left(secret, before, after, data):
    form = data.draw(st.sampled_from(forms(secret)))
    found = redact(before + form + after, [secret])
    assume(form not in before + MASK + after)
    assert form not in found


@given(st.text("abcdefghij k\n", max_size=200))
def test_plain_words_stay(text):
    assert redact(text) == text


def test_every_place_of_a_secret_is_masked():
    assert redact("canary77 and canary77, canary77", ["canary77"]) == "*** and ***, ***"


@given(secrets, st.binary(max_size=9), st.binary(max_size=9), st.booleans())
def test_a_secret_in_base64_is_masked_to_the_character(secret, before, after, safe):
    """Six bits a character: all that hold bits of nothing else."""
    data = secret.encode("utf-8", "surrogatepass")
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    text = encode(before + data + after).decode()
    first = -(-8 * len(before) // 6)
    last = 8 * (len(before) + len(data)) // 6
    assume("*" not in text)
    found = redact(text, [secret])
    assert MASK in found
    left, _, right = found.partition(MASK)
    assert len(left) <= first and text.startswith(left)
    assert len(right) <= len(text) - last and text.endswith(right)
