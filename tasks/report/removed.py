"""Rows that were dropped as duplicates, each beside its representative."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.drops import KINDS, QUARANTINED
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.validate.examples import Example, read_examples


@dataclass(frozen=True)
class Removed:
    """A dropped row, its representative, and the similarity of the two. kind: exact, near or semantic."""

    kind: str
    similarity: float
    row: Example
    representative: Example


def removed_rows(dedup: StepRef | str, pool: Pool, each: int) -> list[Removed]:
    """Return up to `each` dropped rows of every kind of duplicate, the least similar first; ties by row id.

    Rows on exclusion lists are not shown, nor are those whose texts the pool does not hold.
    """
    dropped = Duplicates.open(dedup).dropped()
    chosen: list[tuple[str, float, int, int]] = []
    for kind in (kind for kind in KINDS if kind not in QUARANTINED):
        mine = dropped.filter(pc.equal(dropped["kind"], kind))
        order = np.argsort(mine["similarity"].to_numpy(), kind="stable")[:each]
        for one in mine.take(order).to_pylist():
            chosen.append((kind, one["similarity"], one["row_id"], one["duplicate_of"]))
    known = read_examples(pool, [row for _, _, *rows in chosen for row in rows])
    return [
        Removed(kind, similarity, known[row], known[of])
        for kind, similarity, row, of in chosen
        if row in known and of in known
    ]
