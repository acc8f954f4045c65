"""The strategy toward keeps the rows that the target asks for, blends with balance, and leaves copies of it out."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from evenkeel.expectations.concerns.nearness import Distance
from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import StagedVersion, cluster_pool, stage_version
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.flows.sweep import sweep_toward
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.report.sweeps import draw_pulls
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.strategies.toward import positive
from evenkeel.tasks.signal.toward.frechet import Moments, frechet
from evenkeel.tasks.step import InProcess, Run

TOPICS, ROWS = 8, 640
COPIED = 3


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A pool of eight topics, and twenty rows like those of topic 2 as the target, three of them copies."""
    folder = tmp_path_factory.mktemp("toward")
    rng = np.random.default_rng(3)
    words = np.array(
        [[f"{'bcdfghkl'[topic]}{'aeiou'[n % 5]}{'mnprstvz'[n // 5]}o" for n in range(40)] for topic in range(TOPICS)]
    )

    def text(topic: int) -> str:
        return " ".join([*rng.choice(words[topic], 9), *rng.choice(words.ravel(), 6)])

    rows = [{"id": f"r{row}", "text": text(row % TOPICS), "topic": f"t{row % TOPICS}"} for row in range(ROWS)]
    wanted = [*(rows[2 + TOPICS * copy]["text"] for copy in range(COPIED)), *(text(2) for _ in range(17))]
    (folder / "source").mkdir()
    (folder / "source" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "target.jsonl").write_text("".join(json.dumps({"question": one}) + "\n" for one in wanted))
    return {
        "dataset": "aimed",
        "source": {
            "uri": str(folder / "source"),
            "id": "id",
            "text": "text",
            "groups": ["topic"],
            "rows_per_block": 200,
        },
        "embedding": {"method": "tfidf-svd", "dimension": 16},
        "clustering": {"levels": [24, 6]},
        "target_set": {"uri": str(folder / "target.jsonl"), "text": "question"},
        "sampling": {"strategy": "toward", "target": 60},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
    }


def staged(document: dict[str, Any], scratch: Path, **strategy: object) -> tuple[StagedVersion, np.ndarray]:
    """Return the staged version, and how many of its rows are of each topic."""
    chosen = {"name": "toward", **strategy}
    recipe = parse({**document, "sampling": {**document["sampling"], "strategy": chosen}})
    run_step = InProcess(Run(workspace=recipe.workspace, dataset=recipe.dataset, scratch=scratch))
    lineage = resolve_lineage(recipe, recipe.workspace)
    made = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
    pool = Pool.open(made.ingest)
    topics = np.asarray(pool.column("group.topic"), str)
    kept = np.isin(pool.row_ids(), Selection.open(made.sample).row_ids())
    return made, np.array([(topics[kept] == f"t{topic}").sum() for topic in range(TOPICS)])


@pytest.mark.parametrize("by", ["ngrams", "clusters"])
@pytest.mark.long
def test_the_rows_are_those_of_the_target(document: dict[str, Any], tmp_path: Path, by: str) -> None:
    made, topics = staged(document, tmp_path, by=by)
    assert topics.sum() == 60
    assert topics[2] > 0.6 * 60
    assert made.dedup.counts["excluded"] == COPIED
    assert made.sample.facts["by"] == by


def test_copies_of_the_target_stay_where_leaks_are_allowed(document: dict[str, Any], tmp_path: Path) -> None:
    allowed = {**document, "target_set": {**document["target_set"], "leak": "allowed"}}
    made, topics = staged(allowed, tmp_path, draw="top")
    assert made.dedup.counts["excluded"] == 0
    pool = Pool.open(made.ingest)
    ids = set(np.array(pool.column("id"))[np.isin(pool.row_ids(), Selection.open(made.sample).table()["row_id"])])
    assert {"r2", "r10", "r18"} <= ids
    assert topics[2] > 0.9 * 60


@pytest.mark.slow
def test_a_blend_lies_between_the_target_and_balance(document: dict[str, Any], tmp_path: Path) -> None:
    shares = [staged(document, tmp_path, draw="top", toward=pull)[1] for pull in (1.0, 0.5, 0.0)]
    on_topic = [found[2] for found in shares]
    assert on_topic[0] > on_topic[1] + 10 > on_topic[2] + 20
    assert (shares[0] > 0).sum() < (shares[1] > 0).sum() == TOPICS
    assert [found.sum() for found in shares] == [60, 60, 60]


