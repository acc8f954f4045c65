"""Parts of an array, worked on by threads; the parts and their order never depend on how many threads there are."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
ROWS_PER_PART = 8192


def thread_count(threads: int | None) -> int:
    """Return `threads`, or the number of cores this process may use."""
    return threads if threads is not None else len(os.sched_getaffinity(0))


def parallel_for(
    function: Callable[[int, int], Result], size: int, threads: int, part: int = ROWS_PER_PART
) -> list[Result]:
    """Return `[function(first, last), ...]` over consecutive parts of `range(size)`, in order."""
    bounds = [(first, min(first + part, size)) for first in range(0, size, part)]
    if threads < 2 or len(bounds) < 2:
        return [function(first, last) for first, last in bounds]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(lambda span: function(*span), bounds))
