"""Choose rows in the order `diverse`: inside a cell, rows that are far from one another come first."""

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.candidates import CandidateRows, Columns

CANDIDATES = 4
CHUNK = 512


def farthest_points(vectors: NDArray[np.float32], wanted: int) -> NDArray[np.int64]:
    """Return the positions of `wanted` rows of (n, d) float32, each the farthest from those before it, row 0 first.

    Farthest-point traversal (Gonzalez 1985), within a factor of two of the best covering radius.
    """
    chosen = np.zeros(wanted, np.int64)
    nearest = np.full(len(vectors), np.inf)
    for place in range(1, wanted):
        difference = vectors - vectors[chosen[place - 1]]
        nearest = np.minimum(nearest, np.einsum("nd,nd->n", difference, difference))
        nearest[chosen[place - 1]] = -1.0
        chosen[place] = int(nearest.argmax())
    return chosen


def choose_diverse(
    first: Columns,
    quotas: NDArray[np.int64],
    rows: CandidateRows,
) -> NDArray[np.int64]:
    """Return the positions of the chosen rows, cell by cell, the farthest apart first.

    first: rows sorted by cell and hash, up to four candidates for each wanted row, with the number of their block.
    Cells of more than 512 wanted rows are chosen in runs of 512, so the work is linear in the target.
    """
    starts = np.flatnonzero(np.diff(first["cell"], prepend=-1))
    stops = np.append(starts[1:], len(first["cell"]))
    picked = []
    for start, stop in zip(starts, stops, strict=True):
        wanted = int(min(quotas[first["cell"][start]], stop - start))
        runs = max(1, -(-wanted // CHUNK))
        edges = np.linspace(start, stop, runs + 1).astype(np.int64)
        wants = np.diff(np.linspace(0, wanted, runs + 1).astype(np.int64))
        for low, high, want in zip(edges[:-1], edges[1:], wants, strict=True):
            if want == high - low:
                picked.append(np.arange(low, high))
            elif want > 0:
                picked.append(low + farthest_points(_vectors(first, int(low), int(high), rows), int(want)))
    return np.concatenate(picked) if picked else np.empty(0, np.int64)


def _vectors(first: Columns, low: int, high: int, rows: CandidateRows) -> NDArray[np.float32]:
    blocks, row_ids = first["block"][low:high], first["row_id"][low:high]
    parts, places = [], []
    for block in np.unique(blocks):
        here = np.flatnonzero(blocks == block)
        here = here[np.argsort(row_ids[here])]
        places.append(here)
        parts.append(rows.vectors(rows.blocks[int(block)], row_ids[here]))
    vectors = np.concatenate(parts)
    return vectors[np.argsort(np.concatenate(places))]
