"""The features of rows: their tags and group values as numbers, with the mass that a row has of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from evenkeel.infra.arrays import read_array
from evenkeel.infra.dtypes import Float64Array, Int32Array, Int64Array
from evenkeel.tasks.sample.candidates import score_of
from evenkeel.tasks.sample.strata.coding import Coding
from evenkeel.tasks.sample.tags.counts import places_of
from evenkeel.tasks.signal.entries.tag_lists import TagLists


@dataclass(frozen=True)
class Features:
    """Features of n rows. codes: (m,) int32. masses: (m,) float64 > 0. offsets: (n + 1,) int64, where rows begin."""

    codes: Int32Array
    masses: Float64Array
    offsets: Int64Array

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offsets) - 1

    @classmethod
    def of_entries(cls, row: Int64Array, code: Int64Array, mass: Float64Array, rows: int) -> Self:
        """Return the features given as (row, code, mass), in any order."""
        order = np.argsort(row, kind="stable")
        ends = np.searchsorted(row[order], np.arange(rows + 1))
        return cls(code[order].astype(np.int32), mass[order], ends.astype(np.int64))

    def take(self, which: Int64Array) -> Self:
        """Return the features of some rows, in the order asked for."""
        lengths = np.diff(self.offsets)[which]
        offsets = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])
        place = np.repeat(self.offsets[:-1][which] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return type(self)(self.codes[place], self.masses[place], offsets)

    @classmethod
    def joined(cls, parts: Sequence["Features"]) -> "Features":
        """Return the rows of all parts, in order."""
        ends = np.cumsum([0, *(part.offsets[-1] for part in parts)])
        offsets = [part.offsets[1:] + end for part, end in zip(parts, ends, strict=False)]
        return Features(
            np.concatenate([part.codes for part in parts]),
            np.concatenate([part.masses for part in parts]),
            np.concatenate([np.zeros(1, np.int64), *offsets]),
        )


@dataclass(frozen=True)
class FeatureSpace:
    """How the features of a row are read from its columns, by workers.

    columns: `tags.<name>` or `group.<name>`. tables: of tags, the table of the step `tag-counts`. codings: of groups.
    first: the first code of every column, and the number of codes. shared: whether the features that a row has
    of a column weigh one together, or one each. quality: a score that all masses are multiplied with.
    spread: a file of (from, to, share)
    by which the masses of tags spread to tags like them.
    """

    columns: tuple[str, ...]
    tables: dict[str, str]
    codings: dict[str, Coding]
    first: tuple[int, ...]
    shared: bool
    quality: str = ""
    spread: str = ""

    @property
    def size(self) -> int:
        """The number of features."""
        return self.first[-1]

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that `features` reads."""
        return (*self.columns, *([f"score.{self.quality}"] if self.quality else []))

    def features(self, table: pa.Table) -> Features:
        """Return the features of the rows of a table. Raises RecipeError for a score that is missing."""
        rows, codes, masses = [], [], []
        for column, first in zip(self.columns, self.first, strict=False):
            row, code = self.of_column(table[column], column)
            mass = np.ones(len(row))
            if self.shared:
                mass /= np.bincount(row, minlength=table.num_rows)[row]
            rows.append(row)
            codes.append(code + first)
            masses.append(mass)
        row, code, mass = np.concatenate(rows), np.concatenate(codes), np.concatenate(masses)
        if self.quality:
            mass = mass * np.maximum(score_of(table, self.quality), 0.0)[row]
        found = Features.of_entries(row, code, mass, table.num_rows)
        return spread_masses(found, read_array(self.spread), self.size) if self.spread else found

    def of_column(self, values: pa.ChunkedArray, column: str) -> tuple[Int64Array, Int64Array]:
        """Return row and code, from 0, of every feature in a column, (m,) each."""
        if column in self.codings:
            return np.arange(len(values)), self.codings[column].numbers([values])
        lists = TagLists.of(values)
        code = places_of(lists.names, self.tables[column])[lists.codes]
        row = np.repeat(np.arange(lists.rows), np.diff(lists.offsets))
        return row[code >= 0], code[code >= 0]


def spread_masses(rows: Features, edges: Float64Array, features: int) -> Features:
    """Return features whose masses are spread over a graph: edges (m, 3) of from, to, and the share that goes there.

    A feature without an edge keeps its mass.
    """
    from scipy import sparse

    shares = sparse.csr_array((edges[:, 2], edges[:, :2].astype(np.int64).T), shape=(features, features))
    alone = np.flatnonzero(np.diff(shares.indptr) == 0)
    shares = shares + sparse.csr_array((np.ones(len(alone)), (alone, alone)), shape=(features, features))
    held = sparse.csr_array((rows.masses, rows.codes, rows.offsets), shape=(len(rows), features))
    found = sparse.csr_array(held @ shares)
    return Features(found.indices.astype(np.int32), found.data.astype(np.float64), found.indptr.astype(np.int64))
