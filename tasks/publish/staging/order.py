"""The order of published rows: by cluster path from the top, then by row id; and where one data file ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.tables import read_groups

Longs = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint64]
PARTS = ("paths", "rank", "cut_rank", "cut_row")


@dataclass(frozen=True)
class Order:
    """Where each leaf comes in a version, and the first row of each data file.

    paths: (k, levels) int32, the clusters of each leaf from level 1 up. rank: (k,) int64, place of each leaf.
    cut_rank, cut_row: (files,) int64, uint64, rank of the leaf and row id of each file's first row.
    """

    paths: npt.NDArray[np.int32]
    rank: Longs
    cut_rank: Longs
    cut_row: Ids

    @property
    def files(self) -> int:
        """How many data files there are."""
        return len(self.cut_rank)

    def save(self, folder: str) -> None:
        """Write the arrays as .npy files."""
        for name in PARTS:
            write_array(storage.join(folder, f"{name}.npy"), getattr(self, name))

    @classmethod
    def load(cls, folder: str) -> Self:
        """Read what `save` wrote."""
        return cls(**{name: read_array(storage.join(folder, f"{name}.npy")) for name in PARTS})

    def sort(self, leaf: npt.NDArray[np.int32], row: Ids) -> Longs:
        """Return the permutation that puts rows, given their leaves and row ids, in published order."""
        return np.lexsort((row, self.rank[leaf]))

    def cuts(self, leaf: npt.NDArray[np.int32], row: Ids) -> Longs:
        """Return (files + 1,) offsets: rows `[cuts[f], cuts[f + 1])` of these sorted rows belong to file f."""
        rank = self.rank[leaf]
        first, last = np.searchsorted(rank, self.cut_rank), np.searchsorted(rank, self.cut_rank, side="right")
        for file in np.flatnonzero(first < last):
            within = row[first[file] : last[file]]
            first[file] += np.searchsorted(within, self.cut_row[file])
        first[0] = 0
        return np.append(first, len(row)).astype(np.int64)


def plan(selection: str, paths: npt.NDArray[np.int32], rows_per_file: int) -> Order:
    """Return the order of the rows in `selection` (URI of selection.parquet, sorted by row id) for leaves with `paths`.

    Files differ by one row at most. Two passes over the selection, a row group at a time; memory (k,) and a row group.
    """
    sizes = np.zeros(len(paths), dtype=np.int64)
    for leaf, _ in _chunks(selection):
        sizes += np.bincount(leaf, minlength=len(paths))
    by_place = np.lexsort(tuple(paths.T)) if paths.shape[1] else np.arange(len(paths))
    rank = np.empty(len(paths), dtype=np.int64)
    rank[by_place] = np.arange(len(paths))
    total = int(sizes.sum())
    files = max(-(-total // rows_per_file), 1)
    ends = np.cumsum(sizes[by_place])
    starts = np.arange(files) * total // files
    cut_rank = np.minimum(np.searchsorted(ends, starts, side="right"), max(len(paths) - 1, 0)).astype(np.int64)
    cut_leaf = by_place[cut_rank] if len(paths) else cut_rank
    within = starts - (ends - sizes[by_place])[cut_rank] if len(paths) else starts
    return Order(paths, rank, cut_rank, _row_ids_at(selection, cut_leaf, within, len(paths)))


def _row_ids_at(selection: str, leaf: Longs, place: Longs, leaves: int) -> Ids:
    """Return the row id of the `place`-th selected row of each `leaf`, both (files,)."""
    found = np.zeros(len(leaf), dtype=np.uint64)
    wanted = np.zeros(leaves, dtype=bool)
    wanted[leaf[place > 0]] = True
    if not wanted.any():
        return found
    seen: dict[int, int] = {}
    for chunk, rows in _chunks(selection):
        mask = wanted[chunk]
        chunk, rows = chunk[mask], rows[mask]
        for cluster in np.unique(chunk):
            members, before = rows[chunk == cluster], seen.get(int(cluster), 0)
            for file in np.flatnonzero((leaf == cluster) & (place >= before) & (place < before + len(members))):
                found[file] = members[place[file] - before]
            seen[int(cluster)] = before + len(members)
    return found


def _chunks(selection: str) -> Iterator[tuple[npt.NDArray[np.int32], Ids]]:
    for table in read_groups(selection, ["leaf", "row_id"]):
        yield table["leaf"].to_numpy(), table["row_id"].to_numpy()
