"""The order of published rows: by cluster path from the top, then by row id; and where one data file ends.

Where a recipe annotates the rows, by their rank, or first by split and stages (`following.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.tables import read_groups
from evenkeel.tasks.publish.staging.following import RANK, Following

Longs = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint64]
FOLLOWING = "following.json"
PARTS = ("paths", "rank", "cut_rank", "cut_row")


@dataclass(frozen=True)
class Order:
    """Where each leaf comes in a version, and the first row of each data file.

    paths: (k, levels) int32, the clusters of each leaf from level 1 up. rank: (cells,) int64, place of each cell: each
    leaf, once for each part that rows follow. cut_rank, cut_row: (files,) int64, uint64, rank of the cell and row id of
    each file's first row. Where rows follow their rank, all are in cell 0, and the rank stands in place of the row id.
    """

    paths: npt.NDArray[np.int32]
    rank: Longs
    cut_rank: Longs
    cut_row: Ids
    following: Following | None = None

    @property
    def files(self) -> int:
        """How many data files there are."""
        return len(self.cut_rank)

    def save(self, folder: str) -> None:
        """Write the arrays as .npy files."""
        for name in PARTS:
            write_array(storage.join(folder, f"{name}.npy"), getattr(self, name))
        if (one := self.following) is not None:
            about = {"columns": one.columns, "coarse": one.coarse, "parts": one.parts.tolist()}
            storage.write_json(storage.join(folder, FOLLOWING), about)

    @classmethod
    def load(cls, folder: str) -> Self:
        """Read what `save` wrote."""
        following = None
        if storage.exists(uri := storage.join(folder, FOLLOWING)):
            about = storage.read_json(uri)
            following = Following(tuple(about["columns"]), about["coarse"], np.array(about["parts"], np.int64))
        arrays = {name: read_array(storage.join(folder, f"{name}.npy")) for name in PARTS}
        return cls(**arrays, following=following)

    def keys(self, table: pa.Table) -> tuple[Longs, Ids]:
        """Return the cell of published rows, (n,) int64, and what they are sorted by in it, (n,) uint64."""
        row = table["ek_row_id"].to_numpy().astype(np.uint64)
        leaf = table["ek_cluster_1"].to_numpy().astype(np.int64)
        if self.following is None:
            return leaf, row
        if self.following.ranked:
            return np.zeros_like(leaf), table[RANK].to_numpy().astype(np.uint64)
        return self.following.part(table) * len(self.paths) + leaf, row

    def sort(self, leaf: npt.NDArray[np.int32] | Longs, row: Ids) -> Longs:
        """Return the permutation that puts rows, given their cells and what sorts them there, in published order."""
        return np.lexsort((row, self.rank[leaf]))

    def cuts(self, leaf: npt.NDArray[np.int32] | Longs, row: Ids) -> Longs:
        """Return (files + 1,) offsets: rows `[cuts[f], cuts[f + 1])` of these sorted rows belong to file f."""
        rank = self.rank[leaf]
        first, last = np.searchsorted(rank, self.cut_rank), np.searchsorted(rank, self.cut_rank, side="right")
        for file in np.flatnonzero(first < last):
            within = row[first[file] : last[file]]
            first[file] += np.searchsorted(within, self.cut_row[file])
        first[0] = 0
        return np.append(first, len(row)).astype(np.int64)


def plan_ranked(rows: int, paths: npt.NDArray[np.int32], rows_per_file: int, following: Following) -> Order:
    """Return the order of so many rows by their rank, for leaves with `paths`."""
    files = max(-(-rows // rows_per_file), 1)
    starts = (np.arange(files) * rows // files).astype(np.uint64)
    return Order(paths, np.zeros(1, np.int64), np.zeros(files, np.int64), starts, following)


def plan(selection: str, paths: npt.NDArray[np.int32], rows_per_file: int, following: Following | None = None) -> Order:
    """Return the order of the rows in `selection` (URI of selection.parquet, sorted by row id) for leaves with `paths`.

    following: the leaf counts once for each of its parts in the selection. Files differ by one row at most. Two passes
    over the selection, a row group at a time; memory (k,) and a row group.
    """
    cells = len(paths) * (1 if following is None else len(following.parts))
    sizes = np.zeros(cells, dtype=np.int64)
    for leaf, _ in _chunks(selection):
        sizes += np.bincount(leaf, minlength=cells)
    by_place = np.lexsort(tuple(paths.T)) if paths.shape[1] else np.arange(len(paths))
    by_place = np.concatenate([by_place + first for first in range(0, cells, max(len(paths), 1))])
    rank = np.empty(cells, dtype=np.int64)
    rank[by_place] = np.arange(cells)
    total = int(sizes.sum())
    files = max(-(-total // rows_per_file), 1)
    ends = np.cumsum(sizes[by_place])
    starts = np.arange(files) * total // files
    cut_rank = np.minimum(np.searchsorted(ends, starts, side="right"), max(cells - 1, 0)).astype(np.int64)
    cut_leaf = by_place[cut_rank] if cells else cut_rank
    within = starts - (ends - sizes[by_place])[cut_rank] if cells else starts
    return Order(paths, rank, cut_rank, _row_ids_at(selection, cut_leaf, within, cells), following)


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
