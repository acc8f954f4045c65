"""Neighbours that disagree find wrong labels and borders."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from evenkeel.tasks.signal.kinds.neighbour_disagreement import NeighbourDisagreement
from tests.sample.pools import write_pool
from tests.signal.values import values_of


def test_planted_wrong_labels_are_found(tmp_path: Path) -> None:
    data, rng = load_digits(), np.random.default_rng(0)
    labels, wrong = data.target.copy(), rng.random(len(data.target)) < 0.05
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, wrong.sum())) % 10
    groups = {"digit": [str(label) for label in labels]}
    done = write_pool(tmp_path, data.data, levels=[np.zeros(len(labels), int)], groups=groups, block_rows=400)
    found = values_of(NeighbourDisagreement(name="boundary", group="digit"), done, tmp_path)
    assert roc_auc_score(wrong, found) > 0.98
    assert found[wrong].mean() > 0.9
    assert found[~wrong].mean() < 0.1


def test_rows_at_a_border_stand_out_and_rows_without_a_label_take_no_part(tmp_path: Path) -> None:
    x = np.arange(40.0)[:, None]
    labels = ["left" if row < 20 else "right" for row in range(40)]
    labels[19] = "(none)"
    done = write_pool(tmp_path, x, levels=[np.zeros(40, int)], groups={"side": labels})
    found = values_of(NeighbourDisagreement(name="boundary", group="side", k=3), done, tmp_path)
    assert np.isnan(found[19])
    assert np.flatnonzero(found > 0).tolist() == [18, 20]
    assert found[:17].max() == found[23:].max() == 0
