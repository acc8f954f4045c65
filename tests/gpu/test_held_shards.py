"""Shards of a store that a device decodes from page-locked memory, with stand-ins for the device."""

import hashlib
import io
import logging
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from evenkeel.infra import memory, page_locked, storage
from evenkeel.infra.compute import Backend, Compute
from evenkeel.infra.errors import EvenkeelError, InputError, StorageError
from evenkeel.tasks.ingest.device_columns import device_place
from evenkeel.tasks.ingest.held_file import HeldFile
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.on_device import held_bytes
from evenkeel.tasks.ingest.pool import Pool
from tests.gpu.held import RANGE, HoldingDevice, Locked
from tests.gpu.test_decoding import Frame
from tests.ingest.pools import ingest, refused, whole, write

ROWS = 60


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> HoldingDevice:
    """The stand-ins."""
    found = HoldingDevice()
    found.stand_in(monkeypatch)
    return found


@dataclass
class Asked:
    """What a store was asked for: ranges, by path, and whole files."""

    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)

    def all_once(self, sizes: dict[str, int]) -> bool:
        """Tell whether every byte of these files was asked for once, and nothing else was."""
        for path, size in sizes.items():
            ends = sorted(self.ranges.get(path, []))
            if [begin for begin, _ in ends] != [0, *(end for _, end in ends[:-1])] or ends[-1][1] != size:
                return False
        return set(self.ranges) == set(sizes) and not self.whole


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the store of fsspec in memory is asked for."""
    found, cat_file, get_file = Asked(), MemoryFileSystem.cat_file, MemoryFileSystem.get_file

    def cat(store: MemoryFileSystem, path: str, start: int | None = None, end: int | None = None, **how: Any) -> bytes:
        if start is not None and end is not None:
            found.ranges.setdefault(path, []).append((start, end))
        return bytes(cat_file(store, path, start=start, end=end, **how))

    def get(store: MemoryFileSystem, rpath: str, lpath: str, **how: Any) -> None:
        found.whole.append(rpath)
        get_file(store, rpath, lpath, **how)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat)
    monkeypatch.setattr(MemoryFileSystem, "get_file", get)
    return found


def table_of(first: int, kind: pa.DataType | None = None, holes: bool = False) -> pa.Table:
    """Return rows whose ids begin with a number, one of them without a vector where there are holes."""
    vectors = np.random.default_rng(first).random((ROWS, 4)).astype(np.float32).tolist()
    if holes:
        vectors[7] = None
    ids = [f"{first}-{row}" for row in range(ROWS)]
    return pa.table({"id": ids, "vector": pa.array(vectors, kind or pa.list_(pa.float32())), "text": ids})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Callable[[str, bytes | pa.Table], int]]:
    """A function that puts a file into a folder of the store in memory and returns its size."""
    fs, folder = fsspec.filesystem("memory"), f"/{tmp_path.name}"

    def put(name: str, content: bytes | pa.Table) -> int:
        if isinstance(content, pa.Table):
            content = write(tmp_path / "shard.parquet", content, row_group_size=20, compression="none").read_bytes()
        fs.pipe_file(f"{folder}/{name}", content)
        return len(content)

    yield put
    if fs.exists(folder):
        fs.rm(folder, recursive=True)


def read(folder: Path, backend: Backend, threads: int = 1, budget: int = 1 << 40) -> Pool:
    compute = Compute(threads=threads, backend=backend, driver_device=True, driver_limit=budget)
    columns = {"id": "id", "vector": "vector", "text": "text"}
    return ingest(folder / backend, compute, uri=f"memory:///{folder.name}", max_quarantined=1.0, **columns)


def outcome(pool: Pool) -> tuple[Any, ...]:
    """Return all that reading a source gives."""
    shards = [(shard.sha256, shard.rows, shard.quarantined, shard.reason) for shard in pool.shards]
    vectors = [pool.vectors(block).tolist() for block in pool.blocks]
    return whole(pool), refused(pool), shards, vectors


def test_shards_are_read_once_into_memory_that_is_used_again(
    tmp_path: Path, store: Callable[..., int], device: HoldingDevice, asked: Asked
) -> None:
    names = [f"{number}.parquet" for number in range(5)]
    sizes = {f"/{tmp_path.name}/{name}": store(name, table_of(at, holes=at == 2)) for at, name in enumerate(names)}
    on_device = outcome(read(tmp_path, "gpu"))
    assert asked.all_once(sizes), asked
    assert min(len(ranges) for ranges in asked.ranges.values()) > storage.RANGES, "of many ranges each"
    assert sorted(device.groups) == 5 * [0] + 5 * [1] + 5 * [2]
    assert device.locked == 5 * [max(sizes.values())], "one size, so that the pool has it for the next shard"
    assert (device.at_once, device.given_back, len(device.living)) == (1, 1, 0)
    assert not list((tmp_path / "gpu").rglob("scratch/**/*.parquet"))
    assert on_device == outcome(read(tmp_path, "cpu"))
    assert len(device.locked) == 5
    assert on_device[1] == [(2, 7, "null vector")]
    contents = [hashlib.sha256(fsspec.filesystem("memory").cat_file(path)).hexdigest() for path in sizes]
    assert [shard[0] for shard in on_device[2]] == contents


def test_several_shards_at_a_time_have_memory_of_their_own(
    tmp_path: Path, store: Callable[..., int], device: HoldingDevice, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {f"/{tmp_path.name}/{at}.parquet": store(f"{at}.parquet", table_of(at)) for at in range(6)}
    two, met, lock = threading.Barrier(2), list[int](), device.lock

    def meet(size: int) -> Locked:
        if len(met) < 2:
            met.append(size)
            two.wait(timeout=30)
        return lock(size)

    monkeypatch.setattr(sys.modules["cupy"].cuda, "alloc_pinned_memory", meet)
    on_device = outcome(read(tmp_path, "gpu", threads=2))
    assert asked.all_once(sizes)
    assert (device.at_once, len(device.living)) == (2, 0)
    assert on_device == outcome(read(tmp_path, "cpu", threads=2))


@pytest.mark.parametrize("kind", [pa.list_(pa.float16()), None], ids=["float16", "no place"])
def test_what_the_device_does_not_take_arrow_reads_from_the_same_memory(
    tmp_path: Path,
    store: Callable[..., int],
    device: HoldingDevice,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    kind: pa.DataType | None,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sizes = {f"/{tmp_path.name}/a.parquet": store("a.parquet", table_of(1, kind))}
    if kind is None:
        with device_place(), device_place():
            on_device = outcome(read(tmp_path, "gpu"))
        assert device.groups == []
    else:
        on_device = outcome(read(tmp_path, "gpu"))
        assert sorted(device.groups) == [0, 1, 2], "the other columns"
    assert asked.all_once(sizes)
    assert on_device == outcome(read(tmp_path, "cpu"))


def test_broken_shards_are_refused_as_by_the_cpu(
    tmp_path: Path, store: Callable[..., int], device: HoldingDevice, asked: Asked
) -> None:
    store("0.parquet", table_of(0))
    sound = fsspec.filesystem("memory").cat_file(f"/{tmp_path.name}/0.parquet")
    store("1.parquet", sound[:-9])
    store("2.parquet", b"")
    store("3.parquet", sound[: len(sound) // 3] + bytes(len(sound) // 3) + sound[2 * (len(sound) // 3) :])
    store("4.parquet", b"PAR1" + sound[-600:])
    found = {backend: outcome(read(tmp_path, backend)) for backend in ("gpu", "cpu")}
    assert found["gpu"] == found["cpu"]
    assert all(shard[3].startswith("unreadable shard") for shard in found["gpu"][2][1:])
    assert len(device.locked) == 4, "an empty object needs no memory"


def test_memory_that_cannot_be_locked_is_no_error(
    tmp_path: Path,
    store: Callable[..., int],
    device: HoldingDevice,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store("a.parquet", table_of(1))
    device.most = 0
    monkeypatch.setitem(sys.modules, "cudf", types.SimpleNamespace(read_parquet=_read_copy))
    with caplog.at_level(logging.DEBUG, "evenkeel.infra.page_locked"):
        on_device = outcome(read(tmp_path, "gpu"))
    assert "cudaErrorMemoryAllocation" in caplog.text
    assert (asked.ranges, asked.whole) == ({}, [f"/{tmp_path.name}/a.parquet"])
    assert on_device == outcome(read(tmp_path, "cpu"))


def _read_copy(path: Path, columns: list[str], row_groups: list[int]) -> Frame:
    return Frame(pq.ParquetFile(path).read_row_group(row_groups[0], columns=columns))


def test_a_store_that_reads_no_ranges_is_copied(
    tmp_path: Path, store: Callable[..., int], device: HoldingDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("a.parquet", table_of(1))
    sound = MemoryFileSystem.cat_file
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda fs, path, **_: sound(fs, path))
    monkeypatch.setitem(sys.modules, "cudf", types.SimpleNamespace(read_parquet=_read_copy))
    assert outcome(read(tmp_path, "gpu")) == outcome(read(tmp_path, "cpu"))
    assert len(device.locked) == 1


@pytest.mark.parametrize(
    ("happens", "error", "said"),
    [
        ("replaced", InputError, "changed while the run was reading"),
        ("shortened", InputError, "changed while the run was reading"),
        ("shortened, which the store refuses", InputError, "changed while the run was reading"),
        ("removed", InputError, "is gone since the source was listed"),
        ("refused", StorageError, "not allowed to read memory:"),
        ("cut", StorageError, "cannot read memory:"),
    ],
)
def test_what_happens_to_a_shard_while_it_is_read_ends_the_run(
    tmp_path: Path,
    store: Callable[..., int],
    device: HoldingDevice,
    monkeypatch: pytest.MonkeyPatch,
    happens: str,
    error: type[EvenkeelError],
    said: str,
) -> None:
    store("a.parquet", table_of(1))
    name, sound = f"/{tmp_path.name}/a.parquet", MemoryFileSystem.cat_file
    content = sound(fsspec.filesystem("memory"), name)

    def cat_file(fs: MemoryFileSystem, path: str, start: int, end: int) -> bytes:
        if start == RANGE:
            if happens == "replaced":
                fs.pipe_file(name, content[::-1])
            elif happens.startswith("shortened"):
                fs.pipe_file(name, content[:-1])
            elif happens == "removed":
                fs.rm(name)
            elif happens == "refused":
                raise PermissionError("not today")
            if happens in ("cut", "shortened, which the store refuses"):
                raise OSError("reset by peer")
        return bytes(sound(fs, path, start=start, end=end))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    with pytest.raises(error, match=said):
        read(tmp_path, "gpu")
    assert not list(tmp_path.rglob("scratch/**/*.parquet"))


def test_ranges_come_in_together_and_are_hashed_in_order_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "CHUNK", 3)
    content = bytes(range(40))
    storage.write_bytes("memory://ranges/file", content)
    hashed, first, together = list[bytes](), threading.Event(), threading.Barrier(storage.RANGES)
    sound = MemoryFileSystem.cat_file

    class Digest:
        def __init__(self) -> None:
            self.sound = hashlib.sha256()

        def update(self, piece: memoryview) -> None:
            hashed.append(bytes(piece))
            self.sound.update(piece)
            first.set()

        def hexdigest(self) -> str:
            return self.sound.hexdigest()

    def cat_file(fs: MemoryFileSystem, path: str, start: int, end: int) -> bytes:
        if start < 3 * storage.RANGES:
            together.wait(timeout=30)
        elif start >= 6 * storage.RANGES:
            assert first.wait(timeout=30), "nothing is hashed before all ranges are there"
        return bytes(sound(fs, path, start=start, end=end))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    monkeypatch.setattr(storage, "hashlib", types.SimpleNamespace(sha256=Digest))
    target = bytearray(40)
    assert storage.read_into("memory://ranges/file", memoryview(target)) == hashlib.sha256(content).hexdigest()
    assert target == content
    assert hashed == [content[begin : begin + 3] for begin in range(0, 40, 3)]


@settings(max_examples=30)
@given(st.integers(0, 70), st.integers(1, 20))
def test_a_digest_of_ranges_is_that_of_the_file(size: int, piece: int) -> None:
    content, target = bytes(range(size)), bytearray(size)
    storage.write_bytes("memory://ranges/any", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "CHUNK", piece)
        digest = storage.read_into("memory://ranges/any", memoryview(target))
        assert storage.read_into("memory://ranges/any", memoryview(bytearray(size + 1))) is None
    assert digest == storage.sha256("memory://ranges/any")
    assert target == content


def test_memory_bounds_what_is_held(
    tmp_path: Path, store: Callable[..., int], device: HoldingDevice, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = store("a.parquet", table_of(1)), store("b.parquet", pa.concat_tables(map(table_of, range(2, 6))))
    monkeypatch.setitem(
        sys.modules,
        "cudf",
        types.SimpleNamespace(
            read_parquet=lambda source, columns, row_groups: (
                device.read_parquet if isinstance(source, io.BytesIO) else _read_copy
            )(source, columns=columns, row_groups=row_groups)
        ),
    )
    threads = 2
    budget = int((small + 1) * threads / memory.SHARDS)
    assert memory.shard_bytes(budget, threads) in range(small, large)
    on_device = outcome(read(tmp_path, "gpu", threads, budget))
    assert device.locked == [small]
    assert asked.whole == [f"/{tmp_path.name}/b.parquet"]
    assert on_device == outcome(read(tmp_path, "cpu", threads, budget))


def test_shards_of_all_threads_take_an_eighth_of_the_budget_and_are_counted() -> None:
    compute = Compute(threads=4, backend="gpu", driver_device=True, driver_limit=32 << 30)
    sizes = {"s3://b/a.parquet": 900 << 20, "s3://b/b.parquet": 1 << 30, "s3://b/c.parquet": (1 << 30) + 1}
    sizes |= {"s3://b/d.jsonl": 1 << 30, "/disk/e.parquet": 1 << 30}
    shards = [
        ListedShard(uri=uri, name=uri, format=uri.rpartition(".")[2], bytes=size, fingerprint="")
        for uri, size in sizes.items()
    ]
    assert held_bytes(shards, compute) == 1 << 30
    assert held_bytes([shards[0], shards[2]], compute) == 900 << 20
    assert held_bytes(shards[2:], compute) == 0
    assert held_bytes(shards, Compute(threads=4, driver_limit=32 << 30)) == 0
    assert held_bytes(shards[:1], compute) == 0, "a pool of less than a gibibyte is read by the CPU"
    assert memory.reader_bytes(1 << 30) - memory.reader_bytes() == (1 << 30) + 2 * storage.RANGES * storage.CHUNK


def test_another_size_gives_back_what_is_kept(device: HoldingDevice) -> None:
    kept = [page_locked.page_locked(size) for size in (10, 10, 10, 20, 20, 10)]
    assert [one.nbytes for one in kept if one is not None] == [10, 10, 10, 20, 20, 10]
    assert device.given_back == 3
    assert kept[0] is not None
    kept[0][:] = b"0123456789"
    assert bytes(kept[0]) == b"0123456789"


def test_without_cupy_no_memory_is_locked(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with caplog.at_level(logging.DEBUG, "evenkeel.infra.page_locked"):
        assert page_locked.page_locked(1000) is None
    assert "no page-locked memory of 1,000 bytes: ModuleNotFoundError" in caplog.text


STEPS = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 30)),
    st.tuples(st.just("read1"), st.integers(-1, 30)),
    st.tuples(st.just("readinto"), st.integers(0, 30)),
    st.tuples(st.just("seek"), st.integers(0, 40), st.just(0)),
    st.tuples(st.just("seek"), st.integers(-30, 30), st.sampled_from([1, 2])),
    st.tuples(st.just("tell")),
    st.tuples(st.just("getvalue")),
)


@given(st.binary(max_size=25), st.lists(STEPS))
def test_a_held_file_reads_as_one_in_memory_of_python(content: bytes, steps: list[tuple[Any, ...]]) -> None:
    held = HeldFile(np.frombuffer(content, np.uint8).data)
    files: list[Any] = [held, io.BytesIO(content)]
    for name, *given_ in steps:
        results: list[Any] = []
        for file in files:
            if name == "readinto":
                target = bytearray(given_[0])
                results.append((file.readinto(target), target))
            else:
                results.append(getattr(file, name)(*given_))
        first, second = results
        assert first == second
    assert bytes(held.getbuffer()) == content


def test_libcudf_reads_a_held_file_where_it_lies() -> None:
    """On this machine's CPU, of the installed library, where there is one: the footer."""
    pylibcudf = pytest.importorskip("pylibcudf")
    sink = io.BytesIO()
    pd.DataFrame({"a": range(1000)}).to_parquet(sink, row_group_size=250)
    content = HeldFile(np.frombuffer(sink.getvalue(), np.uint8).data)
    found = pylibcudf.io.parquet_metadata.read_parquet_metadata(pylibcudf.io.SourceInfo([content]))
    assert (found.num_rows(), found.num_rowgroups()) == (1000, 4)


@pytest.mark.gpu
def test_cudf_decodes_page_locked_memory() -> None:
    import cudf

    sink = io.BytesIO()
    table = pd.DataFrame({"a": range(1000), "b": [str(row) for row in range(1000)]})
    table.to_parquet(sink, row_group_size=250)
    content = page_locked.page_locked(1 << 20)
    assert content is not None
    content = content[: len(sink.getvalue())]
    content[:] = sink.getvalue()
    parts = [cudf.read_parquet(HeldFile(content), columns=["a", "b"], row_groups=[at]).to_pandas() for at in range(4)]
    pd.testing.assert_frame_equal(pd.concat(parts), table, check_dtype=False)
