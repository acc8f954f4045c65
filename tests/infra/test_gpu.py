"""The memory pool of a process: limited by what is free, for CuPy as for cuDF. The libraries are stood in for."""

from types import SimpleNamespace
from typing import Any

import pytest

from evenkeel.infra import gpu
from evenkeel.infra.gpu import Libraries, free_bytes, make_pool


class Limited:
    """As rmm's adaptor: counts what is taken, and raises where that is more than the limit."""

    def __init__(self, upstream: Any, limit: int) -> None:
        self.upstream, self.limit, self.taken = upstream, limit, 0

    def get_allocated_bytes(self) -> int:
        return self.taken

    def get_allocation_limit(self) -> int:
        return self.limit


@pytest.mark.parametrize("free", [1 << 30, 80 << 30])
def test_a_pool_may_take_what_is_free_and_no_more(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    current: dict[str, Any] = {}
    mr = SimpleNamespace(
        CudaAsyncMemoryResource=lambda release_threshold: release_threshold,
        LimitingResourceAdaptor=Limited,
        set_current_device_resource=lambda one: current.update(cudf=one),
    )
    allocator = object()
    rmm = SimpleNamespace(mr=mr, allocators=SimpleNamespace(cupy=SimpleNamespace(rmm_cupy_allocator=allocator)))
    cuda = SimpleNamespace(
        runtime=SimpleNamespace(memGetInfo=lambda: (free, 90 << 30)),
        set_allocator=lambda one: current.update(cupy=one),
    )
    libraries = Libraries(SimpleNamespace(cuda=cuda), rmm)
    pool: Any = make_pool(libraries)
    assert current == {"cudf": pool, "cupy": allocator}
    assert pool.limit == int(0.9 * free)
    assert make_pool(libraries, 1 << 20).get_allocation_limit() == 1 << 20
    assert make_pool(libraries, 1 << 50).get_allocation_limit() == pool.limit
    current.update(cudf=pool)
    assert pool.upstream >= 1 << 30, "what may lie idle"
    pool.taken = pool.limit // 4
    assert free_bytes(pool) == pool.limit - pool.limit // 4
    pool.taken = 2 * pool.limit
    assert free_bytes(pool) == 0
    gpu._pool.cache_clear()
    monkeypatch.setattr(Libraries, "load", lambda: libraries)
    assert gpu.share_pool() is gpu.share_pool()
    gpu._pool.cache_clear()
