"""Memory and Arrow in the place of page-locked memory and cuDF, for shards of a store that a device decodes."""

import io
import sys
import types
import weakref
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.infra import page_locked, storage
from tests.gpu.test_decoding import Frame

RANGE = 1000


class Locked(bytearray):
    """Memory in place of page-locked memory; what it held before is not zeros."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__

    def __init__(self, size: int) -> None:
        super().__init__(b"\xa5" * size)


@dataclass
class HoldingDevice:
    """What was asked of the stand-ins: memory, by size; row groups; kept memory given back, how often."""

    most: int | None = None
    locked: list[int] = field(default_factory=list)
    living: "weakref.WeakSet[Locked]" = field(default_factory=weakref.WeakSet)
    at_once: int = 0
    groups: list[int] = field(default_factory=list)
    given_back: int = 0

    def lock(self, size: int) -> Locked:
        """Return memory, as `cupy.cuda.alloc_pinned_memory`."""
        if self.most is not None and size > self.most:
            raise MemoryError(f"cudaErrorMemoryAllocation: {size}")
        self.locked.append(size)
        found = Locked(size)
        self.living.add(found)
        self.at_once = max(self.at_once, len(self.living))
        return found

    def give_back(self) -> None:
        """Count."""
        self.given_back += 1

    def read_parquet(self, source: io.BytesIO, columns: list[str], row_groups: list[int]) -> Frame:
        """Decode from the memory itself, as cuDF does."""
        assert isinstance(source, io.BytesIO), "nothing is read from a disk"
        content = source.getbuffer()
        assert (content.format, content.contiguous) == ("B", True)
        assert any(
            np.shares_memory(np.frombuffer(content, np.uint8), np.frombuffer(one, np.uint8)) for one in self.living
        )
        self.groups += row_groups
        return Frame(pq.ParquetFile(pa.py_buffer(content)).read_row_group(row_groups[0], columns=columns))

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in for CuPy and cuDF, for pools of any size, and read ranges of a thousand bytes."""
        pool = types.SimpleNamespace(free_all_blocks=self.give_back)
        cuda = types.SimpleNamespace(alloc_pinned_memory=self.lock)
        cupy = types.SimpleNamespace(cuda=cuda, get_default_pinned_memory_pool=lambda: pool)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setitem(sys.modules, "cudf", types.SimpleNamespace(read_parquet=self.read_parquet))
        monkeypatch.setattr(page_locked, "_kept", 0)
        monkeypatch.setattr(storage, "CHUNK", RANGE)
        monkeypatch.setattr("evenkeel.tasks.ingest.on_device.LEAST_BYTES", 0)
