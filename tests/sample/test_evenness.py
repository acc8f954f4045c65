"""The default is not less even than random over levels and groups, as far as that is cheap; it hedges in the dark."""

from pathlib import Path

import numpy as np
import pytest

from evenkeel.expectations.measures import normalised_entropy
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.balanced.blending import blend_evenly, blend_greedily
from evenkeel.tasks.sample.balanced.evenness import Guard, Scope, level_scopes
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.step import open_problem
from evenkeel.tasks.sample.strata.count import cross_strata
from evenkeel.tasks.sample.strata.scopes import group_scope
from evenkeel.tasks.step import Run
from tests.sample.pools import inputs_of, make_run, sampled, write_pool


class InPairs:
    """A measure whose cells are pairs of leaves: 1 - normalised entropy of what they give."""

    def weights(self, shares: np.ndarray) -> np.ndarray:
        return shares

    def imbalance(self, weights: np.ndarray) -> float:
        return 1.0 - normalised_entropy(weights.reshape(-1, 2).sum(axis=1))

    def summary(self) -> list[dict[str, float]]:
        return []


def group(rates: list[float]) -> Scope:
    """A column with two values; the first has this share of the rows of every leaf."""
    leaves, other = np.arange(len(rates)), 1 - np.array(rates)
    return Scope(
        "group.kind", np.tile(leaves, 2), np.repeat([0, 1], len(rates)), np.concatenate([np.array(rates), other]), 2
    )


def test_a_group_is_kept_as_even_as_random_where_that_costs_little() -> None:
    """Two rules are equally balanced, and the first of them takes nearly all it can of one value."""
    shares = {"random": np.array([9.0, 9, 1, 1]), "first": np.array([9.0, 1, 9, 1]), "second": np.array([5.0, 5, 5, 5])}
    guard = Guard.of([group([0.9, 0.1, 0.9, 0.1])], shares, 10**9)
    assert blend_greedily(InPairs(), shares)[0] == ["first"]
    assert guard.uneven(["first"])
    found = blend_evenly(InPairs(), shares, guard)
    assert (found.parts, found.uneven) == (["second"], [])
    assert found.imbalance == pytest.approx(0, abs=1e-9)


def test_a_group_that_only_random_keeps_even_is_named() -> None:
    shares = {"random": np.array([9.0, 9, 1, 1]), "even": np.array([5.0, 5, 5, 5])}
    guard = Guard.of([group([0.45, 0.45, 0.95, 0.95])], shares, 10**9)
    found = blend_evenly(InPairs(), shares, guard)
    assert (found.parts, found.uneven) == (["even"], ["group.kind"])
    parts, imbalance = blend_greedily(InPairs(), shares, guard)
    assert not guard.uneven(parts)
    assert imbalance > 0.5 * InPairs().imbalance(shares["random"])


Made = tuple[dict[str, StepRef], Run]


@pytest.fixture
def pool(tmp_path: Path) -> Made:
    rng = np.random.default_rng(0)
    leaf = np.sort(rng.integers(0, 30, 900))
    kinds = np.where(rng.random(900) < leaf / 30, "a", "b")
    vectors = rng.normal(0, 1, (30, 4))[leaf] * 9 + rng.normal(0, 0.5, (900, 4))
    done = write_pool(tmp_path, vectors, levels=[leaf], parents=[np.arange(30) // 6], groups={"kind": kinds.tolist()})
    return done, make_run(tmp_path)


def test_classes_get_the_rows_that_their_leaves_give(pool: Made) -> None:
    """By brute force: a leaf's rows are taken in proportion to the values it has."""
    done, run = pool
    config = SamplingConfig(target=300)
    problem, _ = open_problem(config, inputs_of(config, done, run), run)
    shares = np.random.default_rng(1).random(problem.tree.leaves)
    table = np.zeros((problem.tree.leaves, 2))
    for block in problem.rows.blocks:
        rows = problem.rows.table(block, ["group.kind"])
        for leaf, kind in zip(rows["leaf"].to_pylist(), rows["group.kind"].to_pylist(), strict=True):
            table[leaf, ["a", "b"].index(kind)] += 1
    expected = shares @ (table / table.sum(axis=1, keepdims=True)) / shares.sum()
    scope = group_scope("kind", cross_strata(problem.rows, ["kind"], problem.compute), problem.tree)
    assert scope.lift(shares) == pytest.approx(expected)
    assert scope.entropy(scope.lift(shares)) == pytest.approx(normalised_entropy(expected))
    for level, found in enumerate(level_scopes(problem.tree, 0), start=1):
        lifted = np.bincount(problem.tree.ancestors(level), shares)
        assert found.entropy(found.lift(shares)) == pytest.approx(normalised_entropy(lifted.astype(float)))


def test_the_entropy_of_very_many_clusters_is_estimated_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.random.default_rng(0).integers(1, 100, 20_000)
    monkeypatch.setattr("evenkeel.tasks.sample.balanced.evenness.MAX_CLASSES", 4000)
    (scope,) = level_scopes(ClusterTree(sizes), 0)
    assert scope.classes == 4000
    estimated = scope.entropy(scope.lift(sizes.astype(float)))
    assert estimated == pytest.approx(normalised_entropy(sizes.astype(float)), abs=0.01)


@pytest.mark.long
def test_no_level_and_no_group_is_less_even_than_a_random_draw(pool: Made) -> None:
    """Beyond what a bootstrap of random draws does, or the facts name it."""
    done, run = pool
    ref = sampled(SamplingConfig(target=300), done, run)
    chosen = Selection.open(ref).quotas().to_pandas()
    random = chosen["size"].to_numpy() / chosen["size"].sum()
    for level, of in (("level-1", np.arange(30)), ("level-2", np.arange(30) // 6)):
        counts = np.bincount(of, chosen["kept"].to_numpy()).astype(float)
        rng = np.random.default_rng(0)
        draws = [normalised_entropy(np.bincount(of, rng.multinomial(300, random)).astype(float)) for _ in range(200)]
        assert normalised_entropy(counts) >= np.quantile(draws, 0.001) or level in ref.facts["uneven"]
