"""Rows drawn by weights come with the chances that the weights say, and estimates made with them are unbiased."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.chances import Bounds, choose_gumbel, choose_poisson
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.leaf_shares import leaf_shares
from evenkeel.tasks.sample.scale import scale_of_cells
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.step import open_problem
from evenkeel.tasks.sample.weigh import WeightSketch
from tests.examples import telling
from tests.sample.pools import inputs_of, make_run, sampled, write_pool

ROWS, LEAVES = 1200, 8
IDENTITY = np.arange(1, 200, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def chances_by_hand(weight: np.ndarray, wanted: float, copies: int = 1) -> np.ndarray:
    """Return min(copies, c * weight) that sum to what is wanted, c by bisection."""
    low, high = 0.0, 1e12
    for _ in range(200):
        middle = np.sqrt(max(low, 1e-12) * high)
        low, high = (middle, high) if np.minimum(copies, middle * weight).sum() < wanted else (low, middle)
    return np.minimum(copies, high * weight)


def draws(weight: np.ndarray, quota: int, seeds: int, copies: int = 1, share: float = 1.0) -> np.ndarray:
    """Return the copies of every row in each of many poisson draws from one cell, (seeds, n)."""
    cell = np.zeros(len(weight), np.int64)
    sketch = WeightSketch.of(cell, weight)
    found = np.zeros((seeds, len(weight)), np.int64)
    for seed in range(seeds):
        first = {"cell": cell, "row_id": np.arange(len(weight)), "weight": weight}
        first["u"] = uniform(seed, IDENTITY[: len(weight)])
        chosen = choose_poisson(first, sketch, np.array([quota]), np.array([share * quota]), copies, np.array([np.inf]))
        assert not chosen.narrow.any()
        found[seed, chosen.rows["row_id"]] = chosen.copies
    return found


@pytest.mark.parametrize(
    ("rows", "quota", "copies"),
    [
        pytest.param(40, 1, 1, marks=pytest.mark.slow),
        pytest.param(40, 12, 1, marks=pytest.mark.slow),
        pytest.param(150, 60, 1, marks=pytest.mark.slow),
        (40, 55, 3),
    ],
)
@pytest.mark.long
def test_rows_are_drawn_as_often_as_their_chances_say(rows: int, quota: int, copies: int) -> None:
    weight = np.random.default_rng(rows).lognormal(0, 1.0, rows)
    expected = chances_by_hand(weight, quota, copies)
    seeds = 1500
    found = draws(weight, quota, seeds, copies)
    assert (found.sum(axis=1) == quota).all()
    mean = found.mean(axis=0)
    fraction = expected - np.floor(expected)
    error = np.sqrt(np.maximum(fraction * (1 - fraction), 1e-9) / seeds)
    assert (np.abs(mean - expected) <= 4.5 * error + 0.006).all(), "order sampling keeps chances within 0.006"
    assert (found[:, expected >= 1] >= np.floor(expected[expected >= 1]).astype(int)).all()


@pytest.mark.long
def test_a_cell_that_expects_less_than_a_row_draws_by_its_expectation() -> None:
    weight = np.array([1.0, 2.0, 5.0])
    found = draws(weight, 1, 1500, share=0.4)
    np.testing.assert_allclose(found.mean(axis=0), weight / weight.sum(), atol=0.04)


def test_scales_are_those_of_a_bisection_in_every_cell() -> None:
    rng = np.random.default_rng(0)
    cell = rng.integers(0, 30, 2000)
    weight = rng.lognormal(0, 2, 2000) * 10.0 ** rng.integers(-9, 9, 30)[cell]
    wanted = rng.integers(0, 60, 30).astype(float)
    count, rest = np.ones(2000, np.int64), np.zeros(30)
    found = scale_of_cells(cell, weight, count, rest, wanted, 2)
    for place in range(30):
        mine = weight[cell == place]
        held = np.minimum(2, found[place] * mine).sum()
        assert held == pytest.approx(min(wanted[place], 2 * len(mine)), rel=1e-9)
    small = np.array([weight[(cell == place)].sum() for place in range(30)])
    all_rest = scale_of_cells(cell[:0], weight[:0], count[:0], small, np.full(30, 1e-6), 2)
    np.testing.assert_allclose(all_rest * small, 1e-6, rtol=1e-9)


def test_sketches_add_up_and_bounds_let_in_every_row_that_is_chosen() -> None:
    rng = np.random.default_rng(1)
    cell, weight = rng.integers(0, 5, 4000), rng.lognormal(0, 1.5, 4000) * (rng.random(4000) < 0.9)
    whole = WeightSketch.of(cell, weight)
    parts = WeightSketch.of(cell[:1500], weight[:1500]).add(WeightSketch.of(cell[1500:], weight[1500:]))
    assert (parts.keys == whole.keys).all()
    assert (parts.counts == whole.counts).all()
    np.testing.assert_allclose(parts.totals(5), np.bincount(cell, weight))
    quotas = np.array([3, 40, 1, 200, 0])
    identity = rng.integers(1, 2**63, 4000).astype(np.uint64)
    row_id, u = np.arange(4000), uniform(5, identity)
    shares = quotas.astype(float)
    everything = choose_poisson(
        {"cell": cell, "row_id": row_id, "weight": weight, "u": u}, whole, quotas, shares, 1, np.full(5, np.inf)
    )
    bounds = Bounds.of("poisson", whole, quotas, 1, np.ones(5))
    within = u <= bounds.limits[cell] * weight
    few = choose_poisson(
        {"cell": cell[within], "row_id": row_id[within], "weight": weight[within], "u": u[within]},
        whole,
        quotas,
        shares,
        1,
        bounds.limits,
    )
    assert within.sum() < 1.3 * quotas.sum() + 100
    assert not few.narrow.any()
    assert (np.sort(few.rows["row_id"]) == np.sort(everything.rows["row_id"])).all()
    np.testing.assert_allclose(np.sort(few.probability), np.sort(everything.probability), rtol=1e-10)
    tight = bounds.limits / 3
    within = u <= tight[cell] * weight
    kept = {"cell": cell[within], "row_id": row_id[within], "weight": weight[within], "u": u[within]}
    assert choose_poisson(kept, whole, quotas, shares, 1, tight).narrow[[1, 3]].all(), "too narrow bounds are noticed"


def test_gumbel_draws_one_by_one_in_proportion_to_the_weights() -> None:
    weight = np.array([1.0, 2.0, 3.0, 6.0])
    cell = np.zeros(4, np.int64)
    sketch = WeightSketch.of(cell, weight)
    first, pairs = np.zeros(4), np.zeros(4)
    for seed in range(1500):
        value = -np.log(uniform(seed, IDENTITY[:4])) / weight
        table = {"cell": cell, "row_id": np.arange(4), "weight": weight, "value": value}
        chosen = choose_gumbel(table, sketch, np.array([2]), 1)
        assert not chosen.narrow.any()
        first[np.argmin(value)] += 1
        pairs[chosen.rows["row_id"]] += 1
    one = weight / 12
    second = np.array([sum(one[j] * weight[i] / (12 - weight[j]) for j in range(4) if j != i) for i in range(4)])
    np.testing.assert_allclose(first / 1500, one, atol=0.04)
    np.testing.assert_allclose(pairs / 1500, one + second, atol=0.04)


@pytest.fixture(scope="module")
def tail(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, StepRef], np.ndarray, np.ndarray, Path]:
    """A pool in which every twentieth row weighs 400 times as much as the others, and a tenth nothing."""
    folder = tmp_path_factory.mktemp("tail")
    rng = np.random.default_rng(2)
    leaf = rng.integers(0, LEAVES, ROWS)
    weight = np.where(np.arange(ROWS) % 20 == 0, 400.0, rng.uniform(0.5, 1.5, ROWS)) * (np.arange(ROWS) % 10 != 7)
    weight = weight.astype(np.float32).astype(np.float64)
    inputs = write_pool(
        folder / "pool",
        rng.normal(0, 3, (LEAVES, 4))[leaf] + rng.normal(0, 0.3, (ROWS, 4)),
        levels=[leaf],
        scores={"w": weight, "below": weight - 1, "zero": np.zeros(ROWS)},
        block_rows=250,
    )
    return inputs, weight, leaf, folder


Tail = tuple[dict[str, StepRef], np.ndarray, np.ndarray, Path]


def select(tail: Tail, **settings: object) -> pd.DataFrame:
    strategy = {"name": "weighted", "by": "w", **settings.pop("options", {})}  # type: ignore[dict-item]
    config = SamplingConfig.model_validate({"strategy": strategy, "target": 150, **settings})
    table: pd.DataFrame = Selection.open(sampled(config, tail[0], make_run(tail[3]))).table().to_pandas()
    return table


@pytest.mark.parametrize("target", telling([80, 150, 400, 900, 1080], "80", "1080"))
@pytest.mark.long
def test_rows_whose_chance_is_one_are_kept_at_every_target(tail: Tail, target: int) -> None:
    expected = chances_by_hand(tail[1], target)
    certain = set(np.flatnonzero(expected >= 1 - 1e-9))
    assert certain
    assert set(np.flatnonzero(tail[1] == 400)) <= certain
    for seed in range(3):
        table = select(tail, target=target, seed=seed)
        rows = table["row_id"].to_numpy().astype(int)
        assert len(rows) == target
        assert certain <= set(rows)
        assert (tail[1][rows] > 0).all()
        np.testing.assert_allclose(table["weight"], 1 / np.minimum(1, expected[rows]), rtol=1e-6)


@pytest.mark.long
def test_sums_over_the_pool_are_estimated_without_bias(tail: Tail) -> None:
    value = tail[1] * np.arange(ROWS)
    found = []
    for seed in range(12):
        table = select(tail, seed=seed, options={"power": 0.5})
        found.append((table["weight"] * value[table["row_id"].astype(int)]).sum())
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - value.sum()) < 3 * error
    assert error < 0.05 * value.sum()


@pytest.mark.parametrize("draw", telling(["poisson", "gumbel", "top"], "poisson"))
@pytest.mark.long
def test_a_draw_by_weights_is_the_same_for_any_blocks(tail: Tail, draw: str, tmp_path: Path) -> None:
    kept = []
    for block_rows in (2000, 90):
        rng = np.random.default_rng(2)
        leaf = rng.integers(0, LEAVES, ROWS)
        inputs = write_pool(
            tmp_path / f"{block_rows}",
            rng.normal(0, 3, (LEAVES, 4))[leaf],
            levels=[leaf],
            scores={"w": tail[1]},
            block_rows=block_rows,
        )
        config = SamplingConfig.model_validate(
            {"strategy": {"name": "weighted", "by": "w", "draw": draw}, "target": 150, "max_repeats": 2}
        )
        kept.append(Selection.open(sampled(config, inputs, make_run(tmp_path))).table())
    assert kept[0].equals(kept[1])
    assert sum(kept[0]["copies"].to_pylist()) == 150


def test_top_takes_the_largest_and_leaves_share_evenly_where_asked(tail: Tail) -> None:
    rows = select(tail, options={"draw": "top"})["row_id"].to_numpy().astype(int)
    assert tail[1][rows].min() >= np.sort(tail[1])[-150]
    by_leaf = select(tail, options={"within": "leaves"}).groupby("leaf").size()
    assert by_leaf.max() - by_leaf.min() <= 1
    capped = select(tail, cap=22, floor=10).groupby("leaf").size()
    assert capped.max() <= 22
    assert capped.min() >= 10
    inside = select(tail, cap=22)
    assert (tail[1][inside["row_id"].astype(int)] == 400).sum() == (tail[1] == 400).sum(), "chances go on inside leaves"


def test_scores_that_are_no_weights_are_named(tail: Tail) -> None:
    with pytest.raises(RecipeError, match=r"'below' of .* is no weight"):
        select(tail, options={"by": "below"})
    with pytest.raises(RecipeError, match="scores > 0, as the power is negative"):
        select(tail, options={"power": -1})
    with pytest.raises(RecipeError, match="weights of all rows are zero"):
        select(tail, options={"by": "zero"})
    with pytest.raises(RecipeError, match="'colour'"):
        select(tail, options={"by": "colour"})


@pytest.mark.parametrize("copies", [1, 3])
def test_the_shares_of_leaves_are_the_sums_of_their_rows_chances(tail: Tail, copies: int) -> None:
    config = SamplingConfig.model_validate(
        {"strategy": {"name": "weighted", "by": "w"}, "target": 700, "max_repeats": copies}
    )
    problem, _ = open_problem(config, inputs_of(config, tail[0], make_run(tail[3])), make_run(tail[3]))
    found = leaf_shares(config.strategy.plan(problem), problem)
    expected = np.bincount(tail[2], chances_by_hand(tail[1], 700, copies))
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    plain = SamplingConfig.model_validate({"strategy": "random", "target": 700}).strategy.plan(problem)
    np.testing.assert_allclose(leaf_shares(plain, problem), 700 * np.bincount(tail[2]) / ROWS, rtol=1e-9)
