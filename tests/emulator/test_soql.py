"""SOQL over a handful of records, and the words in which it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.emulator import soql
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.sobjects import SObject, sobject
from metadeploy.emulator.soql_scope import Record
from metadeploy.emulator.soql_time import seconds_of, span

NOW = seconds_of("2026-11-21T12:00:00Z")  # a Saturday
ADMIN, STANDARD = "00e000000000001AAA", "00e000000000002AAA"
ANN, BOB, CID = "005000000000001AAA", "005000000000002AAA", "005000000000003AAA"
SHADOW, READER, WRITER = (f"0PS00000000000{n}AAA" for n in (1, 2, 3))
APP = "0H4000000000001AAA"


def user(key: str, name: str, profile: str | None, **more: object) -> Record:
    return {
        "Id": key,
        "Username": name,
        "IsActive": True,
        "ProfileId": profile,
        "CreatedDate": "2026-11-21T08:00:00.000Z",
        **more,  # type: ignore[dict-item]
    }


RECORDS: dict[str, Sequence[Record]] = {
    "User": [
        user(ANN, "ann@x.example", ADMIN, FirstName="Ann", Email="O'Hara_1@x.example"),
        user(BOB, "Bob@x.example", STANDARD, CreatedDate="2026-11-20T23:59:59.000Z"),
        user(CID, "cid@y.example", None, IsActive=False, FirstName="Ann"),
    ],
    "Profile": [
        {"Id": ADMIN, "Name": "System Administrator"},
        {"Id": STANDARD, "Name": "Standard User"},
    ],
    "PermissionSet": [
        {
            "Id": SHADOW,
            "Name": "X00e",
            "ProfileId": ADMIN,
            "IsOwnedByProfile": True,
            "IsCustom": False,
        },
        {"Id": READER, "Name": "Reader", "IsOwnedByProfile": False},
        {"Id": WRITER, "Name": "Writer", "IsOwnedByProfile": False},
    ],
    "PermissionSetAssignment": [
        {"Id": "0Pa000000000001AAA", "PermissionSetId": READER, "AssigneeId": ANN},
        {"Id": "0Pa000000000002AAA", "PermissionSetId": WRITER, "AssigneeId": ANN},
        {"Id": "0Pa000000000003AAA", "PermissionSetId": READER, "AssigneeId": BOB},
    ],
    "SetupEntityAccess": [
        {"Id": "0J0000000000001AAA", "ParentId": SHADOW, "SetupEntityId": APP},
        {"Id": "0J0000000000002AAA", "ParentId": READER, "SetupEntityId": APP},
    ],
    "ConnectedApplication": [
        {"Id": APP, "Name": "Portal", "RefreshTokenValidityPeriod": 30},
        {"Id": "0H4000000000002AAA", "Name": "Two", "RefreshTokenValidityPeriod": 5},
        {"Id": "0H4000000000003AAA", "Name": "", "RefreshTokenValidityPeriod": None},
    ],
}


class Records:
    """A source with just these records."""

    def describe(self, name: str) -> SObject:
        found = sobject(name)
        if found is None or found.name not in RECORDS:
            raise Fault("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def records(self, name: str) -> Sequence[Record]:
        return RECORDS[name]


def run(text: str) -> soql.Result:
    return soql.query(text, Records(), now=NOW)


def values(text: str) -> list[object]:
    """Return each row's values; of a single column the values themselves."""
    rows = [tuple(plain(v) for v in row.values.values()) for row in run(text).rows]
    return [row[0] if len(row) == 1 else row for row in rows]


def plain(value: object) -> object:
    if isinstance(value, soql.Row):
        return {k: plain(v) for k, v in value.values.items()}
    if isinstance(value, soql.Result):
        return [plain(row) for row in value.rows]
    return value


def refusal(text: str) -> Fault:
    with pytest.raises(Fault) as caught:
        run(text)
    return caught.value


