import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.access import AppAccess
from metadeploy.diff import (
    AccessChange,
    Action,
    FieldChange,
    access_changes,
    access_drift,
    diff,
    drift,
    merge,
)
from metadeploy.model import METADATA_NS, Component, Ref
from metadeploy.xmlfile import canonical, parse


def component(type_, inside, name="Portal"):
    body = f'<{type_} xmlns="{METADATA_NS}">{inside}</{type_}>'
    return Component(Ref(type_, name), body.encode())


def app(inside="", oauth=""):
    return component(
        "ConnectedApp",
        f"<contactEmail>a@b.c</contactEmail><label>Portal</label>{inside}"
        f"<oauthConfig><callbackUrl>https://a/cb</callbackUrl>{oauth}</oauthConfig>",
    )


def fields(actual, wanted, recorded=None):
    changes = diff([actual], [wanted], [recorded] if recorded else [])
    return [f for change in changes for f in change.fields]


def test_one_changed_callback_url_is_one_field_of_one_change():
    other = Component(app().ref, app().body.replace(b"//a/", b"//b/"))
    (change,) = diff([app()], [other])
    assert (change.action, change.ref) == (Action.UPDATE, app().ref)
    assert change.fields == (
        FieldChange("oauthConfig.callbackUrl", "https://a/cb", "https://b/cb"),
    )


@pytest.mark.parametrize(
    ("actual", "wanted"),
    [
        (app(), app("\n  <!-- hi -->\n")),
        (app("<description>a&apos;b &amp;</description>"),
         app("<description>a'b &#38;</description>")),
        (app(oauth="<scopes>Api</scopes><scopes>Basic</scopes>"),
         app(oauth="<scopes>Email</scopes><scopes>Api</scopes><scopes>Basic</scopes>")),
        (app(oauth="<scopes>RefreshToken</scopes>"),
         app(oauth="<scopes>OfflineAccess</scopes>")),
        (app(oauth="<isPkceRequired>false</isPkceRequired>"
             "<isSecretRequiredForRefreshToken>true</isSecretRequiredForRefreshToken>"
             "<consumerKey>3MVG9</consumerKey>"),
         app()),
        (app(), app(oauth="<isPkceRequired>0</isPkceRequired>")),
        (app("<oauthPolicy><ipRelaxation>ENFORCE</ipRelaxation>"
             "<refreshTokenPolicy>infinite</refreshTokenPolicy></oauthPolicy>"),
         app()),
        (app("<description/>"), app()),
        (app(), app("<description></description>")),
        (app(), app(oauth="<consumerSecret>not compared</consumerSecret>")),
        (app("<ipRanges><end>1.1.1.1</end><start>1.1.1.1</start></ipRanges>"),
         app("<ipRanges><start>1.1.1.1</start> <end>1.1.1.1</end></ipRanges>")),
        (component("Profile", "<custom>false</custom><userLicense>X</userLicense>"
                   "<userPermissions><enabled>true</enabled><name>A</name>"
                   "</userPermissions>"),
         component("Profile", "<userPermissions><enabled>false</enabled><name>B</name>"
                   "</userPermissions>")),
    ],
)  # fmt: skip
def test_what_means_the_same_is_no_change(actual, wanted):
    assert diff([actual], [wanted]) == ()


def test_what_a_file_no_longer_says_goes_back_to_its_default():
    actual = app(
        "<description>old</description>",
        "<isPkceRequired>true</isPkceRequired><scopes>Api</scopes>",
    )
    assert fields(actual, app()) == [
        FieldChange("description", "old", None),
        FieldChange("oauthConfig.isPkceRequired", "true", "false"),
        FieldChange("oauthConfig.scopes", ("Api",), None),
    ]


def test_items_are_known_by_their_key():
    one = (
        "<ipRanges><description>d</description><end>9</end><start>1</start></ipRanges>"
    )
    two = "<ipRanges><end>8</end><start>2</start></ipRanges>"
    assert fields(app(one), app(two + one.replace(">d<", ">e<"))) == [
        FieldChange("ipRanges[1, 9].description", "d", "e"),
        FieldChange("ipRanges[2, 8]", None, "present"),
    ]


def test_a_new_component_shows_all_that_it_says():
    (change,) = diff([], [app(oauth="<isPkceRequired>false</isPkceRequired>")])
    assert change.action is Action.CREATE
    assert FieldChange("oauthConfig.isPkceRequired", None, "false") in change.fields


