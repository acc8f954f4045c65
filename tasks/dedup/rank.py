"""Which row of a group is kept: the one with the highest score, then the smallest hash of its id, then the first."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import UInt32Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.ingest.pool import Pool


def rank_columns(pool: Pool, best: str | None) -> list[str]:
    """Return the columns of the row table that rank rows. Raises RecipeError for an unknown score."""
    if best is None:
        return ["row_id", "identity"]
    if best not in pool.scores:
        raise RecipeError(
            f"dedup.best: the pool has no score {best!r}",
            expected=", ".join(pool.scores) or "a column named in source.scores",
            where="dedup.best",
            remedy="name it in source.scores",
        )
    return ["row_id", "identity", f"score.{best}"]


def keep_priority(table: pa.Table, columns: Sequence[str]) -> UInt32Array:
    """Return the priority of rows to be kept, (n,) uint32, smallest first: it falls as the score rises.

    A missing score has the largest; without a score column all have 0.
    """
    if len(columns) < 3:
        return np.zeros(table.num_rows, np.uint32)
    score = table[columns[2]].to_numpy().astype(np.float32)
    bits = (score + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return np.where(np.isnan(score), np.uint32(0xFFFFFFFF), ~rising)
