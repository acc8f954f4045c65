"""Scans for stated properties: the solver Z3 finds the same rows, and blocks, ranges and workers change nothing."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import evenkeel.tasks.properties.grouping as grouping_module
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.expression.property import parse_property
from evenkeel.tasks.properties.conditions import scan_rows
from evenkeel.tasks.properties.grid import Axis, measure_coverage
from evenkeel.tasks.properties.groups import scan_groups
from tests.properties.solver import breaking, breaking_groups
from tests.properties.test_language import KINDS, condition
from tests.properties.versions import places, write_version


def random_table(draw: random.Random, rows: int) -> pa.Table:
    """Return a table of two numbers, a text and a truth, a third of whose values are missing."""

    def maybe(value: object) -> object:
        return None if draw.random() < 0.3 else value

    return pa.table(
        {
            "x": pa.array([maybe(draw.randint(-3, 3)) for _ in range(rows)], pa.int32()),
            "y": pa.array([maybe(draw.randint(-6, 6) / 2) for _ in range(rows)], pa.float64()),
            "g": pa.array([maybe(draw.choice("abc")) for _ in range(rows)], pa.string()),
            "b": pa.array([maybe(draw.random() < 0.5) for _ in range(rows)], pa.bool_()),
        }
    )


@pytest.mark.long
def test_fifty_random_tables_agree_with_the_solver(tmp_path: Path) -> None:
    draw, broken, vacuous = random.Random(5), 0, 0
    for number in range(50):
        table = random_table(draw, draw.randint(1, 8))
        premise = f"{condition(draw, 1, False)} implies " if draw.random() < 0.6 else ""
        stated = parse_property(premise + condition(draw, 2, False), "gates")
        rows = write_version(tmp_path / str(number), table)
        (found,) = scan_rows([stated], rows, Compute())
        assert places([one.row or 0 for one in found.examples]) == breaking(stated, table, KINDS), stated.text
        counted = parse_property(
            f"forall g: {draw.choice(['count', 'count(x > 0)', 'count(b)'])} >= {draw.randint(1, 3)}", "gates"
        )
        groups = scan_groups(counted, rows, table.num_rows, str(tmp_path / "groups"), Compute())
        assert groups.broken == breaking_groups(counted, table, KINDS), counted.text
        assert groups.checked == len(set(table["g"].to_pylist()))
        broken, vacuous = broken + found.broken, vacuous + (not found.checked)
    assert broken > 40
    assert vacuous > 2


def test_rows_outside_the_version_break_nothing(tmp_path: Path) -> None:
    rows = write_version(tmp_path, pa.table({"x": [1, -1, 1, -1, 1]}), kept=[0, 1, 4])
    (found,) = scan_rows([parse_property("x > 0", "gates")], rows, Compute())
    assert (found.checked, found.broken, places([one.row or 0 for one in found.examples])) == (3, 1, [1])


def test_a_row_without_a_group_is_null(tmp_path: Path) -> None:
    rows = write_version(tmp_path, pa.table({"lang": ["de", None, "en"]}), groups=["lang"])
    (found,) = scan_rows([parse_property("lang is not null", "gates")], rows, Compute())
    assert found.broken == 1


def test_aggregates_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    table = pa.table({"g": ["a", "b", "a", "b", "a", "c"], "x": pa.array([1.0, 2, None, 4, 6, None])})
    rows = write_version(tmp_path, table, block_rows=2)
    for text, broken in {
        "forall g: mean(x) == 3.5 or mean(x) == 3": ["c"],
        "forall g: sum(x) >= 6.5": ["b", "c"],
        "forall g: min(x) + max(x) == 7": ["b", "c"],
        "forall g: share(x > 1) == 1": ["a", "c"],
        "forall g: count == 3 or count == 2": ["c"],
        "forall g: g != 'c' implies count(x is null) == 0": ["a"],
        "mean(x) == 3.25 and count == 6 and share(x is null) < 0.5": [],
        "forall g, x: count == 1": [],
    }.items():
        found = scan_groups(parse_property(text, "gates"), rows, 6, str(tmp_path / "groups"), Compute())
        assert [one.name for one in found.examples] == broken, text


def test_groups_are_the_same_however_they_are_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three ways: all in memory; files, few groups; files, a range of the hash of the keys at a time."""
    rng = np.random.default_rng(0)
    table = pa.table({"k": pa.array(rng.integers(0, 400, 1000)), "name": [f"n{v}" for v in rng.integers(0, 3, 1000)]})
    rows = write_version(tmp_path, table, block_rows=100)
    stated = parse_property("forall k, name: count >= 2", "gates")
    whole = scan_groups(stated, rows, 1000, str(tmp_path / "scan"), Compute())
    assert whole.broken == sum(n < 2 for n in table.to_pandas().value_counts().tolist()) > 20
    for at_once in (900, 64):
        monkeypatch.setattr(grouping_module, "GROUPS_AT_ONCE", at_once)
        assert scan_groups(stated, rows, 1000, str(tmp_path / "scan"), Compute()) == whole
    assert not (tmp_path / "scan").exists()


@pytest.mark.parametrize(
    ("over", "of", "covered", "cells", "named"),
    [
        ({"x": 2, "y": 2}, "grid", 3, 4, "x 5 to 10, y 0 to 5"),
        ({"x": 2, "y": 2}, "pool", 3, 3, None),
        ({"x": [0, 1, 10], "g": ["a", "b"]}, "grid", 3, 4, "x 1 to 10, g = b"),
        ({"x": 5}, "grid", 1, 5, "x 8 to 10"),
        ({"nothing": 4}, "grid", 0, 0, None),
    ],
)
def test_coverage_of_a_grid(
    tmp_path: Path, over: dict[str, Axis], of: str, covered: int, cells: int, named: str | None
) -> None:
    """The bins span the pool; the last edge is in the last bin; a row without a value is in no cell."""
    x, y = [0.0, 0.5, 1.0, 10.0, None, 9.0], [0.0, 10.0, 2.0, 10.0, 3.0, None]
    table = pa.table(
        {"x": x, "y": y, "g": ["a", "b", "a", "b", "a", "b"], "nothing": pa.array([None] * 6, pa.float64())}
    )
    rows = write_version(tmp_path, table, kept=[0, 1, 3] if "y" in over else [0, 1, 2])
    found = measure_coverage(over, of, 1, rows, Compute())
    assert (found.covered, found.cells) == (covered, cells)
    assert named is None or named in [one.name for one in found.examples]


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    rows = write_version(tmp_path, pa.table({"x": [1.0, 2.0], "g": ["a", "b"]}))
    with pytest.raises(RecipeError, match="does not fit the grid"):
        measure_coverage({"g": 10}, "grid", 1, rows, Compute())
    with pytest.raises(RecipeError, match="too many cells"):
        measure_coverage({"x": 100_000, "g": ["a", "b", "c"]}, "grid", 1, rows, Compute())
    with pytest.raises(RecipeError, match="there is no column 'z'"):
        scan_rows([parse_property("z > 1", "gates")], rows, Compute())
    with pytest.raises(RecipeError, match="a type does not fit"):
        scan_rows([parse_property("g > 1", "gates")], rows, Compute())
