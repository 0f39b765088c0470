import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.errors import ConfigError
from metadeploy.keys import (
    KeyChoice,
    Masters,
    app_of,
    check_master,
    derive,
    key_in,
    recognise,
    with_key,
    without_key,
)
from metadeploy.model import METADATA_NS, Component, Ref, Secret, Source

MASTER = Secret("0123456789abcdef0123456789abcdef")
ORG = "00DWs000003xYZ1MAM"


def test_a_key_never_changes():
    found = derive(MASTER, ORG, "Portal", 1)
    assert found.consumer_key == (
        "8mzO1mKrOlMMdMEbUnZ1htJ2IPKXy5riwAmFDFGOyD"
        "vIDcUL9uT1FwmRS1P4SbiSR7sm6TylyG48dbSpxeku4"
    )
    assert found.consumer_secret.reveal() == (
        "uCzPggf8Pe4T1uR93NuqZtl8iX0ikEH3V8CXVY465F3D0qDA8Rzl2Z73B76JzX0t"
    )
    assert (found.origin, found.generation) == ("derived", 1)


def test_it_is_hkdf():
    stream = HKDF(SHA256(), 101, ORG.encode(), b"Portal|1|key").derive(
        MASTER.reveal().encode()
    )
    number, digits = int.from_bytes(stream), ""
    for _ in range(85):
        number, digit = divmod(number, 62)
        digits += "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[
            digit
        ]
    assert derive(MASTER, ORG, "Portal", 1).consumer_key == digits


def test_both_forms_of_an_org_id_give_the_same_key():
    assert derive(MASTER, ORG[:15], "Portal", 1) == derive(MASTER, ORG, "Portal", 1)


names = st.text("abcXYZ_0", min_size=1, max_size=5)
orgs = st.sampled_from(["00D000000000001", "00D000000000002", "00D00000000000a"])
places = st.tuples(st.integers(0, 3), orgs, names, st.integers(1, 12))


@given(places, places)
def test_another_place_has_another_key(one, other):
    def key(place):
        master, org, app, generation = place
        return derive(Secret(f"{master:032}"), org, app, generation)

    assert (key(one) == key(other)) == (one == other)
    assert key(one).consumer_key.isalnum() and len(key(one).consumer_key) == 85
    secret = key(one).consumer_secret.reveal()
    assert secret.isalnum() and len(secret) == 64


def test_a_short_master_is_refused():
    assert check_master(MASTER) is MASTER
    with pytest.raises(ConfigError, match="fewer than 32 characters"):
        check_master(Secret("short   "))


def app(inside):
    body = (
        f'<ConnectedApp xmlns="{METADATA_NS}">\n<label>P</label>\n{inside}'
        "</ConnectedApp>\n"
    ).encode()
    lines = tuple(("templates/P.j2", n) for n in range(1, 10))
    return Component(
        Ref("ConnectedApp", "Portal"), body, Source("templates/P.j2", lines)
    )


OAUTH = "<oauthConfig>\n<callbackUrl>https://a</callbackUrl>\n</oauthConfig>\n"


def test_a_key_goes_in_and_comes_out_again():
    plain = without_key(app(OAUTH))
    assert app_of(plain) == "Portal"
    assert key_in(plain) == ""
    credentials = derive(MASTER, ORG, "Portal", 1)
    keyed = with_key(plain, credentials)
    assert key_in(keyed) == credentials.consumer_key
    assert credentials.consumer_secret.reveal().encode() in keyed.body
    assert without_key(keyed) == plain


def test_the_lines_still_know_their_template():
    keyed = with_key(without_key(app(OAUTH)), derive(MASTER, ORG, "Portal", 1))
    line = (
        keyed.body.decode()
        .split("\n")
        .index("        <callbackUrl>https://a</callbackUrl>")
    )
    assert keyed.source.locate(line + 1)[0] == "templates/P.j2"


def test_an_app_without_oauth_has_no_key():
    assert app_of(app("")) is None
    assert key_in(app("")) == ""
    assert with_key(app(""), derive(MASTER, ORG, "Portal", 1)) == app("")
    other = Component(Ref("Profile", "Admin"), b"<Profile/>")
    assert app_of(other) is None


def test_the_key_of_an_external_client_app_is_in_its_global_settings():
    body = (
        f'<ExtlClntAppGlobalOauthSettings xmlns="{METADATA_NS}">'
        "<externalClientApplication>Portal</externalClientApplication>"
        "</ExtlClntAppGlobalOauthSettings>"
    ).encode()
    found = Component(Ref("ExtlClntAppGlobalOauthSettings", "Portal_glbl"), body)
    assert app_of(found) == "Portal"
    credentials = derive(MASTER, ORG, "Portal", 1)
    assert key_in(with_key(found, credentials)) == credentials.consumer_key


NEW = Secret("fedcba9876543210fedcba9876543210")


def test_a_live_key_is_recognised():
    def known(live, generation=2, pinned="", previous=None):
        choice = KeyChoice(generation, pinned)
        found = recognise(Masters(NEW, previous), ORG, "Portal", choice, live)
        return found.origin, found.generation, found.consumer_secret

    def key(master, generation):
        return derive(master, ORG, "Portal", generation)

    def as_known(origin, made):
        return origin, made.generation, made.consumer_secret

    assert known(None) == as_known("derived", key(NEW, 2))
    for generation in (1, 2, 3):
        now, before = key(NEW, generation), key(MASTER, generation)
        assert known(now.consumer_key) == as_known("derived", now)
        origin = "derived (previous master)"
        assert known(before.consumer_key, previous=MASTER) == as_known(origin, before)
        assert known(before.consumer_key) == ("org", 2, None)
    assert known("Theirs12", pinned="Theirs12") == ("pinned", 2, None)
    assert known("Theirs12", pinned="Another1") == ("org", 2, None)
