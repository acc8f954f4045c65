"""Rows to label: rare classes are found, every leaf gets its turn, labelled rows are never asked for again."""

import json
from pathlib import Path

import numpy as np
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.labelling.choose import levelled
from evenkeel.tasks.sample.labelling.leaves import outlying_leaves, raised
from evenkeel.tasks.sample.labelling.model import fit_labels, uncertainty_of
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.signal.kinds.labels import Labels
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, sampled, write_pool


def batch(
    folder: Path, x: np.ndarray, leaf: np.ndarray, known: dict[int, str], target: int, **strategy: object
) -> tuple[StepRef, np.ndarray]:
    column = [known.get(row, "(none)") for row in range(len(x))]
    done = write_pool(folder / "pool", x, levels=[leaf], groups={"labels": column}, block_rows=400)
    config = SamplingConfig.model_validate({"strategy": {"name": "to-label", **strategy}, "target": target})
    ref = sampled(config, done, make_run(folder))
    return ref, Selection.open(ref).row_ids().astype(int)


def rare_digit(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, str]]:
    """1,663 digits, 40 of them of one class; 23 are labelled as that class or another, three of them as that class."""
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    rare = y == seed % 10
    keep = rng.permutation(np.concatenate([np.flatnonzero(~rare), rng.permutation(np.flatnonzero(rare))[:40]]))
    x, rare = x[keep].astype(np.float32), rare[keep]
    known = [*rng.permutation(np.flatnonzero(rare))[:3], *rng.permutation(np.flatnonzero(~rare))[:20]]
    leaf = KMeans(40, n_init=1, random_state=0).fit_predict(x)
    return x, rare, leaf, {int(row): "rare" if rare[row] else "other" for row in known}


@pytest.mark.slow
def test_anchors_find_the_rare_class_and_the_model_is_no_worse_than_by_random_rows(tmp_path: Path) -> None:
    found, accuracy, by_chance = [], [], []
    for seed in range(10):
        x, rare, leaf, labels = rare_digit(seed)
        _, rows = batch(tmp_path / str(seed), x, leaf, labels, 50)
        assert len(rows) == 50
        assert not set(rows) & set(labels)
        chance = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(len(x)), list(labels)))[:50]
        found.append(int(rare[rows].sum()) + 3)
        accuracy.append(macro_accuracy(x, rare, [*labels, *rows]))
        by_chance.append(macro_accuracy(x, rare, [*labels, *chance]))
    assert np.mean(found) >= 16, "random rows find 4"
    assert np.mean(accuracy) >= np.mean(by_chance) + 0.04


@pytest.mark.slow
@pytest.mark.parametrize("digit", range(10))
def test_for_no_rare_digit_a_batch_teaches_less_than_random_rows_do(tmp_path: Path, digit: int) -> None:
    more = []
    for seed in range(digit, 120, 10):
        x, rare, leaf, labels = rare_digit(seed)
        _, rows = batch(tmp_path / str(seed), x, leaf, labels, 50)
        left = np.setdiff1d(np.arange(len(x)), list(labels))
        draws = [np.random.default_rng([seed, draw]).permutation(left)[:50] for draw in range(10)]
        by_chance = np.mean([macro_accuracy(x, rare, [*labels, *chance]) for chance in draws])
        more.append(macro_accuracy(x, rare, [*labels, *rows]) - by_chance)
    assert np.mean(more) >= 0, "of twelve draws, each against ten random batches"


def test_a_batch_is_spread_over_what_a_model_is_unsure_of(tmp_path: Path) -> None:
    """Forty rows in one spot are the least sure of all; a batch takes one of them and goes on elsewhere."""
    rng = np.random.default_rng(0)
    spot, field = rng.normal(0, 0.01, (40, 2)), rng.uniform((-1, 4), (1, 6), (60, 2))
    x = np.concatenate([spot, field, [(-4, 0), (4, 0)]])
    leaf = np.zeros(len(x), int)
    _, rows = batch(tmp_path, x.astype(np.float32), leaf, {100: "a", 101: "b"}, 20, pool=100)
    assert (rows < 40).sum() <= 8, "two of each class that are far from the rest, and of the fifth by chance"


@pytest.mark.slow
@pytest.mark.parametrize("per", ["class", "cluster"])
@pytest.mark.parametrize("pool", ["even", "one rare", "long tail"])
def test_a_batch_by_anchors_teaches_no_less_than_random_rows(tmp_path: Path, pool: str, per: str) -> None:
    """Ten classes of digits, two labels each, 50 rows: as frequent as each other, one of 28 rows, from 120 to 5."""
    more = np.array([gain(tmp_path / str(seed), pool, per, seed) for seed in range(10)])
    assert more.mean() > -more.std() / len(more) ** 0.5, "not below random beyond the noise"


