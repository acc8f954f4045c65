"""How far a pool has moved away from the clusters it once had: rows out of reach, and sizes that shifted.

Both figures are measured against what rows show that the clusters were made of, so that noise and the number of
clusters cancel out. The population stability index is the symmetric Kullback-Leibler divergence of two histograms
(Jeffreys 1946); above 0.25 is commonly read as a shift.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from evenkeel.expectations import measures
from evenkeel.tasks.cluster.hierarchy import Hierarchy

Counts = npt.NDArray[np.int64]
BINS = 1024
WIDEST = 16.0
USUAL = 0.95
PRIOR_ROWS = 2.0
ROWS_PER_CLUSTER = 50


class Drift(BaseModel):
    """What is new since the clusters were made. All shares in [0, 1].

    new: rows that the clusters were not made of. kept: share of the rows they were made of that is still here.
    reach: the distance that 95 % of the old rows keep, in radii of their cluster or, where `by` is "pool", of all rows:
    whichever shows more. far, far_before: share of the new and of the old rows beyond it. psi: population stability
    index of the clusters' sizes at `level`, now against then, less what chance alone would show. drift: the larger of
    far - far_before and psi.
    """

    model_config = ConfigDict(frozen=True)

    new: int
    kept: float
    reach: float
    by: Literal["cluster", "pool"]
    far: float
    far_before: float
    psi: float
    level: int
    drift: float

    def reason(self, rows: int, limit: float) -> str | None:
        """Return why a pool of `rows` rows should be clustered anew, None where its clusters still do."""
        if self.drift > limit:
            return f"drift {self.drift:.3f} is over the limit of {limit:g}"
        if self.new > rows / 2:
            return f"{self.new:,} of {rows:,} rows are new since the clusters were made: more than half"
        if self.kept < 0.5:
            return f"only {self.kept:.0%} of the rows that the clusters were made of are still here"
        return None


@dataclass(frozen=True)
class Ruler:
    """What distances are measured by: (k,) radii of leaves, the small ones drawn towards that of the pool, and it."""

    counts: Counts
    leaves: npt.NDArray[np.float64]
    pool: float

    @classmethod
    def of(cls, base: Hierarchy) -> Self:
        """Return the ruler of finished clusters."""
        counts, squared = base.levels[0].counts, base.levels[0].radii.astype(np.float64) ** 2
        overall = float(counts @ squared) / max(int(counts.sum()), 1)
        steady = np.sqrt((counts * squared + PRIOR_ROWS * overall) / (counts + PRIOR_ROWS))
        tiny = np.finfo(np.float32).tiny
        return cls(counts, np.maximum(steady, tiny), max(overall**0.5, float(tiny)))

    def bins(self, leaves: npt.NDArray[np.int32], distances: npt.NDArray[Any], *, members: bool) -> Counts:
        """Return how many rows lie how many radii from their centroid: (2, 1024) int64, by leaf and by pool.

        members: the centroids were made of these rows.
        """
        if members:
            distances = held_out(distances, self.counts[leaves])
        scaled = [distances / self.leaves[leaves], distances / self.pool]
        places = [np.minimum(ratios * (BINS / WIDEST), BINS - 1).astype(np.int64) for ratios in scaled]
        return np.stack([np.bincount(place, minlength=BINS) for place in places]).astype(np.int64)


def held_out(distances: npt.NDArray[Any], counts: Counts) -> npt.NDArray[np.float64]:
    """Return how far rows would be from a centroid they had no part in: the mean of the other members of a cluster.

    A centroid leans towards its members; without one of n, it is n / (n - 1) times as far from it.
    """
    return distances * (counts / np.maximum(counts - 1, 1))


def measure_drift(base: Hierarchy, now: Counts, old: int, new: int, bins: tuple[Counts, Counts]) -> Drift:
    """Return the drift of a pool.

    base: the clusters as they were made. now: (k,) rows of every leaf now. old, new: how many of them the clusters
    were made of, and not. bins: `Ruler.bins` of the old rows and of the new ones.
    """
    beyond, by, reach, far, far_before = max(
        (_beyond(bins[0][at], bins[1][at], name) for at, name in ((0, "cluster"), (1, "pool"))), key=lambda one: one[0]
    )
    level = next((at for at, one in enumerate(base.levels) if new >= ROWS_PER_CLUSTER * one.clusters), -1)
    level = len(base.levels) if level < 0 else level + 1
    before = base.levels[level - 1].counts
    after = np.bincount(base.ancestors(level), weights=now, minlength=len(before)).astype(np.int64)
    made_of = int(before.sum())
    fresh = new / max(old + new, 1)
    noise = (len(before) - 1) * fresh**2 * (1 / max(new, 1) + 1 / max(made_of, 1))
    psi = max(0.0, measures.psi(after.astype(np.float64), before.astype(np.float64)) - noise)
    return Drift(
        new=new,
        kept=old / max(made_of, 1),
        reach=reach,
        by="cluster" if by == "cluster" else "pool",
        far=far,
        far_before=far_before,
        psi=psi,
        level=level,
        drift=max(beyond, psi),
    )


def _beyond(old: Counts, new: Counts, name: str) -> tuple[float, str, float, float, float]:
    """Return by how much more of the new rows than of the old lie beyond the usual reach, and where that is."""
    within = np.cumsum(old) / max(int(old.sum()), 1)
    edge = int(np.searchsorted(within, USUAL)) if old.any() else BINS - 1
    far, before = (float(part[edge + 1 :].sum()) / max(int(part.sum()), 1) for part in (new, old))
    return max(0.0, far - before), name, (edge + 1) * WIDEST / BINS, far, before