def test_a_type_without_a_table_is_compared_as_a_whole():
    one = component("Queue", "<a><b>1</b><c>2</c></a><name>n</name>")
    other = component("Queue", "<name>n</name><a><c>2</c><b>1</b></a>")
    assert diff([one], [other]) == ()
    changed = component("Queue", "<name>n</name><a><c>3</c><b>1</b></a>")
    assert [f.path for f in fields(one, changed)] == ["a"]


def permission(name, enabled="true"):
    return (
        f"<userPermissions><enabled>{enabled}</enabled><name>{name}</name>"
        "</userPermissions>"
    )


def permission_set(*names, extra=""):
    inside = "".join(permission(n) for n in names)
    return component("PermissionSet", f"<label>L</label>{extra}{inside}")


def test_a_permission_set_keeps_what_only_the_org_has():
    actual, wanted = permission_set("A", "B"), permission_set("B", "C")
    assert fields(actual, wanted) == [
        FieldChange("userPermissions[C].enabled", None, "true")
    ]
    merged = merge(actual, wanted, None).body
    assert [n in merged for n in (b">A<", b">B<", b">C<")] == [True] * 3
    assert diff([merge(actual, wanted, None)], [wanted]) == ()


def test_what_we_once_deployed_and_no_longer_declare_is_removed():
    actual, wanted = permission_set("A", "B"), permission_set("B")
    assert fields(actual, wanted, permission_set("A", "B")) == [
        FieldChange("userPermissions[A].enabled", "true", "false")
    ]
    assert b">A<" not in merge(actual, wanted, permission_set("A", "B")).body


def test_a_permission_is_taken_away_by_saying_so():
    wanted = component("PermissionSet", f"<label>L</label>{permission('A', 'false')}")
    assert fields(permission_set("A"), wanted) == [
        FieldChange("userPermissions[A].enabled", "true", "false")
    ]


def test_merging_an_item_keeps_what_only_the_org_says_of_it():
    def field(inside):
        return component(
            "PermissionSet",
            f"<label>L</label><fieldPermissions><field>A.B</field>{inside}"
            "</fieldPermissions>",
        )

    actual = field("<editable>true</editable><readable>true</readable>")
    wanted = field("<editable>false</editable>")
    assert b"<readable>true</readable>" in merge(actual, wanted, None).body
    gone = merge(actual, wanted, actual).body
    assert b"<readable>" not in gone and b"<editable>false</editable>" in gone


def test_a_profile_is_told_to_take_away_what_we_no_longer_declare():
    def profile(inside):
        return component("Profile", inside, "Admin")

    actual = profile(permission("A") + permission("B") + "<custom>false</custom>")
    recorded = profile(permission("A") + "<description>d</description>")
    sent = merge(actual, profile(permission("C")), recorded).body
    assert fields(profile(permission("A", "true")), profile(""), recorded) == [
        FieldChange("userPermissions[A].enabled", "true", "false")
    ]
    assert fields(profile(""), Component(actual.ref, sent)) == [
        FieldChange("userPermissions[C].enabled", None, "true")
    ]
    assert b"<enabled>false</enabled>\n        <name>A</name>" in sent
    assert b">B<" not in sent and b"custom" not in sent


def test_drift_is_what_somebody_else_changed():
    recorded = app()
    changed = app("<description>new</description>")
    (found,) = drift([recorded], [changed])
    assert found.fields == (FieldChange("description", "new", None),)
    assert drift([recorded], [recorded]) == ()
    (gone,) = drift([recorded], [])
    assert gone.action is Action.DELETE


A, B = Ref("PermissionSet", "A"), Ref("Profile", "B")


def test_access_that_is_ours_is_replaced():
    wanted = {"Portal": AppAccess(grants=frozenset({A}), owned=True)}
    assert access_changes({"Portal": frozenset({B})}, wanted) == (
        AccessChange("Portal", A, Action.GRANT),
        AccessChange("Portal", B, Action.REVOKE),
    )
    assert access_changes({"Portal": frozenset({A})}, wanted) == ()


def test_access_drift_is_what_somebody_did():
    recorded = {"Portal": AppAccess(grants=frozenset({A}), owned=True)}
    assert access_drift(recorded, {"Portal": frozenset({B})}) == (
        AccessChange("Portal", A, Action.REVOKE),
        AccessChange("Portal", B, Action.GRANT),
    )
    assert access_drift(recorded, {"Portal": frozenset({A})}) == ()


