import json

from hypothesis import given
from hypothesis import strategies as st

from metadeploy import yamlfile


def problems(text):
    return [str(p) for p in yamlfile.read(text, "orgs/dev.yaml").problems]


def test_values_and_their_lines():
    doc = yamlfile.read("a: 1\nb:\n  - x\n  - {c: no}\n", "orgs/dev.yaml")
    assert doc.value == {"a": 1, "b": ["x", {"c": "no"}]}
    assert doc.line_of(("b", 1, "c")) == 4
    assert doc.line_of(("b", 1, "c", "deeper")) == 4
    assert doc.line_of(("missing",)) == 1


def test_scalars_follow_yaml_1_2():
    doc = yamlfile.read(
        "[yes, no, on, true, ~, 010, 0x1F, 0o17, 1.5, -.inf, 2026-11-21, '']", "x"
    )
    assert doc.value == [
        *("yes", "no", "on"),
        *(True, None, 10, 31, 15, 1.5, float("-inf"), "2026-11-21", ""),
    ]


def test_an_empty_file_is_an_empty_mapping():
    assert yamlfile.read("# nothing\n", "x").value == {}


def test_a_duplicate_key_names_both_lines():
    assert problems("a: 1\nb: 2\na: 3\n") == [
        "orgs/dev.yaml:3: duplicate key 'a', first on line 1 [MD001]"
    ]


def test_bad_syntax_names_the_line():
    (problem,) = problems("a: [1\nb: 2\n")
    assert problem.startswith("orgs/dev.yaml:2: while parsing a flow sequence")


def test_a_tag_is_refused():
    for value in ("!!python/object/apply:os.system [ls]", "!!python/name:os.system x"):
        tag = "tag:yaml.org,2002:" + value.removeprefix("!!").partition(" ")[0]
        assert problems(f"a: {value}\n") == [
            f"orgs/dev.yaml:1: the tag {tag} is not allowed [MD001]"
        ]


def test_a_bomb_is_refused_before_it_expands():
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "refused [MD002]" in problems(laughs)[0]
    assert "refused [MD002]" in problems("[" * 40 + "]" * 40)[0]
    assert "refused [MD002]" in problems("[" * 5000 + "]" * 5000)[0]
    assert "larger than 1 MB" in problems("a: " + "x" * 1_000_001)[0]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="ascii")),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text("abc", min_size=1), x),
    max_leaves=12,
)


@given(plain)
def test_json_is_yaml(value):
    doc = yamlfile.read(json.dumps({"value": value}), "x")
    assert doc.problems == ()
    assert doc.value == {"value": value}


def test_what_yaml_itself_may_not_hold():
    (problem,) = problems("a: \x00\n")
    assert problem.startswith("orgs/dev.yaml: ")
    assert problem.endswith("[MD001]")


def test_numbers_that_are_none_are_texts():
    digits = "9" * 5000
    document = yamlfile.read(f"a: {digits}\nb: .nan\nc: -.inf\n", "x")
    assert document.value == {"a": digits, "b": ".nan", "c": float("-inf")}


def test_the_line_of_what_is_not_there():
    document = yamlfile.read("a:\n  b: 1\n", "x")
    assert document.line_of(("a", "b", "c")) == 2
    assert document.line_of(("z",)) == 1


def test_an_anchor_may_be_set_anew():
    document = yamlfile.read("a: &x 1\nb: &x 2\nc: *x\n", "o.yaml")
    assert document.value == {"a": 1, "b": 2, "c": 2}
    assert document.problems == ()