NAMES = "SELECT Username FROM User"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("IsActive = true", "ab"),
        ("IsActive != TRUE", "c"),
        ("Username = 'ANN@X.EXAMPLE'", "a"),
        (f"Id = '{ANN}' OR Id = '{BOB[:15]}'", "ab"),
        (f"Id IN ('{ANN}','{CID}')", "ac"),
        (f"Id NOT IN ('{ANN}')", "bc"),
        ("FirstName = null", "b"),
        ("FirstName != null", "ac"),
        ("FirstName != 'Ann'", "b"),
        ("FirstName NOT IN ('Ann')", "b"),
        ("NOT FirstName = 'Ann'", "b"),
        ("FirstName = ''", "b"),
        ("Username LIKE '%@x.example'", "ab"),
        ("Username LIKE '_ob%'", "b"),
        (r"Email LIKE 'O\'Hara\_1%'", "a"),
        (r"Email LIKE 'O\'Hara\%1%'", ""),
        ("Username > 'b'", "bc"),
        ("Username >= 'bob@x.example' AND Username < 'c'", "b"),
        ("FirstName < 'z'", "ac"),
        ("Profile.Name = 'system administrator'", "a"),
        ("Profile.Name != 'System Administrator'", "bc"),
        ("Profile.Name = null", "c"),
        ("User.IsActive = false", "c"),
        ("(IsActive = true AND FirstName = 'Ann') OR Username LIKE 'cid%'", "ac"),
        ("NOT (IsActive = true OR FirstName = null)", "c"),
        ("CreatedDate = TODAY", "ac"),
        ("CreatedDate = YESTERDAY", "b"),
        ("CreatedDate < TODAY", "b"),
        ("CreatedDate <= YESTERDAY", "b"),
        ("CreatedDate > YESTERDAY", "ac"),
        ("CreatedDate >= YESTERDAY", "abc"),
        ("CreatedDate != TODAY", "b"),
        ("CreatedDate = LAST_N_DAYS:1", "abc"),
        ("CreatedDate = N_DAYS_AGO:1", "b"),
        ("CreatedDate >= 2026-11-21T08:00:00Z", "ac"),
        ("CreatedDate > 2026-11-21T08:00:00.000+00:00", ""),
        ("CreatedDate = 2026-11-21T09:00:00+0100", "ac"),
        ("CreatedDate = null", ""),
        ("CreatedDate != null", "abc"),
        (
            "Id IN (SELECT AssigneeId FROM PermissionSetAssignment"
            " WHERE PermissionSet.Name = 'Writer')",
            "a",
        ),
        ("Id NOT IN (SELECT AssigneeId FROM PermissionSetAssignment)", "c"),
    ],
)
def test_conditions(where: str, found: str):
    got = values(f"{NAMES} WHERE {where}")
    assert [str(name)[0].lower() for name in got] == list(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT Id FROM ConnectedApplication WHERE RefreshTokenValidityPeriod > 5", 1),
        (
            "select name from connectedapplication where RefreshTokenValidityPeriod<=5",
            1,
        ),
        ("SELECT Name FROM ConnectedApplication c WHERE c.Name = 'Portal'", 1),
        ("SELECT c.Name FROM ConnectedApplication AS c LIMIT 2", 2),
        ("SELECT Name FROM ConnectedApplication LIMIT 0", 0),
        ("SELECT Name FROM ConnectedApplication LIMIT 5 OFFSET 1", 2),
        ("SELECT Name FROM ConnectedApplication WITH SECURITY_ENFORCED LIMIT 1", 1),
        ("SELECT Name FROM ConnectedApplication USING SCOPE everything", 3),
        ("SELECT Name FROM ConnectedApplication FOR VIEW", 3),
        ("SELECT Name FROM ConnectedApplication ALL ROWS", 3),
        ("\n  SELECT Id\tFROM\r\nConnectedApplication ", 3),
    ],
)
def test_clauses(text: str, found: int):
    assert run(text).total == found


