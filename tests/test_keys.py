import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.errors import ConfigError
from metadeploy.keys import check_master, derive
from metadeploy.model import Secret

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
