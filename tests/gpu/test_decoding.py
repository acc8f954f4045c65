"""Parquet columns by cuDF: what Arrow decodes, row groups in order and several at a time. Arrow stands in for cuDF."""

import sys
import threading
import types
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from evenkeel.infra.compute import Backend, Compute
from evenkeel.infra.errors import StorageError
from evenkeel.tasks.ingest.device_columns import device_place
from evenkeel.tasks.ingest.reader import LocalShard
from evenkeel.tasks.ingest.readers.parquet import ParquetReader
from evenkeel.tasks.ingest.vectors import to_matrix
from tests.ingest.pools import ingest, refused, whole, write

BACKENDS: tuple[Backend, ...] = ("cpu", "gpu")


class Numbers:
    """A column of numbers on the device, as cuDF's Series."""

    def __init__(self, values: pa.Array) -> None:
        self.values = values

    @property
    def has_nulls(self) -> bool:
        return bool(self.values.null_count)

    def astype(self, kind: str) -> "Numbers":
        return Numbers(self.values.cast(pa.type_for_alias({"float64": "double"}[kind]), safe=False))

    def fillna(self, value: float) -> "Numbers":
        return Numbers(pc.fill_null(self.values, value))

    def to_numpy(self) -> np.ndarray:
        assert not self.has_nulls, "cuDF refuses nulls here"
        return np.asarray(self.values.to_numpy(zero_copy_only=False))


class Lists:
    """A column of lists: cuDF has no lists of fixed size, and takes the numbers of null rows out."""

    def __init__(self, column: pa.Array) -> None:
        kind = pa.large_list(column.type.value_type)
        column = column.cast(kind)
        self.list = types.SimpleNamespace(
            len=lambda: Numbers(pc.list_value_length(column)), leaves=Numbers(column.flatten())
        )


class Frame:
    """A frame on the device: lists may not come home as Arrow's."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __getitem__(self, names: Any) -> Any:
        return Lists(self.table[names].combine_chunks()) if isinstance(names, str) else Frame(self.table.select(names))

    def to_arrow(self, preserve_index: bool) -> pa.Table:
        assert not preserve_index
        assert "vector" not in self.table.column_names, "vectors make no way round through lists of Arrow"
        return self.table


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Row groups that were read by cuDF's stand-in, which waits until two are being read."""
    two, groups = threading.Barrier(2), list[int]()

    def read_parquet(path: Path, columns: list[str], row_groups: list[int]) -> Frame:
        groups.extend(row_groups)
        if row_groups[0] < 2:
            two.wait(timeout=30)
        return Frame(pq.ParquetFile(path).read_row_group(row_groups[0], columns=columns))

    monkeypatch.setitem(sys.modules, "cudf", types.SimpleNamespace(read_parquet=read_parquet))
    return groups


ROWS = [[1.0, 2.0], [3.0, 4.0], [5.5, -6.0], [7.0, 8.0], [9.0, 0.5], [2.0, 2.0]]
HOLES = [[1.0, 2.0], None, [3.0], [None, 4.0], [], [5.0, 6.0]]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (pa.list_(pa.float32()), ROWS),
        (pa.list_(pa.float32(), 2), ROWS),
        (pa.large_list(pa.float64()), HOLES),
        (pa.list_(pa.int32()), [[1, 2], [3, None], None, [4, 5], [6], [7, 8]]),
    ],
    ids=str,
)
def test_vectors_are_those_of_arrow(kind: pa.DataType, rows: list[Any], reads: list[int], tmp_path: Path) -> None:
    table = pa.table({"id": list("abcdef"), "vector": pa.array(rows, kind), "n": range(6)})
    pq.write_table(table, tmp_path / "shard.parquet", row_group_size=2)
    found = {}
    for backend in ("cpu", "gpu"):
        shard = LocalShard(tmp_path / "shard.parquet", 100, "vector", None, backend)
        batches = [batch.table for batch in ParquetReader().batches(shard)]
        assert all(one.column_names == ["id", "vector", "n"] for one in batches)
        parts = [to_matrix(one["vector"], 2, np.float32) for one in batches]
        ids = [value for one in batches for value in one["id"].to_pylist()]
        found[backend] = (ids, *(np.concatenate([part[at] for part in parts]) for at in (0, 1)))
    assert sorted(reads) == [0, 1, 2]
    assert found["gpu"][0] == found["cpu"][0] == list("abcdef")
    np.testing.assert_array_equal(found["gpu"][1], found["cpu"][1])
    np.testing.assert_array_equal(found["gpu"][2], found["cpu"][2])