@pytest.mark.slow
def test_a_version_towards_the_target_is_nearer_than_random_and_a_random_one_is_not(
    document: dict[str, Any], tmp_path: Path
) -> None:
    made, _ = staged(document, tmp_path, draw="top", by="clusters")
    random, _ = staged(document, tmp_path, name="random")
    run = Run(workspace=str(tmp_path), dataset="distances", scratch=tmp_path)
    target = parse(document).target_set
    config, table = MeasureConfig(target=target, distances=[("target", "transport")]), {}
    for name, version in [("toward", made), ("random", random)]:
        inputs = MeasureInputs(version.ingest, version.embed, version.dedup, version.cluster, version.sample)
        profile = Profile.open(MEASURE(config, inputs, run))
        table[name] = profile.distances
        pool = Pool.open(version.ingest)
        ids = pool.row_ids()
        kept = np.isin(ids, Selection.open(version.sample).row_ids())
        x = np.concatenate([Vectors.open(version.embed).block(block) for block in pool.blocks]).astype(np.float64)
        assert target is not None
        wanted = np.concatenate([*target.vectors(Vectors.open(version.embed), run)]).astype(np.float64)
        both = (Moments.of(part, np.zeros(len(part), int), 1) for part in (x[kept], wanted))
        found = profile.distances.query("to == 'target'").set_index("by")["after"]
        assert found["frechet"] == pytest.approx(frechet(*both)[0], rel=1e-3)
        width = np.mean(((x - x.mean(0)) ** 2).sum(1))
        exact = _exact_discrepancy(x[kept], wanted, width)
        assert found["mmd"] == pytest.approx(exact, abs=0.04)
    for by in ("mmd", "frechet", "transport", "kl"):
        gate = Distance(by=by, at_most=0.75)
        assert gate.holds(gate.measure(table["toward"])), by
        assert not gate.holds(gate.measure(table["random"])), by


def _exact_discrepancy(x: np.ndarray, y: np.ndarray, width: float) -> float:
    """Return the unbiased squared maximum mean discrepancy by all pairs of rows."""

    def mean(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        kernel = np.exp(-((a[:, None] - b) ** 2).sum(-1) / (2 * width))
        return float((kernel.sum() - same * len(a)) / (len(a) * (len(b) - same)))

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def test_a_sweep_of_the_pull_goes_from_balance_to_the_target(document: dict[str, Any], tmp_path: Path) -> None:
    recipe = parse({**document, "compute": "inline"}, ["sampling.strategy={name: toward, draw: top, toward: 0.7}"])
    before = {*Path(recipe.destination.uri).rglob("*")}
    found = sweep_toward(recipe, [1, 0, 0.5], Console(quiet=True))
    assert [row["toward"] for row in found] == [0, 0.5, 0.7, 1]
    assert [row["own"] for row in found] == [False, False, True, False]
    assert {row["rows"] for row in found} == {60}
    for nearer, farther in ((b, a) for a, b in pairwise(found)):
        assert nearer["distance"] < farther["distance"]
        assert nearer["entropy"] <= farther["entropy"]
        assert nearer["on_target"] >= farther["on_target"]
    assert found[0]["distance"] > 0.9 > 0.5 > found[-1]["distance"]
    draw_pulls(found, tmp_path / "pulls.svg")
    assert "(this recipe)" in (tmp_path / "pulls.svg").read_text()
    assert {*Path(recipe.destination.uri).rglob("*")} == before
    for pulls, message in (([2.0], "out of range"), ([0.5], "no pull towards a target")):
        other = recipe if pulls == [2.0] else parse(document, ["sampling.strategy=random"])
        with pytest.raises(RecipeError, match=message):
            sweep_toward(other, pulls, Console(quiet=True))


def test_the_positive_weight_keeps_the_order_of_any_logarithm() -> None:
    value = np.array([-1e6, -750.0, -749.9, -1.0, 0.0, 1.0, 800.0, 1e6])
    assert (np.diff(positive(value)) > 0).all()
    assert (positive(value) > 0).all()


def test_a_recipe_says_what_it_aims_at(document: dict[str, Any]) -> None:
    without = {name: value for name, value in document.items() if name != "target_set"}
    with pytest.raises(RecipeError, match="toward needs target_set"):
        parse(without)
    gated = {**without, "sampling": {"target": 60}, "gates": {"add": [{"expect": "distance"}]}}
    with pytest.raises(RecipeError, match=r"distance\(target, mmd\) needs target_set"):
        parse(gated)
    with pytest.raises(RecipeError, match="text or vector, not both"):
        parse({**document, "target_set": {"uri": "a.jsonl", "text": "a", "vector": "b"}})
    again = Recipe.model_validate(parse(document).model_dump(mode="json"))
    assert again == parse(document)
    assert len(again.dedup.exclude) == 1
