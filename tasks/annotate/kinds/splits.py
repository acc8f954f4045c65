"""Divide the kept rows into train, validation and test, and over clients, so that nothing leaks and shares are met.

Rows are cut by the hash of their id, or in whole clusters or groups, or by time. By hash, the same rows are in the same
split in every version but for those at the edges of the shares. Clients: label skew by Dirichlet proportions (Yurochkin
et al. 2019, arXiv 1905.12022; Hsu et al. 2019, arXiv 1909.06335).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import BeforeValidator, Field, model_validator

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, read_array, write_array
from evenkeel.infra.dtypes import Array, Float64Array, Int32Array, Int64Array, UInt64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities, uniform
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.column import Column
from evenkeel.tasks.annotate.sorting import ascending, place_rows, read_places
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.units import (
    ancestors,
    choose_units,
    cluster_level,
    codes_of,
    count_clusters,
    count_values,
    value_hashes,
)
from evenkeel.tasks.signal.groups import labels_of, numbers_of
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Run

NAMES = ("train", "validation", "test")
CLIENT_SEED = 0xC11E
MAX_PROPORTIONS = 1 << 24


def _share(written: object) -> object:
    """Read `1%` as 0.01."""
    if isinstance(written, str) and written.strip().endswith("%"):
        return float(written.strip().removesuffix("%")) / 100
    return written


Share = Annotated[float, BeforeValidator(_share), Field(ge=0, lt=1)]


class Splits(Annotation):
    """Whether a row is for training, validation or test, and which client of a federation has it."""

    kind: Literal["splits"] = "splits"
    by: str = Field(
        "hash",
        description="What goes into one split whole: `hash` = single rows; `cluster` or `level-2` = clusters; "
        "`group.site` = the rows of a value; a column of numbers or dates = by time, the latest rows are the test.",
        min_length=1,
    )
    test: Share = Field(0.0, description="Share of the kept rows that are for testing, such as `1%`.")
    validation: Share = Field(0.0, description="Share of the kept rows that are for validation.")
    even: str = Field(
        "", description="With `by: hash`, a group column: validation and test have the same rows of each of its values."
    )
    tolerance: float = Field(
        0.1, ge=0, le=1, description="By how much of itself a split of whole clusters or groups may miss its share."
    )
    clients: int | None = Field(None, ge=2, le=1_000_000, description="Over so many clients rows are spread.")
    alpha: float = Field(0.3, gt=0, description="How alike clients are: small = each has few clusters, large = all.")
    over: str = Field("level-1", description="What clients differ in: `level-t`, or a group column.", min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> "Splits":
        if self.test + self.validation >= 1:
            raise ValueError(
                f"the shares of test and validation sum to {self.test + self.validation:g}: nothing is left to train on"
            )
        if not (self.test or self.validation or self.clients):
            raise ValueError("nothing to split off: give test, validation or clients")
        if self.by == "dirichlet" and self.clients is None:
            raise ValueError("by: dirichlet needs clients: over how many rows are spread")
        if self.even and not self.by_rows:
            raise ValueError(f"even goes with by: hash, not with by: {self.by}")
        return self

    @property
    def by_rows(self) -> bool:
        """Whether single rows are assigned, by the hash of their id."""
        return self.by in ("hash", "dirichlet")

    @property
    def by_time(self) -> bool:
        """Whether rows are assigned in the order of a column."""
        return not self.by_rows and cluster_level(self.by) is None and not self.by.startswith("group.")

    def writes(self) -> list[Column]:
        """Return the column of the split, and where there are clients theirs."""
        split = Column("ek_split", "string", "train, validation or test")
        client = Column("ek_client", "int32", "the client that has the row, from 0")
        return [*([split] if self.test or self.validation else []), *([client] if self.clients else [])]

    def columns(self) -> tuple[str, ...]:
        """Return the columns that rows are grouped or ordered by."""
        named = [self.even] if self.by_rows else [self.by] if cluster_level(self.by) is None else []
        named += [self.over] if self.clients and cluster_level(self.over) is None else []
        return tuple(name for name in dict.fromkeys(named) if name)

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Decide which rows or groups make up each split, and return the rows of every split."""
        if self.clients and (level := cluster_level(self.over)) is not None:
            over = ancestors(source, level)
            write_array(storage.join(folder, "over.npy"), over)
            if (units := int(over.max(initial=-1)) + 1) * self.clients <= MAX_PROPORTIONS:
                numbers = np.arange(units, dtype=np.uint64)
                write_array(storage.join(folder, "proportions.npy"), self.proportions(numbers))
        if not (self.test or self.validation):
            return {"clients": self.clients}
        divide = self._by_places if self.by_rows or self.by_time else self._whole
        rows = divide(source, folder, run)
        train = source.kept_rows - sum(rows)
        found = dict(zip(NAMES, (train, *rows), strict=True))
        return {"rows": found, **({"clients": self.clients} if self.clients else {})}

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return the split of each row, and its client."""
        table = source.kept(block, self.columns())
        found: dict[str, pa.Array] = {}
        if self.test or self.validation:
            names = np.array(NAMES, object)
            found["ek_split"] = pa.array(names[self._splits(source, block, table, fit)], pa.string())
        if self.clients:
            found["ek_client"] = pa.array(self._clients(table, fit))
        return found

    def _wanted(self, rows: int) -> tuple[int, int]:
        """Return how many of some rows are for validation, and how many for test."""
        return round(self.validation * rows), round(self.test * rows)

    def _by_places(self, source: AnnotationSource, folder: str, run: Run) -> tuple[int, int]:
        """Number the rows by hash or time, and write where the splits end: per value of `even`, (values, 3) int64."""
        wanted = self._wanted(source.kept_rows)
        values, sizes = [""], np.array([source.kept_rows])
        if self.even:
            values, sizes = count_values(source, self.even, run)
        each = np.array([_even(rows, len(values)) for rows in wanted]).reshape(2, len(values))
        short = np.flatnonzero((each.sum(axis=0) >= sizes) & (each.sum(axis=0) > 0))
        if len(short) and source.kept_rows:
            self._refuse_small(source, values[short[0]], int(sizes[short[0]]), int(each[:, short[0]].sum()))
        place_rows(source, SplitKeys(source, self, tuple(values)), folder, run)
        starts = np.cumsum(sizes) - sizes
        write_array(storage.join(folder, "ends.npy"), np.stack([starts, *each], axis=1).astype(np.int64))
        return wanted

    def _refuse_small(self, source: AnnotationSource, value: str, size: int, wanted: int) -> None:
        whose = f"{self.even}={value}" if self.even else "this version"
        raise RecipeError(
            "a split leaves nothing to train on",
            expected=f"more than {wanted:,} kept rows of {whose}",
            found=f"{size:,}",
            where=source.where,
            remedy="lower test and validation, or raise sampling.target",
        )

    def _whole(self, source: AnnotationSource, folder: str, run: Run) -> tuple[int, int]:
        """Choose whole clusters or groups for each split, and write the split of each, (units,) int8."""
        level = cluster_level(self.by)
        if level is not None:
            cluster = ancestors(source, level)
            write_array(storage.join(folder, "clusters.npy"), cluster)
            sizes = count_clusters(source, cluster, run)
            names = [str(number) for number in range(len(sizes))]
            hashes = hash_identities(self.seed, np.arange(len(sizes), dtype=np.uint64))
        else:
            names, sizes = count_values(source, self.by, run)
            storage.write_json(storage.join(folder, "values.json"), names)
            hashes = value_hashes(names, self.seed)
        wanted = self._wanted(source.kept_rows)
        chosen = choose_units(sizes, hashes, (wanted[1], wanted[0]))[::-1]  # the test first: validation moves no test
        split, found = np.zeros(len(sizes), np.int8), []
        for number, (units, rows) in enumerate(zip(chosen, wanted, strict=True), start=1):
            split[units] = number
            found.append(int(sizes[units].sum()))
            if rows - found[-1] > max(1.0, self.tolerance * rows):
                self._refuse_large(source, NAMES[number], rows, sizes)
        write_array(storage.join(folder, "split.npy"), split)
        return found[0], found[1]

    def _refuse_large(self, source: AnnotationSource, name: str, rows: int, sizes: Int64Array) -> None:
        there = sizes[sizes > 0] if sizes.any() else np.zeros(1, np.int64)
        raise RecipeError(
            f"no whole groups make up the {name} split",
            expected=f"values of {self.by} that have {rows:,} rows together, to within {self.tolerance:.0%}",
            found=f"{len(there):,} with {int(there.min()):,} to {int(there.max()):,} rows",
            where=source.where,
            remedy=f"raise {name}, raise tolerance, or split by something finer",
        )

    def _splits(self, source: AnnotationSource, block: str, table: pa.Table, fit: Fit) -> Array:
        """Return the number of the split of each row of a block, (n,)."""
        if not (self.by_rows or self.by_time):
            split = read_array(storage.join(fit.folder, "split.npy"))
            if cluster_level(self.by) is not None:
                cluster = read_array(storage.join(fit.folder, "clusters.npy"))
                return np.asarray(split[cluster[table["leaf"].to_numpy()]])
            values = storage.read_json(storage.join(fit.folder, "values.json"))
            return np.asarray(split[codes_of(table, self.by, values)])
        ends, places = read_array(storage.join(fit.folder, "ends.npy")), read_places(fit.folder, block)
        cell = np.searchsorted(ends[:, 0], places, side="right") - 1
        start, validation, test = ends[cell].T
        place = places - start
        return np.select([place < test, place < test + validation], [2, 1], 0)

    def _clients(self, table: pa.Table, fit: Fit) -> Int32Array:
        """Return the client of each row, (n,) int32: by its own hash, in the proportions of its cluster or group."""
        assert self.clients is not None
        if cluster_level(self.over) is not None:
            over = read_array(storage.join(fit.folder, "over.npy"))[table["leaf"].to_numpy()].astype(np.uint64)
        else:
            labels = labels_of(table[self.over]).dictionary_encode()
            seeds = [xxhash.xxh3_64_intdigest(str(value).encode()) for value in labels.dictionary.to_pylist()]
            over = np.array(seeds, np.uint64)[labels.indices.to_numpy()] if seeds else np.empty(0, np.uint64)
        drawn = uniform(self.seed ^ CLIENT_SEED, table["identity"].to_numpy())
        units, place = np.unique(over, return_inverse=True)
        known = storage.join(fit.folder, "proportions.npy")
        found = map_array(known, Path(fit.scratch))[units] if storage.exists(known) else self.proportions(units)
        ends = (found + np.arange(len(units))[:, None]).ravel()  # ascending: those of unit i lie between i and i + 1
        client = np.searchsorted(ends, place + drawn, side="right") - place * self.clients
        return np.asarray(np.clip(client, 0, self.clients - 1), np.int32)

    def proportions(self, units: UInt64Array) -> Float64Array:
        """Return cumulative shares of the clients in clusters or groups, (units, clients) float64: Dirichlet(alpha)."""
        assert self.clients is not None
        found = np.empty((len(units), self.clients))
        for place, unit in enumerate(units.tolist()):
            draw = np.random.default_rng([self.seed, CLIENT_SEED, unit])
            found[place] = np.cumsum(draw.dirichlet(np.full(self.clients, self.alpha)))
        return np.minimum(found, 1.0)


@dataclass(frozen=True)
class SplitKeys:
    """The order that splits are cut from: the value of `even`, then the hash of the id; or time, the latest first."""

    source: AnnotationSource
    splits: Splits
    values: tuple[str, ...]

    def __call__(self, block: str) -> tuple[UInt64Array, UInt64Array, UInt64Array]:
        """Return row ids, major and minor keys of the kept rows of a block."""
        by = self.splits
        table = self.source.kept(block, by.columns())
        minor = hash_identities(by.seed, table["identity"].to_numpy())
        if by.by_time:
            major = ~time_keys(table[by.by], by.by, self.source.where)
        elif by.even:
            major = codes_of(table, by.even, self.values).astype(np.uint64)
        else:
            return table["row_id"].to_numpy(), minor, np.zeros_like(minor)
        return table["row_id"].to_numpy(), major, minor


def time_keys(column: pa.ChunkedArray, name: str, where: str) -> UInt64Array:
    """Return keys that sort as times do, (n,) uint64; a row without one comes first.

    Times are numbers, dates, or texts as ISO 8601 writes them. Raises RecipeError for another column.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            column, kind = pc.cast(column, pa.timestamp("us")), pa.timestamp("us")
        except pa.ArrowInvalid as error:
            raise RecipeError(
                f"the column {name!r} holds texts that are no times",
                expected="numbers, dates, or texts such as 2024-05-01",
                found=str(error),
                where=where,
                remedy="name another column; a column of groups is written group.<name>",
            ) from error
    if pa.types.is_date(kind):
        column, kind = pc.cast(column, pa.timestamp("us")), pa.timestamp("us")
    if pa.types.is_timestamp(kind):
        numbers = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        numbers = numbers_of(column, name, where)
    keys = ascending(numbers)
    keys[np.isnan(numbers)] = 0
    return keys


def _even(rows: int, parts: int) -> Int64Array:
    """Return how many of some rows each part gets, (parts,) int64: the same, or one more for the first."""
    each, more = divmod(rows, max(parts, 1))
    return each + (np.arange(parts) < more)
