"""Work in batches that get smaller where memory does not suffice, down to an error that says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evenkeel.infra.errors import ResourceError
from evenkeel.tasks.kmeans.device.arrays import Arrays

LEAST = 256
SHARE = 0.25
MOST_BYTES = 4 << 30  # more makes products no faster, and memory that is taken anew costs time
REMEDY = "end what else uses the device, or set compute: local"
REMEDY_OF_CLUSTERING = f"lower clustering.memory_gib, {REMEDY}"


def batch_size(arrays: Arrays, bytes_each: int) -> int:
    """Return how many items of so many bytes take a quarter of the free memory and 4 GiB at most, at least 256."""
    return max(LEAST, min(int(arrays.free_bytes() * SHARE), MOST_BYTES) // max(bytes_each, 1))


def in_batches(
    arrays: Arrays,
    size: int,
    batch: int,
    work: Callable[[int, int], None],
    what: str,
    beside: str = "rows, centroids and labels",
    remedy: str = REMEDY_OF_CLUSTERING,
) -> int:
    """Call work(first, last) over consecutive parts of range(size); return the batch that fitted.

    Where memory does not suffice the part is done again, half as large; `work` may be called twice for a row. Raises
    ResourceError where 256 items do not fit. beside: what else is on the device, for that error.
    """
    first = 0
    while first < size:
        last, short = min(first + batch, size), False
        try:
            work(first, last)
        except arrays.memory_errors:
            short = True
        if not short:
            first = last
            continue
        arrays.release()
        if last - first <= LEAST:
            raise too_little(arrays, what, f"room for {LEAST} at a time beside {beside}", remedy)
        batch = max(LEAST, (last - first) // 2)
    return batch


@contextmanager
def enough_memory(arrays: Arrays, what: str, remedy: str = REMEDY_OF_CLUSTERING) -> Iterator[None]:
    """Turn an error of the device's memory into a ResourceError that says what to do."""
    try:
        yield
    except arrays.memory_errors as error:
        expected = "room for a block of rows at a time, and for what is found of all"
        raise too_little(arrays, what, expected, remedy) from error


def too_little(arrays: Arrays, what: str, expected: str, remedy: str) -> ResourceError:
    """Return the error that says that the device has too little memory for something."""
    return ResourceError(
        f"the device has too little memory {what}",
        expected=expected,
        found=f"{arrays.free_bytes() / 2**20:,.0f} MiB free",
        where="compute: gpu",
        remedy=remedy,
    )
