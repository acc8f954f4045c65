"""Quotas sum exactly, stay in bounds, and are as even as the clusters allow."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import state
from evenkeel.tasks.sample.quotas.allocation import blend, split, water_fill
from evenkeel.tasks.sample.quotas.rounding import nth_smallest, round_group, round_shares
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from tests.examples import most

SIZES = st.lists(st.integers(0, 1000), min_size=1, max_size=40).map(lambda sizes: np.array(sizes, np.int64))


@st.composite
def trees(draw: st.DrawFn) -> ClusterTree:
    sizes = draw(SIZES)
    parents, width = [], len(sizes)
    for _ in range(draw(st.integers(0, 3))):
        above = draw(st.integers(1, width))
        up = [draw(st.integers(0, above - 1)) for _ in range(width - 1)]
        parents.append(np.array([*up, above - 1], np.int32))
        width = above
    return ClusterTree(sizes, tuple(parents))


@pytest.mark.long
@settings(max_examples=most(4000))
@given(sizes=SIZES, target=st.integers(0, 50_000), seed=st.integers(0, 5))
def test_equal_quotas_are_the_largest_common_cap(sizes: np.ndarray, target: int, seed: int) -> None:
    quotas = water_fill(sizes, target, seed=seed).quotas
    assert quotas.sum() == min(target, sizes.sum())
    assert (quotas >= 0).all()
    assert (quotas <= sizes).all()
    open_quotas = quotas[quotas < sizes]
    if len(open_quotas):
        assert open_quotas.max() - open_quotas.min() <= 1
        assert quotas.max() <= open_quotas.min() + 1


@pytest.mark.long
@settings(max_examples=most(3000))
@given(data=st.data(), sizes=SIZES, seed=st.integers(0, 5))
def test_weighted_quotas_keep_floors_and_caps(data: st.DataObject, sizes: np.ndarray, seed: int) -> None:
    count = len(sizes)
    weights = np.array(data.draw(st.lists(st.just(0.0) | st.floats(1e-40, 1e40), min_size=count, max_size=count)))
    weights[data.draw(st.integers(0, count - 1))] = 1.0
    floors = np.minimum(sizes, data.draw(st.integers(0, 5)))
    caps = np.minimum(sizes, data.draw(st.integers(5, 2000)))
    if not weights[caps > 0].any():
        return
    target = data.draw(st.integers(int(floors.sum()), int(floors.sum()) + 20_000))
    quotas, shares = water_fill(caps, target, weights=weights, floors=floors, seed=seed)
    most = np.where(weights > 0, caps, np.minimum(floors, caps))
    assert quotas.sum() == min(target, most.sum())
    assert (quotas >= np.minimum(floors, caps)).all()
    assert (quotas <= most).all()
    assert (np.abs(quotas - shares) < 1 + 1e-6).all()
    between = (shares > floors + 1e-6) & (shares < most - 1e-6)
    if between.sum() > 1:
        levels = shares[between] / weights[between]
        assert levels.max() <= levels.min() * (1 + 1e-6)


@pytest.mark.long
@settings(max_examples=most(3000))
@given(tree=trees(), target=st.integers(0, 20_000), seed=st.integers(0, 5), repeats=st.integers(1, 3))
def test_a_split_tree_is_exact_at_every_level(tree: ClusterTree, target: int, seed: int, repeats: int) -> None:
    caps = tree.sizes * repeats
    quotas, shares = split(tree, caps, target, seed=seed)
    assert quotas.sum() == min(target, caps.sum())
    assert (quotas >= 0).all()
    assert (quotas <= caps).all()
    for level in range(1, tree.depth + 1):
        assert (np.abs(tree.lift(quotas, level) - np.bincount(tree.ancestors(level), shares)) < 1 + 1e-6).all()
    top, capacity = tree.lift(quotas, tree.depth), tree.lift(caps, tree.depth)
    still_open = top[top < capacity]
    if len(still_open):
        assert still_open.max() - still_open.min() <= 1


def test_the_nth_smallest_is_that_of_the_sorted_values() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 24, 25, 26, 1000, 4097):
        for values in (
            rng.random(count),
            rng.integers(0, 4, count) * 1.0,
            np.full(count, np.inf),
            np.arange(count) * 1.0,
        ):
            values[rng.random(count) < 0.2] = np.inf
            for place in {1, (count + 1) // 2, count}:
                assert nth_smallest(values.copy(), place) == np.sort(values)[place - 1]


def test_rounding_keeps_the_expected_share() -> None:
    sizes, weights = np.array([50, 50, 50, 50]), np.array([1.0, 2.0, 3.0, 4.0])
    drawn = np.array([water_fill(sizes, 5, weights=weights, seed=seed).quotas for seed in range(4000)])
    np.testing.assert_allclose(drawn.mean(axis=0), [0.5, 1.0, 1.5, 2.0], atol=0.06)


def test_few_and_very_many_cells_are_rounded_alike() -> None:
    shares = np.random.default_rng(0).exponential(size=500)
    target, quotas = int(shares.sum()), np.empty(500, np.int64)
    round_group(np.empty(0, np.int64), 0, 500, shares, quotas, target, state(3))
    assert (round_shares(shares, target, state(3)) == quotas).all()
    assert quotas.sum() == target


def test_ties_are_broken_by_the_seed_alone() -> None:
    sizes = np.full(100, 10)
    first, again, other = (water_fill(sizes, 37, seed=seed).quotas for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, float("nan")], [0.0, 0.0], [1.0, float("inf")]])
def test_unusable_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(RecipeError, match="weight"):
        water_fill(np.array([5, 5]), 4, weights=np.array(weights))


def test_floors_above_the_target_are_refused() -> None:
    with pytest.raises(RecipeError, match="floors alone exceed"):
        water_fill(np.array([5, 5]), 4, floors=np.array([3, 3]))


@settings(max_examples=most(500))
@given(sizes=SIZES, target=st.integers(1, 5000), seed=st.integers(0, 5))
def test_a_blend_keeps_the_target_and_the_bounds(sizes: np.ndarray, target: int, seed: int) -> None:
    parts = [
        water_fill(sizes, target, seed=seed),
        water_fill(sizes, target, weights=sizes + 1.0, seed=seed),
        water_fill(sizes, target, weights=1.0 / (sizes + 1.0), seed=seed),
    ]
    quotas, shares = blend(parts, seed)
    assert quotas.sum() == min(target, sizes.sum())
    assert (quotas <= sizes).all()
    assert (np.abs(quotas - shares) < 1 + 1e-6).all()


@pytest.mark.parametrize("equal", [True, False])
def test_a_large_group_is_as_exact_as_small_ones(equal: bool) -> None:
    """Beyond 65,536 clusters the level is looked for in a bracket around that of a sample."""
    rng = np.random.default_rng(0)
    sizes = (rng.pareto(0.7, 200_000) * 3).astype(np.int64).clip(0, 10**7)
    weights = None if equal else np.where(rng.random(len(sizes)) < 0.1, 0.0, rng.lognormal(0, 4, len(sizes)))
    floors = np.minimum(sizes, 0 if equal else 2)
    for target in (int(floors.sum()), 350_000, 1_000_000, 20_000_000, 10**9):
        quotas, shares = water_fill(sizes, target, weights=weights, floors=floors)
        most = sizes if weights is None else np.where(weights > 0, sizes, floors)
        assert quotas.sum() == min(target, most.sum())
        assert ((quotas >= floors) & (quotas <= most)).all()
        between = (shares > floors + 1e-6) & (shares < most - 1e-6)
        levels = shares[between] / (1.0 if weights is None else weights[between])
        assert not len(levels) or levels.max() <= levels.min() * (1 + 1e-9)
        assert (np.abs(quotas - shares) < 1 + 1e-6).all()


@pytest.mark.slow
@pytest.mark.parametrize("options", [False, True])
def test_ten_million_clusters_in_under_a_second(options: bool) -> None:
    rng = np.random.default_rng(0)
    sizes = (rng.pareto(1.1, 10_000_000) * 6 + 1).astype(np.int64).clip(0, 10**6)
    more = {"weights": rng.lognormal(0, 2, len(sizes)), "floors": np.minimum(sizes, 3)} if options else {}
    water_fill(sizes[:10], 30, **{name: values[:10] for name, values in more.items()})
    seconds = []
    for _ in range(3):
        started = time.process_time()
        quotas = water_fill(sizes, 10**8, **more).quotas
        seconds.append(time.process_time() - started)
        assert quotas.sum() == 10**8
    assert min(seconds) < 1.0
