"""Isolation forests and distances to neighbours find what does not belong, the same in any blocks."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from evenkeel.tasks.signal.isolation import fit_forest, isolation
from evenkeel.tasks.signal.kinds.isolation_forest import IsolationForest
from evenkeel.tasks.signal.kinds.neighbour_distance import NeighbourDistance
from evenkeel.tasks.signal.neighbours import size
from evenkeel.tasks.signal.signal import Signal
from tests.sample.pools import write_pool
from tests.signal.values import signal_of, values_of


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images of digits and 5 % of noise, shuffled, and which are noise."""
    rng = np.random.default_rng(0)
    images = load_digits().data.astype(np.float32)
    noise = rng.uniform(0, 16, (round(len(images) / 19), 64)).astype(np.float32)
    order = rng.permutation(len(images) + len(noise))
    return np.concatenate([images, noise])[order], order >= len(images)


@pytest.mark.parametrize("signal", [IsolationForest(name="outlier"), NeighbourDistance(name="far")])
def test_noise_among_digits_is_found(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, signal: Signal) -> None:
    x, wrong = digits
    done = write_pool(tmp_path, x, levels=[np.zeros(len(x), int)], block_rows=500)
    assert roc_auc_score(wrong, values_of(signal, done, tmp_path)) >= 0.95


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_small_pool_is_searched_exactly(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, metric: str) -> None:
    x = digits[0][:900]
    done = write_pool(tmp_path, x, levels=[np.zeros(len(x), int)], block_rows=200)
    found = values_of(NeighbourDistance.model_validate({"name": "far", "k": 7, "metric": metric}), done, tmp_path)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
    true = NearestNeighbors(n_neighbors=8).fit(unit.astype(np.float64)).kneighbors(unit)[0][:, 7]
    np.testing.assert_allclose(found, true, rtol=1e-5)


def test_of_many_cells_the_nearest_nine_hold_nearly_all_neighbours(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size, "ROWS_PER_CELL", 50)
    x, wrong = digits
    leaf = np.arange(len(x)) % 5
    done = write_pool(tmp_path, x, levels=[leaf], block_rows=500)
    found, ref = signal_of(NeighbourDistance(name="far"), done, tmp_path)
    true = NearestNeighbors(n_neighbors=11).fit(x).kneighbors(x)[0][:, 10]
    assert ref.facts["cells"] == 37
    assert np.all(found >= true * (1 - 1e-5))
    assert np.mean(found[~wrong] <= true[~wrong] * (1 + 1e-5)) > 0.8
    assert np.mean(found / true) < 1.02


def test_in_the_cells_of_a_clustering_dropped_rows_have_no_value(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    leaf = np.arange(120) % 4
    x = (rng.normal(0, 0.1, (120, 3)) + 10 * np.eye(4, 3)[leaf]).astype(np.float32)
    done = write_pool(tmp_path, x, levels=[leaf], drop={5: (1, "exact"), 8: (0, "near")})
    found = values_of(NeighbourDistance(name="far", k=3, cells="clusters"), done, tmp_path)
    kept = np.setdiff1d(np.arange(120), [5, 8])
    true = NearestNeighbors(n_neighbors=4).fit(x[kept]).kneighbors(x[kept])[0][:, 3]
    np.testing.assert_allclose(found[kept], true, rtol=1e-5)
    assert np.isnan(found[[5, 8]]).all()


def test_fewer_neighbours_than_asked_for_and_none_at_all(tmp_path: Path) -> None:
    done = write_pool(tmp_path / "two", np.array([[0.0], [3.0]]), levels=[np.zeros(2, int)])
    assert values_of(NeighbourDistance(name="far"), done, tmp_path / "two").tolist() == [3, 3]
    done = write_pool(tmp_path / "one", np.array([[1.0]]), levels=[np.zeros(1, int)])
    assert np.isnan(values_of(NeighbourDistance(name="far"), done, tmp_path / "one")).all()


@pytest.mark.parametrize(
    "signal",
    [
        IsolationForest(name="outlier", trees=20, within="kind", contamination=0.1),
        NeighbourDistance(name="far", k=5),
    ],
)
@pytest.mark.long
def test_blocks_and_threads_do_not_change_a_value(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: Signal
) -> None:
    monkeypatch.setattr(size, "ROWS_PER_CELL", 50)
    x = digits[0][:700]
    kind = [f"kind {row % 3}" for row in range(len(x))]
    found = []
    for name, rows, threads in (("few", 700, 1), ("many", 37, 3)):
        folder = tmp_path / name
        done = write_pool(folder, x, levels=[np.zeros(len(x), int)], groups={"kind": kind}, block_rows=rows)
        found.append(values_of(signal, done, folder, threads))
    np.testing.assert_array_equal(found[0], found[1])


def test_every_group_has_outliers_of_its_own(tmp_path: Path) -> None:
    """One group lies where the outliers of the other do, and a third is too small to tell."""
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (406, 4)).astype(np.float32)
    kind = np.repeat(["near", "far", "few"], [200, 200, 6])
    x[kind == "far"] += 30
    x[:6] += 30
    done = write_pool(tmp_path, x, levels=[np.zeros(len(x), int)], groups={"kind": kind.tolist()})
    found, ref = signal_of(IsolationForest(name="outlier", within="kind", contamination=0.03), done, tmp_path)
    near, far = found[kind == "near"], found[kind == "far"]
    assert (near[:6] > near[6:].max()).all()
    assert [(part > 0).sum() for part in (near, far)] == [6, 6]
    assert np.isnan(found[kind == "few"]).all()
    assert (ref.facts["groups"], ref.facts["small_groups"]) == (3, 1)


def test_a_forest_scores_as_its_formula_says() -> None:
    """Equal rows cannot be parted: their path is that of a tree with one node, c(n), and the score 1/2."""
    same = np.ones((50, 3), np.float32)
    np.testing.assert_allclose(isolation(fit_forest(same, 10, 0), same), 0.5)
    line = np.append(np.linspace(0, 1, 60), 100)[:, None].astype(np.float32)
    scores = isolation(fit_forest(line, 50, 0), line)
    assert scores.argmax() == 60
    assert scores[60] > 0.8
    assert np.all((scores > 0) & (scores <= 1))
