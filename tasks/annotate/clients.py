"""Spread rows over the clients of a federation, so that each has few clusters or groups: Dirichlet proportions.

Sources: Yurochkin et al. 2019 (arXiv 1905.12022); Hsu et al. 2019 (arXiv 1909.06335).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Float64Array, Int32Array, UInt64Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.units import Units, cluster_level
from evenkeel.tasks.signal.signal import Fit

SEED = 0xC11E
MAX_PROPORTIONS = 1 << 24


@dataclass(frozen=True)
class Clients:
    """How many clients there are, how alike they are (alpha), and what they differ in: `level-t`, or a group column."""

    count: int
    alpha: float
    over: str
    seed: int

    def fit(self, source: AnnotationSource, folder: str) -> None:
        """Write the cluster of every leaf, and draw the proportions of all clusters where these are not too many."""
        units = Units.find(source, self.over, storage.join(folder, "over"))
        if units.columns:
            return
        count = len(source.hierarchy().levels[(cluster_level(self.over) or 1) - 1].counts)
        if count * self.count <= MAX_PROPORTIONS:
            write_array(storage.join(folder, "proportions.npy"), self.proportions(np.arange(count, dtype=np.uint64)))

    def of(self, table: pa.Table, fit: Fit) -> Int32Array:
        """Return the client of each row, (n,) int32: by its own hash, in the proportions of its cluster or group."""
        over = Units(self.over, storage.join(fit.folder, "over")).numbers(table)
        drawn = uniform(self.seed ^ SEED, table["identity"].to_numpy())
        units, place = np.unique(over, return_inverse=True)
        known = storage.join(fit.folder, "proportions.npy")
        found = map_array(known, Path(fit.scratch))[units] if storage.exists(known) else self.proportions(units)
        ends = (found + np.arange(len(units))[:, None]).ravel()  # ascending: those of unit i lie between i and i + 1
        client = np.searchsorted(ends, place + drawn, side="right") - place * self.count
        return np.asarray(np.clip(client, 0, self.count - 1), np.int32)

    def proportions(self, units: UInt64Array) -> Float64Array:
        """Return cumulative shares of the clients in clusters or groups, (units, clients) float64."""
        found = np.empty((len(units), self.count))
        for place, unit in enumerate(units.tolist()):
            draw = np.random.default_rng([self.seed, SEED, unit])
            found[place] = np.cumsum(draw.dirichlet(np.full(self.count, self.alpha)))
        return np.minimum(found, 1.0)