def gain(folder: Path, pool: str, per: str, seed: int) -> float:
    """Return how much more accurate a model is after a batch than after random rows, on digits left out."""
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    left_out, rng = np.random.default_rng(99).random(len(x)) < 0.3, np.random.default_rng(seed)
    turn = rng.permutation(10)
    most = {
        "even": [999] * 10,
        "one rare": [28] + [999] * 9,
        "long tail": [max(5, int(120 * 0.65**n)) for n in range(10)],
    }
    of = [
        rng.permutation(np.flatnonzero(~left_out & (y == one)))[:many]
        for one, many in zip(turn, most[pool], strict=True)
    ]
    keep = rng.permutation(np.concatenate(of))
    rows, truth = x[keep].astype(np.float32), y[keep]
    known = [int(row) for one in range(10) for row in rng.permutation(np.flatnonzero(truth == one))[:2]]
    leaf = KMeans(40, n_init=1, random_state=0).fit_predict(rows)
    _, asked = batch(folder, rows, leaf, {row: f"c{truth[row]}" for row in known}, 50, per=per)
    chance = rng.permutation(np.setdiff1d(np.arange(len(rows)), known))[:50]
    accuracy = []
    for chosen in (asked, chance):
        labelled = [*known, *chosen]
        found = fit_labels(rows[labelled], truth[labelled], 10).probabilities(x[left_out]).argmax(axis=1)
        accuracy.append(np.mean([(found[y[left_out] == one] == one).mean() for one in range(10)]))
    return float(accuracy[0] - accuracy[1])


def macro_accuracy(x: np.ndarray, rare: np.ndarray, known: list[int]) -> float:
    model = fit_labels(x[known], rare[known].astype(np.int64), 2)
    right = (model.probabilities(x).argmax(axis=1) == rare)[np.setdiff1d(np.arange(len(x)), known)]
    truth = rare[np.setdiff1d(np.arange(len(x)), known)]
    return float((right[truth].mean() + right[~truth].mean()) / 2)


