"""What a run needs of memory and disk, against what there is; and which setting would make it fit."""

from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute, machine_memory
from evenkeel.tasks.estimate.costs import Work

GIB = 1 << 30
PER_ROW = 96  # bytes of ids, leaves, distances and hashes that a step holds in one process for each row
BLOCK_COPIES = 4  # of a block while it is read, checked, typed and written
SLACK = 0.3e9  # an interpreter with its libraries


class Misfit(BaseModel):
    """Something that does not fit: what, how much is needed, how much there is, and the setting that would help."""

    what: str
    needed: int
    there: int
    setting: str

    def told(self) -> str:
        """Return one line about it."""
        return f"{self.what}: needs {size(self.needed)}, there are {size(self.there)}; {self.setting}"


class Needs(BaseModel):
    """Bytes that a run takes at most: memory of one worker, memory of the process that leads, disk of the workspace."""

    worker: int
    leader: int
    disk: int


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


@dataclass(frozen=True)
class Room:
    """What the recipe allows each step to hold, how vectors are stored, and where the run is to be."""

    rows_per_block: int
    memory_gib: float
    itemsize: int
    compute: Compute


def needs(work: Work, room: Room) -> Needs:
    """Return what a run takes; upper bounds by what each step holds at once."""
    row = work.payload_bytes + work.text_bytes + 4 * work.dimension
    block = BLOCK_COPIES * min(room.rows_per_block, work.rows) * row
    vectors = work.rows * work.dimension * 4
    centroids = (work.levels[0] if work.levels else 0) * work.dimension * 4
    group = min(vectors, room.memory_gib * GIB)
    split = vectors > room.memory_gib * GIB
    worker = SLACK + max(block, (2 * group + 3 * centroids) if split else 0)
    leader = SLACK + max(PER_ROW * work.rows + 3 * centroids, 0 if split else 2.5 * vectors)
    stored = work.rows * (work.payload_bytes + work.dimension * room.itemsize)
    disk = 1.2 * stored + (work.rows * work.dimension * 4 if split else 0) + 64 * work.rows
    return Needs(worker=int(worker), leader=int(leader), disk=int(disk))


def misfits(found: Needs, work: Work, room: Room, workspace: str) -> list[Misfit]:
    """Return what does not fit the compute, this machine and the workspace's disk; [] where everything does."""
    wrong, compute = [], room.compute
    if found.worker > compute.memory_limit:
        spare = max(0.0, compute.memory_limit - SLACK)
        fits = max(0.05, round(spare / 2 / GIB * 0.8, 2))
        if room.memory_gib > fits:
            setting = f"set clustering.memory_gib to {fits:g} or less, or give workers more memory (compute)"
        else:
            rows = max(1, int(room.rows_per_block * spare / max(1, found.worker - SLACK) * 0.8))
            setting = f"set source.rows_per_block to {rows:,} or less, or give workers more memory (compute)"
        wrong.append(
            Misfit(what="memory of a worker", needed=found.worker, there=compute.memory_limit, setting=setting)
        )
    memory = machine_memory()
    if found.leader > memory:
        if PER_ROW * work.rows + SLACK > memory:
            setting = "lead the run from a larger machine, or curate part of the source (source.uri) at a time"
        else:
            fits = max(0.05, round((memory - SLACK) / 2.5 / GIB * 0.8, 2))
            setting = f"set clustering.memory_gib to {fits:g} or less, so that the vectors are clustered in groups"
        wrong.append(Misfit(what="memory of the leading process", needed=found.leader, there=memory, setting=setting))
    if storage.is_local(workspace):
        free = psutil.disk_usage(_existing(workspace)).free
        if found.disk > free:
            wrong.append(
                Misfit(
                    what="disk of the workspace",
                    needed=found.disk,
                    there=free,
                    setting="name another place for it (workspace), an object store for instance",
                )
            )
    return wrong


def _existing(workspace: str) -> str:
    """Return the nearest folder that exists: the disk that the workspace would be on."""
    path = Path(storage.filesystem(workspace)[1])
    return str(next(folder for folder in (path, *path.parents) if folder.exists()))
