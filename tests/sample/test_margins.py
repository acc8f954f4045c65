"""Bounds on several margins at once: raked as a solver rakes, whole to the row, and named where they contradict."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.quotas.raking import Margin, conflict, move_within, rake, round_to_margins
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Run
from tests.sample.pools import make_run, sampled, write_pool

ROWS, LEAVES = 1500, 10


def margin(of: np.ndarray, lower: list[int], upper: list[int], name: str = "value") -> Margin:
    return Margin(of, np.array(lower), np.array(upper), lambda number: f"{name} {number}")


def crossed(seed: int, sides: tuple[int, ...], cells: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the values of some cells in each margin, their caps and their weights; not every combination occurs."""
    rng = np.random.default_rng(seed)
    table = np.unique(np.stack([rng.integers(0, side, cells) for side in sides]), axis=1)
    caps = np.array(rng.integers(5, 200, table.shape[1]))
    return list(table), caps, caps * rng.uniform(0.05, 1, len(caps))


def test_raked_shares_are_those_of_a_solver() -> None:
    """The least Kullback-Leibler divergence under bounds and caps, against SciPy's general solver."""
    (rows, columns), caps, weights = crossed(0, (3, 4), 60)
    target = 300
    margins = [margin(rows, [120, 0, 0], [300, 60, 300]), margin(columns, [0, 90, 0, 0], [60, 300, 300, 80])]
    raked = rake(weights, caps, margins, target)
    assert raked.meets
    base = weights * target / weights.sum()
    constraints: list[dict[str, Any]] = [{"type": "eq", "fun": lambda x: x.sum() - target}]
    for one in margins:
        constraints.append({"type": "ineq", "fun": lambda x, one=one: one.sums(x) - one.lower})
        constraints.append({"type": "ineq", "fun": lambda x, one=one: one.upper - one.sums(x)})
    solved = minimize(
        lambda x: float((x * np.log(np.maximum(x, 1e-12) / base)).sum()),
        raked.shares + 1.0,
        jac=lambda x: np.log(np.maximum(x, 1e-12) / base) + 1,
        bounds=[(0, cap) for cap in caps],
        constraints=constraints,
        options={"maxiter": 500, "ftol": 1e-10},
    )
    assert solved.success
    np.testing.assert_allclose(raked.shares, solved.x, atol=0.05)


@pytest.mark.parametrize("sides", [(4, 5), (3, 4, 3)], ids=["two", "three"])
@pytest.mark.long
def test_whole_quotas_meet_exact_margins_to_the_row(sides: tuple[int, ...]) -> None:
    """Every target that linear programming says can be met is met; margins are those asked for, within one row."""
    met = 0
    for seed in range(6):
        table, caps, weights = crossed(seed, sides, 40)
        target = int(0.3 * caps.sum())
        shares = [np.full(side, 1 / side) for side in sides]
        margins = [
            margin(of, list(np.floor(share * target).astype(int)), list(np.ceil(share * target).astype(int)))
            for of, share in zip(table, shares, strict=True)
        ]
        sums = np.concatenate([np.eye(side)[of].T for of, side in zip(table, sides, strict=True)])
        feasible = linprog(
            np.zeros(len(caps)),
            A_ub=np.concatenate([sums, -sums]),
            b_ub=np.concatenate([*(one.upper for one in margins), *(-one.lower for one in margins)]),
            A_eq=np.ones((1, len(caps))),
            b_eq=[target],
            bounds=[(0, cap) for cap in caps],
        ).success
        missed, named = conflict(caps, margins, target)
        assert (missed == 0) == feasible == (not named)
        raked = rake(weights, caps, margins, target)
        assert not raked.meets or feasible
        if not feasible:
            continue
        met += 1
        shares_of = raked.shares if raked.meets else move_within(raked.shares, caps, margins, target)
        quotas = round_to_margins(shares_of, caps, margins, target, seed).quotas
        assert quotas.sum() == target
        assert ((quotas >= 0) & (quotas <= caps)).all()
        off = 0 if len(sides) == 2 else 1
        for one in margins:
            found = np.bincount(one.of, quotas, len(one.lower))
            assert (found >= one.lower - off).all()
            assert (found <= one.upper + off).all()
    assert met >= 3


def test_a_cell_is_rounded_up_as_often_as_its_share_says() -> None:
    """Over 100 seeds the mean quota is the share: the rounding of margins does not favour some cells."""
    (rows, columns), caps, weights = crossed(3, (4, 5), 60)
    target = 101
    margins = [margin(rows, [0] * 4, [30] * 4), margin(columns, [10] * 5, [target] * 5)]
    shares = rake(weights, caps, margins, target).shares
    drawn = [round_to_margins(shares, caps, margins, target, seed).quotas for seed in range(100)]
    assert np.abs(np.mean(drawn, axis=0) - shares).max() < 0.25
    assert np.abs(np.array(drawn) - shares).max() < 1


