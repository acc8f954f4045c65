"""Which rows of a block belong to the pool, to the version, to random draws, and to random halves of the version."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Int64Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.distance.halves import HALVES, halves_of
from evenkeel.tasks.distance.rows import MOST_ROWS, SAMPLE_SEED
from evenkeel.tasks.measure.joint import copies_of

DRAWS = 8
POOL, VERSION = 0, 1
FIRST_DRAW, FIRST_HALF = 2, 2 + DRAWS
SETS = 2 + DRAWS + HALVES
MOST_DRAWN = 1 << 13
DRAW_SEED = 0x6472_6177


@dataclass(frozen=True)
class VersionSets:
    """The sets that distances of a version are measured between, each row by a hash of its identity.

    sample: the folder of the selection. of_pool, of_version, of_draw: shares of the pool's, the version's and again the
    pool's rows that are looked at, so that no more than some ten thousand are.
    """

    sample: str
    of_pool: float
    of_version: float
    of_draw: float

    @classmethod
    def between(cls, sample: str, pool: int, version: int) -> "VersionSets":
        """Return the sets of a pool of so many rows and a version of so many."""
        of_pool, of_version = (min(1.0, MOST_ROWS / max(rows, 1)) for rows in (pool, version))
        return cls(sample, of_pool, of_version, min(version, MOST_DRAWN) / max(pool, 1))

    def __call__(self, block: str, table: pa.Table) -> Int64Array:
        """Return the copies of a block's rows in every set, (n, 18) int64."""
        identity = table["identity"].to_numpy()
        copies = np.zeros((len(identity), SETS), np.int64)
        place = uniform(SAMPLE_SEED, identity)
        copies[:, POOL] = place < self.of_pool
        copies[:, VERSION] = np.where(place < self.of_version, copies_of(table["row_id"].to_numpy(), self.sample), 0)
        for draw in range(DRAWS):
            copies[:, FIRST_DRAW + draw] = uniform(DRAW_SEED + draw, identity) < self.of_draw
        copies[:, FIRST_HALF:] = halves_of(copies[:, VERSION], identity)
        return copies
