"""Columns of rows that are sorted by cell: the rank of a row in its cell, the first rows of every cell."""

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.candidates import Columns


def first_of_cells(found: Columns, needs: NDArray[np.int64]) -> Columns:
    """Return the rows with the smallest values of every cell, at most `needs` of each, sorted by cell and value."""
    found = take(found, np.lexsort((found["row_id"], found["value"], found["cell"])))
    return take(found, rank_in_cell(found["cell"]) < needs[found["cell"]])


def rank_in_cell(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2, ... within each run of equal cells, (n,) int64."""
    place = np.arange(len(cell))
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    return place - np.repeat(starts, np.diff(starts, append=len(cell)))


def take(found: Columns, which: NDArray[np.int64] | NDArray[np.bool_]) -> Columns:
    """Return some of the rows, by position or by mask."""
    return {name: values[which] for name, values in found.items()}


def join(parts: list[Columns]) -> Columns:
    """Return the rows of all parts, in order."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
