"""Stable partitions recover concepts that the clusters did not make, and the default balances over them."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from evenkeel.expectations.measures import balance
from evenkeel.infra.errors import StepError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.report.sweeps import draw_sweep
from evenkeel.tasks.sample.balanced.blending import blend_greedily
from evenkeel.tasks.sample.balanced.partition import Probe, adjusted_rand, find_partitions, stable
from evenkeel.tasks.sample.balanced.steps import read_partitions
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.step import SAMPLE
from evenkeel.tasks.sample.sweep import sweep
from evenkeel.tasks.step import Run
from tests.sample.pools import inputs_of, make_run, sampled, write_pool

CONCEPTS = 20

# The finished steps, a run over them, and the concept of every row.
Pool = tuple[dict[str, StepRef], Run, np.ndarray]


def uneven_density(seed: int = 0, rows: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """A skewed pool with more leaves where rows are dense, as plain k-means makes them."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, CONCEPTS + 1)
    label = rng.choice(CONCEPTS, rows, p=weights / weights.sum())
    label[:CONCEPTS] = np.arange(CONCEPTS)
    vectors = rng.normal(0, 3, (CONCEPTS, 12))[label] + rng.normal(0, 0.5, (rows, 12))
    leaf = np.empty(rows, np.int64)
    leaves = 0
    for concept in range(CONCEPTS):
        members = np.flatnonzero(label == concept)
        pieces = max(1, len(members) // 30)
        side = np.argsort(vectors[members, 0])
        leaf[members[side]] = leaves + np.arange(len(members)) * pieces // len(members)
        leaves += pieces
    return vectors, label, leaf, leaves


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder = tmp_path_factory.mktemp("partition")
    vectors, label, leaf, leaves = uneven_density()
    inputs = write_pool(folder / "pool", vectors, levels=[leaf], parents=[np.arange(leaves) % 7], block_rows=1000)
    return inputs, make_run(folder), label


def test_halves_agree_where_there_are_clusters_and_not_in_noise() -> None:
    vectors, _, leaf, _ = uneven_density()
    rng = np.random.default_rng(1)
    weight = 1.0 / np.bincount(leaf)[leaf]
    half = rng.random(len(leaf)) < 0.5
    real = stable(find_partitions(Probe(vectors.astype(np.float32), leaf, weight, half), 0))
    noise = stable(find_partitions(Probe(rng.normal(size=(3000, 12)).astype(np.float32), leaf, weight, half), 0))
    best = max(real, key=lambda partition: partition.agreement)
    assert best.agreement > 0.9
    assert abs(best.counts[0] - CONCEPTS) <= 4
    assert max([partition.agreement for partition in noise], default=0.0) < 0.3
    assert find_partitions(Probe(vectors[:5].astype(np.float32), leaf[:5], weight[:5], half[:5]), 0) == []
    assert find_partitions(Probe(np.ones((300, 4), np.float32), leaf[:300], weight[:300], half[:300]), 0) == []


def test_the_distances_of_one_half_are_in_memory_at_a_time() -> None:
    rows = np.random.default_rng(2).normal(size=(3000, 8)).astype(np.float32)
    probe = Probe(rows, np.arange(3000), np.ones(3000), np.arange(3000) % 2 == 0)
    tracemalloc.start()
    find_partitions(probe, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.7 * 3000 * 1500 * 4  # with both halves and copies of parts it was 3.5 of these


def test_imbalance_falls_as_concepts_become_more_even(
    pool: Pool,
) -> None:
    inputs, run, _ = pool
    strategy = {"name": "balanced", "probe_rows": 2048}
    found = inputs_of(SamplingConfig.model_validate({"strategy": strategy, "target": 1}), inputs, run)
    assert found.partition is not None
    measure = read_partitions(found.partition)
    assert measure is not None
    _, label, leaf, leaves = uneven_density()
    of_leaf = label[np.unique(leaf, return_index=True)[1]]
    even = 1.0 / np.bincount(of_leaf)[of_leaf]
    sizes = np.bincount(leaf).astype(float)
    measured = [measure.imbalance(measure.weights(shares)) for shares in (even, np.ones(leaves), sizes)]
    assert measured[0] < 0.2 * min(measured[1:])


@pytest.mark.long
def test_the_default_beats_random_flat_and_top_down_in_hidden_labels(
    pool: Pool,
) -> None:
    inputs, run, label = pool
    kl = {}
    for strategy in ("balanced", "random", "flat", "top-down"):
        ref = sampled(SamplingConfig(strategy=strategy, target=300), inputs, run)
        rows = Selection.open(ref).row_ids().astype(int)
        kl[strategy] = balance(np.bincount(label[rows], minlength=CONCEPTS))["kl_uniform"]
        if strategy == "balanced":
            facts = ref.facts
    assert kl["balanced"] < 0.1
    assert kl["balanced"] < min(kl["random"], kl["flat"], kl["top-down"])
    assert min(facts["imbalance"].values()) <= facts["imbalance"]["random"]
    named = SamplingConfig.model_validate({"strategy": {"name": "balanced", "rule": facts["chosen"]}, "target": 300})
    same = Selection.open(sampled(named, inputs, run)).row_ids()
    assert (same == Selection.open(sampled(SamplingConfig(target=300), inputs, run)).row_ids()).all()


@pytest.mark.slow
def test_partitions_are_found_once_for_any_target(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, run, _ = pool
    sampled(SamplingConfig(target=250), inputs, run)
    monkeypatch.setattr("evenkeel.tasks.sample.balanced.steps.find_partitions", None)
    assert sampled(SamplingConfig(target=260), inputs, run).counts["kept"] == 260


def test_a_strategy_is_refused_without_the_steps_that_it_reads(pool: Pool) -> None:
    done, run, _ = pool
    bare = SampleInputs.of(done)
    with pytest.raises(StepError, match="partition and kernel_density"):
        SAMPLE(SamplingConfig(target=10), bare, run)
    named = SamplingConfig.model_validate({"strategy": {"name": "balanced", "rule": "spread-0.1-1"}, "target": 10})
    with pytest.raises(StepError, match="SampleInputs with kernel_density"):
        SAMPLE(named, bare, run)
    for strategy in ("flat", {"name": "balanced", "rule": "radius-2"}):
        config = SamplingConfig.model_validate({"strategy": strategy, "target": 10})
        assert SAMPLE(config, bare, run).counts["kept"] == 10


@pytest.mark.slow
def test_a_sweep_has_every_rule_at_every_size_and_draws(pool: Pool, tmp_path: Path) -> None:
    inputs, run, _ = pool
    found = sweep(
        SamplingConfig(target=1),
        inputs_of(SamplingConfig(target=1), inputs, run),
        ["2%", "10%", 900, "12k tokens"],
        run,
    )
    assert {row["rule"] for row in found} == {"chosen", "random", "flat", "top-down"}
    assert [row["rows"] for row in found if row["rule"] == "chosen"] == [60, 300, 900, 1200]
    for row in found:
        chosen = next(other for other in found if other["target"] == row["target"] and other["rule"] == "chosen")
        assert chosen["imbalance"] <= row["imbalance"] + 1e-9
    draw_sweep(found, tmp_path / "sweep.svg")
    assert (tmp_path / "sweep.svg").read_text().startswith("<svg")


def test_adjusted_rand_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(0)
    for cells in (2, 7, 50):
        first, second = rng.integers(0, cells, 400), rng.integers(0, 5, 400)
        second[:200] = first[:200] % 5
        assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)


class LastBits:
    """An imbalance that falls by rounding alone when the same candidates are added again."""

    def weights(self, shares: np.ndarray) -> np.ndarray:
        return shares

    def imbalance(self, weights: np.ndarray) -> float:
        return float(abs(weights[0] - weights[1]) / weights.sum() - 1e-16 * weights.sum())

    def summary(self) -> list[dict[str, float]]:
        return []


def test_a_blend_is_not_repeated_for_rounding_errors() -> None:
    parts, lowest = blend_greedily(LastBits(), {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0])})
    assert sorted(parts) == ["a", "b"]
    assert lowest == pytest.approx(0.0, abs=1e-12)
