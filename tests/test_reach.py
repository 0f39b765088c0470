"""Where a session may go: a corpus of addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.errors import ApiFault
from metadeploy.reach import LOOPBACK, SALESFORCE, Reach, checked_url, is_loopback

PARTITIONS = "sandbox", "develop", "scratch", "demo", "patch", "trailblaze", "free"
OWN = Reach(frozenset({"salesforce.acme.com", "10.0.0.7:8443", "xn--caf-dma.example"}))


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com/x?y#z", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com:443/", "https://acme.my.salesforce.com"),
        ("HTTPS://ACME.My.Salesforce.COM", "https://acme.my.salesforce.com"),
        *(
            (
                f"https://a--b.{p}.my.salesforce.com",
                f"https://a--b.{p}.my.salesforce.com",
            )
            for p in PARTITIONS
        ),
        ("https://login.salesforce.com/", "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("https://acme.my.salesforce.mil", "https://acme.my.salesforce.mil"),
        ("https://acme.my.sfcrmproducts.cn", "https://acme.my.sfcrmproducts.cn"),
    ],
)
def test_salesforce(url, checked):
    assert checked_url(url, SALESFORCE) == checked
    assert checked_url(url, OWN) == checked
    assert not is_loopback(checked)


OPEN = "is no address for a session: https is needed"
ELSEWHERE = "is no host of Salesforce's: no session goes there"
NOWHERE = [
    ("http://acme.my.salesforce.com", OPEN),
    ("ftp://acme.my.salesforce.com", OPEN),
    ("acme.my.salesforce.com", OPEN),
    ("//acme.my.salesforce.com", OPEN),
    ("", OPEN),
    ("https://", OPEN),
    ("https:///path", OPEN),
    ("https://[::1", OPEN),
    ("https://acme.my.salesforce.com:99999", OPEN),
    ("https://acme.my.salesforce.com:port", OPEN),
    ("https://me:canary-pass@acme.my.salesforce.com", OPEN),
    ("https://acme.my.salesforce.com@evil.example", OPEN),
    ("https://@acme.my.salesforce.com", OPEN),
    ("https://evil.example\\@acme.my.salesforce.com", OPEN),
    ("https://evil.example\\.my.salesforce.com", OPEN),
    ("https://evil.example#.my.salesforce.com", ELSEWHERE),
    ("https://evil.example?.my.salesforce.com", ELSEWHERE),
    ("https://evil.example/.my.salesforce.com", ELSEWHERE),
    ("https://acme.my.salesforce.com evil.example", OPEN),
    ("https://acme.my.salesforce.com\n.evil.example", OPEN),
    ("https://evil.example\t.my.salesforce.com", OPEN),
    ("https://acme.my.sаlesforce.com", OPEN),
    ("https://acme.my.salesforce。com", OPEN),
    ("https://acme.my.salesforce.com.", OPEN),
    ("https://.my.salesforce.com", OPEN),
    ("https://a..my.salesforce.com", OPEN),
    ("https://-a.my.salesforce.com", OPEN),
    ("https://a%2eb.my.salesforce.com", OPEN),
    (f"https://{'a' * 64}.my.salesforce.com", OPEN),
    ("https://xn--cme-5cd.my.salesforce.com", ELSEWHERE),
    ("https://my.salesforce.com", ELSEWHERE),
    ("https://evilmy.salesforce.com", ELSEWHERE),
    ("https://salesforce.com", ELSEWHERE),
    ("https://evil-login.salesforce.com", ELSEWHERE),
    ("https://a.login.salesforce.com", ELSEWHERE),
    ("https://na139.salesforce.com", ELSEWHERE),
    ("https://acme.my.salesforce.com.evil.example", ELSEWHERE),
    ("https://acme.my.salesforce.com:8443", ELSEWHERE),
    ("https://acme.my.salesforce-sites.com", ELSEWHERE),
    ("https://acme.my.site.com", ELSEWHERE),
    ("https://acme.force.com", ELSEWHERE),
    ("https://acme.lightning.force.com", ELSEWHERE),
    ("https://127.0.0.1", ELSEWHERE),
    ("https://localhost", ELSEWHERE),
    ("http://127.0.0.1:8080", OPEN),
    ("https://[::1]:443", ELSEWHERE),
    ("https://2130706433", ELSEWHERE),
    ("https://169.254.169.254/latest", ELSEWHERE),
]


@pytest.mark.parametrize(("url", "said"), NOWHERE, ids=[u for u, _ in NOWHERE])
@pytest.mark.parametrize("reach", [SALESFORCE, OWN])
def test_elsewhere(url, said, reach):
    with pytest.raises(ApiFault, match=said) as caught:
        checked_url(url, reach)
    assert "canary" not in str(caught.value)
    assert ("allowed_hosts" in caught.value.hint) == (said == ELSEWHERE)


@pytest.mark.parametrize(
    "url",
    [
        "https://salesforce.acme.com",
        "https://10.0.0.7:8443",
        "https://xn--caf-dma.example",
    ],
)
def test_what_the_user_allows(url):
    assert checked_url(url, OWN) == url
    for other in (url + "1", url.replace("//", "//a."), url.replace("https", "http")):
        with pytest.raises(ApiFault):
            checked_url(other, OWN)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:81", "https://[::1]"],
)
def test_this_machine(url):
    assert checked_url(url + "/x", LOOPBACK) == url
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "https://acme.my.salesforce.com",
        "ftp://127.0.0.1",
    ],
)
def test_what_this_machine_is_not(url):
    with pytest.raises(ApiFault, match=OPEN):
        checked_url(url, LOOPBACK)


@given(
    st.text()
    | st.text("https:/.@my#?salefrcom\\%[]1 \t", max_size=60).map("https://".__add__)
)
def test_whatever_is_let_through_is_salesforce(url):
    try:
        found = checked_url(url, SALESFORCE)
    except ApiFault:
        return
    host = found.removeprefix("https://")
    assert host.endswith((".my.salesforce.com", ".my.salesforce.mil", ".cn")) or (
        host in ("login.salesforce.com", "test.salesforce.com")
    )
    assert not set(host) & set("/@:?#\\% ")
