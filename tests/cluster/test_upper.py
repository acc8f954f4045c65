"""Upper levels: nested groups are found, no hub gathers what is diffuse, and the published path is as it was."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.levels import clear_gaps, follow_gaps
from evenkeel.tasks.cluster.resample import fit_level
from evenkeel.tasks.cluster.step import SEED_STRIDE
from evenkeel.tasks.cluster.upper import MOST_LOST, Children, Upper, directions, inertia
from evenkeel.tasks.kmeans.options import CPU
from evenkeel.tasks.kmeans.ward import ward_heights, ward_labels
from tests.cluster.test_step import check, clustered


def zipf_mixture(rows: int, d: int, components: int, sigma: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masses = 1 / np.arange(1, components + 1)
    y = rng.choice(components, rows, p=masses / masses.sum())
    centres = rng.normal(0, 1, (components, d))
    return (centres[y] + rng.normal(0, sigma, (rows, d))).astype(np.float32), y


@pytest.mark.parametrize(("upper", "levels"), [("auto", "auto"), ("ward", [600, 200, 10])])
@pytest.mark.long
def test_nested_groups_are_found(tmp_path: Path, upper: str, levels: str | list[int]) -> None:
    """With `levels: auto` their number too: 6,000 rows have 200 leaves, and the level of 20 moves to the gap at 10."""
    rng = np.random.default_rng(0)
    tops = rng.normal(0, 4, (10, 64))
    centres = (tops[:, None] + rng.normal(0, 1, (10, 20, 64))).reshape(-1, 64)
    masses = rng.permutation(1 / np.arange(1, 201))
    y = rng.choice(200, 6000, p=masses / masses.sum())
    x = (centres[y] + rng.normal(0, 0.3, (6000, 64))).astype(np.float32)
    hierarchy, _ = clustered(tmp_path, x, levels=levels, resampling=2, upper=upper)
    check(hierarchy, x, settled=0.9)
    assert hierarchy.levels[-1].clusters == 10
    top = hierarchy.ancestors(len(hierarchy.levels))[hierarchy.rows()["leaf"].to_numpy()]
    assert adjusted_rand_score(y // 20, top) >= 0.95


def test_levels_move_to_gaps_and_stay_where_there_are_none() -> None:
    rng = np.random.default_rng(0)
    noise = ward_heights(rng.normal(size=(600, 16)).astype(np.float32), np.ones(600), CPU, 0)
    assert follow_gaps([600, 60], noise) == [600, 60]
    tops = rng.normal(0, 8, (7, 1, 1, 16)) + rng.normal(0, 1, (1, 12, 1, 16)) + rng.normal(0, 0.1, (7, 12, 6, 16))
    nested = ward_heights(tops.reshape(-1, 16).astype(np.float32), np.ones(504), CPU, 0)
    assert set(clear_gaps(nested)) == {84, 7}
    assert follow_gaps([504, 50], nested) == [504, 84, 7]
    assert follow_gaps([504, 100, 10], nested) == [504, 84, 7]
    assert follow_gaps([80, 10], nested) == [80, 7]
    same = np.zeros(503)
    assert follow_gaps([504, 50], same) == [504, 50]


def test_levels_by_gaps_need_merges() -> None:
    with pytest.raises(ValueError, match="upper: auto or ward, not k-means"):
        ClusteringConfig(levels="auto", upper="k-means")


@pytest.mark.slow
def test_no_hub_gathers_what_is_diffuse(tmp_path: Path) -> None:
    x, _ = zipf_mixture(12_000, 64, 400, 0.6)
    largest = {}
    for upper in ("auto", "k-means"):
        hierarchy, _ = clustered(tmp_path / upper, x, levels=[800, 80, 20], resampling=2, upper=upper)
        check(hierarchy, x, settled=0)
        shares = hierarchy.levels[-1].counts / len(x)
        largest[upper] = shares.max()
        evenness = -(shares * np.log(shares)).sum() / np.log(20)
        if upper == "auto":
            assert evenness >= 0.85
    assert largest["auto"] <= 0.25 < 0.4 < largest["k-means"]


def test_directions_are_not_taken_where_distance_tells_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ring, turn = rng.integers(1, 6, 4000), rng.uniform(0, 2 * np.pi, 4000)
    x = (np.stack([ring * np.cos(turn), ring * np.sin(turn)], 1) + rng.normal(0, 0.05, (4000, 2))).astype(np.float32)
    hierarchy, _ = clustered(tmp_path, x, levels=[300, 30], resampling=1)
    finest = hierarchy.levels[0]
    below = Children(finest.centroids, np.ones(300), finest.counts.astype(np.float64))
    assert np.array_equal(finest.parents, ward_labels(finest.centroids, below.leaves, 30, CPU, 0))
    turned = fit_level(directions(below), 30, ClusteringConfig(metric="cosine", resampling=0), 0).labels
    assert inertia(below, turned) > MOST_LOST * inertia(below, finest.parents)


def test_groups_that_lie_in_one_direction_are_found_from_whatever_hub_ward_leaves(tmp_path: Path) -> None:
    """Ten groups, their points at very different distances from the mean: what lies near it is one cluster by Ward."""
    rng = np.random.default_rng(2)
    tops, y = rng.normal(0, 1, (10, 64)), rng.integers(0, 10, 120)
    points = tops[y] + rng.normal(0, 1, (120, 64)) + 0.3 * rng.standard_t(3, (120, 64))
    points *= rng.lognormal(0, 0.8, (120, 1))
    below = Children(points.astype(np.float32), np.ones(120), np.ones(120))
    found = {}
    for upper in ("ward", "auto"):
        made = Upper(ClusteringConfig.model_validate({"upper": upper}), CPU)
        _, labels = made.fit(below, 10, 0, lambda *_: None, Checkpoint(str(tmp_path / upper)))
        found[upper] = np.bincount(labels).max() / 120, adjusted_rand_score(y, labels)
    assert found["ward"][0] > 0.7
    assert found["auto"][0] < 0.2
    assert found["ward"][1] < 0.1
    assert found["auto"][1] > 0.7


@pytest.mark.long
def test_the_published_path_is_k_means_over_centroids(tmp_path: Path) -> None:
    x, _ = zipf_mixture(3000, 16, 60, 0.5)
    config = ClusteringConfig(levels=[200, 20, 5], resampling=3, upper="k-means", seed=7)
    hierarchy, _ = clustered(tmp_path, x, **config.model_dump())
    for number, k in enumerate([200, 20, 5], start=1):
        model = fit_level(x, k, config, 7 + SEED_STRIDE * number)
        level = hierarchy.levels[number - 1]
        assert np.array_equal(level.centroids, model.centroids)
        if number > 1:
            assert np.array_equal(hierarchy.levels[number - 2].parents, model.labels)
        x = model.centroids


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("upper", ["auto", "ward", "spherical"])
@pytest.mark.long
def test_every_method_keeps_the_contract_of_levels(tmp_path: Path, upper: str, metric: str) -> None:
    x, _ = zipf_mixture(2000, 8, 30, 0.5)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    hierarchy, _ = clustered(tmp_path, x, levels=[150, 30, 6], resampling=1, upper=upper, metric=metric)
    check(hierarchy, x, settled=0)
    assert [level.clusters for level in hierarchy.levels] == [150, 30, 6]
    for number in (2, 3):
        level, of_leaf = hierarchy.levels[number - 1], hierarchy.ancestors(number)
        for cluster in range(level.clusters):
            mean = hierarchy.levels[0].centroids[of_leaf == cluster].mean(axis=0)
            if metric == "cosine":
                mean /= np.linalg.norm(mean)
                if number == 3:
                    continue  # a mean of means that were scaled to length 1
            np.testing.assert_allclose(level.centroids[cluster], mean, atol=1e-5)
