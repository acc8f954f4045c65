"""Vectors of a pool brought together by cell: written once more, sorted, so that a batch of cells reads its own.

Run by run of blocks, members of cells and their vectors are sorted by cell and written as one file with two sections
for every batch of cells. A batch then reads its sections of every run and nothing else: where many batches look for
their rows in all blocks instead, every worker reads the whole pool, and a row costs the opening of a block.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array
from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Array, DType
from evenkeel.infra.sections import read_sections, write_sections
from evenkeel.tasks.embed.vectors import Vectors

RUN_BYTES = 1 << 29  # vectors of a run of blocks, which a worker holds as they are and sorted


@dataclass(frozen=True)
class Scattered:
    """Members of cells with their vectors, in files of runs of blocks; small enough to send to a worker.

    member: the type of a member, which has the fields `cell` and `row`, its place in its block. placed: the folder with
    the members of every block, `<block>.npy`, sorted by cell. folder: of the files. scratch: for copies of remote
    files. edges: the first cell of every batch, and the number of cells. runs: how many files there are.
    """

    vectors: Vectors
    member: DType
    placed: str
    folder: str
    scratch: Path
    edges: tuple[int, ...]
    runs: int = 0

    def parts(self, batch: int) -> Iterator[tuple[Array, Array]]:
        """Yield the members of a batch and their vectors, (n,) and (n, d) as stored, sorted by cell, run by run."""
        kind = self.vectors.dtype.newbyteorder("<")
        for number in range(self.runs):
            members, vectors = read_sections(self.file(number), 2 * batch, 2 * batch + 2)
            yield np.frombuffer(members, self.member), np.frombuffer(vectors, kind).reshape(-1, self.vectors.dimension)

    def members(self, batch: int) -> Array:
        """Return the members of a batch without their vectors, (n,), sorted by cell within each run."""
        found = [read_sections(self.file(number), 2 * batch, 2 * batch + 1)[0] for number in range(self.runs)]
        return np.concatenate([np.empty(0, self.member), *(np.frombuffer(part, self.member) for part in found)])

    def file(self, number: int) -> str:
        """Return the file of a run."""
        return storage.join(self.folder, f"run-{number:06d}.bin")


def scatter(wanted: Scattered, blocks: Sequence[str], rows: Sequence[int], compute: Compute) -> Scattered:
    """Write the files; rows: of every block."""
    size = wanted.vectors.dimension * wanted.vectors.dtype.itemsize
    ends, most = np.cumsum(rows), max(1, RUN_BYTES // size)
    numbers = [list(part) for _, part in groupby(range(len(ends)), key=lambda at: int((ends[at] - 1) // most))]
    runs = [(number, [blocks[at] for at in part]) for number, part in enumerate(numbers)]
    compute.map(partial(_write_run, wanted), runs, work=sum(rows) * size)
    return replace(wanted, runs=len(runs))


def _write_run(wanted: Scattered, run: tuple[int, list[str]]) -> None:
    """Write the file of a run of blocks: the members of every batch, sorted by cell, and their vectors."""
    number, blocks = run
    kind = wanted.vectors.dtype.newbyteorder("<")
    members, vectors = [np.empty(0, wanted.member)], [np.empty((0, wanted.vectors.dimension), kind)]
    for block in blocks:
        found = map_array(storage.join(wanted.placed, f"{block}.npy"), wanted.scratch)
        members.append(found)
        vectors.append(wanted.vectors.block(block)[found["row"]])
    every, rows = np.concatenate(members), np.concatenate(vectors)
    del members, vectors
    order = np.argsort(every["cell"], kind="stable")
    every = every[order]
    cuts = np.searchsorted(every["cell"], wanted.edges).tolist()
    sections: list[bytes | memoryview] = []
    for first, last in pairwise(cuts):
        part = rows[order[first:last]]
        sections += [every[first:last].view(np.uint8).data, part.reshape(-1).view(np.uint8).data]
    write_sections(wanted.file(number), sections)
