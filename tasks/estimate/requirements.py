"""Compare the memory and disk that a run requires with what is available, and name the setting that helps."""

from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.memory import BLOCK_BYTES, COPIES, GIB, TASKS, reader_bytes, tasks_at_once, usable_memory
from evenkeel.infra.quantities import count, size
from evenkeel.tasks.dedup.exact import RECORD_BYTES, RECORDS_PER_RANGE
from evenkeel.tasks.kmeans.cost import centroid_bytes, k_means_bytes
from evenkeel.tasks.workload import Workload

VECTORS = 2  # copies of its vectors that a task on a block holds
VECTORS_READ = 6  # and a reader, which makes a matrix of a column; where the column is kept, it is one of them
PER_ROW = 96  # bytes of ids, leaves, distances and hashes that a step holds in one process for each row
SLACK = 0.34e9  # a worker: an interpreter with its libraries and compiled code
DRIVER = 0.45e9  # the driver until the pool is clustered, with Prefect
DRIVER_AT_END = 0.8e9  # and then with the probe of partitions, Great Expectations and the card: on 800 to 600,000 rows


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
    """Bytes that a run takes: memory of the driver process, of a worker, of a reader of shards; disk.

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
    to be clustered. asked: what the recipe says that a process may take, in GiB. largest: the share of the rows
    that lie in the largest shard, or pack of small ones: a block has rows of one. held: bytes of the largest shard that
    lies in memory while a device decodes it.
    """

    rows_per_block: int
    memory_gib: float
    itemsize: int
    compute: Compute
    kept: float = 0.5
    clusters: bool = True
    asked: float | None = None
    largest: float = 1.0
    held: int = 0


@dataclass(frozen=True)
class _Needs:
    """Bytes that are held at a time.

    block: by a task on a block. read: by a reader of shards. group: by a k-means of a part of the rows, 0 = none.
    k_means: by one of all rows, in the driver, 0 = none. repeats: by the search for rows that repeat others. ids: of
    every row, and of the centroids.
    """

    block: float
    read: float
    group: float
    k_means: float
    repeats: float
    ids: float

    @classmethod
    def of(cls, work: Workload, limits: ResourceLimits) -> "_Needs":
        data, vector, source = work.payload_bytes + work.text_bytes, 4 * work.dimension, 4 * work.source_dimension
        in_block = min(limits.rows_per_block, limits.largest * work.rows, BLOCK_BYTES / max(1.0, data + vector))
        other = data - source if work.vector_kept else data
        centroids = 3 * work.leaves * work.dimension * 4
        k_means = work.rows * k_means_bytes(work.dimension, limits.itemsize, limits.kept)
        k_means = (k_means + work.leaves * centroid_bytes(work.dimension)) if limits.clusters else 0.0
        split = k_means > limits.memory_gib * GIB
        return cls(
            block=in_block * (COPIES * data + VECTORS * vector),
            read=in_block * (COPIES * other + VECTORS_READ * source),
            group=limits.memory_gib * GIB + centroids if split else 0.0,
            k_means=0.0 if split else k_means,
            repeats=RECORD_BYTES * min(work.rows, RECORDS_PER_RANGE),
            ids=PER_ROW * work.rows + centroids,
        )


def requirements(work: Workload, limits: ResourceLimits) -> Requirements:
    """Return the memory of the processes of a run and the disk it takes, by what each step holds at once."""
    compute, needs = limits.compute, _Needs.of(work, limits)
    reader = reader_bytes(limits.held) + needs.read
    # What is too little for the workers, or is one task, the driver does.
    reads_here = compute.alone or work.rows * (work.payload_bytes + 4 * work.dimension) < compute.inline_below
    repeats = min(needs.repeats, TASKS * compute.driver_limit)
    tasks = _at_once(needs, compute.driver_limit, compute.threads) if reads_here else 0.0
    driver = max(DRIVER_AT_END + needs.ids, DRIVER + max(needs.k_means, repeats, tasks))
    worker, readers = 0.0, tasks_at_once(compute.driver_limit, reader, compute.threads)
    if not compute.alone:
        worker = SLACK + _at_once(needs, compute.memory_limit, compute.worker_threads)
    if not reads_here:
        readers = compute.workers * tasks_at_once(compute.memory_limit, reader, compute.worker_threads)
    stored = work.rows * (work.payload_bytes + work.dimension * limits.itemsize)
    disk = 1.2 * stored + (work.rows * work.dimension * 4 if needs.group else 0) + 64 * work.rows
    return Requirements(
        worker=int(worker),
        driver=int(driver),
        disk=int(disk),
        reader=int(reader) if compute.isolated else 0,
        readers=readers if compute.isolated else 0,
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
        if needs.ids + DRIVER_AT_END > limit:
            setting = f"{more}, or curate part of the source (source.uri) at a time"
        else:
            setting = _smaller(needs, limits, limit - DRIVER, needs.k_means) + f", or {more}"
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


def _smaller(needs: _Needs, limits: ResourceLimits, spare: float, k_means: float) -> str:
    """Return the setting with which no more than `spare` bytes are taken; k_means: bytes beside tasks on blocks."""
    if max(needs.group, k_means) > needs.block:
        return f"set clustering.memory_gib to {_down(0.8 * max(0.0, spare) / GIB):g} or less"
    rows = max(1, int(limits.rows_per_block * min(1.0, max(0.0, spare) / needs.block) * 0.8))
    return f"set source.rows_per_block to {rows:,} or less"


def _down(gib: float) -> float:
    return max(0.05, int(gib * 100) / 100)


def _existing(workspace: str) -> str:
    """Return the nearest folder that exists; it is on the disk that the workspace will be on."""
    path = Path(storage.filesystem(workspace)[1])
    return str(next(folder for folder in (path, *path.parents) if folder.exists()))
