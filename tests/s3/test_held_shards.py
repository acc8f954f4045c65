"""Shards of S3 that are read in ranges into memory for a device, of which there are stand-ins: requests and faults."""

import os
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend, Compute
from evenkeel.infra.errors import InputError, StorageError
from evenkeel.tasks.ingest.pool import Pool
from tests.faults.between import EXPIRED, Answer, Asked, Between, Weather
from tests.gpu.held import HoldingDevice
from tests.ingest.pools import ingest, whole, write
from tests.s3.servers import BUCKET, Store

pytestmark = [pytest.mark.server, pytest.mark.slow]

RANGE = 1 << 16
CUPY = """
class cuda:
    alloc_pinned_memory = bytearray

class get_default_pinned_memory_pool:
    def free_all_blocks(self):
        pass
"""
CUDF = """
import os
import pyarrow as pa
import pyarrow.parquet as pq
from tests.gpu.test_decoding import Frame

def read_parquet(source, columns, row_groups):
    with open(os.environ["DECODED"], "a") as decoded:
        decoded.write(f"{os.getpid()} {type(source).__name__} {row_groups}\\n")
    return Frame(pq.ParquetFile(pa.py_buffer(source.getbuffer())).read_row_group(row_groups[0], columns=columns))
"""


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> HoldingDevice:
    """The stand-ins, and ranges of 64 KiB."""
    found = HoldingDevice()
    found.stand_in(monkeypatch)
    monkeypatch.setattr(storage, "CHUNK", RANGE)
    return found


def put(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Put four shards of some 800 KB into a folder of the bucket and return their sizes."""
    store.use(monkeypatch)
    sizes = {}
    for number in range(4):
        rows = np.random.default_rng(number).random((3000, 64)).astype(np.float32)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 64)
        table = pa.table({"id": [f"{number}-{row}" for row in range(3000)], "vector": vectors})
        path = write(folder / "shard.parquet", table, row_group_size=1000)
        uri = f"s3://{BUCKET}/{folder.name}/{number}.parquet"
        storage.write_bytes(uri, path.read_bytes())
        sizes[uri] = path.stat().st_size
    return sizes


def read(folder: Path, backend: Backend, isolated: bool = False) -> Pool:
    compute = Compute(threads=2, backend=backend, driver_device=True, isolated=isolated)
    return ingest(folder / backend, compute, uri=f"s3://{BUCKET}/{folder.name}", id="id", vector="vector")


def outcome(pool: Pool) -> tuple[object, ...]:
    vectors = [pool.vectors(block).tolist() for block in pool.blocks]
    return whole(pool), vectors, [(shard.sha256, shard.rows) for shard in pool.shards]


def test_each_byte_is_asked_for_once(
    tmp_path: Path, seaweed_store: Store, device: HoldingDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, sent, ranges = put(tmp_path, seaweed_store, monkeypatch), Counter[str](), Counter[str]()
    inspected, read_into = False, storage.read_into

    def count(asked: Asked, answer: Answer) -> Answer:
        if asked.kind == "GET" and inspected:
            path = urlsplit(asked.path).path
            sent[f"s3:/{path}"] += len(answer.body)
            ranges[f"s3:/{path}"] += 1
        return answer

    def begin(uri: str, memory: memoryview) -> str | None:
        nonlocal inspected
        inspected = True
        return read_into(uri, memory)

    monkeypatch.setattr(storage, "read_into", begin)
    with Between(seaweed_store, after=count) as between:
        between.store.use(monkeypatch)
        found = outcome(read(tmp_path, "gpu"))
    assert sent == sizes
    assert ranges == {uri: -(-size // RANGE) for uri, size in sizes.items()}
    assert len(device.groups) == 12
    seaweed_store.use(monkeypatch)
    assert found == outcome(read(tmp_path, "cpu"))


def test_readers_in_processes_of_their_own_hold_shards_too(
    tmp_path: Path, seaweed_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, seaweed_store, monkeypatch)
    for name, module in (("cupy", CUPY), ("cudf", CUDF)):
        (tmp_path / f"{name}.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DECODED", str(tmp_path / "decoded"))
    monkeypatch.setattr("evenkeel.tasks.ingest.on_device.LEAST_BYTES", 0)
    found = outcome(read(tmp_path, "gpu", isolated=True))
    decoded = [line.split(" ", 2) for line in (tmp_path / "decoded").read_text().splitlines()]
    assert sorted((kind, groups) for _, kind, groups in decoded) == [
        ("HeldFile", f"[{group}]") for group in (0, 1, 2) for _ in range(4)
    ]
    assert str(os.getpid()) not in {process for process, _, _ in decoded}
    assert found == outcome(read(tmp_path, "cpu"))


def test_bad_weather_loses_no_row(
    tmp_path: Path, seaweed_store: Store, device: HoldingDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, seaweed_store, monkeypatch)
    weather = Weather(throttled=11, cut=13, late=7, seconds=0.05)
    with Between(seaweed_store) as between:
        weather.over(between)
        between.store.use(monkeypatch)
        found = outcome(read(tmp_path, "gpu"))
    assert min(weather.faults.values()) >= 3
    assert len(device.locked) == 4
    seaweed_store.use(monkeypatch)
    assert found == outcome(read(tmp_path, "cpu"))


@pytest.mark.parametrize("happens", ["expired", "replaced", "shortened", "removed"])
def test_what_happens_to_a_shard_while_it_is_read_ends_the_run(
    tmp_path: Path, seaweed_store: Store, device: HoldingDevice, monkeypatch: pytest.MonkeyPatch, happens: str
) -> None:
    sizes = put(tmp_path, seaweed_store, monkeypatch)
    uri, size = list(sizes.items())[2]
    began, read_into = False, storage.read_into

    def once(asked: Asked) -> Answer | None:
        return EXPIRED if began and happens == "expired" and asked.kind == "GET" and "2.parquet" in asked.path else None

    def begin(place: str, memory: memoryview) -> str | None:
        nonlocal began
        if place == uri:
            began = True
            if happens == "removed":
                storage.remove(uri)
            elif happens in ("replaced", "shortened"):
                storage.write_bytes(uri, bytes(size if happens == "replaced" else RANGE + 1))
        return read_into(place, memory)

    monkeypatch.setattr(storage, "read_into", begin)
    said = {"expired": "not allowed to read", "removed": "gone since"}.get(happens, "changed while")
    with Between(seaweed_store, before=once) as between:
        between.store.use(monkeypatch)
        with pytest.raises(StorageError if happens == "expired" else InputError, match=said):
            read(tmp_path, "gpu")
    assert began
