"""Stated properties: what is read, what is refused and why, and that contradictions are those the solver finds."""

import random

import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.expression.consistency import refuse_contradictions, satisfiable
from evenkeel.tasks.expression.grammar import parse
from evenkeel.tasks.expression.property import parse_property
from tests.properties.solver import possible

KINDS = {"x": "number", "y": "number", "g": "text", "b": "truth"}


@pytest.mark.parametrize(
    ("text", "keys", "columns", "of_groups"),
    [
        ("score.length > 0 implies lang is not null", (), ("score.length", "lang"), False),
        ("a implies b implies c", (), ("a", "b", "c"), False),
        ("name == 'a: b implies c'", (), ("name",), False),
        ("forall lang, `a label`: count >= 20", ("lang", "a label"), ("lang", "a label"), True),
        ("forall lang: count >= 9 implies mean(correct) >= 0.8", ("lang",), ("lang", "correct"), True),
        ("share(lang == 'de') * count >= min(max(y), 3)", (), ("lang", "y"), True),
    ],
)
def test_what_is_read(text: str, keys: tuple[str, ...], columns: tuple[str, ...], of_groups: bool) -> None:
    found = parse_property(text, "gates")
    assert (found.keys, found.columns, found.of_groups) == (keys, columns, of_groups)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x > ", "not understood"),
        ("x > 0 implies", "nothing before or after 'implies'"),
        ("(x > 0 implies y > 0) or b", "inside brackets"),
        ("forall lang count > 3", "forall without a colon"),
        ("forall lang: score > 3", "'score', which differs from row to row"),
        ("forall lang: lang == 'x'", "the keys alone"),
        ("forall 3: count > 2", "after forall"),
        ("forall lang, lang: count > 2", "twice"),
        ("x > quantile(x, 0.5)", "a quantile"),
        ("mean(quantile(x, 0.5)) > 1", "a quantile"),
        ("3 > 2", "no column"),
        ("mean(x, y) > 2", "takes one value"),
        ("x = 3", "not understood"),
    ],
)
def test_what_is_not_understood_is_said(text: str, why: str) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_property(text, "gates")
    assert why in str(raised.value)
    assert "gates" in str(raised.value)


@pytest.mark.parametrize(
    "texts",
    [
        ["x > 5 and x < 3"],
        ["x > 5 and (x < 3 or x is null)"],
        ["g == 'a' and g in ['b', 'c']"],
        ["b and not b"],
        ["x > y and not x > y"],
        ["x > 1 implies x <= 1"],
        ["x is null and x > 0 implies y > 0"],
        ["forall g: count < 1"],
        ["share(b) > 1"],
        ["x > 5", "x <= 5 or x < 3"],
        ["y > 2 implies x > 5", "y > 1 implies x < 3"],
        ["forall g: count >= 20", "forall g: count < 20"],
    ],
)
def test_contradictions_are_refused(texts: list[str]) -> None:
    with pytest.raises(RecipeError, match="cannot be met"):
        refuse_contradictions([parse_property(text, "gates") for text in texts], "gates")


def test_what_may_hold_is_not_refused() -> None:
    texts = ["y > 1 implies x > 5", "b implies x < 3", "forall g: count >= 3", "forall b: count < 3", "mean(x) > 7"]
    refuse_contradictions([parse_property(text, "gates") for text in texts], "gates")


def condition(draw: random.Random, depth: int, plain: bool) -> str:
    """Return a random condition. plain: comparisons of one column with constants alone."""
    if depth and draw.random() < 0.7:
        left, right = (condition(draw, depth - 1, plain) for _ in range(2))
        return draw.choice([f"({left}) and ({right})", f"({left}) or ({right})", f"not ({left})"])
    number, low = draw.choice("xy"), draw.randint(-2, 2)
    atoms = [
        f"{number} {draw.choice(['<', '<=', '>', '>=', '==', '!='])} {low}",
        f"{low} <= {number} < {low + draw.randint(0, 2)}",
        f"{number} {draw.choice(['is null', 'is not null'])}",
        f"g {draw.choice(['==', '!='])} '{draw.choice('abc')}'",
        f"g {draw.choice(['in', 'not in'])} ['{draw.choice('abc')}', 'b']",
        f"{number} in [{low}, {low + 1}]",
        "g is null",
        "b",
    ]
    return draw.choice(atoms if plain else [*atoms, f"x + y > {low}", f"x * 2 == y - {abs(low)}"])


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.long
def test_the_solver_agrees_on_what_can_be_met(plain: bool) -> None:
    """Comparisons of a column with constants: the same verdict; anything else: what is refused is impossible."""
    draw, refused = random.Random(11), 0
    for _ in range(60):
        conditions = [(parse(condition(draw, 2, plain), "here"), draw.choice(["true", "not true"])) for _ in range(3)]
        ours = satisfiable(conditions)
        theirs = possible([(one.tree, mode) for one, mode in conditions], KINDS)
        assert theirs <= ours if not plain else theirs == ours, [(one.text, mode) for one, mode in conditions]
        refused += not ours
    assert refused > 6
