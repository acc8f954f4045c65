"""A recipe that names no gates never fails them, whatever the pool and however small the target."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.expectations.concerns.clusters import Coverage
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
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import VALIDATE
from tests.embed.pools import make_pool, new_run
from tests.examples import THOROUGH
from tests.sample.pools import sampled


def random_pool(rng: np.random.Generator, rows: int) -> np.ndarray:
    """A mixture of random dimension, number of components, lopsidedness and scatter, heavy-tailed or not."""
    d, components = int(rng.choice([2, 8, 32])), int(rng.integers(1, max(2, min(rows // 3, 300))))
    masses = np.arange(1, components + 1) ** -float(rng.uniform(0, 2))
    y = rng.choice(components, rows, p=masses / masses.sum())
    noise = rng.standard_t(3, (rows, d)) if rng.random() < 0.3 else rng.normal(0, 1, (rows, d))
    scatter = float(rng.choice([0.05, 0.3, 1.0]))
    return np.asarray(rng.normal(0, 1, (components, d))[y] + scatter * noise, np.float32)


def blocked(folder: Path, seed: int, most_rows: int) -> list[str]:
    """Curate one random pool with every default; return what stops it."""
    rng = np.random.default_rng(seed)
    rows = int(np.exp(rng.uniform(np.log(200), np.log(most_rows))))
    share = float(np.exp(rng.uniform(np.log(0.001), np.log(0.5))))
    target, run = max(1, int(share * rows)), new_run(folder)
    ingest = make_pool(run, folder / "shards", {"vector": random_pool(rng, rows)}, vector="vector")
    done = {"ingest": ingest}
    done["embed"] = EMBED(ColumnEmbedding(), EmbedInputs.of(done), run)
    done["dedup"] = DEDUP(DedupConfig(), DedupInputs.of(done), run)
    done["cluster"] = CLUSTER(ClusteringConfig(), ClusterInputs.of(done), run)
    done["sample"] = sampled(SamplingConfig(target=target), done, run)
    done["measure"] = MEASURE(MeasureConfig(), MeasureInputs.of(done), run)
    found = VALIDATE(GatesConfig(), ValidateInputs.of(done), run)
    return [f"pool {seed}, {target:,} of {rows:,} rows: {failure['reason']}" for failure in found.facts["failed"]]


def shares(before: list[int], planned: list[int] | None, after: list[int]) -> pd.DataFrame:
    columns = {"scope": "level-1", "name": [str(at) for at in range(len(before))], "before": before, "after": after}
    return pd.DataFrame({**columns, "planned": planned if planned else np.nan, "kept": after})


def covered(table: pd.DataFrame, **settings: str) -> float:
    return Coverage.model_validate(settings).measure(table).value


def test_coverage_is_of_what_the_plan_asked_for() -> None:
    planned = shares([900, 50, 50, 0, 1], [8, 1, 0, 0, 0], [8, 1, 0, 0, 0])
    assert (covered(planned), covered(planned, of="pool")) == (1.0, 0.5)
    lost = shares([900, 50, 50, 0, 1], [8, 1, 1, 0, 0], [9, 1, 0, 0, 0])
    assert covered(lost) == pytest.approx(2 / 3)
    assert covered(shares([900, 50, 50, 0, 1], None, [8, 1, 0, 0, 0])) == 0.5


@pytest.mark.long
def test_small_pools_pass_the_gates_they_come_with(tmp_path: Path) -> None:
    assert [why for seed in range(8 if THOROUGH else 3) for why in blocked(tmp_path / str(seed), seed, 1500)] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(1000, 1200, 25))
def test_200_pools_pass_the_gates_they_come_with(first: int, tmp_path: Path) -> None:
    most = {seed: 200_000 if seed % 10 == 0 else 10_000 for seed in range(first, first + 25)}
    assert [why for seed, rows in most.items() for why in blocked(tmp_path / str(seed), seed, rows)] == []
