"""Fair and balanced hierarchies: what the parents of a level should hold, and the repair that sees to it."""

from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import pyarrow.compute as pc

from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.cluster.config import ClusteringConfig, Protect
from evenkeel.tasks.cluster.hierarchy import read_rows
from evenkeel.tasks.cluster.source import Source
from evenkeel.tasks.kmeans.repair import MassBounds, repair_parents

NONE = "(none)"
Counts = dict[str, Float64Array]


@dataclass(frozen=True)
class Fairness:
    """The rows of every cluster of a level by protected value, (k, values), one column where no group is protected."""

    config: ClusteringConfig
    masses: Float64Array

    @classmethod
    def of(cls, config: ClusteringConfig, source: Source, out: str, rows: Float64Array, compute: Compute) -> Self:
        """Count the leaves by the protected group, if there is one. rows: (k,) of each leaf; out: where rows lie."""
        if config.protect is None:
            return cls(config, rows[:, None])
        return cls(config, count_by_value(config.protect, source, out, len(rows), compute))

    @property
    def asked(self) -> bool:
        """Return whether the recipe asks for a repair."""
        return self.config.mass_ratio is not None or self.config.protect is not None

    def repair(
        self, children: Float32Array, parents: Int32Array, centroids: Float32Array
    ) -> tuple[Int32Array, dict[str, float]]:
        """Return repaired parents, and facts: children moved, what that costs in inertia, rows still outside."""
        total, k = self.masses.sum(axis=0), len(centroids)
        mean, share = float(total.sum()) / k, total / max(float(total.sum()), 1.0)
        factor = np.inf if self.config.mass_ratio is None else self.config.mass_ratio**0.5
        within = 1.0 if self.config.protect is None else self.config.protect.within
        low = 0.0 if self.config.mass_ratio is None else mean / factor
        bounds = MassBounds(low, mean * factor, np.maximum(0.0, share - within), np.minimum(1.0, share + within))
        before = _inertia(children, parents, centroids)
        found, unmet = repair_parents(children, self.masses, parents, centroids, bounds)
        price = _inertia(children, found, centroids) / before - 1 if before > 0 else 0.0
        moved = int((found != parents).sum())
        return found, {"moved": moved, "inertia": round(price, 4), "rows_outside": round(unmet, 1)}

    def above(self, parents: Int32Array, clusters: int) -> "Fairness":
        """Return the same of the level above."""
        sums = [np.bincount(parents, column, clusters) for column in self.masses.T]
        return Fairness(self.config, np.stack(sums, axis=1).astype(np.float64))


def count_by_value(protect: Protect, source: Source, out: str, leaves: int, compute: Compute) -> Float64Array:
    """Return the rows of every leaf by value of a group column, (leaves, values). Raises RecipeError for none such."""
    if protect.group not in source.pool.groups:
        raise RecipeError(
            f"clustering protects the group column {protect.group!r}, which the pool does not have",
            expected=f"one of {', '.join(source.pool.groups)}" if source.pool.groups else "a column in source.groups",
            where="clustering.protect",
            remedy="add it to source.groups, or correct the name",
        )
    count = partial(_count_block, source=source, out=out, group=protect.group, leaves=leaves)
    found = compute.reduce(count, _merge, source.names, work=source.pool.rows * 40) or {}
    return np.stack([found[value] for value in sorted(found)], axis=1)


def _count_block(block: str, source: Source, out: str, group: str, leaves: int) -> Counts:
    _, index = source.kept(block)
    column = pc.fill_null(source.pool.table(block, [f"group.{group}"])[f"group.{group}"], NONE)
    coded = column.combine_chunks().take(index).dictionary_encode()
    leaf, code = read_rows(out, block, ["leaf"])["leaf"].to_numpy(), coded.indices.to_numpy()
    return {
        value: np.bincount(leaf[code == number], minlength=leaves).astype(np.float64)
        for number, value in enumerate(coded.dictionary.to_pylist())
    }


def _merge(left: Counts, right: Counts) -> Counts:
    for value, counts in right.items():
        left[value] = left[value] + counts if value in left else counts
    return left


def _inertia(children: Float32Array, parents: Int32Array, centroids: Float32Array) -> float:
    return float(((children - centroids[parents]) ** 2).sum(dtype=np.float64))