def test_count_has_a_size_and_no_rows():
    assert run("SELECT COUNT() FROM User") == soql.Result(3, ())
    assert run("SELECT count() FROM User WHERE IsActive = true LIMIT 1").total == 1


def test_order():
    by = "SELECT Name FROM ConnectedApplication ORDER BY "
    assert values(by + "Name") == ["", "Portal", "Two"]
    assert values(by + "Name DESC NULLS LAST") == ["Two", "Portal", ""]
    assert values(by + "RefreshTokenValidityPeriod ASC NULLS LAST") == [
        "Two",
        "Portal",
        "",
    ]
    users = "SELECT Username FROM User ORDER BY "
    assert values(users + "FirstName NULLS FIRST, Username DESC") == [
        "Bob@x.example",
        "cid@y.example",
        "ann@x.example",
    ]
    assert values(users + "Profile.Name DESC LIMIT 2") == [
        "cid@y.example",
        "ann@x.example",
    ]


def test_parents_come_as_rows_under_the_names_of_the_platform():
    text = (
        "SELECT id, parent.profile.name, Parent.Name, PARENT.IsCustom "
        "FROM SetupEntityAccess WHERE SetupEntityId = '" + APP + "'"
    )
    first, second = run(text).rows
    assert list(first.values) == ["Id", "Parent"]
    assert plain(first.values["Parent"]) == {
        "Profile": {"Name": "System Administrator"},
        "Name": "X00e",
        "IsCustom": False,
    }
    assert plain(second.values["Parent"]) == {
        "Profile": None,
        "Name": "Reader",
        "IsCustom": None,
    }


def test_children_come_as_results_or_null():
    text = (
        "SELECT Id, (SELECT PermissionSetId, PermissionSet.Name FROM "
        "permissionsetassignments WHERE PermissionSet.Name != 'x' ORDER BY Id DESC) "
        "FROM User"
    )
    ann, bob, cid = run(text).rows
    assert plain(ann.values["PermissionSetAssignments"]) == [
        {"PermissionSetId": WRITER, "PermissionSet": {"Name": "Writer"}},
        {"PermissionSetId": READER, "PermissionSet": {"Name": "Reader"}},
    ]
    assert isinstance(bob.values["PermissionSetAssignments"], soql.Result)
    assert cid.values == {"Id": CID, "PermissionSetAssignments": None}


def test_aggregates():
    assert values(
        "SELECT COUNT(Id), MAX(RefreshTokenValidityPeriod) most, MIN(Name), "
        "AVG(RefreshTokenValidityPeriod), SUM(RefreshTokenValidityPeriod), "
        "COUNT(RefreshTokenValidityPeriod), COUNT_DISTINCT(Name) "
        "FROM ConnectedApplication"
    ) == [(3, 30, "Portal", 17.5, 35, 2, 2)]
    [row] = run("SELECT COUNT(Id), MAX(Name) m, MIN(Name) FROM Profile").rows
    assert list(row.values) == ["expr0", "m", "expr1"]
    assert row.sobject == "AggregateResult"
    assert values("SELECT MAX(Name) FROM Profile LIMIT 0") == []
    assert values("SELECT MAX(FirstName), COUNT(Id) FROM User WHERE Id = null") == [
        (None, 0)
    ]


def test_groups():
    by = "SELECT FirstName, COUNT(Id) n FROM User GROUP BY FirstName "
    assert values(by) == [("Ann", 2), (None, 1)]
    assert values(by + "ORDER BY COUNT(Id)") == [(None, 1), ("Ann", 2)]
    assert values(by + "ORDER BY n DESC LIMIT 1") == [("Ann", 2)]
    assert values(by + "ORDER BY FirstName") == [(None, 1), ("Ann", 2)]
    assert values(by + "HAVING COUNT(Id) > 1") == [("Ann", 2)]
    assert values(by + "HAVING COUNT(Id) = 1 OR FirstName = 'ann'") == [
        ("Ann", 2),
        (None, 1),
    ]
    assert values(by + "HAVING NOT (COUNT(Id) >= 1 AND FirstName LIKE 'A%')") == [
        (None, 1)
    ]


