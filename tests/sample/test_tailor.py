"""Rules of asking take turns by what each brought in: rare labels move the posterior, and rows say who asked."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.kinds.asked import Asked
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.labelling.tailor import asked_by, brought_in, promised, turns
from evenkeel.tasks.sample.selection import Selection
from tests.annotate.annotated import annotated
from tests.annotate.test_version import rows_of, staged
from tests.sample.pools import make_run, sampled, write_pool

CLASSES = 4
RULES = ["minority", "random", "clusters"]


def evenness(labels: list[int]) -> float:
    """Return the entropy of the classes over its greatest."""
    share = np.bincount(labels, minlength=CLASSES) / len(labels)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum() / np.log(CLASSES))


def pool(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two common classes in ten leaves, and two of 20 rows each that lie beside one another inside the largest two."""
    draw = np.random.default_rng(seed)
    leaf = np.sort(draw.integers(0, 10, 2000))
    truth = np.where(leaf < 5, 0, 1)
    for one in (2, 3):
        truth[draw.permutation(np.flatnonzero(leaf == (0, 9)[one - 2]))[:20]] = one
    centres = draw.normal(0, 3, (10, 8))
    x = centres[leaf] + draw.normal(0, 0.6, (2000, 8))
    x[truth == 2, 0] += 3
    x[truth == 3, 1] += 3
    return x.astype(np.float32), leaf, truth


def first_labels(truth: np.ndarray) -> list[int]:
    return [int(row) for one in range(CLASSES) for row in np.flatnonzero(truth == one)[: (8, 8, 2, 2)[one]]]


def ask(
    folder: Path, x: np.ndarray, leaf: np.ndarray, labels: dict[int, int], who: dict[int, str], **strategy: object
) -> tuple[StepRef, dict[str, StepRef]]:
    """Choose 24 rows to label of a pool whose columns say what is labelled, and which rule asked for it."""
    groups = {
        "labels": [f"c{labels[row]}" if row in labels else "(none)" for row in range(len(x))],
        "asked": [who.get(row, "(none)") for row in range(len(x))],
    }
    done = write_pool(folder / "pool", x, levels=[leaf], groups=groups, block_rows=700)
    config = SamplingConfig.model_validate({"strategy": {"name": "to-label", **strategy}, "target": 24})
    return sampled(config, done, make_run(folder)), done


def rounds(folder: Path, seed: int, count: int, **strategy: object) -> tuple[list[int], list[str]]:
    """Label batch after batch; return the classes of all labelled rows, and who asked for each in the last rounds."""
    x, leaf, truth = pool(seed)
    labels, asked = {row: int(truth[row]) for row in first_labels(truth)}, dict[int, str]()
    for number in range(count):
        ref, _ = ask(folder / str(number), x, leaf, labels, asked, **strategy)
        rows = Selection.open(ref).row_ids().astype(int)
        assert not set(rows) & set(labels)
        labels |= {int(row): int(truth[row]) for row in rows}
        if strategy["rule"] == "tailor":
            table = read_table(f"{ref.uri}/asked.parquet")
            asked |= dict(zip(table["row_id"].to_pylist(), table["asked_by"].to_pylist(), strict=True))
            assert ref.facts["round"] == number + 1
    return list(labels.values()), list(asked.values())


@pytest.mark.slow
def test_the_rule_that_finds_rare_classes_asks_mostly_and_labels_come_out_more_even(tmp_path: Path) -> None:
    shares, gains = [], []
    for seed in range(3):
        folder = tmp_path / str(seed)
        found, asked = rounds(folder / "tailor", seed, 6, rule="tailor", rules=RULES, asked="asked")
        alone = []
        for rule in ("minority", "clusters"):
            alone.append(evenness(rounds(folder / rule, seed, 6, rule=rule)[0]))
        _, _, truth = pool(seed)
        known = first_labels(truth)
        others = np.setdiff1d(np.arange(len(truth)), known)
        chance = np.random.default_rng(seed).permutation(others)[: 6 * 24]
        alone.append(evenness([*truth[known], *truth[chance]]))
        last = [one for one in asked if int(one.partition(":")[2]) > 3]
        shares.append(np.mean([one.startswith("minority:") for one in last]))
        gains.append(evenness(found) - np.mean(alone))
    assert np.mean(shares) > 0.6, "of three rules the one that brings rare classes asks for most rows"
    assert min(gains) > 0, "more even than the rules are on average"


def test_a_rule_that_brings_rare_labels_gets_the_turns() -> None:
    draw, chances = np.random.default_rng(5), [[0.5, 0.5, 0.0], [0.5, 0.48, 0.02], [0.4, 0.35, 0.25]]
    seen, labels, asked = np.zeros((3, 3)), np.array([10, 10, 2]), []
    for number in range(8):
        asked.append(turns(seen, labels, 50, seed=number))
        assert asked[-1].sum() == 50
        brought = np.array([draw.multinomial(int(rows), p) for rows, p in zip(asked[-1], chances, strict=True)])
        seen, labels = 0.9 * seen + brought, labels + brought.sum(axis=0)
    assert min(asked[0]) > 5, "of rules that nothing is known of, each has its turns"
    assert np.mean(asked[3:], axis=0)[2] > 35, "then the rule that brings the rare class asks"
    even = turns(np.array([[40.0, 0, 0], [0, 40.0, 0], [0, 0, 40.0]]), np.array([50, 50, 50]), 600, seed=1)
    assert even.min() > 100, "and where all classes have as many labels, no rule is better"


