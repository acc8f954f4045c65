"""Expressions: what they compute, checked against plain Python row by row, and what they refuse."""

import math

import pyarrow as pa
import pytest

from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.tasks.expression.evaluate import numbers, truths
from evenkeel.tasks.expression.grammar import Quantile, parse

TABLE = pa.table(
    {
        "row_id": pa.array([7, 8, 9, 10], pa.uint64()),
        "a": pa.array([1, 2, None, 4], pa.int32()),
        "b": pa.array([0.5, math.nan, 2.0, 0.0]),
        "licence": pa.array(["MIT", "GPL-3.0", None, "Apache-2.0"]).dictionary_encode(),
        "spam": [True, False, None, False],
        "tags": pa.array([["cat", "dog"], [], None, ["cat"]]),
        "day": pa.array([0, 400, 800, 1200], pa.date32()),
        "class": [1, 2, 3, 4],
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4*a*(1-a)", [0.0, -8.0, None, -48.0]),
        ("-a ** 2 + 1", [0.0, -3.0, None, -15.0]),
        ("a % 3", [1.0, 2.0, None, 1.0]),
        ("where(b == 0, null, a / b)", [2.0, None, None, None]),
        ("where(b > 0, log(b), -9)", [math.log(0.5), -9.0, math.log(2), -9.0]),
        ("coalesce(a, b, 0)", [1.0, 2.0, 2.0, 4.0]),
        ("min(a, 2) + max(1, 0)", [2.0, 3.0, None, 3.0]),
        ("length(licence)", [3.0, 7.0, None, 10.0]),
        ("spam + 1", [2.0, 1.0, None, 1.0]),
        ("`class` + round(2.4)", [3.0, 4.0, 5.0, 6.0]),
        ("3", [3.0, 3.0, 3.0, 3.0]),
    ],
)
def test_numbers(text: str, expected: list[float | None]) -> None:
    assert numbers(parse(text, "here"), TABLE).to_pylist() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("licence in ['MIT', 'Apache-2.0']", [True, False, None, True]),
        ("licence not in ['MIT']", [False, True, None, True]),
        ("licence is null", [False, False, True, False]),
        ("b is not null and b >= 0.5", [True, False, True, False]),
        ("1 <= a < 3", [True, True, None, False]),
        ("not spam or a > 3", [False, True, None, True]),
        ("a > 3 or a is null", [False, False, True, True]),
        ("b > 0 and a / b > 1", [True, None, None, False]),
        ("'cat' in tags", [True, False, None, True]),
        ("'GPL' in licence or starts(licence, 'Ap')", [False, True, None, True]),
        ("matches(lower(licence), '^(mit|gpl)')", [True, True, None, False]),
        ("day >= '1971-02-05'", [False, True, True, True]),
        ("spam == true", [True, False, None, False]),
        ("a in [1, 4.0, -2]", [True, False, None, True]),
    ],
)
def test_truths(text: str, expected: list[bool | None]) -> None:
    assert truths(parse(text, "here"), TABLE).to_pylist() == expected


def test_quantiles_are_spelled_out_and_looked_up() -> None:
    short, long = parse("a below quantile 0.3", "here"), parse("a < quantile(a, 0.3)", "here")
    assert short.quantiles == long.quantiles == (Quantile("a", 0.3),)
    known = {Quantile("a", 0.3): pa.array([0.0, 3.0, 3.0, 5.0])}
    assert truths(short, TABLE, known).to_pylist() == [False, True, None, True]
    assert parse("'a below quantile 0.3' in licence", "here").quantiles == ()


def test_columns_are_named_in_order_once() -> None:
    assert parse("score.b + `odd name` * a - a", "here").columns == ("score.b", "odd name", "a")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("__import__('os').system('true')", "no function"),
        ("a.__class__.__bases__[0]", "no place"),
        ("[x for x in a]", "no place"),
        ("lambda: 1", "no place"),
        ("f'{a}'", "no place"),
        ("(a := 3)", "no place"),
        ("sum(a)", "no function 'sum'"),
        ("min(a, 1, key=2)", "no function"),
        ("log(a, b)", "log takes 1 values"),
        ("a = 3", "near"),
        ("a /", "invalid syntax"),
        ("", "near|syntax"),
        ("a / 0", "division by zero"),
        ("a > 1e400", "a number above 1.8e\\+308"),
        ("a is 3", "null alone"),
        ("licence == null", "nothing is equal to null: write `x is null`"),
        ("null != licence", "nothing is equal to null"),
        ("a in []", "empty list"),
        ("a in [b]", "numbers and texts alone"),
        ("a + 1j", "no number and no text"),
        ("a below quantile 30", "from 0 to 1"),
        ("(" * 4000 + "a" + ")" * 4000, "nested|parentheses"),
        ("a+" * 6000 + "a", "longer than"),
    ],
)
def test_what_is_not_in_the_grammar_is_refused_with_a_reason(text: str, found: str) -> None:
    with pytest.raises(RecipeError, match=found) as told:
        parse(text, "filters, 2")
    assert told.value.where == "filters, 2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("licence > 3", "a text, as on the left"),
        ("licence + 1", "a number"),
        ("a and spam", "a condition, true or false"),
        ("a in ['MIT']", "a text, as in the list"),
        ("a in ['MIT', 3]", "numbers alone, or texts alone"),
        ("where(spam, a, 'x') == 3", "values of one type"),
        ("day > 'soon'", "a date or time, as in '2024-05-01'"),
        ("matches(licence, '(')", "a regular expression (RE2)"),
        ("a + 1", "a condition, true or false"),
    ],
)
def test_a_type_that_does_not_fit_names_both_types_and_the_part(text: str, expected: str) -> None:
    with pytest.raises(RecipeError) as told:
        truths(parse(text, "here"), TABLE.slice(0, 0))
    assert told.value.expected == expected
    assert "in " in str(told.value.found)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("a / b > 1", 10),
        ("1 % b > 0", 10),
        ("log(b) > 0", 10),
        ("sqrt(1 - a) > 0", 8),
        ("b < 1 and a / b > 1", 10),
        ("b ** -1 > 0", 10),
        ("(1 - a) ** 0.5 > 0", 8),
        ("exp(a * 300) > 0", 10),
        ("a * 1e308 > 0", 8),
    ],
)
def test_what_is_undefined_in_a_row_names_the_row_and_what_to_write(text: str, row: int) -> None:
    with pytest.raises(InputError, match=rf"row_id {row}") as told:
        truths(parse(text, "here"), TABLE)
    assert "where(" in str(told.value.remedy)


def test_only_rows_that_matter_may_be_undefined_and_infinite_columns_stay_comparable() -> None:
    assert numbers(parse("where(b == 0, null, b ** -1)", "here"), TABLE).to_pylist() == [2.0, None, 0.5, None]
    table = pa.table({"x": [1.0, math.inf]})
    assert numbers(parse("min(2 * x, 1e6)", "here"), table).to_pylist() == [2.0, 1e6]
