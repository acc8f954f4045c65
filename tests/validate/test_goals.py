"""Every strategy passes the gates that suit it on an ordinary pool, and fails them where it was not followed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategies.random import Random
from evenkeel.tasks.sample.strategy import STRATEGIES
from evenkeel.tasks.signal.kinds.tags import TagsSignal
from evenkeel.tasks.step import InProcess, Run
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import VALIDATE
from tests.embed.pools import make_pool, new_run
from tests.examples import telling
from tests.flows.test_strategies import NAMES, OPTIONS
from tests.sample.pools import sampled

ROWS, TARGET = 1500, 150
Made = tuple[Run, dict[str, StepRef]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A clustered pool of 40 topics with a long tail: vectors, texts, a group and scores."""
    folder, rng = tmp_path_factory.mktemp("goals"), np.random.default_rng(0)
    topic = rng.choice(40, ROWS, p=1 / np.arange(1, 41) / (1 / np.arange(1, 41)).sum())
    columns = {
        "vector": (rng.normal(0, 1, (40, 8))[topic] + rng.normal(0, 0.3, (ROWS, 8))).astype(np.float32),
        "text": [f"note {row} about {one}" for row, one in enumerate(topic)],
        "topic": [str(one % 7) for one in topic],
        "score": rng.random(ROWS).astype(np.float32),
    }
    (folder / "target.txt").write_text("note about 1\nnote about 2\nanother about 11\n")
    run = new_run(folder)
    source: dict[str, Any] = {"vector": "vector", "text": "text", "groups": ["topic"], "scores": ["score"]}
    done = {"ingest": make_pool(run, folder / "shards", columns, **source)}
    done["embed"] = EMBED(ColumnEmbedding(), EmbedInputs.of(done), run)
    done["dedup"] = DEDUP(DedupConfig(), DedupInputs.of(done), run)
    done["cluster"] = CLUSTER(ClusteringConfig(levels=[60, 8]), ClusterInputs.of(done), run)
    done["signals.topics"] = compute_signal(TagsSignal(name="topics", column="topic"), done, InProcess(run))
    return run, done


def judged(made: Made, sampling: Mapping[str, Any], suite: str = "auto", lose: float = 0.0) -> dict[str, Any]:
    """Return the facts of the gates for a way of sampling; lose: of the leaves, whose rows are lost after the draw."""
    run, done = made
    sample = sampled(SamplingConfig.model_validate({"target": TARGET, **sampling}), done, run)
    if lose:
        path = Path(sample.uri) / "selection.parquet"
        table = pq.read_table(path)
        leaf = table["leaf"].to_numpy()
        pq.write_table(table.filter(pa.array(leaf % 10 >= 10 * lose)), path, write_page_checksum=True)
    measured = MEASURE(MeasureConfig(), MeasureInputs.of({**done, "sample": sample}), run)
    gates = GatesConfig.model_validate({"suite": suite, "scan_rows": 0})
    return dict(VALIDATE(gates, ValidateInputs.of({**done, "sample": sample, "measure": measured}), run).facts)


def failures(facts: Mapping[str, Any]) -> list[str]:
    return [one["expectation"] for one in facts["failed"]]


@pytest.mark.parametrize("name", telling(NAMES, "balanced", "to-label"))
@pytest.mark.long
def test_every_strategy_passes_the_gates_that_suit_it(made: Made, name: str) -> None:
    options = {"concepts": ["1", "2", "11", "note"]} if name == "metaclip" else OPTIONS.get(name, {})
    if name == "toward":
        options = {"target": {"uri": str(made[0].scratch.parent / "target.txt")}}
    facts = judged(made, {"strategy": {"name": name, **options}})
    assert facts["failed"] == []
    asked = STRATEGIES.get(name).goal == "balance"
    assert any(one.startswith("effective_sample_size") for one in facts["skipped"]) is False
    assert asked or not any("no_worse_than(random" in one["expectation"] for one in facts["warnings"])


def test_what_suits_a_balancing_strategy_does_not_suit_others(made: Made) -> None:
    assert "misplaced_rows(level-1)" in failures(judged(made, {"strategy": "random"}, "strict"))


@pytest.mark.parametrize("name", telling(["balanced", "random", "grid"], "grid"))
@pytest.mark.long
def test_rows_lost_after_the_draw_are_found_whatever_the_strategy(made: Made, name: str) -> None:
    found = failures(judged(made, {"strategy": name, "seed": 5}, lose=0.3))
    assert {"follows_plan(level-1)", "coverage(level-1)"} <= set(found)


@pytest.mark.long
def test_a_strategy_whose_cells_are_not_those_it_counted_is_blocked(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halves(self: Random, problem: SamplingProblem) -> DrawPlan:
        """Half of the quota for rows in even leaves, by a count of them that is wrong: there are far fewer."""
        sizes = np.array([problem.tree.rows // 2] * 2)
        return DrawPlan(problem.fill(sizes=sizes), sizes, cells_of=few_in_one)

    monkeypatch.setattr(Random, "plan", halves)
    assert failures(judged(made, {"strategy": "random", "seed": 6})) == ["follows_plan(cells)"]


def few_in_one(table: pa.Table, block: str) -> NDArray[np.int64]:
    cells: NDArray[np.int64] = (table["row_id"].to_numpy() % 50 > 0).astype(np.int64)
    return cells


@pytest.mark.slow
def test_weights_that_a_few_rows_hold_are_blocked(made: Made) -> None:
    strategy = {"name": "quality", "scores": {"score": 1.0}, "omega": 0.003, "epsilon": 1e-6}
    assert failures(judged(made, {"strategy": strategy, "target": 300})) == ["effective_sample_size"]