def test_access_to_somebody_elses_app_is_added_to():
    wanted = {"CLI": AppAccess(frozenset({A}), frozenset({B}))}
    have = frozenset({B, Ref("Profile", "Admin")})
    assert access_changes({"CLI": have}, wanted) == (
        AccessChange("CLI", A, Action.GRANT),
        AccessChange("CLI", B, Action.REVOKE),
    )


def test_signs():
    assert "".join(a.sign for a in Action) == "+~-+-"


permissions = st.dictionaries(
    st.sampled_from("ABCDEF"), st.sampled_from(["true", "false"])
)
sets = st.builds(
    lambda label, found: component(
        "PermissionSet",
        f"<label>{label}</label>" + "".join(permission(n, e) for n, e in found.items()),
    ),
    st.sampled_from(["one", "two"]),
    permissions,
)


@given(sets)
def test_nothing_differs_from_itself(body):
    assert diff([body], [body]) == ()


@given(sets, sets, st.none() | sets)
def test_merging_gives_the_wanted_state(actual, wanted, recorded):
    merged = merge(actual, wanted, recorded)
    assert diff([merged], [wanted], [recorded] if recorded else []) == ()


@given(st.lists(sets, min_size=2, max_size=2))
def test_a_diff_is_empty_both_ways_or_neither_for_owned_types(pair):
    one, other = (
        component("ConnectedApp", f"<label>{c.body.count(b'name')}</label>")
        for c in pair
    )
    assert (diff([one], [other]) == ()) == (diff([other], [one]) == ())


def settings(certificate, more=""):
    said = f"<certificate>{certificate}</certificate>" if certificate else ""
    return component(
        "ExtlClntAppGlobalOauthSettings",
        f"<callbackUrl>https://a/cb</callbackUrl>{said}"
        f"<externalClientApplication>Portal</externalClientApplication>{more}",
    )


@pytest.mark.parametrize(
    ("recorded", "wanted", "found"),
    [
        (None, "NEW", []),  # nobody knows what the org has
        ("SAME", " SAME\n", []),
        ("OLD", "NEW", [FieldChange("certificate", "OLD", "NEW")]),
        ("OLD", "", [FieldChange("certificate", "OLD", None)]),
        ("", "NEW", [FieldChange("certificate", None, "NEW")]),
    ],
)
def test_what_no_org_gives_back_is_compared_with_our_record(recorded, wanted, found):
    live = settings("")
    was = None if recorded is None else settings(recorded)
    assert fields(live, settings(wanted), was) == found


def test_a_secret_is_compared_with_nothing():
    secret = "<consumerSecret>canary</consumerSecret>"
    assert fields(settings(""), settings("", secret), settings("")) == []


def test_what_commas_separate_is_a_set():
    def said(scopes, custom):
        return component(
            "ExtlClntAppOauthSettings",
            f"<commaSeparatedCustomScopes>{custom}</commaSeparatedCustomScopes>"
            f"<commaSeparatedOauthScopes>{scopes}</commaSeparatedOauthScopes>",
        )

    actual = said("Api, RefreshToken", "x, y")
    assert fields(actual, said("OfflineAccess,Api,", "y,x")) == []
    assert fields(actual, said("Api,RefreshToken", "y")) == [
        FieldChange("commaSeparatedCustomScopes", ("x", "y"), ("y",))
    ]


def laid_out(one):
    return Component(one.ref, canonical(parse(one.body)))


@given(sets, sets, sets)
def test_the_layout_makes_no_difference(actual, wanted, recorded):
    sides = [actual], [wanted], [recorded]
    as_orgs_do = [[laid_out(c) for c in side] for side in sides]
    assert diff(*as_orgs_do) == diff(*sides)
    assert diff(*as_orgs_do[:2]) == diff(*sides[:2])


def test_an_item_in_a_comment_is_none():
    item = "\n    <userPermissions><enabled>true</enabled><name>A</name>" + (
        "</userPermissions>"
    )
    commented = component("Profile", f"<!--{item}\n    <custom/>-->")
    (change,) = diff([commented], [component("Profile", f"{item}\n    <custom/>")])
    assert [f.path for f in change.fields] == ["userPermissions[A].enabled"]
