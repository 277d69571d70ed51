import math

import pytest

from ablate.spec.yaml_source import MAX_NODES, UnreadableYaml, decode, parse, resolve_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-7", 5e-7),
        ("3e4", 30000.0),
        (".5", 0.5),
        ("-7", -7),
        ("010", 10),
        ("true", True),
        ("null", None),
        ("~", None),
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("0o14", "0o14"),
        ("0x10", "0x10"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("=", "="),
    ],
)
def test_plain_scalars_follow_the_core_schema_in_decimal(text, value):
    assert resolve_scalar(text) == value
    assert type(resolve_scalar(text)) is type(value)


def test_infinities_and_nan_are_numbers_which_no_field_accepts():
    assert resolve_scalar("-.inf") == -math.inf
    assert math.isnan(resolve_scalar(".nan"))


def test_a_quoted_scalar_is_text():
    node, problems = parse("a: '5e-7'\nb: \"true\"\n")
    assert node.data() == {"a": "5e-7", "b": "true"}
    assert problems == []


def test_every_node_knows_its_line_and_column():
    node, _ = parse("a:\n  - x\n  - {b: 1}\n")
    inner = node.values["a"].items[1]
    assert (inner.line, inner.column) == (2, 4)
    assert (inner.values["b"].line, inner.values["b"].column) == (2, 8)
    assert (inner.keys["b"].line, inner.keys["b"].column) == (2, 5)


def test_keys_are_text_even_where_a_value_would_not_be():
    assert parse("{1: a, true: b, null: c}")[0].data() == {"1": "a", "true": "b", "null": "c"}


def test_an_alias_repeats_the_value():
    assert parse("a: &x [1, 2]\nb: *x\n")[0].data() == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    "text", ["!!str a", "!!python/object/apply:os.system [ls]", "!x {a: 1}", "[!!int 1]"]
)
def test_a_tag_is_refused_on_every_kind_of_node(text):
    _, problems = parse(text)
    assert [message.partition(";")[0][:7] for message, _, _ in problems] == ["the tag"]


def test_nine_levels_of_nine_aliases_are_refused_before_they_are_expanded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        aliases = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    with pytest.raises(UnreadableYaml, match=f"more than {MAX_NODES:,} values"):
        parse("\n".join(lines))


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: {c: *x}}"])
def test_an_alias_inside_its_own_value_is_refused(text):
    with pytest.raises(UnreadableYaml, match="contains itself"):
        parse(text)


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000 + "a"])
def test_deep_nesting_is_refused_without_a_recursion_error(text):
    with pytest.raises(UnreadableYaml, match="nested more than 32 levels deep"):
        parse(text)


def test_nesting_through_aliases_is_counted_too():
    lines = ["a0: &a0 [[[[x]]]]"]
    lines += [f"a{n}: &a{n} [[[[*a{n - 1}]]]]" for n in range(1, 10)]
    with pytest.raises(UnreadableYaml, match="nested more than 32 levels deep"):
        parse("\n".join(lines))


def test_a_second_document_is_refused():
    with pytest.raises(UnreadableYaml, match="a second document"):
        parse("a: 1\n---\nb: 2\n")


def test_a_list_as_a_key_is_refused():
    with pytest.raises(UnreadableYaml, match="keys are text"):
        parse("? [a, b]\n: 1\n")


def test_text_that_is_not_utf8_is_refused_with_its_place():
    with pytest.raises(UnreadableYaml) as caught:
        decode("a: 1\nb: é\n".encode("latin-1"))
    assert (caught.value.line, caught.value.column) == (1, 3)


def test_a_byte_order_mark_is_passed_over():
    assert decode(b"\xef\xbb\xbfa: 1") == "a: 1"