# The finished steps, a run, and the columns of every row.
Pool = tuple[dict[str, StepRef], Run, dict[str, np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder = tmp_path_factory.mktemp("margins")
    rng = np.random.default_rng(7)
    leaf = np.minimum(rng.geometric(0.3, ROWS) - 1, LEAVES - 1)
    columns = {
        "language": rng.choice(["en", "is", "fo"], ROWS, p=[0.8, 0.15, 0.05]),
        "source": rng.choice(["web", "books", "code"], ROWS, p=[0.7, 0.2, 0.1]),
        "kind": np.where(leaf % 2, "a", "b"),
    }
    done = write_pool(
        folder / "pool",
        rng.normal(0, 4, (LEAVES, 4))[leaf] + rng.normal(0, 0.3, (ROWS, 4)),
        levels=[leaf],
        groups={name: list(values) for name, values in columns.items()},
        block_rows=200,
    )
    return done, make_run(folder), columns, leaf


def draw(pool: Pool, strategy: object, target: int = 120, **settings: object) -> tuple[StepRef, np.ndarray]:
    config = SamplingConfig.model_validate({"strategy": strategy, "target": target, **settings})
    ref = sampled(config, pool[0], pool[1])
    table = Selection.open(ref).table()
    return ref, np.repeat(table["row_id"].to_numpy().astype(int), table["copies"].to_numpy())


def exactly(group: str, **shares: float) -> list[dict[str, object]]:
    return [{"group": group, "value": value, "at_least": one, "at_most": one} for value, one in shares.items()]


@pytest.mark.parametrize("strategy", ["flat", "random", {"name": "uniform", "groups": ["kind"]}], ids=str)
@pytest.mark.long
def test_shares_of_several_columns_are_kept_at_once(pool: Pool, strategy: object) -> None:
    bounds = [*exactly("language", en=1 / 3, **{"is": 1 / 3, "fo": 1 / 3}), *exactly("source", web=0.5, books=0.25)]
    bounds.append({"group": "kind", "value": "b", "at_most": 0.4})
    ref, rows = draw(pool, strategy, shares=bounds)
    assert len(rows) == 120
    language, source, kind = (pool[2][name][rows] for name in ("language", "source", "kind"))
    assert [int((language == value).sum()) for value in ("en", "is", "fo")] == [40, 40, 40]
    assert [int((source == value).sum()) for value in ("web", "books", "code")] == [60, 30, 30]
    assert (kind == "b").sum() <= 48
    assert ref.facts["shares"]["source"] == {"web": 60, "books": 30, "code": 30}
    unbound = draw(pool, strategy)[1]
    assert (pool[2]["language"][unbound] == "fo").sum() < 20, "without bounds the pool's own shares show"


@pytest.mark.slow
def test_margins_that_contradict_each_other_are_named(pool: Pool) -> None:
    """Each column alone can be kept; there are too few rows of fo from code."""
    there = int(((pool[2]["language"] == "fo") & (pool[2]["source"] == "code")).sum())
    bounds = [
        {"group": "language", "value": "fo", "min_rows": 40},
        {"group": "source", "value": "code", "min_rows": 80},
    ]
    with pytest.raises(RecipeError, match="contradictory group constraints") as caught:
        draw(pool, "flat", target=90, shares=bounds)
    assert f"{40 + 80 - there - 90:,} rows are missing" in str(caught.value)
    assert "language=fo at least 40" in str(caught.value)
    assert "source=code at least 80" in str(caught.value)
    draw(pool, "flat", target=40 + 80 - there, shares=bounds)


def test_bounds_on_shares_keep_floor_and_cap_of_leaves(pool: Pool) -> None:
    bounds = exactly("language", en=0.5)
    _, rows = draw(pool, "flat", shares=bounds, cap=20, floor=5)
    assert (pool[2]["language"][rows] == "en").sum() == 60
    leaves = np.bincount(pool[3][rows], minlength=LEAVES)
    assert leaves.max() <= 20
    assert (leaves >= np.minimum(5, np.bincount(pool[3]))).all()
    assert np.bincount(pool[3][draw(pool, "random", shares=bounds)[1]]).max() > 20


def test_quotas_of_groups_are_kept_under_a_cap_of_leaves_as_far_as_they_can(pool: Pool) -> None:
    """Domain x class: equal quotas over the combinations of two columns, and no leaf above its cap."""
    strategy = {"name": "uniform", "groups": ["language", "source"]}
    counts = []
    for settings in ({}, {"cap": 16}):
        _, rows = draw(pool, strategy, target=90, **settings)
        language, source = pool[2]["language"][rows], pool[2]["source"][rows]
        pairs = [(one, other) for one in ("en", "is", "fo") for other in ("web", "books", "code")]
        table = [int(((language == one) & (source == other)).sum()) for one, other in pairs]
        counts.append((np.array(table), np.bincount(pool[3][rows]).max()))
    there = int(((pool[2]["language"] == "fo") & (pool[2]["source"] == "code")).sum())
    (free, widest), (capped, most) = counts
    assert most <= 16 < widest
    assert (capped == free).all()
    assert free[-1] == min(there, free.max())
    assert free.max() - np.sort(free)[1] <= 1, "all but the smallest combination are equal"


def test_a_column_that_nothing_bounds_and_an_unknown_value_are_named(pool: Pool) -> None:
    with pytest.raises(RecipeError, match="no row has source=film"):
        draw(pool, "flat", shares=[*exactly("language", en=0.5), *exactly("source", film=0.1)])


def test_raking_says_where_it_misses() -> None:
    table, caps, weights = crossed(1, (2, 2), 20)
    margins = [margin(table[0], [90, 0], [100, 100]), margin(table[1], [0, 95], [100, 100])]
    caps = np.where((table[0] == 0) & (table[1] == 1), 3, caps + 100)
    assert not rake(weights, caps, margins, 100, sweeps=200).meets
    rows, named = conflict(caps, margins, 100)
    assert rows == pytest.approx(82)
    assert named == ["value 0 at least 90", "value 1 at least 95"]
