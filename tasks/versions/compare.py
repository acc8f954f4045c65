"""Compare two sets of rows: four distances, each beside what sampling noise alone comes to."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from evenkeel.tasks.distance.halves import HALVES, frechet_of_halves
from evenkeel.tasks.distance.measures import (
    BY,
    By,
    above_noise,
    discrepancy,
    discrepancy_by_noise,
    frechet_distances,
    simulated,
)
from evenkeel.tasks.measure.churn import in_both
from evenkeel.tasks.measure.histograms import FEW_CLUSTERS, MOST_CLUSTERS, kind_of, share_of
from evenkeel.tasks.versions.row_sets import Frame, RowSet

SAME = 1e-9


class DistanceLine(BaseModel):
    """One distance between two sets.

    noise: what two draws of one set of these sizes hardly exceed. pool: the distance of the pool to the second set,
    where it was asked for. None: it cannot be measured here, as the noise of too few rows.
    """

    model_config = ConfigDict(frozen=True)

    by: By
    distance: float | None
    noise: float | None
    pool: float | None = None

    @property
    def times(self) -> float | None:
        """How many times the noise the distance is."""
        return None if self.distance is None or self.noise is None else self.distance / self.noise

    @property
    def apart(self) -> bool:
        """Tell whether the sets differ beyond sampling noise."""
        return self.distance is not None and self.noise is not None and self.distance > self.noise


class Comparison(BaseModel):
    """Two sets of rows and their distances; shared: rows of the samples looked at that are in both."""

    model_config = ConfigDict(frozen=True)

    a: str
    b: str
    rows_a: int
    rows_b: int
    shared: int
    distances: list[DistanceLine]


def compare(frame: Frame, a: RowSet, b: RowSet, pool: RowSet | None = None) -> Comparison:
    """Return the distances of two sets that were summed up in one frame; pool: to be compared with b as well."""
    shared = in_both(a.hashes, b.hashes, min(a.share, b.share))
    fewer, more = (a, b) if a.sums.rows[0] <= b.sums.rows[0] else (b, a)
    apart = frechet_of_halves(fewer.sums, 0, range(1, 1 + HALVES), float(more.sums.rows[0]))
    mmd = discrepancy(a.summary, b.summary, shared)
    lines = [
        _line("mmd", mmd, discrepancy_by_noise(a.summary, b.summary), _mmd(pool, b)),
        _line("frechet", _frechet(a, b), above_noise(apart), None if pool is None else _frechet(pool, b)),
    ]
    most = FEW_CLUSTERS if pool is None else MOST_CLUSTERS
    for by in BY[2:]:
        kind = kind_of(frame.hierarchy, by, frame.hierarchy.levels[0].counts, most)
        of_a, of_b = kind.lift(a.leaves), kind.lift(b.leaves)
        both = (share_of(of_a) + share_of(of_b)) / 2
        noise = simulated(kind.distance, both, (int(of_b.sum()), int(of_a.sum())), HALVES)
        of_pool = None if pool is None else kind.distance(of_b, kind.lift(pool.leaves))
        lines.append(_line(by, kind.distance(of_b, of_a), above_noise(noise), of_pool))
    return Comparison(a=a.name, b=b.name, rows_a=a.rows, rows_b=b.rows, shared=shared, distances=lines)


def _line(by: By, distance: float, noise: float, pool: float | None) -> DistanceLine:
    found, around, other = (
        None if one is None or not np.isfinite(one) else float(one) for one in (distance, noise, pool)
    )
    return DistanceLine(
        by=by, distance=found, noise=around if around is not None and around > SAME else None, pool=other
    )


def _mmd(pool: RowSet | None, b: RowSet) -> float | None:
    if pool is None:
        return None
    return discrepancy(pool.summary, b.summary, in_both(pool.hashes, b.hashes, min(pool.share, b.share)))


def _frechet(a: RowSet, b: RowSet) -> float:
    return float(frechet_distances([a.summary], b.summary)[0])
