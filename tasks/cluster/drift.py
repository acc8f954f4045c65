"""Drift: how far a pool has moved away from the clusters it once had, by distant rows and by sizes that shifted.

Both figures are compared with those of the rows that the clusters were made of, so that noise and the number of
clusters cancel out. The population stability index is the symmetric Kullback-Leibler divergence of two histograms
(Jeffreys 1946); above 0.25 is commonly read as a shift.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from evenkeel.expectations import measures
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.cluster.hierarchy import Hierarchy

BINS = 1024
WIDEST = 16.0
USUAL_SHARE = 0.95
PRIOR_ROWS = 2.0
NEW_ROWS_PER_CLUSTER = 50


class Drift(BaseModel):
    """What is new since the clusters were made. All shares in [0, 1].

    new: rows that the clusters were not made of. kept: share of the rows they were made of that is still here.
    usual_distance: from their centroid, of 95 % of the old rows, in radii of their cluster or, where `by` is "pool", of
    all rows: whichever shows more drift. far, far_before: share of the new and of the old rows beyond it. psi:
    population stability index of the clusters' sizes at `level`, now against then, less what chance alone would show.
    drift: the larger of far - far_before and psi.
    """

    model_config = ConfigDict(frozen=True)

    new: int
    kept: float
    usual_distance: float = Field(validation_alias=AliasChoices("usual_distance", "reach"))
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
class Radii:
    """The radii in which distances are measured: of every leaf, (k,), and of the whole pool.

    The radius of a small leaf is shrunk towards that of the pool, as if it had two more rows that far away. counts:
    (k,) rows that the leaves were made of.
    """

    counts: Int64Array
    leaves: Float64Array
    pool: float

    @classmethod
    def of(cls, base: Hierarchy) -> Self:
        """Return the radii of finished clusters."""
        counts, squared = base.levels[0].counts, base.levels[0].radii.astype(np.float64) ** 2
        overall = float(counts @ squared) / max(int(counts.sum()), 1)
        steady = np.sqrt((counts * squared + PRIOR_ROWS * overall) / (counts + PRIOR_ROWS))
        tiny = np.finfo(np.float32).tiny
        return cls(counts, np.maximum(steady, tiny), max(overall**0.5, float(tiny)))

    def histogram(self, leaves: Int32Array, distances: Float32Array, *, members: bool) -> Int64Array:
        """Count rows by their distance from their centroid in radii: (2, 1024), of the leaf and of the pool.

        members: the centroids were made of these rows.
        """
        unbiased = held_out(distances, self.counts[leaves]) if members else distances
        scaled = [unbiased / self.leaves[leaves], unbiased / self.pool]
        places = [np.minimum(ratios * (BINS / WIDEST), BINS - 1).astype(np.int64) for ratios in scaled]
        return np.stack([np.bincount(place, minlength=BINS) for place in places]).astype(np.int64)


def held_out(distances: Float32Array, counts: Int64Array) -> Float64Array:
    """Return how far rows would be from a centroid made without them, of the other members of their cluster.

    A centroid leans towards its members; without one of n, it is n / (n - 1) times as far from it.
    """
    return distances * (counts / np.maximum(counts - 1, 1))


def measure_drift(
    base: Hierarchy, now: Int64Array, old: int, new: int, histograms: tuple[Int64Array, Int64Array]
) -> Drift:
    """Return the drift of a pool.

    base: the clusters as they were made. now: (k,) rows of every leaf now. old, new: how many of them the clusters
    were made of, and not. histograms: `Radii.histogram` of the old rows and of the new ones.
    """
    old_rows, new_rows = histograms
    by_leaf, by_pool = (_beyond_usual(old_rows[at], new_rows[at]) for at in (0, 1))
    worst = by_pool if by_pool.more > by_leaf.more else by_leaf
    level = next((at for at, one in enumerate(base.levels) if new >= NEW_ROWS_PER_CLUSTER * one.clusters), -1)
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
        usual_distance=worst.usual_distance,
        by="cluster" if worst is by_leaf else "pool",
        far=worst.far,
        far_before=worst.far_before,
        psi=psi,
        level=level,
        drift=max(worst.more, psi),
    )


class _Beyond(NamedTuple):
    """Shares of the new and of the old rows beyond the usual distance, in radii, and how much more of the new are."""

    usual_distance: float
    far: float
    far_before: float

    @property
    def more(self) -> float:
        return max(0.0, self.far - self.far_before)


def _beyond_usual(old: Int64Array, new: Int64Array) -> _Beyond:
    """Return what lies beyond the distance that 95 % of the old rows keep, given both histograms."""
    within = np.cumsum(old) / max(int(old.sum()), 1)
    edge = int(np.searchsorted(within, USUAL_SHARE)) if old.any() else BINS - 1
    far, before = (float(part[edge + 1 :].sum()) / max(int(part.sum()), 1) for part in (new, old))
    return _Beyond((edge + 1) * WIDEST / BINS, far, before)
