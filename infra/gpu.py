"""The memory of a CUDA device in one process: a single pool for cuDF, cuML and CuPy, limited by what is free.

Where the machine has one device, its Dask worker lies in the driver's process (`compute.open_compute`), so that both
take from this one pool.
"""

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

SHARE = 0.9
LEAST_KEPT = 1 << 30

_lock = threading.Lock()


class Pool(Protocol):
    """What says how much of a pool is taken."""

    def get_allocated_bytes(self) -> int:
        """Return the bytes that are allocated."""

    def get_allocation_limit(self) -> int:
        """Return the most bytes that may be allocated."""


@dataclass(frozen=True)
class Libraries:
    """The modules that a pool is made of, so that a test can give others."""

    cupy: Any
    rmm: Any

    @classmethod
    def load(cls) -> "Libraries":
        """Import them. Raises ImportError without the extra `gpu`."""
        import cupy
        import rmm
        import rmm.allocators.cupy
        import rmm.mr

        return cls(cupy, rmm)


def make_pool(libraries: Libraries, most: int | None = None) -> Pool:
    """Make the pool of this process and return it: 90 % of what is free now, and nothing of it taken beforehand.

    most: how many bytes it may take at most, where less than these 90 %.

    It grows as it is used and gives back what lies idle, all but a share that follows from the limit, so that other
    processes on the device are not starved. Whoever asks for more than the limit gets a MemoryError.
    """
    cupy, rmm = libraries.cupy, libraries.rmm
    free, _ = cupy.cuda.runtime.memGetInfo()
    limit = int(free * SHARE) if most is None else min(most, int(free * SHARE))
    growing = rmm.mr.CudaAsyncMemoryResource(release_threshold=max(LEAST_KEPT, limit // 2))
    pool: Pool = rmm.mr.LimitingResourceAdaptor(growing, limit)
    rmm.mr.set_current_device_resource(pool)
    cupy.cuda.set_allocator(rmm.allocators.cupy.rmm_cupy_allocator)
    return pool


def share_pool() -> Pool:
    """Return the pool of this process, made when first asked for."""
    with _lock:
        return _pool()


@cache
def _pool() -> Pool:
    return make_pool(Libraries.load())


def free_bytes(pool: Pool | None = None) -> int:
    """Return how many bytes may still be allocated from a pool, that of this process unless another is given."""
    pool = share_pool() if pool is None else pool
    return max(0, pool.get_allocation_limit() - pool.get_allocated_bytes())