def test_shards_that_find_no_place_on_the_device_are_read_by_arrow(
    reads: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pq.write_table(pa.table({"vector": pa.array(ROWS, pa.list_(pa.float32()))}), tmp_path / "shard.parquet")
    shard = LocalShard(tmp_path / "shard.parquet", 100, "vector", None, "gpu")
    with device_place() as first, device_place() as second, device_place() as third:
        assert (first, second, third) == (True, True, False)
        assert [batch.table.num_rows for batch in ParquetReader().batches(shard)] == [6]
        assert reads == []
    with device_place() as again:
        assert again


def test_float16_is_left_to_arrow(reads: list[int], tmp_path: Path) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8, dtype=np.float16)), 2)
    pq.write_table(pa.table({"vector": vectors, "n": range(4)}), tmp_path / "half.parquet", row_group_size=1)
    shard = LocalShard(tmp_path / "half.parquet", 100, "vector", None, "gpu")
    tables = [batch.table for batch in ParquetReader().batches(shard)]
    matrix, _ = to_matrix(pa.concat_tables(tables)["vector"], 2, np.float16)
    assert matrix.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert len(reads) == 4


def test_a_reader_that_stops_early_gives_up_its_place_last(
    reads: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    table = pa.table({"vector": pa.array(ROWS * 3, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "shard.parquet", row_group_size=1)
    begun, go_on, ended = threading.Event(), threading.Event(), list[bool]()
    sound = sys.modules["cudf"].read_parquet

    def read_parquet(path: Path, columns: list[str], row_groups: list[int]) -> Frame:
        if row_groups[0] < 2:
            return sound(path, columns, row_groups)  # type: ignore[no-any-return]
        begun.set()
        go_on.wait(timeout=30)
        with device_place() as first, device_place() as second:  # the reader still has the other place
            ended.append(first and not second)
        return sound(path, columns, row_groups)  # type: ignore[no-any-return]

    monkeypatch.setitem(sys.modules, "cudf", types.SimpleNamespace(read_parquet=read_parquet))
    batches = ParquetReader().batches(LocalShard(tmp_path / "shard.parquet", 100, "vector", None, "gpu"))
    next(batches)
    assert begun.wait(timeout=30)
    threading.Timer(0.05, go_on.set).start()
    batches.close()  # type: ignore[attr-defined]
    assert ended
    assert ended[0]


def test_without_page_locked_memory_a_shard_of_a_store_is_copied_once_and_decoded_from_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, decoded = list[str](), list[tuple[str, int]]()
    sound = MemoryFileSystem.get_file

    def get_file(store: MemoryFileSystem, rpath: str, lpath: str, **options: Any) -> None:
        copied.append(rpath)
        sound(store, rpath, lpath, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr("evenkeel.tasks.ingest.on_device.LEAST_BYTES", 0)

    def read_parquet(path: Path, columns: list[str], row_groups: list[int]) -> Frame:
        decoded.extend((path.name, group) for group in row_groups)
        return Frame(pq.ParquetFile(path).read_row_group(row_groups[0], columns=columns))

    monkeypatch.setitem(sys.modules, "cudf", types.SimpleNamespace(read_parquet=read_parquet))
    table = pa.table({"id": list("abcdef"), "vector": pa.array(ROWS, pa.list_(pa.float32()))})
    for name in ("one", "two"):
        path = write(tmp_path / f"{name}.parquet", table, row_group_size=1)
        fsspec.filesystem("memory").put_file(str(path), f"/{tmp_path.name}/{name}.parquet")
        table = table.set_column(0, "id", pa.array(list("ghijkl")))
    columns = {"id": "id", "vector": "vector"}
    found = {}
    for backend in BACKENDS:
        compute = Compute(threads=1, backend=backend, driver_device=True)
        pool = ingest(tmp_path / backend, compute, uri=f"memory:///{tmp_path.name}", **columns)
        found[backend] = (whole(pool), [shard.sha256 for shard in pool.shards])
    assert found["cpu"] == found["gpu"]
    names = [f"/{tmp_path.name}/{name}.parquet" for name in ("one", "two")]
    assert sorted(copied) == sorted(2 * names), "once for a run"
    assert sorted(decoded) == [(f"{name}.parquet", group) for name in ("one", "two") for group in range(6)]
    assert not list(tmp_path.rglob("scratch/**/*.parquet"))


def test_no_more_than_two_row_groups_are_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = list[int]()

    def read_parquet(path: Path, columns: list[str], row_groups: list[int]) -> Frame:
        begun.extend(row_groups)
        return Frame(pq.ParquetFile(path).read_row_group(row_groups[0], columns=columns))

    monkeypatch.setitem(sys.modules, "cudf", types.SimpleNamespace(read_parquet=read_parquet))
    table = pa.table({"vector": pa.array(ROWS * 2, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "shard.parquet", row_group_size=1)
    shard = LocalShard(tmp_path / "shard.parquet", 100, "vector", None, "gpu")
    for group, _ in enumerate(ParquetReader().batches(shard)):
        assert max(begun) <= group + 2
    assert sorted(begun) == list(range(12))


def test_a_shard_that_breaks_on_the_device_is_refused_as_by_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evenkeel.tasks.ingest.on_device.LEAST_BYTES", 0)

    def read_parquet(path: Path, columns: list[str], row_groups: list[int]) -> Frame:
        if path.name == "b.parquet" and row_groups == [2]:
            raise RuntimeError("CUDF failure: a page ends early")
        return Frame(pq.ParquetFile(path).read_row_group(row_groups[0], columns=columns))

    monkeypatch.setitem(sys.modules, "cudf", types.SimpleNamespace(read_parquet=read_parquet))
    vectors = np.random.default_rng(0).random((4000, 2), np.float32)
    table = pa.table({"vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 2)})
    write(tmp_path / "pool" / "a.parquet", table.slice(0, 10))
    path = write(tmp_path / "pool" / "b.parquet", table, row_group_size=1000, write_page_checksum=True)
    raw = bytearray(path.read_bytes())
    raw[len(raw) * 5 // 8] ^= 1  # in the third of four row groups
    path.write_bytes(raw)
    pools = [
        ingest(
            tmp_path / backend,
            Compute(threads=1, backend=backend, driver_device=True),
            uri=str(tmp_path / "pool"),
            vector="vector",
            max_quarantined=1.0,
            rows_per_block=500,
        )
        for backend in BACKENDS
    ]
    host, there = pools
    assert refused(there) == refused(host) == [(1, row, "unreadable shard") for row in range(4000)]
    assert (there.rows, there.info.quarantined) == (host.rows, host.info.quarantined) == (10, 4000)
    assert "a page ends early" in str(there.shards[1].reason)


def test_a_store_that_refuses_stops_the_run_with_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr("evenkeel.tasks.ingest.on_device.LEAST_BYTES", 0)

    def get_file(store: MemoryFileSystem, rpath: str, lpath: str, **options: Any) -> None:
        raise PermissionError(f"not today: {rpath}")

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    path = write(tmp_path / "one.parquet", {"id": ["a"], "vector": pa.array(ROWS[:1], pa.list_(pa.float32()))})
    fsspec.filesystem("memory").put_file(str(path), f"/{tmp_path.name}/one.parquet")
    for backend in BACKENDS:
        compute = Compute(threads=1, backend=backend, driver_device=True)
        with pytest.raises(StorageError, match="not allowed to read memory:"):
            ingest(tmp_path / backend, compute, uri=f"memory:///{tmp_path.name}", vector="vector")