def test_what_a_rule_brought_in_fades_by_a_tenth_a_round() -> None:
    table = pa.table(
        {
            "label": ["a", "b", "a", "a"],
            "asked": ["anchors:1", "anchors:3", "random:2", "gone:4"],
            "rows": [10, 4, 5, 7],
        }
    )
    found = brought_in(table, ("a", "b"), ["anchors", "random"], "group.asked")
    assert found.rounds == 4
    np.testing.assert_allclose(found.seen, [[10 * 0.9**3, 4 * 0.9], [5 * 0.9**2, 0]])
    np.testing.assert_allclose(promised(found.seen, np.array([20, 2]))[1], ((1 + 4.05) / 20 + 1 / 2) / (2 + 4.05))
    for wrong in ("anchors", "anchors:0", "anchors:x", ":2"):
        with pytest.raises(RecipeError, match="is not told as a batch tells it"):
            brought_in(table.set_column(1, "asked", pa.array([wrong] * 4)), ("a", "b"), ["anchors"], "group.asked")


@pytest.mark.long
def test_every_row_says_who_asked_and_in_which_round(tmp_path: Path) -> None:
    x, leaf, truth = pool(3)
    labels = {row: int(truth[row]) for row in first_labels(truth)}
    asked = {row: asked_by("minority" if truth[row] > 1 else "clusters", 2) for row in labels}
    rules = ["anchors", "balanced", "minority", "clusters", "random"]
    ref, done = ask(tmp_path, x, leaf, labels, asked, rule="tailor", rules=rules, asked="asked")
    table, _ = annotated({**done, "sample": ref}, tmp_path, Asked())
    found = pd.Series(table["ek_asked_by"].to_pylist())
    assert len(found) == 24
    told = ref.facts["rules"]
    assert found.value_counts().to_dict() == {f"{rule}:3": one["asked"] for rule, one in told.items() if one["asked"]}
    assert told["minority"]["expected_reward"] == max(one["expected_reward"] for one in told.values())
    again, _ = ask(tmp_path / "again", x, leaf, labels, asked, rule="tailor", rules=rules, asked="asked")
    assert Selection.open(again).table().equals(Selection.open(ref).table())


@pytest.mark.slow
def test_labels_go_out_and_come_back(tmp_path: Path) -> None:
    """The loop of a user: a batch by clusters, then two by turns; each file of labels is the batch with a label."""
    sampling = {"strategy": {"name": "to-label", "rule": "clusters", "labels": ""}, "target": 24}
    batch = rows_of(staged(tmp_path, sampling=sampling))
    folder = tmp_path / "labelled"
    folder.mkdir()
    for number in range(1, 4):
        batch["label"] = ["rare" if int(text.split()[1]) == 6 else "common" for text in batch["text"]]
        names = [name for name in ("ek_asked_by",) if name in batch]
        rows = batch[["id", "label", *names]].to_dict("records")
        (folder / f"batch-{number}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        if number == 3:
            break
        labels = {"uri": str(folder), **({"asked_by": "ek_asked_by"} if names else {})}
        turn = {"strategy": {"name": "to-label", "rule": "tailor"}, "target": 24}
        version = staged(tmp_path, sampling=turn, labels=labels)
        batch = rows_of(version)
        assert {one.partition(":")[2] for one in batch["ek_asked_by"]} == {str(number)}
        assert version.sample.facts["round"] == number
    every = [json.loads(line)["id"] for file in folder.iterdir() for line in file.read_text().splitlines()]
    assert len(set(every)) == len(every) == 72, "no row is asked for twice"


def test_a_recipe_brings_the_column_and_the_history(tmp_path: Path) -> None:
    document = {
        "dataset": "tickets",
        "source": {"uri": str(tmp_path / "in")},
        "labels": {"uri": "labelled.parquet", "asked_by": "ek_asked_by"},
        "sampling": {"strategy": {"name": "to-label", "rule": "tailor"}, "target": 200},
        "destination": {"uri": str(tmp_path / "out")},
    }
    recipe = parse(document)
    assert [(one.name, getattr(one, "column", "")) for one in recipe.signals] == [
        ("labels", "label"),
        ("asked", "ek_asked_by"),
    ]
    assert recipe.sampling.reads() == ("group.labels", "group.asked")
    assert [one.kind for one in recipe.annotations] == ["asked"]
    assert parse(recipe.model_dump(mode="json", by_alias=True)) == recipe
    first = parse({**document, "labels": {"uri": "labelled.parquet"}})
    assert first.sampling.reads() == ("group.labels",), "of the first batch nobody has asked yet"
    with pytest.raises(RecipeError, match="the strategy flat has nothing for asked"):
        parse({**document, "sampling": {"strategy": "flat", "target": 200}, "annotations": [{"kind": "asked"}]})
    twice = {"name": "to-label", "rule": "tailor", "rules": ["anchors", "anchors"]}
    with pytest.raises(RecipeError, match="one is named twice"):
        parse({**document, "sampling": {"strategy": twice, "target": 200}})
