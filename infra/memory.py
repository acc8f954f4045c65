"""How many bytes one process of a run may take, and how much of that each thing in it may.

A run has one budget: what the driver's process may take, and what each worker may. The recipe says it (`memory_gib`);
else 80 % of the machine, or of the limit of the control group, is divided by the processes that share it. No output
depends on it: within the budget fewer tasks run at a time and more pieces are written, and what does not fit is refused
before a run begins. What rows depend on, `clustering.memory_gib`, is in the recipe alone.
"""

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import psutil

Item = TypeVar("Item")
Result = TypeVar("Result")

GIB = 1 << 30
USED = 0.8  # of a machine: the rest is for Prefect's server, the page cache and other programs
DRIVER_LEAST = 0.25  # of what is used, where many workers share the machine with the driver
TASKS = 0.5  # of a process: what all tasks in it take at a time, with the readers of shards that they wait for
PIECES = 0.125  # of a process: rows that all tasks in it hold for the next piece of a version
SHARDS = 0.125  # of a process: shards that all tasks in it hold in memory for a device
IN_FLIGHT = 64 << 20  # ranges of a shard that come in at a time: four of 8 MiB, in parts and as a whole
FEWEST_ROWS = 1 << 16  # of a task, however little memory there is
COPIES = 4  # of the data that a task names, while it is read, checked, typed and written
READER = 190 << 20  # a process that reads shards: its libraries, and what Arrow keeps of the shards before
BLOCK_BYTES = 512 << 20  # most of a block, which is what a task holds of its data at a time
UNPACKED = 10  # bytes of rows for one of a shard, as compression goes
CONTROL_GROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
LIMITS = (
    "memory.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.max",
    "memory.high",
)


@dataclass(frozen=True)
class Budget:
    """Bytes that the driver's process may take, and each worker; the readers of shards that it starts count with it."""

    driver: int
    worker: int

    @classmethod
    def of(cls, workers: int, *, here: bool, own: int | None = None, asked: float | None = None) -> "Budget":
        """Return the budget of a run with so many workers, 0 = the driver does everything.

        here: whether they share the driver's machine. own: bytes that each has, where that is known. asked: what the
        recipe says, in GiB.
        """
        usable = int(USED * machine_memory())
        each = usable // (workers + 1) if here else usable
        worker = own if own is not None else each
        driver = each
        if here and workers:
            driver = max(int(DRIVER_LEAST * usable), each if own is None else usable - workers * own)
            worker = worker if own is not None else (usable - driver) // workers
        if asked is not None:
            driver, worker = int(asked * GIB), int(asked * GIB) if own is None else min(own, int(asked * GIB))
        return cls(driver, worker if workers else driver)


def usable_memory() -> int:
    """Return the bytes of this machine that all processes of a run may take together."""
    return int(USED * machine_memory())


def tasks_at_once(budget: int, each: float, threads: int) -> int:
    """Return how many tasks of `each` bytes a process with so many threads works on at a time; one at least."""
    return max(1, min(threads, int(TASKS * budget / max(each, 1.0))))


def rows_of_a_task(budget: int, threads: int, each: float, most: int) -> int:
    """Return how many rows of `each` bytes a task holds where all threads of its process have one; at most `most`."""
    return max(min(FEWEST_ROWS, most), min(most, int(TASKS * budget / threads / each)))


def piece_bytes(budget: int, threads: int) -> int:
    """Return how many bytes of rows one of so many tasks of a process holds before it writes them."""
    return int(PIECES * budget / threads)


def shard_bytes(budget: int, threads: int) -> int:
    """Return how many bytes the shard may have that one of so many tasks of a process holds in memory for a device."""
    return int(SHARDS * budget / threads)


def reader_bytes(held: int = 0) -> int:
    """Return what a reader of shards takes besides its block, where it holds so many bytes of one in memory."""
    return READER + held + (IN_FLIGHT if held else 0)


def bytes_of_a_task(work: int | None, items: int) -> float:
    """Return what one of `items` tasks takes that name `work` bytes together; 0 where that is not known."""
    return 0.0 if work is None else COPIES * min(work / max(items, 1), BLOCK_BYTES)


class _Tasks:
    """Lets tasks of this process begin while all together take what they may; one alone always may begin."""

    def __init__(self) -> None:
        self._taken = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, size: float, most: float) -> Iterator[None]:
        """Wait until `size` bytes more are no more than `most`, then hold them as long as the block lasts."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken <= 0 or self._taken + size <= most)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


_tasks = _Tasks()


@dataclass(frozen=True)
class Within(Generic[Item, Result]):
    """A function of one item that takes `each` bytes and waits until its process, which has `budget`, has as many."""

    function: Callable[[Item], Result]
    each: float
    budget: int

    def __call__(self, item: Item) -> Result:
        """Return `function(item)`."""
        with _tasks.taking(self.each, TASKS * self.budget):
            return self.function(item)


def machine_memory() -> int:
    """Return the bytes of memory this process may use.

    The least of the machine's memory, the limits of its control group and of those above it, and the limit on the
    process.
    """
    limits = [int(psutil.virtual_memory().total), resource.getrlimit(resource.RLIMIT_RSS)[1]]
    for folder in _groups():
        for name in LIMITS:
            with suppress(OSError, ValueError):  # not there, or "max"
                limits.append(int((folder / name).read_text()))
    return min(limit for limit in limits if limit > 0)


def _groups() -> list[Path]:
    """Return the folders of the control groups that this process is in, of both versions, and of those above."""
    paths = [CONTROL_GROUP, CONTROL_GROUP / "memory"]
    with suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers in ("", "memory"):
                top = CONTROL_GROUP / controllers
                own = top / group.lstrip("/")
                paths += [folder for folder in (own, *own.parents) if folder.is_relative_to(top)]
    return list(dict.fromkeys(paths))
