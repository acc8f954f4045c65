"""What a run would take is said before it runs, and what cannot fit is refused with the setting that would help."""

import gzip
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, prove_version, stage_version
from evenkeel.flows.plan import LookOnly, Plan, plan
from evenkeel.flows.probe import workload_of
from evenkeel.flows.recipe import load, parse
from evenkeel.flows.running import running
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import ResourceError
from evenkeel.tasks.cluster.assign import ASSIGN
from evenkeel.tasks.cluster.config import AssignConfig
from evenkeel.tasks.estimate.pool_sample import PoolSize, sample_pool
from evenkeel.tasks.estimate.requirements import ResourceLimits, requirements, shortfalls
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from tests.flows.conftest import lopsided


def planned(document: dict[str, Any], *overrides: str, **options: Any) -> Plan:
    recipe = parse(json.loads(json.dumps(document)), overrides)
    with running(recipe) as run:
        return plan(recipe, run, **options)


@pytest.mark.long
def test_a_plan_counts_rows_and_prices_the_time(document: dict[str, Any], tmp_path: Path) -> None:
    found = planned(document, price=2.0).estimate
    assert found is not None
    assert (found.rows, found.exact, found.dimension, found.clusters, found.kept) == (1200, True, 16, 40, 240)
    assert set(found.seconds) == {
        *(
            "ingest",
            "embed",
            "dedup",
            "cluster",
            "partition",
            "kernel-density",
            "sample",
            "stage",
            "measure",
            "validate",
            "report",
            "start and end",
        )
    }
    assert found.total == pytest.approx(sum(found.seconds.values()), abs=0.01)
    needs = found.requirements
    assert needs.worker == 0, "the driver does everything"
    assert found.memory == needs.driver + needs.readers * needs.reader == needs.memory(1)
    assert found.money == pytest.approx(2.0 * found.total / 3600, abs=1e-4)
    assert found.shortfalls == []
    assert not (tmp_path / "workspace" / "notes").exists()
    priced = planned(document, "price_per_hour=3", probe=False).estimate
    assert priced is not None
    assert priced.money == pytest.approx(3.0 * priced.total / 3600, abs=1e-4)
    recipe = parse(json.loads(json.dumps(document)), ["clustering.memory_gib=4e-4"])
    with running(recipe) as run:
        together = plan(recipe, replace(run, compute=Compute(backend="gpu", workers=3)), probe=False)
    assert "level 1 is one k-means over 3 devices: it takes 2 at least" in together.summary()


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz", "csv", "npy"])
@pytest.mark.long
def test_rows_are_known_from_the_first_of_them(tmp_path: Path, form: str) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    vectors, _ = lopsided(60_000)
    texts = [f"note {row} " + "word " * (20 + row % 7) for row in range(60_000)]
    if form == "npy":
        import numpy as np

        np.save(pool / "shard.npy", vectors)
    elif form == "parquet":
        pq.write_table(pa.table({"text": texts}), pool / "shard.parquet")
    elif form == "csv":
        (pool / "shard.csv").write_text("id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(texts)))
    else:
        lines = "".join(json.dumps({"id": str(row), "text": text}) + "\n" for row, text in enumerate(texts)).encode()
        (pool / f"shard.{form}").write_bytes(gzip.compress(lines, 1) if form.endswith("gz") else lines)
    recipe = parse(
        {"dataset": "d", "source": {"uri": str(pool)}, "sampling": {"target": 10}, "destination": {"uri": "x"}}
    )
    found = sample_pool(recipe.source, ingest_request(recipe.source).shards, 500, tmp_path / "scratch")
    assert found.size.rows == pytest.approx(60_000, rel=0.1)
    assert found.size.exact == (form in ("parquet", "npy"))
    assert found.rows == 500
    assert found.size.dimension == (16 if form == "npy" else None)


def test_a_guessed_vector_counts_twice_since_it_stays_a_column(tmp_path: Path) -> None:
    numbers = pa.array([0.5] * (200 * 32), pa.float32())
    pq.write_table(
        pa.table({"id": [str(row) for row in range(200)], "vector": pa.FixedSizeListArray.from_arrays(numbers, 32)}),
        tmp_path / "shard.parquet",
    )
    size = {}
    for vector in (None, "vector"):
        source = parse(
            {
                "dataset": "d",
                "source": {"uri": str(tmp_path), "vector": vector},
                "sampling": {"target": 10},
                "destination": {"uri": "x"},
            }
        ).source
        size[vector] = sample_pool(source, ingest_request(source).shards, 100, tmp_path / "scratch").size
    assert size[None].dimension == size["vector"].dimension == 32
    assert size[None].payload_bytes - size["vector"].payload_bytes == pytest.approx(4 * 32, rel=0.05)


@pytest.mark.slow
def test_a_finished_run_leaves_nothing_to_compute(document: dict[str, Any], prefect_server: None) -> None:
    from evenkeel.flows.curate import curate

    dry = curate(parse(json.loads(json.dumps(document))), dry_run=True)
    assert dry["estimate"]["rows"] == 1200
    assert not (Path(document["workspace"]) / "notes").exists()
    curate(parse(json.loads(json.dumps(document))))
    assert planned(document).estimate is None
    again = planned(document, "sampling.target=100", probe=False).estimate
    assert again is not None
    assert set(again.seconds) == {"sample", "stage", "measure", "validate", "report", "start and end"}
    assert (again.left, again.kept) == (1200, 100)
    share = planned(document, "sampling.target=5%", probe=False)
    assert share.estimate is not None
    assert share.estimate.kept == curate(parse(document, ["sampling.target=5%"]), dry_run=False)["totals"]["kept"] == 60
    assert "60 rows to keep: 5% of the 1,200 rows that deduplication and filters leave" in "\n".join(share.summary())


HUGE = PoolSize(rows=10**9, exact=True, bytes=10**12, dimension=768, itemsize=4, text_bytes=500.0, payload_bytes=800.0)


@pytest.mark.parametrize(
    ("memory", "rows_per_block", "memory_gib", "setting"),
    [
        (1 << 30, 65_536, 8.0, "set clustering.memory_gib to"),
        (1 << 30, 1 << 22, 0.2, "set source.rows_per_block to"),
        (1 << 40, 65_536, 2.0, "workspace"),
    ],
)
def test_what_cannot_fit_names_the_setting(
    document: dict[str, Any], tmp_path: Path, memory: int, rows_per_block: int, memory_gib: float, setting: str
) -> None:
    work = workload_of(parse(document, ["clustering.levels=[10000, 100]"]), HUGE, 768)
    compute = Compute(memory_limit=memory, start=lambda: pytest.fail("nothing is started"))
    limits = ResourceLimits(rows_per_block, memory_gib, 4, compute)
    found = shortfalls(requirements(work, limits), work, limits, str(tmp_path))
    assert setting in "; ".join(one.setting for one in found)


@pytest.mark.parametrize(
    ("limit", "asked", "rows", "what", "setting"),
    [
        (2 << 30, 2.0, 10**6, "memory of the driver process", "clustering.memory_gib to 1.26 or less, or raise memory"),
        (2 << 30, None, 10**6, "memory of the driver process", "or less, or start the run on a larger machine"),
        (2 << 30, None, 10**8, "memory of the driver process", "curate part of the source"),
        (1 << 50, 2.0**20, 10**6, "memory of this machine", "or less, or leave it out"),
    ],
)
def test_what_passes_the_budget_of_a_process_names_the_setting(
    document: dict[str, Any], tmp_path: Path, limit: int, asked: float | None, rows: int, what: str, setting: str
) -> None:
    work = workload_of(parse(document), replace(HUGE, rows=rows), 768)
    limits = ResourceLimits(1000, 8.0, 4, Compute(driver_limit=limit), asked=asked)
    found = [one for one in shortfalls(requirements(work, limits), work, limits, str(tmp_path)) if "mem" in one.what]
    assert [(what in one.what, setting in one.setting) for one in found] == [(True, True)], found


def test_a_reader_takes_the_shard_that_it_holds_in_memory(document: dict[str, Any]) -> None:
    work = workload_of(parse(document), HUGE, 768)
    limits = ResourceLimits(1000, 8.0, 4, Compute(threads=8, driver_limit=4 << 30, isolated=True))
    copied, held = requirements(work, limits), requirements(work, replace(limits, held=200 << 20))
    assert held.reader - copied.reader == (200 + 64) << 20
    assert 1 <= held.readers < copied.readers, "fewer of them at a time, in the same half of the budget"
    assert held.readers * held.reader <= (4 << 30) / 2


def test_a_plan_that_cannot_fit_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("kind: local\nworkers: 1\nmemory: 256MiB\n")
    refused = planned(document, f"compute={tmp_path / 'small.yaml'}", "clustering.memory_gib=2", probe=False)
    with pytest.raises(ResourceError, match=r"memory of a worker needs .*\n.*found: 268.4 MB"):
        refused.require_fit()


@pytest.mark.long
def test_a_step_that_costs_nothing_is_planned(tmp_path: Path) -> None:
    """The vectors of `digits` are a column: to embed them is expected to take no time, by which a probe divides."""
    recipe = load("digits", [f"workspace={tmp_path / 'workspace'}", f"destination.uri={tmp_path / 'published'}"])
    with running(recipe) as run:
        found = plan(recipe, run)
    assert found.estimate is not None
    assert found.estimate.seconds["embed"] == 0
    assert found.estimate.total > 0
    assert found.fits


def test_gates_that_cannot_pass_are_said_before_the_work(document: dict[str, Any]) -> None:
    assert planned(document, probe=False).passes
    strict = planned(document, "gates.suite=strict", "sampling.target=10", probe=False)
    assert not strict.passes
    said = [
        line for line in strict.summary() if line.startswith("CANNOT PASS: gini(level-1): 10 rows over 40 clusters")
    ]
    assert len(said) == 1
    split = planned(document, "splits={test: 0.1%, by: level-2}", "sampling.target=300", probe=False)
    assert "CANNOT PASS: splits: the test split is 0.001 of 300 rows: none; raise test" in split.summary()
    whole = planned(document, "splits={test: 1%, by: level-2}", "sampling.target=300", probe=False)
    why = "the test split has 3 rows, and clusters of level-2 about 37, taken whole"
    assert f"will warn: splits: {why}; raise test, or split by something finer" in whole.summary()
    unsuited = planned(document, "gates.suite=default", "sampling.strategy=random", probe=False)
    assert unsuited.passes
    assert any("will warn: suite default: it asks for evenness" in line for line in unsuited.summary())


def test_gates_that_cannot_pass_are_said_again_once_the_source_is_read(document: dict[str, Any]) -> None:
    pool = Path(document["source"]["uri"])
    (pool if pool.is_dir() else pool.parent).joinpath("zz.parquet").write_bytes(b"PAR1 and then nothing")
    document["source"]["max_quarantined"] = 1.0
    document["gates"] = {"change": {"unreadable_shards": {"severity": "block"}}}
    assert planned(document, probe=False).passes
    recipe = parse(document)
    with running(recipe) as run:
        INGEST(resolve_lineage(recipe, run.workspace).request, NoInputs(), run)
    found = planned(document, probe=False)
    assert not found.passes
    assert any("zz.parquet" in line for line in found.summary())


def test_costs_grow_with_the_pool(document: dict[str, Any]) -> None:
    recipe = parse(document, ["clustering.levels=null", "dedup.semantic={}", "sampling.target=10%"])
    with running(recipe) as run:
        look, lineage = LookOnly(run), resolve_lineage(recipe, run.workspace)
        staged = stage_version(recipe, lineage, cluster_pool(recipe, lineage, look), look)
        prove_version(recipe, run.workspace, staged, look)
    sizes = [PoolSize(rows, True, 100 * rows, 64, 4, 300.0, 400.0) for rows in (10**4, 10**5, 10**6)]
    assert len(look.costs) == len(look.steps)
    look.costs["assign"] = partial(ASSIGN.cost, AssignConfig())
    for cost in look.costs.values():
        costs = [cost(workload_of(recipe, size, 64)) for size in sizes]
        assert costs == sorted(costs)
        assert 0 < costs[0] < costs[-1]


def test_a_plan_for_images_has_the_dimension_of_the_model(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = SimpleNamespace(dimension=24)
    monkeypatch.setattr("evenkeel.tasks.embed.embedders.image._load", lambda model, backend: loaded)
    document["embedding"] = {"method": "image", "model": "somewhere"}
    found = planned(document, probe=False).estimate
    assert found is not None
    assert found.dimension == 24
    found = planned(document, "embedding.components=8", probe=False).estimate
    assert found is not None
    assert found.dimension == 8
