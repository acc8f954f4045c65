"""Divide the kept rows into train, validation and test, and over clients, so that nothing leaks and shares are met.

Rows are cut by the hash of their id, or in whole clusters or groups, or by time. By hash, the same rows are in the same
split in every version but for those at the edges of the shares. Clients: label skew by Dirichlet proportions (Yurochkin
et al. 2019, arXiv 1905.12022; Hsu et al. 2019, arXiv 1909.06335).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Field, model_validator

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.dtypes import Array, Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.clients import Clients
from evenkeel.tasks.annotate.column import Column, Foreseen
from evenkeel.tasks.annotate.seen import Seen
from evenkeel.tasks.annotate.sorting import place_rows, read_places
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.split_keys import SplitKeys
from evenkeel.tasks.annotate.units import Units, choose_units, cluster_level, missing_level
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Run

NAMES = ("train", "validation", "test")


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
    fixed: bool = Field(
        False,
        description="Whether the hash of a row, cluster or group alone decides: then none ever moves to another split, "
        "and shares are met as closely as chance allows.",
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
        if self.fixed and (self.even or self.by_time):
            raise ValueError("fixed goes by hashes: it goes with no even, and with no column of times")
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

    def foresee(self, kept: int, clusters: Sequence[int]) -> list[Foreseen]:
        """Return the splits that have no row, and those smaller than the average cluster that they take whole."""
        found: list[Foreseen] = []
        level = cluster_level(self.by)
        size = 1 if level is None or level > len(clusters) else kept // max(clusters[level - 1], 1)
        for name, rows in zip(NAMES[1:], self._wanted(kept), strict=True):
            if getattr(self, name) and rows < 1:
                found.append(
                    Foreseen(f"the {name} split is {getattr(self, name):g} of {kept:,} rows: none", f"raise {name}")
                )
            elif getattr(self, name) and rows * (1 + self.tolerance) < size and not self.fixed:
                why = f"the {name} split has {rows:,} rows, and clusters of {self.by} about {size:,}, taken whole"
                found.append(Foreseen(why, f"raise {name}, or split by something finer", "warn"))
        wanted = [self.by] if level is not None else []
        wanted += [self.over] if self.clients else []
        return found + [missing for by in wanted if (missing := missing_level(by, len(clusters)))]

    def foresee_values(self, seen: Seen, kept: int) -> list[Foreseen]:
        """Return the splits that no value of a group fits into, going by the shares that values have of the source."""
        if self.by_rows or self.by_time or self.fixed or cluster_level(self.by) is not None:
            return []
        if (counted := seen.counted([self.by])) is None or not counted.num_rows:
            return []
        rows = counted["rows"].to_numpy()
        least, found = float(rows.min() / rows.sum()), []
        for name in ("validation", "test"):
            share = getattr(self, name)
            if share and share * (1 + self.tolerance) < least:
                why = f"the {name} split is {share:g} of the rows, and no value of {self.by} has less than {least:.2g}"
                found.append(Foreseen(why, f"raise {name}, or split by something finer", "warn"))
        return found

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Decide which rows or groups make up each split, and return the rows of every split."""
        if self.clients:
            self._clients().fit(source, folder)
        if not (self.test or self.validation):
            return {"clients": self.clients}
        for name, rows in zip(NAMES[1:], self._wanted(source.kept_rows), strict=True):
            if getattr(self, name) and not rows and source.kept_rows:
                self._refuse_empty(source, name)
        divide = self._fixed if self.fixed else self._by_places if self.by_rows or self.by_time else self._whole
        split = divide(source, folder, run)
        found = dict(zip(NAMES, (source.kept_rows - sum(split), *split), strict=True))
        return {"rows": found, **({"clients": self.clients} if self.clients else {})}

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return the split of each row, and its client."""
        table = source.kept(block, self.columns())
        found: dict[str, pa.Array] = {}
        if self.test or self.validation:
            names = np.array(NAMES, object)
            found["ek_split"] = pa.array(names[self.split_numbers(source, block, table, fit)], pa.string())
        if self.clients:
            found["ek_client"] = pa.array(self._clients().of(table, fit))
        return found

    def _clients(self) -> Clients:
        assert self.clients is not None
        return Clients(self.clients, self.alpha, self.over, self.seed)

    def _fixed(self, source: AnnotationSource, folder: str, run: Run) -> tuple[int, int]:
        """Count the rows of each split where their hashes alone decide."""
        if not self.by_rows:
            Units.find(source, self.by, folder)
        counting = partial(_count_splits, self, source, Fit(folder, str(run.scratch)))
        found = run.compute.reduce(counting, np.add, source.blocks, work=source.pool.rows * 16)
        return (0, 0) if found is None else (int(found[1]), int(found[2]))

    def _wanted(self, rows: int) -> tuple[int, int]:
        """Return how many of some rows are for validation, and how many for test."""
        return round(self.validation * rows), round(self.test * rows)

    def _by_places(self, source: AnnotationSource, folder: str, run: Run) -> tuple[int, int]:
        """Number the rows by hash or time, and write where the splits end: per value of `even`, (values, 3) int64."""
        wanted = self._wanted(source.kept_rows)
        even = Units(self.even, folder) if self.even else None
        sizes = np.array([source.kept_rows]) if even is None else even.count(source, run)
        each = np.array([_even(rows, len(sizes)) for rows in wanted]).reshape(2, len(sizes))
        short = np.flatnonzero((each.sum(axis=0) >= sizes) & (each.sum(axis=0) > 0))
        if len(short) and source.kept_rows:
            self._refuse_small(
                source,
                "" if even is None else even.names()[short[0]],
                int(sizes[short[0]]),
                int(each[:, short[0]].sum()),
            )
        time = self.by if self.by_time else ""
        keys = SplitKeys(source, self.columns(), time, even, self.seed)
        place_rows(source, keys, folder, run)
        starts = np.cumsum(sizes) - sizes
        write_array(storage.join(folder, "ends.npy"), np.stack([starts, *each], axis=1).astype(np.int64))
        return wanted

    def _refuse_empty(self, source: AnnotationSource, name: str) -> None:
        raise RecipeError(
            f"the {name} split has no row",
            expected="a share that is a row at least",
            found=f"{getattr(self, name):g} of {source.kept_rows:,} kept rows",
            where=source.where,
            remedy=f"raise {name}, or sampling.target",
        )

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
        units = Units.find(source, self.by, folder)
        sizes = units.count(source, run)
        hashes = units.hashes(len(sizes), self.seed)
        wanted = self._wanted(source.kept_rows)
        chosen = choose_units(sizes, hashes, (wanted[1], wanted[0]))[::-1]  # the test first: validation moves no test
        split, found = np.zeros(len(sizes), np.int8), []
        for number, (mine, rows) in enumerate(zip(chosen, wanted, strict=True), start=1):
            split[mine] = number
            found.append(int(sizes[mine].sum()))
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

    def split_numbers(self, source: AnnotationSource, block: str, table: pa.Table, fit: Fit) -> Array:
        """Return the number of the split of each row of a block, (n,)."""
        if self.fixed:
            identity = table["identity"].to_numpy()
            u = uniform(self.seed, identity if self.by_rows else Units(self.by, fit.folder).numbers(table))
            return np.select([u < self.test, u < self.test + self.validation], [2, 1], 0)
        if not (self.by_rows or self.by_time):
            split = read_array(storage.join(fit.folder, "split.npy"))
            return np.asarray(split[Units(self.by, fit.folder).of(table)])
        ends, places = read_array(storage.join(fit.folder, "ends.npy")), read_places(fit.folder, block)
        cell = np.searchsorted(ends[:, 0], places, side="right") - 1
        start, validation, test = ends[cell].T
        place = places - start
        return np.select([place < test, place < test + validation], [2, 1], 0)


def _count_splits(one: Splits, source: AnnotationSource, fit: Fit, block: str) -> Int64Array:
    splits = one.split_numbers(source, block, source.kept(block, one.columns()), fit)
    return np.bincount(splits, minlength=len(NAMES)).astype(np.int64)


def _even(rows: int, parts: int) -> Int64Array:
    """Return how many of some rows each part gets, (parts,) int64: the same, or one more for the first."""
    each, more = divmod(rows, max(parts, 1))
    return each + (np.arange(parts) < more)