def blobs(rows: int = 1200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Six classes of two leaves each: 30 rows of the last one, and a far leaf of 24 rows that is none of them."""
    rng = np.random.default_rng(6)
    leaf = rng.choice(12, rows, p=[0.1] * 8 + [0.0875, 0.0875, 0.0125, 0.0125])
    leaf[:24] = 12
    centres = rng.normal(0, 4, (13, 6))
    centres[12] = 60
    return (centres[leaf] + rng.normal(0, 0.7, (rows, 6))).astype(np.float32), leaf, np.minimum(leaf // 2, 6)


def first_labels(truth: np.ndarray) -> dict[int, str]:
    return {int(row): f"c{one}" for one in range(6) for row in np.flatnonzero(truth == one)[: 3 if one == 5 else 8]}


@pytest.mark.long
def test_each_rule_asks_for_what_it_says(tmp_path: Path) -> None:
    x, leaf, truth = blobs()
    labels = first_labels(truth)
    counts = {}
    for rule in ("balanced", "minority", "clusters"):
        ref, rows = batch(tmp_path / rule, x, leaf, labels, 24, rule=rule, avoid_outliers=0.03)
        assert not set(rows) & set(labels)
        assert not (leaf[rows] == 12).any(), "rows far from everything are left out"
        assert ref.facts["outlying_rows"] == 24
        counts[rule] = np.bincount(truth[rows], minlength=6)[:6]
        if rule == "clusters":
            unlabelled = np.setdiff1d(np.arange(12), leaf[list(labels)])
            assert set(unlabelled) <= set(leaf[rows])
    assert counts["minority"][5] >= 7 > counts["minority"][:5].max()
    assert counts["balanced"].min() >= 2
    assert counts["balanced"][5] >= 4, "of 24, where a fortieth of the pool is of that class"
    assert len(set(leaf[batch(tmp_path / "again", x, leaf, labels, 24, rule="balanced")[1]])) >= 10


def test_without_a_label_every_leaf_gives_a_row_and_other_rules_say_what_they_lack(tmp_path: Path) -> None:
    x, leaf, _ = blobs()
    _, rows = batch(tmp_path / "first", x, leaf, {}, 13, rule="clusters", labels="")
    assert sorted(leaf[rows]) == list(range(13))
    with pytest.raises(ValueError, match="rule: balanced needs labels"):
        SamplingConfig.model_validate({"strategy": {"name": "to-label", "rule": "balanced", "labels": ""}, "target": 5})
    with pytest.raises(RecipeError, match="labels of two classes"):
        batch(tmp_path / "none", x, leaf, {}, 13)
    with pytest.raises(RecipeError, match="all 'c1'"):
        batch(tmp_path / "one", x, leaf, {5: "c1"}, 13, rule="balanced")
    with pytest.raises(RecipeError, match="fewer rows to label than the target asks for"):
        batch(tmp_path / "all", x, leaf, {row: f"c{row % 2}" for row in range(1195)}, 10)


@pytest.mark.slow
def test_anchors_read_the_leaves_around_them_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    leaf = np.arange(20_000) % 400
    x = (rng.normal(0, 9, (400, 3))[leaf] + rng.normal(0, 0.3, (20_000, 3))).astype(np.float32)
    ref, rows = batch(tmp_path, x, leaf, {0: "a", 1: "b"}, 5)
    assert len(rows) == 5
    assert ref.facts["read"] <= 2 * (20 * 5 + 20 * 5 // 2 + 50), "of 40 rows for each one that is asked for, half more"
    assert ref.facts["read_share"] < 0.02


def test_the_lowest_counts_are_raised_evenly() -> None:
    assert levelled(np.array([9, 0, 4]), 6).tolist() == [0, 5, 1]
    assert levelled(np.array([1, 1, 1]), 7).sum() == 7
    assert raised(np.array([2, 0, 0, 1]), np.array([50, 3, 9, 0]), 4).tolist() == [0, 2, 2, 0]
    assert raised(np.array([0, 0, 0]), np.array([5, 7, 6]), 2).tolist() == [0, 1, 1]


def test_unsure_is_between_the_classes() -> None:
    probabilities = np.array([[0.98, 0.01, 0.01], [0.5, 0.49, 0.01], [0.34, 0.33, 0.33]])
    assert uncertainty_of(probabilities, "margin").argmax() in (1, 2)
    for by in ("entropy", "confidence"):
        assert np.argsort(uncertainty_of(probabilities, by)).tolist() == [0, 1, 2]


def test_a_leaf_with_a_label_is_no_outlier() -> None:
    centroids = np.array([[0, 0], [1, 0], [0, 1], [90, 90]], np.float32)
    sizes = np.array([100, 100, 100, 5])
    assert outlying_leaves(centroids, sizes, np.zeros(4, np.int64), 0.05).tolist() == [False, False, False, True]
    assert not outlying_leaves(centroids, sizes, np.array([0, 0, 0, 1]), 0.01).any()


def test_labels_come_back_as_a_column(tmp_path: Path) -> None:
    rows = [{"id": "row-1", "label": "cat"}, {"id": "row-70", "label": " dog "}, {"id": "row-3", "label": None}]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = write_pool(tmp_path / "pool", np.eye(80, dtype=np.float32), levels=[np.zeros(80, int)], block_rows=64)
    ref = compute_signal(Labels(join=str(tmp_path / "labels.jsonl")), done, InProcess(make_run(tmp_path)))
    from evenkeel.tasks.ingest.pool import Pool

    pool = Pool.open(done["ingest"], None, {"labels": ref})
    column = [one for block in pool.blocks for one in pool.table(block, ["group.labels"])["group.labels"].to_pylist()]
    assert {row: one for row, one in enumerate(column) if one != "(none)"} == {1: "cat", 70: "dog"}
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"id": "nobody", "label": "cat"}])))
    wrong = Labels(join=str(tmp_path / "labels.jsonl"))
    with pytest.raises(InputError, match="of rows that the pool does not have") as error:
        compute_signal(wrong, done, InProcess(make_run(tmp_path)))
    assert "'nobody' (labels.jsonl, row 3)" in str(error.value)
    skipped = wrong.model_copy(update={"unknown": "skip"})
    assert compute_signal(skipped, done, InProcess(make_run(tmp_path))).facts["labels"] == 2


def test_a_recipe_says_where_labels_are(tmp_path: Path) -> None:
    document = {
        "dataset": "tickets",
        "source": {"uri": str(tmp_path / "in")},
        "labels": {"uri": "labelled.parquet", "id": "ticket", "label": "queue"},
        "sampling": {"strategy": "to-label", "target": 200},
        "destination": {"uri": str(tmp_path / "out")},
    }
    signal = parse(document).signals[0]
    assert isinstance(signal, Labels)
    assert (signal.name, signal.on, signal.column) == ("labels", "ticket", "queue")
    with pytest.raises(RecipeError, match="labels: expected where they are"):
        parse({**document, "labels": "labelled.parquet"})
