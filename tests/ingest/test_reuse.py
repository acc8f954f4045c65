"""A shard is read once: what earlier runs have read is taken over, and comes out as reading it would."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from tests.ingest.pools import refused, run_at, whole, write


def shard(path: Path, ids: list[str], **more: Any) -> None:
    vectors = pa.array(np.random.default_rng(len(ids)).normal(size=(len(ids), 4)).astype(np.float32).tolist())
    write(path, {"id": ids, "text": [f"text of {one} in {path.stem}" for one in ids], "vector": vectors, **more})


def spoil(path: Path) -> None:
    """Replace a shard by as many zeros and the same time of change: whoever reads it fails."""
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def read(folder: Path, source: Path, numbers: dict[str, int], **more: Any) -> Pool:
    config = SourceConfig(uri=str(source), max_quarantined=1, rows_per_block=3, **more)
    return Pool.open(INGEST(ingest_request(config, numbers), NoInputs(), run_at(folder)))


def numbers_of(pool: Pool) -> dict[str, int]:
    return {one.name: one.number for one in pool.shards}


def same(one: Pool, other: Pool) -> None:
    assert whole(one) == whole(other)
    assert one.blocks == other.blocks
    assert refused(one) == refused(other)
    assert one.info == other.info
    if one.has_vectors:
        for block in one.blocks:
            np.testing.assert_array_equal(one.vectors(block), other.vectors(block))


def test_only_a_new_shard_is_read_and_old_rows_keep_their_ids(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shard(source / "b.parquet", [f"b{row}" for row in range(7)])
    shard(source / "c.parquet", [f"c{row}" for row in range(5)])
    first = read(tmp_path, source, {})
    for path in source.iterdir():
        spoil(path)
    shard(source / "a.parquet", ["a0", "c1", "a2"])
    second = read(tmp_path, source, numbers_of(first))
    assert numbers_of(second) == {"b.parquet": 0, "c.parquet": 1, "a.parquet": 2}
    assert refused(second) == [(2, 1, "duplicate id")]
    old, new = whole(first), whole(second)
    assert {name: values[:12] for name, values in new.items()} == old
    assert [block.content for block in second.blocks[: len(first.blocks)]] == [block.content for block in first.blocks]


def test_rows_come_back_when_the_shard_that_had_their_ids_is_gone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shard(source / "a.parquet", ["1", "2", "3", "4"])
    shard(source / "b.parquet", ["2", "3", "4", "5", "6"])
    first = read(tmp_path, source, {})
    assert [row[:2] for row in refused(first)] == [(1, 0), (1, 1), (1, 2)]
    assert [block.name for block in first.blocks] == ["s000000-b000000", "s000000-b000001", "s000001-b000001"]
    (source / "a.parquet").unlink()
    spoil(source / "b.parquet")
    second = read(tmp_path, source, numbers_of(first))
    assert whole(second)["id"] == ["2", "3", "4", "5", "6"]
    assert {block.shard for block in second.blocks} == {1}
    with pytest.raises(InputError, match="no usable row"):  # another meaning of the columns: read anew
        read(tmp_path, source, numbers_of(first), groups=["text"])


def test_types_follow_the_shards_that_are_there(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.jsonl").write_text("".join(json.dumps({"id": str(row), "n": row}) + "\n" for row in range(3)))
    (source / "b.jsonl").write_text(json.dumps({"id": "x", "n": 0.5}) + "\n")
    both = read(tmp_path, source, {})
    assert both.info.payload["n"] == "double"
    (source / "b.jsonl").unlink()
    spoil(source / "a.jsonl")
    assert read(tmp_path, source, numbers_of(both)).info.payload["n"] == "int64"


@pytest.mark.parametrize("lost", ["the registry", "the pool", "a file of the pool"])
def test_what_is_lost_is_read_anew(tmp_path: Path, lost: str) -> None:
    source = tmp_path / "source"
    shard(source / "a.parquet", [f"a{row}" for row in range(7)])
    first = read(tmp_path, source, {})
    if lost == "the registry":
        shutil.rmtree(tmp_path / "workspace" / "d" / "shards")
    elif lost == "the pool":
        shutil.rmtree(first.uri)
    else:
        (Path(first.uri) / "payload" / "s000000-b000001.parquet").unlink()
    shard(source / "b.parquet", ["b"])
    same(read(tmp_path, source, {}), read(tmp_path / "fresh", source, {}))


def test_a_changed_shard_is_read_anew(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shard(source / "a.parquet", ["1", "2", "3", "4"])
    shard(source / "b.parquet", ["5"])
    first = read(tmp_path, source, {})
    shard(source / "a.parquet", ["1", "2", "7"])
    second = read(tmp_path, source, numbers_of(first))
    assert whole(second)["id"] == ["1", "2", "7", "5"]
    assert second.blocks[0].content != first.blocks[0].content
    assert second.blocks[-1] == first.blocks[-1]
    assert second.shards[0].fingerprint != first.shards[0].fingerprint


@settings(max_examples=12)
@given(
    st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8), min_size=2, max_size=4),
    st.integers(1, 15),
    st.data(),
)
@pytest.mark.long
def test_taken_over_or_read_the_pool_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[int]], before: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("reuse")
    source, later = folder / "source", folder / "later"
    source.mkdir()
    names = data.draw(st.permutations([f"{place}.parquet" for place in "wxyz"[: len(shards)]]))
    for name, ids in zip(names, shards, strict=True):
        shard(later / name, [str(one) for one in ids])
    earlier = [name for at, name in enumerate(names) if before >> at & 1] or names[:1]
    for name in earlier:
        shutil.copy2(later / name, source / name)
    first = read(folder, source, {})
    for name in names:
        shutil.copy2(later / name, source / name)
    for name in earlier[1:] if data.draw(st.booleans()) else []:
        (source / name).unlink()
    numbers = numbers_of(first)
    same(read(folder, source, numbers), read(folder / "fresh", source, numbers))
