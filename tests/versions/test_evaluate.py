"""Evaluation trains on one part of the rows and tests on another, and finds what a balanced version gains."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.versions.evaluate import Band, Comparison, Evaluation, draw_evaluation, evaluate
from evenkeel.tasks.versions.linear_probe import correct_by_fold, predict
from tests.sample.pools import make_run, sampled, write_pool

CLASSES, ROWS = 12, 3000


def test_the_classifier_is_the_ridge_classifier_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    rows = (rng.normal(size=(4, 6))[labels] + rng.normal(size=(300, 6))).astype(np.float32)
    mine = predict(rows[:200], labels[:200], rows[200:], 5)
    theirs = RidgeClassifier(alpha=1.0).fit(rows[:200].astype(float), labels[:200]).predict(rows[200:])
    assert (mine == theirs).all()
    assert len(np.unique(mine)) == 4


def test_no_row_is_tested_by_a_model_that_has_seen_it() -> None:
    """Vectors that are all their own tell nothing about other rows: a model that knew them would always be right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    right, rows = correct_by_fold(
        np.eye(200, dtype=np.float32), labels, np.ones(200, np.int64), rng.integers(0, 5, 200)
    )
    assert 0.3 < right.mean() < 0.7
    assert rows.sum() == pytest.approx(160)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, StepRef], Path]:
    """3,000 rows of 12 classes that overlap, their sizes by Zipf's law; the leaves are the classes."""
    folder = tmp_path_factory.mktemp("evaluated")
    rng = np.random.default_rng(5)
    masses = 1 / np.arange(1, CLASSES + 1) ** 1.5
    labels = rng.choice(CLASSES, ROWS, p=masses / masses.sum())
    vectors = rng.normal(size=(CLASSES, 24))[labels] + 0.9 * rng.normal(size=(ROWS, 24))
    names = [f"class-{one:02d}" for one in labels]
    return write_pool(
        folder, vectors, levels=[labels], groups={"label": names, "one": ["same"] * ROWS}, block_rows=500
    ), folder


def evaluated(pool: tuple[dict[str, StepRef], Path], strategy: str, label: str = "label") -> Evaluation:
    steps, folder = pool
    sample = sampled(SamplingConfig.model_validate({"strategy": strategy, "target": 240}), steps, make_run(folder))
    return evaluate({**steps, "sample": sample}, label, folder / "scratch")


def test_an_even_version_gains_on_rare_classes_and_a_random_one_nothing(pool: tuple[dict[str, StepRef], Path]) -> None:
    even, random = evaluated(pool, "flat"), evaluated(pool, "random")
    assert even.rows == pytest.approx(0.8 * 240, abs=12)
    assert even.tail.classes == 6
    assert even.tail.better == even.tail.draws == 20
    assert even.tail.gain > max(0.1, even.every.gain)
    assert 1 <= random.tail.better <= 19
    assert abs(random.tail.gain) < 3 * random.tail.deviation
    assert [band.pool for band in even.bands] == sorted((band.pool for band in even.bands), reverse=True)
    assert sum(len(band.classes) for band in even.bands) == CLASSES
    assert sum(band.pool for band in even.bands) == ROWS
    assert evaluated(pool, "flat") == even


def test_a_label_that_is_not_there_or_tells_nothing_is_refused(pool: tuple[dict[str, StepRef], Path]) -> None:
    with pytest.raises(RecipeError, match="'nobody'"):
        evaluated(pool, "flat", "nobody")
    with pytest.raises(InputError, match="fewer than two values"):
        evaluated(pool, "flat", "one")


def test_the_picture_leaves_room_for_its_labels_in_any_font(tmp_path: Path) -> None:
    band = Band(classes=["0"], pool=1_234_567, version=50, random=50, recall_version=0.9, recall_random=0.8)
    some = Comparison(classes=1, random=0.8, deviation=0.1, version=0.9, better=19, draws=20)
    found = Evaluation(label="digit", rows=300, every=some, tail=some, bands=[band])
    draw_evaluation(found, tmp_path / "picture.svg")
    svg = (tmp_path / "picture.svg").read_text()
    left = re.search(r"translate\((\d+),", svg)
    assert left is not None
    assert float(left[1]) >= 6.5 * len("0 (1,234,567 rows)")
