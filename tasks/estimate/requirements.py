"""Compare the memory and disk that a run requires with what is available, and name the setting that helps."""

from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.memory import BLOCK_BYTES, COPIES, GIB, tasks_at_once, usable_memory
from evenkeel.infra.quantities import count, size
from evenkeel.tasks.kmeans.cost import k_means_bytes
from evenkeel.tasks.workload import Workload

PER_ROW = 96  # bytes of ids, leaves, distances and hashes that a step holds in one process for each row
SLACK = 0.3e9  # an interpreter with its libraries
READER = 0.17e9  # of a reader of shards
DRIVER = 0.75e9  # the driver's, with Prefect, Great Expectations and compiled code: measured on 800 and 12,000 rows


class Shortfall(BaseModel):
    """A resource that is too small: which, the bytes required and available, and the setting that would help."""

    what: str
    required: int
    available: int
    setting: str

    def summary(self) -> str:
        """Return one line about it."""
        return f"{self.what}: {size(self.required)} required, {size(self.available)} available; {self.setting}"


class Requirements(BaseModel):
    """Bytes that a run takes at most: memory of the driver process, of a worker, of a reader of shards; disk.

    readers: processes that read shards at a time, wherever. worker: 0 where the driver does everything.
    """

    worker: int
    driver: int
    disk: int
    reader: int = 0
    readers: int = 0

    def memory(self, workers: int) -> int:
        """Return the bytes of memory that the driver, so many workers and the readers of shards take together."""
        return self.driver + (workers * self.worker if self.worker else 0) + self.readers * self.reader


@dataclass(frozen=True)
class ResourceLimits:
    """What the recipe lets a step hold in memory, the bytes of a stored vector component, and the compute.

    kept: the share of the rows that a round of resampling fits on, 0 without resampling. clusters: whether the pool is
    to be clustered. asked: what the recipe says that a process may take, in GiB.
    """

    rows_per_block: int
    memory_gib: float
    itemsize: int
    compute: Compute
    kept: float = 0.5
    clusters: bool = True
    asked: float | None = None


@dataclass(frozen=True)
class _Needs:
    """Bytes: of rows of a block; of a group of rows that is clustered, 0 = none; of all rows in the driver."""

    block: float
    group: float
    held: float

    @classmethod
    def of(cls, work: Workload, limits: ResourceLimits) -> "_Needs":
        row = work.payload_bytes + work.text_bytes + 4 * work.dimension
        block = COPIES * min(min(limits.rows_per_block, work.rows) * row, BLOCK_BYTES)
        centroids = 3 * work.leaves * work.dimension * 4
        held = work.rows * k_means_bytes(work.dimension, limits.itemsize, limits.kept) if limits.clusters else 0.0
        most = limits.memory_gib * GIB
        split = held > most
        return cls(block, most + centroids if split else 0.0, PER_ROW * work.rows + centroids if split else held)


def requirements(work: Workload, limits: ResourceLimits) -> Requirements:
    """Return upper bounds of the memory and disk of a run, by what each step holds at once."""
    compute, needs = limits.compute, _Needs.of(work, limits)
    rows = PER_ROW * work.rows + 3 * work.leaves * work.dimension * 4
    reading = tasks_at_once(compute.driver_limit, needs.block, compute.threads)
    driver, worker = DRIVER + max(rows, needs.held), 0.0
    if compute.alone:
        driver = DRIVER + max(rows, needs.held, _at_once(needs, compute.driver_limit, compute.threads))
    else:
        worker = SLACK + _at_once(needs, compute.memory_limit, compute.worker_threads)
        reading = compute.workers * tasks_at_once(compute.memory_limit, needs.block, compute.worker_threads)
    stored = work.rows * (work.payload_bytes + work.dimension * limits.itemsize)
    disk = 1.2 * stored + (work.rows * work.dimension * 4 if needs.group else 0) + 64 * work.rows
    return Requirements(
        worker=int(worker),
        driver=int(driver),
        disk=int(disk),
        reader=int(READER + needs.block) if compute.isolated else 0,
        readers=reading if compute.isolated else 0,
    )


def _at_once(needs: _Needs, budget: int, threads: int) -> float:
    """Return what the tasks of a process take that run at a time."""
    return max(each * tasks_at_once(budget, each, threads) for each in (needs.block, needs.group))


def shortfalls(required: Requirements, work: Workload, limits: ResourceLimits, workspace: str) -> list[Shortfall]:
    """Return the resources of the compute, this machine and the workspace that are too small for a run."""
    compute, needs = limits.compute, _Needs.of(work, limits)
    more = "raise memory_gib" if limits.asked is not None else "give workers more memory (compute)"
    found = []
    if required.worker > (limit := compute.memory_limit):
        setting = _smaller(needs, limits, limit - SLACK, 0.0) + f", or {more}"
        found.append(Shortfall(what="memory of a worker", required=required.worker, available=limit, setting=setting))
    if required.driver > (limit := compute.driver_limit):
        more = "raise memory_gib" if limits.asked is not None else "start the run on a larger machine"
        if PER_ROW * work.rows + DRIVER > limit:
            setting = f"{more}, or curate part of the source (source.uri) at a time"
        else:
            setting = _smaller(needs, limits, limit - DRIVER, needs.held) + f", or {more}"
        found.append(
            Shortfall(what="memory of the driver process", required=required.driver, available=limit, setting=setting)
        )
    if limits.asked is not None:
        here = 1 + (compute.workers if compute.here and not compute.alone else 0)
        usable = usable_memory()
        if here * limits.asked * GIB > usable:
            fits = _down(usable / here / GIB)
            found.append(
                Shortfall(
                    what=f"memory of this machine, for the driver and {count(here - 1, 'worker')} of memory_gib each",
                    required=int(here * limits.asked * GIB),
                    available=usable,
                    setting=f"set memory_gib to {fits:g} or less, or leave it out",
                )
            )
    if storage.is_local(workspace):
        free = psutil.disk_usage(_existing(workspace)).free
        if required.disk > free:
            found.append(
                Shortfall(
                    what="disk of the workspace",
                    required=required.disk,
                    available=free,
                    setting="set workspace to a larger disk or an object store",
                )
            )
    return found


def _smaller(needs: _Needs, limits: ResourceLimits, spare: float, held: float) -> str:
    """Return the setting with which what takes most takes no more than `spare` bytes; held: beside tasks on blocks."""
    if max(needs.group, held) > needs.block:
        return f"set clustering.memory_gib to {_down(0.8 * max(0.0, spare) / GIB):g} or less"
    rows = max(1, int(limits.rows_per_block * min(1.0, max(0.0, spare) / needs.block) * 0.8))
    return f"set source.rows_per_block to {rows:,} or less"


def _down(gib: float) -> float:
    return max(0.05, int(gib * 100) / 100)


def _existing(workspace: str) -> str:
    """Return the nearest folder that exists; it is on the disk that the workspace will be on."""
    path = Path(storage.filesystem(workspace)[1])
    return str(next(folder for folder in (path, *path.parents) if folder.exists()))
