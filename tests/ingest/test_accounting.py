"""Every row read is in the pool or in quarantine, once, whatever the input, the blocks and the workers."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenkeel.infra.compute import Compute, open_compute
from evenkeel.tasks.ingest import duplicates
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from tests.examples import most
from tests.ingest.pools import ingest, refused, run_at, whole, write

IDS = st.one_of(st.none(), st.integers(0, 9).map(str), st.text(max_size=3).filter(lambda text: "\x00" not in text))
TEXTS = st.sampled_from(["a", "word word", "", "  ", None, "x" * 300])
VECTORS = st.sampled_from([[1.0, 2.0], [0.5, -1.0], [0.0, 0.0], [1.0], None, [float("nan"), 1.0]])
ROW = st.fixed_dictionaries({"id": IDS, "text": TEXTS, "v": VECTORS})
SHARDS = st.lists(st.lists(ROW, min_size=1, max_size=12), min_size=1, max_size=4)
SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("v", pa.list_(pa.float32()))])
OPTIONS: dict[str, Any] = {
    "max_quarantined": 1.0,
    "max_row_bytes": 200,
    "id": "id",
    "text": "text",
    "vector": "v",
    "dimension": 2,
}


def expected(
    shards: list[list[dict[str, Any]]], jsonl: bool
) -> tuple[list[tuple[int, int]], dict[tuple[int, int], str]]:
    """Return the places of the rows that stay, and the reasons of the others, told row by row."""
    stay, reasons, seen = [], {}, set()
    for shard, rows in enumerate(shards):
        for at, row in enumerate(rows):
            text, vector = row["text"], row["v"]
            if jsonl and vector is not None and np.isnan(vector).any():
                reason = "unparsable row"  # NaN is no JSON
            elif not row["id"]:
                reason = "null id"
            elif text is None or not text.strip():
                reason = "empty text"
            elif len(text) > 200:
                reason = "oversize row"
            elif vector is None:
                reason = "null vector"
            elif len(vector) != 2:
                reason = "wrong dimension"
            elif not np.isfinite(vector).all():
                reason = "vector not finite"
            elif not any(vector):
                reason = "zero vector"
            elif row["id"] in seen:
                reason = "duplicate id"
            else:
                seen.add(row["id"])
                stay.append((shard, at))
                continue
            reasons[shard, at] = reason
    return stay, reasons


@settings(max_examples=most(160), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shards=SHARDS, block=st.integers(1, 7), jsonl=st.booleans())
@pytest.mark.long
def test_read_is_pool_plus_quarantined(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[dict[str, Any]]], block: int, jsonl: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for number, rows in enumerate(shards):
        if jsonl:
            lines = [json.dumps(row, ensure_ascii=bool(number % 2)) for row in rows]
            (folder / f"{number}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        else:
            write(folder / f"{number}.parquet", pa.Table.from_pylist(rows, schema=SCHEMA), row_group_size=3)
    stay, reasons = expected(shards, jsonl)
    source = SourceConfig(uri=str(folder / "*.*"), rows_per_block=block, **OPTIONS)
    if not stay:
        no_column = set(reasons.values()) == {"unparsable row"}  # what no line says, no shard has
        with pytest.raises(Exception, match="no shard has the column" if no_column else "no usable row"):
            INGEST(ingest_request(source), NoInputs(), run_at(folder))
        return
    ref = INGEST(ingest_request(source), NoInputs(), run_at(folder))
    pool = Pool.open(ref)
    found = whole(pool)
    assert list(zip(found["shard"], found["row"], strict=True)) == stay
    assert {(shard, row): reason for shard, row, reason in refused(pool)} == reasons
    assert ref.counts["read"] == ref.counts["pool"] + ref.counts["quarantined"] == sum(map(len, shards))
    assert found["id"] == [shards[shard][row]["id"] for shard, row in stay]
    assert found["text"] == [shards[shard][row]["text"] for shard, row in stay]
    np.testing.assert_array_equal(
        np.concatenate([pool.vectors(one) for one in pool.blocks]), [shards[shard][row]["v"] for shard, row in stay]
    )
    assert all(0 < one.rows <= block for one in pool.blocks)
    assert [one.name for one in pool.blocks] == sorted(one.name for one in pool.blocks)
    assert (np.diff(pool.row_ids().astype(np.int64)) > 0).all()
    assert sum(one.rows - one.quarantined for one in pool.shards) == pool.rows


def many(folder: Path, shards: int = 5, rows: int = 400) -> str:
    rng = np.random.default_rng(3)
    for shard in range(shards):
        ids = [f"{n}" for n in rng.integers(0, 4 * shards * rows, rows)]
        write(
            folder / f"{shard}.parquet",
            {"id": ids, "text": [f"t {one}" for one in ids], "v": np.ones((rows, 2)).tolist()},
        )
    return str(folder)


@pytest.mark.long
def test_first_of_equal_ids_stays_however_the_keys_are_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "pool")
    one = ingest(tmp_path / "one", uri=source, max_quarantined=1.0, rows_per_block=64)
    monkeypatch.setattr(duplicates, "_ROWS_AT_ONCE", 50)
    parted = ingest(tmp_path / "parted", uri=source, max_quarantined=1.0, rows_per_block=64)
    assert one.info.reasons["duplicate id"] > 100
    assert whole(parted) == whole(one)
    assert parted.quarantine().equals(one.quarantine())
    ids = whole(one)["id"]
    assert len(set(ids)) == len(ids)


@pytest.mark.long
def test_blocks_and_workers_change_no_row(tmp_path: Path) -> None:
    source = many(tmp_path / "pool")
    pools = [
        ingest(
            tmp_path / f"{threads}-{block}",
            Compute(threads=threads),
            uri=source,
            max_quarantined=1.0,
            rows_per_block=block,
        )
        for threads, block in ((1, 64), (4, 64), (2, 1000))
    ]
    assert whole(pools[0]) == whole(pools[1]) == whole(pools[2])
    assert [block.name for block in pools[0].blocks] == [block.name for block in pools[1].blocks]


@pytest.mark.slow
def test_same_rows_on_dask_workers(tmp_path: Path) -> None:
    source = many(tmp_path / "pool")
    here = ingest(tmp_path / "here", uri=source, max_quarantined=1.0, rows_per_block=64)
    with open_compute("local", tmp_path) as compute:
        compute.inline_below = 0
        there = ingest(tmp_path / "there", compute, uri=source, max_quarantined=1.0, rows_per_block=64)
    assert whole(there) == whole(here)
    assert there.quarantine().equals(here.quarantine())


@pytest.mark.long
@pytest.mark.parametrize("crash_at", range(0, 30, 3))
def test_a_run_that_dies_anywhere_goes_on_to_the_same_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    from evenkeel.infra import storage

    source = many(tmp_path / "pool", shards=3, rows=200)
    options: dict[str, Any] = {"uri": source, "max_quarantined": 1.0, "rows_per_block": 90}
    straight = ingest(tmp_path / "straight", **options)
    real, left = storage.open_replace, [crash_at]

    def dying(uri: str) -> AbstractContextManager[BinaryIO]:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(uri)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "open_replace", dying)
        with pytest.raises(KeyboardInterrupt):
            ingest(tmp_path / "killed", Compute(threads=1), **options)
    resumed = ingest(tmp_path / "killed", **options)
    assert whole(resumed) == whole(straight)
    assert resumed.quarantine().equals(straight.quarantine())
    lengths = [sum(len(p.vectors(b)) for b in p.blocks) for p in (resumed, straight)]
    assert lengths[0] == lengths[1]
