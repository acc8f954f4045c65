"""The signal step: a column per signal, computed once, found by name wherever a score is."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.signal.kinds.expression import ExpressionSignal
from evenkeel.tasks.signal.order import in_order, needed_parts
from evenkeel.tasks.signal.signal import Fit, Numbers, Part, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, sampled, write_pool

ROWS = 150


class Leaf(Signal):
    """The leaf of a row: stands for signals that read clusters."""

    kind: str = "leaf"

    def needs(self) -> frozenset[Part]:
        return frozenset(["clusters"])

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Numbers:
        leaf, _ = source.clusters(block)
        return np.where(leaf < 0, np.nan, leaf)


@pytest.fixture
def done(tmp_path: Path) -> dict[str, StepRef]:
    leaf = np.arange(ROWS) % 3
    rate = np.where(np.arange(ROWS) % 10 == 0, np.nan, np.arange(ROWS) / ROWS)
    return write_pool(tmp_path, np.eye(3)[leaf], levels=[leaf], scores={"rate": rate}, drop={4: (1, "exact")})


def test_a_signal_is_a_column_that_sampling_orders_by(tmp_path: Path, done: dict[str, StepRef]) -> None:
    run = make_run(tmp_path)
    learnable = ExpressionSignal(name="learnable", of="4 * coalesce(rate, 0) * (1 - coalesce(rate, 0))")
    done["signals.learnable"] = compute_signal(learnable, done, InProcess(run))
    config = SamplingConfig.model_validate({"target": 9, "strategy": "flat", "order": "score", "score": "learnable"})
    kept = Selection.open(sampled(config, done, run)).row_ids()
    rate = [0 if row % 10 == 0 else row / ROWS for row in range(ROWS)]
    best = [row for leaf in range(3) for row in sorted(range(leaf, ROWS, 3), key=lambda row: abs(rate[row] - 0.5))[:3]]
    assert sorted(kept.tolist()) == sorted(best)


def test_facts_say_what_is_in_the_column(tmp_path: Path, done: dict[str, StepRef]) -> None:
    ref = compute_signal(ExpressionSignal(name="half", of="rate", map="s / 2"), done, InProcess(make_run(tmp_path)))
    values = Pool.open(done["ingest"], signals={"half": ref}).column("score.half")
    assert ref.counts == {"rows": ROWS, "missing": int(np.isnan(values).sum())} == {"rows": ROWS, "missing": 15}
    assert ref.facts["greatest"] == pytest.approx(np.nanmax(values))
    assert ref.facts["mean"] == pytest.approx(np.nanmean(values))
    assert ref.facts["quantiles"]["0.25"] == pytest.approx(np.nanquantile(values, 0.25))


def test_an_expression_may_name_quantiles_of_all_rows(tmp_path: Path, done: dict[str, StepRef]) -> None:
    low = ExpressionSignal(name="low", of="rate", map="s below quantile 0.2")
    ref = compute_signal(low, done, InProcess(make_run(tmp_path)))
    values = Pool.open(done["ingest"], signals={"low": ref}).column("score.low")
    assert np.nansum(values) == pytest.approx(0.2 * (ROWS - 15), abs=1)
    assert np.isnan(values).sum() == 15


def test_an_expression_without_a_column_is_the_same_number_for_every_row(
    tmp_path: Path, done: dict[str, StepRef]
) -> None:
    ref = compute_signal(ExpressionSignal(name="even", of="1 / 2"), done, InProcess(make_run(tmp_path)))
    assert Pool.open(done["ingest"], signals={"even": ref}).column("score.even").tolist() == [0.5] * ROWS


def test_signals_read_signals_and_clusters(tmp_path: Path, done: dict[str, StepRef]) -> None:
    run = make_run(tmp_path)
    more = ExpressionSignal(name="more", of="score.leaf * 10 + rate")
    for signal in in_order([more, Leaf(name="leaf")]):
        done[f"signals.{signal.name}"] = compute_signal(signal, done, InProcess(run))
    table = Pool.open(done["ingest"], signals={"more": done["signals.more"]}).table("s00000-b0000", ["score.more"])
    found = table["score.more"].to_pylist()
    assert found[:6] == [
        None,
        *(pytest.approx(10 * (row % 3) + row / ROWS) if row != 4 else None for row in range(1, 6)),
    ]
    assert needed_parts([more, Leaf(name="leaf")])["more"] == {"clusters"}


def test_tags_are_lists_of_texts(tmp_path: Path, done: dict[str, StepRef]) -> None:
    class Parity(Signal):
        kind: str = "parity"
        tags = True

        def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
            row_id = source.pool.table(block, ["row_id"])["row_id"].to_pylist()
            return pa.array([["even"] if row % 2 == 0 else None for row in row_id], pa.list_(pa.string()))

    ref = compute_signal(Parity(name="parity"), done, InProcess(make_run(tmp_path)))
    pool = Pool.open(done["ingest"], signals={"parity": ref})
    assert (pool.tags, pool.scores) == (("parity",), ("rate",))
    assert pool.table("s00000-b0000", ["tags.parity"])["tags.parity"].to_pylist()[:3] == [["even"], None, ["even"]]
    assert ref.counts["missing"] == ROWS // 2


def test_what_cannot_be_computed_is_named(tmp_path: Path, done: dict[str, StepRef]) -> None:
    run_step = InProcess(make_run(tmp_path))
    with pytest.raises(RecipeError, match=r"no column 'rat'(.|\n)*did you mean rate"):
        compute_signal(ExpressionSignal(name="x", of="rat + 1"), done, run_step)
    with pytest.raises(InputError, match="infinite"):
        compute_signal(ExpressionSignal(name="x", of="10 ** (rate * 1000000)"), done, run_step)
    with pytest.raises(RecipeError, match="circle"):
        in_order([ExpressionSignal(name="x", of="y"), ExpressionSignal(name="y", of="x + 1")])
