"""The rows that were picked, and the weights by which a draw takes exactly these."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import xxhash

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Array, Float64Array, UInt64Array
from evenkeel.infra.hashing import uniform

PICK = np.dtype([("row_id", "<u8"), ("place", "<f8")])
COLUMNS = ("identity",)
SEED = 0x7069_636B


@dataclass(frozen=True)
class Picks:
    """The weight of a row: above 1 for one that was picked, more the earlier it was; else a random number below 1.

    A draw of the largest weights takes the picked rows first, and others only where it is asked for more. files: of
    PICK, sorted by row_id. kept: the same in memory, where there is no folder for files.
    """

    files: tuple[str, ...]
    scratch: str
    seed: int
    kept: Array | None = None

    @classmethod
    def of(cls, row_ids: UInt64Array, folder: str, scratch: str, seed: int) -> Self:
        """Return the picks of one list of rows in their order, written to a folder for the workers."""
        picks = picks_in_order(row_ids)
        if not folder:
            return cls((), scratch, seed, picks)
        uri = storage.join(folder, f"picks-{xxhash.xxh3_64_hexdigest(picks.tobytes())}.npy")  # as `array_for_workers`
        write_array(uri, picks)
        return cls((uri,), scratch, seed)

    def __call__(self, table: pa.Table, block: str) -> Float64Array:
        """Return the weights of the rows of a table, (n,) float64."""
        row_id = table["row_id"].to_numpy()
        weights = uniform(self.seed + SEED, table["identity"].to_numpy())
        if not len(row_id):
            return weights
        maps: Sequence[Array] = [map_array(uri, Path(self.scratch)) for uri in self.files]
        for picks in maps if self.kept is None else [self.kept]:
            start, stop = np.searchsorted(picks["row_id"], [row_id[0], row_id[-1] + np.uint64(1)])
            here = picks[start:stop]
            place = np.minimum(np.searchsorted(row_id, here["row_id"]), len(row_id) - 1)
            there = row_id[place] == here["row_id"]
            weights[place[there]] = 1.0 + here["place"][there]
        return weights


def picks_in_order(row_ids: UInt64Array) -> Array:
    """Return rows in the order in which they were picked as PICK, sorted by row_id; the first has the largest place."""
    picks = np.empty(len(row_ids), PICK)
    picks["row_id"], picks["place"] = row_ids, np.arange(len(row_ids), 0, -1)
    return picks[np.argsort(picks["row_id"])]
