"""Rows that are near a centroid already find the nearest: as comparing with all does, where lists alone go astray."""

import numpy as np
import pytest

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.tasks.kmeans import pruned_kernels
from evenkeel.tasks.kmeans.assign import farthest
from evenkeel.tasks.kmeans.engine import HostEngine, open_engine
from evenkeel.tasks.kmeans.index import CentroidIndex
from evenkeel.tasks.kmeans.inverted import assign_inverted
from evenkeel.tasks.kmeans.lloyd import codebook, invert
from evenkeel.tasks.kmeans.options import Device, Options
from evenkeel.tasks.kmeans.pruned_kernels import Ranking
from tests.kmeans.mixtures import brute, mixture

CLUSTERS = 600


def error(x: Float32Array, centroids: Float32Array, labels: Int32Array) -> float:
    """Return the inertia of labels over the least that is possible, less one."""
    nearest = (brute(x, centroids)[1].astype(np.float64) ** 2).sum()
    gaps = (x - centroids[labels]).astype(np.float64)
    return float((gaps**2).sum() / nearest - 1)


@pytest.mark.parametrize(("q", "copies"), [(33, False), (33, True), (5, True), (2, False), (1, False)])
def test_the_three_nearest_of_a_list_are_those_of_sorting_it(q: int, copies: bool) -> None:
    rng = np.random.default_rng(q)
    x, centroids = rng.integers(-3, 4, (500, 8)).astype(np.float32), rng.integers(-3, 4, (60, 8)).astype(np.float32)
    if copies:
        centroids[30:] = centroids[:30]
    labels = rng.integers(0, 60, 500).astype(np.int32)
    lists = np.full((60, 40), 60, np.int32)
    for g in range(60):
        lists[g, :q] = rng.choice(60, q, replace=False)
    ranking = Ranking(np.empty((500, 3), np.int32), np.empty((500, 3), np.float32))
    pruned_kernels.rank_in_lists(x, invert(labels, 60), np.arange(60), 0, 60, lists, codebook(centroids), ranking)
    scores = (centroids**2).sum(axis=1) / 2 - x @ centroids.T
    for row in range(500):
        order = sorted((scores[row, c], c) for c in lists[labels[row], :q].tolist())[:3]
        found = ranking.ids[row, : len(order)]
        assert found[0] == order[0][1], "of equal centroids the one with the lowest number"
        assert len(set(found.tolist())) == len(order)
        assert (ranking.ids[row, len(order) :] == -1).all()
        np.testing.assert_allclose(scores[row, found], [score for score, _ in order], atol=1e-4)
        np.testing.assert_allclose(ranking.scores[row, : len(order)], scores[row, found], atol=1e-4)


@pytest.mark.long
def test_rows_that_follow_their_cluster_are_nearer_than_those_that_search_lists() -> None:
    """Components of a mixture lie in no region: lists near a row may not hold its centroid, its cluster knows it."""
    x = mixture(12_000, 48, CLUSTERS, 0.4)
    rng = np.random.default_rng(0)
    engine = open_engine(x, CLUSTERS, Options(), rng, device=Device(2))
    assert isinstance(engine, HostEngine)
    assert engine.coarse is not None
    fit = engine.fit(engine.seed(CLUSTERS, "auto", rng), Options(), rng)
    members = engine.nearest_members(fit.centroids, fit.labels, 10)
    part = engine.subset(members, fit)
    refit = part.fit(part.seed(CLUSTERS, "auto", rng), Options(), rng, final=False)
    rows = engine.rows.x
    followed = error(rows, refit.centroids, engine.follow(fit, members, refit))
    searched = error(rows, refit.centroids, assign_inverted(engine.rows, engine.coarse, refit.centroids))
    assert followed < 0.005
    assert followed < searched / 4, (followed, searched)


@pytest.mark.long
def test_rows_of_a_known_centroid_find_the_nearest_of_all() -> None:
    x = mixture(10_000, 32, 1500, 0.4)
    centroids, rows = x[:2000], x[2000:]
    index = CentroidIndex.build(centroids, "euclidean", seed=0, threads=2)
    nearest, _ = brute(rows, centroids)
    rng = np.random.default_rng(0)
    known = np.where(rng.random(len(rows)) < 0.3, -1, nearest).astype(np.int32)
    wrong = rng.random(len(rows)) < 0.05
    known[wrong] = rng.integers(0, len(centroids), wrong.sum())
    labels, squared = index.nearest_from(rows, known, index.neighbours(2))
    assert error(rows, centroids, labels) < 0.005
    np.testing.assert_allclose(squared, ((rows - centroids[labels]) ** 2).sum(axis=1), rtol=1e-3)


def test_those_far_from_their_centroid_are_a_share_and_all_that_are_unusual() -> None:
    even, skewed = np.full(1000, 2, np.float32), np.ones(1000, np.float32)
    even[:50], skewed[::3] = 2.5, 9
    assert set(range(50)) <= set(farthest(even).tolist())
    assert farthest(skewed).tolist() == list(range(0, 1000, 3)), "a third, though a tenth is looked at in any case"
    assert not farthest(np.zeros(10, np.float32)).size, "nothing is nearer than the place itself"
