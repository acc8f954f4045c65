"""Give memory that is free back to the system: the C library keeps what many small allocations leave between others."""

import ctypes
from collections.abc import Callable
from functools import cache

import psutil
import pyarrow as pa

GROWTH = 64 << 20

_after = 0  # bytes that this process held when it last gave memory back


def give_back() -> bool:
    """Give back what glibc and Arrow keep for later, where this process has grown by 64 MiB; return whether it had.

    A step that handled many small tables leaves a hundred megabytes in the heaps of threads that have ended, and
    nothing returns them by itself. Takes 20 to 60 ms of CPU. Where the C library is another one, Arrow alone gives
    back.
    """
    global _after
    process = psutil.Process()
    if process.memory_info().rss < _after + GROWTH:
        return False
    pa.default_memory_pool().release_unused()
    if (trim := _trim()) is not None:
        trim(0)
    _after = process.memory_info().rss
    return True


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # musl, macOS, Windows
        return None
