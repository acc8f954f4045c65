"""Compare the memory and disk that a run requires with what is available, and name the setting that helps."""

from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute, machine_memory
from evenkeel.infra.quantities import size
from evenkeel.tasks.kmeans.cost import k_means_bytes
from evenkeel.tasks.workload import Workload

GIB = 1 << 30
PER_ROW = 96  # bytes of ids, leaves, distances and hashes that a step holds in one process for each row
BLOCK_COPIES = 4  # of a block while it is read, checked, typed and written
SLACK = 0.3e9  # an interpreter with its libraries
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
    """Bytes that a run takes at most: memory of one worker, memory of the driver process, disk of the workspace."""

    worker: int
    driver: int
    disk: int


@dataclass(frozen=True)
class ResourceLimits:
    """What the recipe lets a step hold in memory, the bytes of a stored vector component, and the compute.

    kept: the share of the rows that a round of resampling fits on, 0 without resampling.
    """

    rows_per_block: int
    memory_gib: float
    itemsize: int
    compute: Compute
    kept: float = 0.5


def requirements(work: Workload, limits: ResourceLimits) -> Requirements:
    """Return upper bounds of the memory and disk of a run, by what each step holds at once."""
    row = work.payload_bytes + work.text_bytes + 4 * work.dimension
    block = BLOCK_COPIES * min(limits.rows_per_block, work.rows) * row
    centroids = work.leaves * work.dimension * 4
    held = work.rows * k_means_bytes(work.dimension, limits.itemsize, limits.kept)
    split = held > limits.memory_gib * GIB
    worker = SLACK + max(block, (limits.memory_gib * GIB + 3 * centroids) if split else 0)
    driver = DRIVER + max(PER_ROW * work.rows + 3 * centroids, 0 if split else held)
    stored = work.rows * (work.payload_bytes + work.dimension * limits.itemsize)
    disk = 1.2 * stored + (work.rows * work.dimension * 4 if split else 0) + 64 * work.rows
    return Requirements(worker=int(worker), driver=int(driver), disk=int(disk))


def shortfalls(required: Requirements, work: Workload, limits: ResourceLimits, workspace: str) -> list[Shortfall]:
    """Return the resources of the compute, this machine and the workspace that are too small for a run."""
    found, compute = [], limits.compute
    if required.worker > compute.memory_limit:
        spare = max(0.0, compute.memory_limit - SLACK)
        fits = max(0.05, round(spare / GIB * 0.8, 2))
        if limits.memory_gib > fits:
            setting = f"set clustering.memory_gib to {fits:g} or less, or give workers more memory (compute)"
        else:
            rows = max(1, int(limits.rows_per_block * spare / max(1, required.worker - SLACK) * 0.8))
            setting = f"set source.rows_per_block to {rows:,} or less, or give workers more memory (compute)"
        found.append(
            Shortfall(
                what="memory of a worker", required=required.worker, available=compute.memory_limit, setting=setting
            )
        )
    memory = machine_memory()
    if required.driver > memory:
        if PER_ROW * work.rows + DRIVER > memory:
            setting = "start the run on a larger machine, or curate part of the source (source.uri) at a time"
        else:
            fits = max(0.05, round((memory - DRIVER) / GIB * 0.8, 2))
            setting = f"set clustering.memory_gib to {fits:g} or less, so that the vectors are clustered in groups"
        found.append(
            Shortfall(what="memory of the driver process", required=required.driver, available=memory, setting=setting)
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


def _existing(workspace: str) -> str:
    """Return the nearest folder that exists; it is on the disk that the workspace will be on."""
    path = Path(storage.filesystem(workspace)[1])
    return str(next(folder for folder in (path, *path.parents) if folder.exists()))
