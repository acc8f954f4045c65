"""Approximate functional dependencies and unique column sets of a table in memory, level by level of the lattice.

The error of left -> right is g3, the least share of rows to remove so that it holds exactly (Kivinen and Mannila 1995);
the levels and what is left out as not minimal follow TANE (Huhtala et al. 1999). Null is a value like others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import Int64Array
from evenkeel.tasks.properties.grouping import key_of

Columns = tuple[int, ...]


@dataclass(frozen=True)
class Dependency:
    """left determines right, but for a share `error` of the rows. An empty left: right has one value."""

    left: Columns
    right: int
    error: float


@dataclass(frozen=True)
class Discovered:
    """What was found in a table: minimal dependencies, and minimal sets of columns that tell all rows apart."""

    dependencies: list[Dependency]
    uniques: list[Columns]


def codes_of(column: pa.ChunkedArray) -> Int64Array:
    """Return a number for every distinct value of a column, null included, (n,) int64 from 0."""
    encoded = pc.dictionary_encode(key_of(column), null_encoding="encode")
    codes: Int64Array = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def discover(codes: list[Int64Array], most: int, max_error: float) -> Discovered:
    """Return the minimal dependencies with at most `most` columns on the left and at most `max_error`, and unique sets.

    codes: of every column, (n,) each. Dependencies whose left tells (nearly) all rows apart hold of anything: they are
    left out, and so are those that hold with fewer columns.
    """
    columns, rows = range(len(codes)), len(codes[0]) if codes else 0
    found: list[Dependency] = []
    uniques: list[Columns] = []
    if rows < 2:
        return Discovered(found, uniques)
    known: dict[int, list[Columns]] = {right: [] for right in columns}
    for right in columns:
        if (error := 1 - np.bincount(codes[right]).max() / rows) <= max_error:
            found.append(Dependency((), right, float(error)))
            known[right].append(())
    nearly: list[Columns] = []
    for size in range(1, most + 1):
        for left in combinations(columns, size):
            if _has_subset(left, uniques):
                continue
            labels = combined([codes[at] for at in left])
            distinct = int(labels.max()) + 1
            if distinct == rows:
                uniques.append(left)
                continue
            if _has_subset(left, nearly):
                continue
            if 1 - distinct / rows <= max_error:
                nearly.append(left)
                continue
            for right in columns:
                if right not in left and not _has_subset(left, known[right]):
                    error = g3(labels, codes[right])
                    if error <= max_error:
                        found.append(Dependency(left, right, error))
                        known[right].append(left)
    return Discovered(found, uniques)


def g3(left: Int64Array, right: Int64Array) -> float:
    """Return the least share of rows to remove so that equal values of left have equal values of right, (n,) each."""
    pairs, counts = np.unique(left * (int(right.max()) + 1) + right, return_counts=True)
    owner = pairs // (int(right.max()) + 1)
    begins = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    return float(1 - np.maximum.reduceat(counts, begins).sum() / len(left))


def combined(codes: list[Int64Array]) -> Int64Array:
    """Return a number from 0 for every distinct combination of values, (n,) int64."""
    labels = codes[0]
    for one in codes[1:]:
        _, inverse = np.unique(labels * (int(one.max()) + 1) + one, return_inverse=True)
        labels = inverse.astype(np.int64)
    return labels


def _has_subset(columns: Columns, sets: Iterable[Columns]) -> bool:
    return any(set(one) <= set(columns) for one in sets)