def test_all_fields_need_a_limit():
    assert list(run("SELECT FIELDS(ALL) FROM Profile LIMIT 1").rows[0].values)[:2] == [
        "Id",
        "Name",
    ]
    assert run("SELECT FIELDS(STANDARD) FROM Profile").total == 2
    assert "must have a LIMIT" in refusal("SELECT FIELDS(ALL) FROM Profile").message


HINT = "Please reference your WSDL or the describe call for the appropriate names."


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("SELECT nonsense FROM", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT FROM User", "MALFORMED_QUERY", "unexpected token: 'FROM'"),
        ("SELECT Id FROM User WHERE", "MALFORMED_QUERY", "'<EOF>'"),
        ("SELECT Id FROM User;", "MALFORMED_QUERY", "unexpected token: ';'"),
        ("SELECT Id FROM User WHERE Name = 'x", "MALFORMED_QUERY", "closing quote"),
        ("SELECT Id FROM User LIMIT x", "MALFORMED_QUERY", "unexpected token: 'x'"),
        ("SELECT Id FROM User LIMIT 1 1", "MALFORMED_QUERY", "unexpected token: '1'"),
        ("SELECT * FROM User", "MALFORMED_QUERY", "unexpected token: '*'"),
        (
            "SELECT Id FROM User WHERE Id = null AND Name = 'a' OR Name = 'b'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        ("SELECT Id FROM User WHERE Id = :x", "MALFORMED_QUERY", "variable references"),
        (
            "SELECT Id FROM User WHERE CreatedDate = SOMEDAY",
            "MALFORMED_QUERY",
            "unexpected token: 'SOMEDAY'",
        ),
        (
            "SELECT Id FROM User WHERE Username = TODAY",
            "MALFORMED_QUERY",
            "unexpected token: 'TODAY'",
        ),
        ("SELECT TYPEOF x FROM User", "MALFORMED_QUERY", "TYPEOF is not emulated"),
        ("SELECT DISTANCE(x) FROM User", "MALFORMED_QUERY", "token: 'DISTANCE'"),
        ("SELECT FIELDS(MINE) FROM User", "MALFORMED_QUERY", "token: 'MINE'"),
        (
            "SELECT Id, COUNT(Id) FROM User",
            "MALFORMED_QUERY",
            "Field must be grouped or aggregated: Id",
        ),
        (
            "SELECT COUNT(Id) FROM User GROUP BY FirstName ORDER BY LastName",
            "MALFORMED_QUERY",
            "Ordered field must be grouped or aggregated: LastName",
        ),
        ("SELECT Id FROM User ORDER BY COUNT(Id)", "MALFORMED_QUERY", "grouped"),
        (
            "SELECT Id FROM User WHERE COUNT(Id) = 1",
            "MALFORMED_QUERY",
            "Aggregate functions belong in HAVING",
        ),
        (
            "SELECT Id, (SELECT Id, (SELECT Id FROM x) FROM Users) FROM Profile",
            "MALFORMED_QUERY",
            "unexpected token: '('",
        ),
        (
            "SELECT Id FROM User WHERE Id IN (SELECT Id, ProfileId FROM User)",
            "MALFORMED_QUERY",
            "exactly one field",
        ),
        (
            "SELECT Id FROM Nothing",
            "INVALID_TYPE",
            "sObject type 'Nothing' is not supported. If you are attempting to use a "
            f"custom object, be sure to append the '__c' after the entity name. {HINT}",
        ),
        (
            "SELECT Id, (SELECT Id FROM Wheels) FROM User",
            "INVALID_TYPE",
            "Didn't understand relationship 'Wheels' in FROM part of query call. ",
        ),
        (
            "SELECT ConsumerKey FROM ConnectedApplication",
            "INVALID_FIELD",
            "No such column 'ConsumerKey' on entity 'ConnectedApplication'. If you are "
            "attempting to use a custom field, be sure to append the '__c' after the "
            f"custom field name. {HINT}",
        ),
        ("SELECT Id FROM User WHERE X = 1", "INVALID_FIELD", "No such column 'X'"),
        ("SELECT Id FROM User ORDER BY X", "INVALID_FIELD", "No such column 'X'"),
        ("SELECT Parent.Name FROM User", "INVALID_FIELD", "relationship 'Parent'"),
        ("SELECT Id, id FROM User", "INVALID_FIELD", "duplicate field selected: id"),
        (
            "SELECT Id FROM User WHERE IsActive = 'true'",
            "INVALID_FIELD",
            "value of filter criterion for field 'IsActive' must be of type boolean "
            "and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM User WHERE Username = 1",
            "INVALID_FIELD",
            "value of filter criterion for field 'Username' must be of type string "
            "and should be enclosed in quotes",
        ),
        (
            "SELECT Id FROM User WHERE CreatedDate = '2026-01-01'",
            "INVALID_FIELD",
            "must be of type dateTime and should not be enclosed in quotes",
        ),
        ("SELECT Id FROM User WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "Time"),
        (
            "SELECT Id FROM User WHERE CreatedDate > 2026-13-01T00:00:00Z",
            "INVALID_FIELD",
            "Invalid date",
        ),
        (
            "SELECT Id FROM User WHERE Id = '1'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid ID field: 1",
        ),
        ("SELECT Id FROM User WHERE Id LIKE '0%'", "INVALID_FIELD", "invalid operator"),
        ("SELECT Id FROM User WHERE IsActive > true", "INVALID_FIELD", "operator on"),
        (
            "SELECT Id FROM User OFFSET 2001",
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Maximum SOQL offset allowed is 2000",
        ),
    ],
)
def test_refusals(text: str, code: str, message: str):
    fault = refusal(text)
    assert fault.code == code
    assert message in fault.message


def test_a_refusal_shows_where():
    assert refusal("SELECT Id,\n  Nam\nFROM User").message.startswith(
        "\n  Nam\n  ^\nERROR at Row:2:Column:3\nNo such column 'Nam'"
    )
    long = refusal("SELECT " + "Id, " * 100 + "; FROM User").message
    assert long.split("\n")[1][50:51] == ";"
    assert long.split("\n")[2] == " " * 50 + "^"


def test_a_field_that_is_not_filterable():
    RECORDS_HAVE = {**RECORDS, "OauthToken": []}

    class More(Records):
        def describe(self, name: str) -> SObject:
            found = sobject(name)
            assert found is not None and found.name in RECORDS_HAVE
            return found

        def records(self, name: str) -> Sequence[Record]:
            return RECORDS_HAVE[name]

    with pytest.raises(Fault, match="field 'DeleteToken' can not be filtered"):
        soql.query("SELECT Id FROM OauthToken WHERE DeleteToken = 'x'", More(), now=NOW)


@pytest.mark.parametrize(
    ("literal", "first", "last"),
    [
        ("TODAY", "2026-11-21", "2026-11-22"),
        ("TOMORROW", "2026-11-22", "2026-11-23"),
        ("THIS_WEEK", "2026-11-15", "2026-11-22"),
        ("LAST_WEEK", "2026-11-08", "2026-11-15"),
        ("NEXT_MONTH", "2026-12-01", "2027-01-01"),
        ("THIS_QUARTER", "2026-10-01", "2027-01-01"),
        ("LAST_FISCAL_QUARTER", "2026-07-01", "2026-10-01"),
        ("LAST_YEAR", "2025-01-01", "2026-01-01"),
        ("LAST_90_DAYS", "2026-08-23", "2026-11-22"),
        ("NEXT_90_DAYS", "2026-11-22", "2027-02-20"),
        ("LAST_N_DAYS:3", "2026-11-18", "2026-11-22"),
        ("NEXT_N_DAYS:3", "2026-11-22", "2026-11-25"),
        ("LAST_N_MONTHS:2", "2026-09-01", "2026-11-01"),
        ("NEXT_N_WEEKS:1", "2026-11-22", "2026-11-29"),
        ("LAST_N_FISCAL_YEARS:1", "2025-01-01", "2026-01-01"),
        ("N_YEARS_AGO:2", "2024-01-01", "2025-01-01"),
        ("N_QUARTERS_AGO:0", "2026-10-01", "2027-01-01"),
    ],
)
def test_date_literals(literal: str, first: str, last: str):
    assert span(literal, NOW) == (seconds_of(first), seconds_of(last))


@pytest.mark.parametrize(
    "literal",
    [
        "THIS_DAY",
        "NOW",
        "LAST_N_DAY:1",
        "LAST_N_EONS:1",
        "N_DAYS_AGO:99999999999",
        "X:1",
    ],
)
def test_what_is_no_date_literal(literal: str):
    assert span(literal, NOW) is None


def test_columns():
    first, parent, child = soql.columns(
        "SELECT Id, Profile.Name, Profile.UserLicense.Name, (SELECT Id FROM "
        "PermissionSetAssignments) FROM User".replace(
            "Profile.UserLicense.Name", "Profile.Id"
        ),
        Records(),
    )
    assert first.field is not None and first.field.name == first.name == "Id"
    assert (parent.name, [c.name for c in parent.inner]) == ("Profile", ["Name", "Id"])
    assert (child.name, child.aggregate) == ("PermissionSetAssignments", True)
    [count] = soql.columns("SELECT COUNT(Id) FROM User", Records())
    assert (count.name, count.field, count.aggregate) == ("expr0", None, True)


atoms = st.sampled_from(
    [
        "IsActive = true",
        "FirstName = 'Ann'",
        "FirstName > 'a'",
        "Profile.Name LIKE '%user'",
        "CreatedDate = TODAY",
        f"Id IN ('{ANN}')",
        "ProfileId = null",
    ]
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        inner.map(lambda c: f"NOT ({c})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) AND ({two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) OR ({two[1]})"),
    ),
    max_leaves=8,
)


@given(conditions)
def test_every_record_meets_a_condition_or_its_opposite(condition: str):
    some = values(f"SELECT Id FROM User WHERE {condition}")
    rest = values(f"SELECT Id FROM User WHERE NOT ({condition})")
    assert sorted([*some, *rest]) == sorted([ANN, BOB, CID])  # type: ignore[type-var]
    assert run(f"SELECT COUNT() FROM User WHERE {condition}").total == len(some)


WORDS = (
    "SELECT FROM WHERE AND OR NOT IN LIKE ( ) , = < 'x' 1 null true Id Name User "
    "Profile.Name COUNT ORDER BY GROUP LIMIT OFFSET HAVING TODAY : . ' \\ é"
)
words = st.sampled_from(WORDS.split(" "))


@given(st.lists(words, max_size=14).map(" ".join))
def test_any_text_is_answered_or_refused(text: str):
    try:
        run("SELECT " + text)
    except Fault as fault:
        assert fault.code in {"MALFORMED_QUERY", "INVALID_FIELD", "INVALID_TYPE"}


def test_deep_nesting_is_refused():
    deep = "SELECT Id FROM User WHERE " + "(" * 5000 + "Id = null" + ")" * 5000
    assert refusal(deep).code == "MALFORMED_QUERY"
    assert (
        refusal("SELECT Id FROM User WHERE " + "NOT " * 5000).code == "MALFORMED_QUERY"
    )
    assert refusal("SELECT " + "(SELECT " * 5000).code == "MALFORMED_QUERY"
    assert refusal("SELECT Id FROM User" + " " * 100_000).code == "MALFORMED_QUERY"
