"""Pair treated rows with untreated ones that are alike, so that a comparison of the two is fair.

Sources: matching within strata of the propensity score (Rosenbaum and Rubin 1983, 1984); standardised differences as
the measure of what is left (Austin 2009).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import Field, model_validator

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.dtypes import BoolArray, Float64Array, Int64Array, UInt64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities, uniform
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.column import Column
from evenkeel.tasks.annotate.sorting import place_rows, read_places
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.expression import evaluate
from evenkeel.tasks.expression.grammar import Expression, parse
from evenkeel.tasks.signal.groups import labels_of, numbers_of
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload

SAMPLE, SEED = 1 << 16, 0x4D61
PAIR, TREATED = "ek_pair", "ek_treated"
NOWHERE = np.uint64(2**64 - 1)


class Match(Annotation):
    """The pair of each row, of one treated and one untreated row that are alike."""

    kind: Literal["match"] = "match"
    treated: str = Field(min_length=1, description="Which rows are treated: an expression, such as `site == 'a'`.")
    on: list[str] = Field(min_length=1, description="Columns of numbers in which the two rows of a pair are alike.")
    exact: list[str] = Field(default_factory=list, description="Columns in which they are equal.")
    caliper: float = Field(
        0.1, gt=0, le=1, description="How far apart the two may be: in standard deviations of the propensity score."
    )

    @model_validator(mode="after")
    def _readable(self) -> Self:
        _ = self.expression
        return self

    @property
    def expression(self) -> Expression:
        """The checked expression."""
        return parse(self.treated, "match, treated")

    def writes(self) -> list[Column]:
        """Return the number of the pair, and which of the two is treated."""
        alike = f"the pair of a row where {self.treated} and one that is like it in {', '.join(self.on)}"
        return [Column(PAIR, "int64", alike), Column(TREATED, "bool", f"whether {self.treated}")]

    def columns(self) -> tuple[str, ...]:
        """Return the columns of the expression, and those that rows are alike in."""
        return tuple(dict.fromkeys([*self.expression.columns, *self.on, *self.exact]))

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds: the rows are read five times, and numbered."""
        return 0.1 + 1e-6 * work.rows + 8e-6 * work.kept

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Pair the rows; return how many, and the standardised differences before and after.

        Raises RecipeError where there is no pair.
        """
        rows = partial(read_rows, self, source)
        offer = partial(_sampled, rows, SAMPLE / max(source.kept_rows, 1))
        sample = run.compute.reduce(offer, _joined, source.blocks, work=source.pool.rows * 64)
        if sample is None or not 0 < sample.treated.sum() < len(sample.treated):
            found = 0 if sample is None else int(sample.treated.sum())
            raise RecipeError(
                "rows are matched between two sides, and there is one",
                expected=f"kept rows where {self.treated}, and others, with a value in {', '.join(self.on)}",
                found=f"{found:,} of {0 if sample is None else len(sample.treated):,}",
                where=source.where,
                remedy="correct treated, or sample so that both sides are kept",
            )
        propensity = Propensity.fit(sample, self.caliper)
        count = partial(_count, rows, propensity)
        cells = run.compute.reduce(count, _added, source.blocks, work=source.pool.rows * 64)
        assert cells is not None
        pairs = np.minimum(cells.sides[:, 0], cells.sides[:, 1])
        ends = np.cumsum(cells.sides.ravel()).reshape(-1, 2)
        starts = ends - cells.sides
        first = np.cumsum(pairs) - pairs
        if not pairs.sum():
            raise RecipeError(
                "no two rows are alike enough to be a pair",
                expected=f"a treated and an untreated row within {self.caliper:g} of each other",
                where=source.where,
                remedy="raise caliper, or name fewer columns in exact",
            )
        place_rows(source, PairKeys(rows, propensity, self.seed), folder, run)
        write_array(storage.join(folder, "cells.npy"), cells.keys)
        write_array(storage.join(folder, "pairs.npy"), np.column_stack([starts, pairs, first]).astype(np.int64))
        propensity.save(folder)
        after = run.compute.reduce(
            partial(_moments, self, source, folder), np.add, source.blocks, work=source.pool.rows * 64
        )
        assert after is not None
        return {
            "pairs": int(pairs.sum()),
            "treated": int(cells.sides[:, 1].sum()),
            "untreated": int(cells.sides[:, 0].sum()),
            "difference_before": dict(zip(self.on, differences(cells.moments, cells.moments), strict=True)),
            "difference_after": dict(zip(self.on, differences(after, cells.moments), strict=True)),
        }

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return the pair of each row, null for a row without one, and whether it is treated."""
        pair, side = (read_array(uri) for uri in _paired_uris(fit.folder, block))
        return {PAIR: pa.array(pair, mask=pair < 0), TREATED: pa.array(side > 0, mask=side < 0)}


class MatchRows(NamedTuple):
    """The kept rows of a block. x: (n, on) float64. known: whether all numbers and the side are known, (n,) bool."""

    row_ids: UInt64Array
    identity: UInt64Array
    stratum: UInt64Array
    treated: BoolArray
    x: Float64Array
    known: BoolArray


class Counted(NamedTuple):
    """Rows by cell. keys: (n,) uint64 ascending. sides: (n, 2) int64, untreated and treated.

    moments: (2, 3, on) float64, of both sides rows, sums and sums of squares of the numbers.
    """

    keys: UInt64Array
    sides: Int64Array
    moments: Float64Array


@dataclass(frozen=True)
class Propensity:
    """How probably a row is treated, as a logit that is cut into bins. model: centre, scale, slopes, width of a bin."""

    model: tuple[float, ...]

    @classmethod
    def fit(cls, sample: MatchRows, caliper: float) -> Self:
        """Return a logistic regression on numbers and their squares, and bins of so many standard deviations."""
        from sklearn.linear_model import LogisticRegression

        centre, scale = sample.x.mean(axis=0), np.maximum(sample.x.std(axis=0), 1e-12)
        z = (sample.x - centre) / scale
        features = np.concatenate([z, z**2], axis=1)
        fitted = LogisticRegression(C=1e3, max_iter=500).fit(features, sample.treated)
        score = features @ fitted.coef_[0]
        width = caliper * max(float(score.std()), 1e-9)
        model = [*centre, *scale, *fitted.coef_[0], width]
        return cls(tuple(float(one) for one in model))

    def cells(self, rows: MatchRows) -> UInt64Array:
        """Return the cell of each row, (n,) uint64: a hash of its stratum, moved by its bin; the last for no cell."""
        count = (len(self.model) - 1) // 4
        centre, scale, *slopes = np.array(self.model[:-1]).reshape(-1, count)
        z = (rows.x - centre) / scale
        score = z @ slopes[0] + z**2 @ slopes[1]
        place = np.floor(np.nan_to_num(np.clip(score / self.model[-1], -(2**20), 2**20))).astype(np.int64)
        key = hash_identities(SEED, rows.stratum) & ~np.uint64((1 << 22) - 1)
        return np.where(rows.known, key | (place + 2**21).astype(np.uint64), NOWHERE)

    def save(self, folder: str) -> None:
        """Write it for the workers."""
        write_array(storage.join(folder, "propensity.npy"), np.array(self.model))

    @classmethod
    def read(cls, folder: str) -> Self:
        """Return the one that lies in a folder."""
        return cls(tuple(read_array(storage.join(folder, "propensity.npy")).tolist()))


@dataclass(frozen=True)
class PairKeys:
    """The order in which rows are numbered: by cell, untreated before treated, then by hash."""

    rows: "partial[MatchRows]"
    propensity: Propensity
    seed: int

    def __call__(self, block: str) -> tuple[UInt64Array, UInt64Array, UInt64Array]:
        """Return row ids, major and minor keys of the kept rows of a block."""
        rows = self.rows(block)
        side = rows.treated.astype(np.uint64) << np.uint64(63)
        minor = side | (hash_identities(self.seed, rows.identity) >> np.uint64(1))
        return rows.row_ids, self.propensity.cells(rows), minor


def read_rows(one: Match, source: AnnotationSource, block: str) -> MatchRows:
    """Read the kept rows of a block. Raises RecipeError where a column of `on` holds no numbers."""
    table = source.kept(block, one.columns())
    named = table.select([*one.expression.columns, "row_id"])
    said = evaluate.truths(one.expression, named)
    treated = said.fill_null(False).to_numpy(zero_copy_only=False)
    x = [numbers_of(table[name], name, source.where) for name in one.on]
    values = np.stack(x, axis=1)
    known = ~np.isnan(values).any(axis=1) & said.is_valid().to_numpy(zero_copy_only=False)
    stratum = strata_of(table, one.exact)
    ids = [table[name].to_numpy() for name in ("row_id", "identity")]
    return MatchRows(ids[0], ids[1], stratum, treated, values, known)


def strata_of(table: pa.Table, columns: list[str]) -> UInt64Array:
    """Return a hash of the values that each row has in some columns, (n,) uint64; one for all without columns."""
    labels = [labels_of(table[name]).dictionary_encode() for name in columns]
    values = [one.dictionary.to_pylist() for one in labels]
    key, first = np.zeros(table.num_rows, np.int64), np.empty(0, np.int64)
    for one in labels:
        key = key * max(len(one.dictionary), 1) + one.indices.to_numpy()
        _, first, key = np.unique(key, return_index=True, return_inverse=True)
    places = [one.indices.take(pa.array(first)).to_pylist() for one in labels]
    joined = ["\0".join(of[code] for of, code in zip(values, row, strict=True)) for row in zip(*places, strict=True)]
    hashes = np.array([xxhash.xxh3_64_intdigest(name.encode()) for name in joined or [""]], np.uint64)
    return np.asarray(hashes[key], np.uint64)


def pairs_of_block(rows: MatchRows, folder: str, block: str) -> Int64Array:
    """Return the pair of each row, (n,) int64, -1 for none: as many of each side in a cell as there are pairs."""
    keys, about = read_array(storage.join(folder, "cells.npy")), read_array(storage.join(folder, "pairs.npy"))
    cell = Propensity.read(folder).cells(rows)
    place = np.searchsorted(keys, cell)
    found = place < len(keys)
    place = np.minimum(place, len(keys) - 1)
    start = np.where(rows.treated, about[place, 1], about[place, 0])
    rank = read_places(folder, block) - start
    paired = found & rows.known & (rank < about[place, 2])
    return np.where(paired, about[place, 3] + rank, -1)


def differences(of: Float64Array, spread: Float64Array) -> list[float]:
    """Return the standardised differences of the two sides, from (2, 3, on) of rows, sums and squares.

    spread: of all rows, whose mean variance of both sides is the scale.
    """
    means = of[:, 1] / np.maximum(of[:, 0], 1)
    centre = spread[:, 1] / np.maximum(spread[:, 0], 1)
    variance = np.maximum(spread[:, 2] / np.maximum(spread[:, 0], 1) - centre**2, 0.0)
    scale = np.maximum(np.sqrt(variance.mean(axis=0)), 1e-300)
    return [round(float(one), 6) for one in (means[1] - means[0]) / scale]


def _sampled(rows: "partial[MatchRows]", share: float, block: str) -> MatchRows:
    found = rows(block)
    kept = found.known & (uniform(SEED, found.identity) < share)
    ids = found.row_ids[kept], found.identity[kept], found.stratum[kept]
    return MatchRows(*ids, found.treated[kept], found.x[kept], found.known[kept])


def _joined(one: MatchRows, other: MatchRows) -> MatchRows:
    return MatchRows(*(np.concatenate(pair) for pair in zip(one, other, strict=True)))


def _count(rows: "partial[MatchRows]", propensity: Propensity, block: str) -> Counted:
    found = rows(block)
    keys, place = np.unique(propensity.cells(found), return_inverse=True)
    sides = np.bincount(2 * place + found.treated, minlength=2 * len(keys)).reshape(-1, 2).astype(np.int64)
    return Counted(keys[keys != NOWHERE], sides[keys != NOWHERE], _summed(found, found.known))


def _added(one: Counted, other: Counted) -> Counted:
    keys, place = np.unique(np.concatenate([one.keys, other.keys]), return_inverse=True)
    sides = np.zeros((len(keys), 2), np.int64)
    np.add.at(sides, place, np.concatenate([one.sides, other.sides]))
    return Counted(keys, sides, one.moments + other.moments)


def _moments(one: Match, source: AnnotationSource, folder: str, block: str) -> Float64Array:
    """Write the pair of each row of a block and its side, -1 where not all is known; return the moments of pairs."""
    rows = read_rows(one, source, block)
    pair = pairs_of_block(rows, folder, block)
    side = np.where(rows.known, rows.treated.astype(np.int8), np.int8(-1))
    for uri, array in zip(_paired_uris(folder, block), (pair, side), strict=True):
        write_array(uri, array)
    return _summed(rows, pair >= 0)


def _paired_uris(folder: str, block: str) -> tuple[str, str]:
    """Return where the pairs and the sides of the rows of a block lie."""
    return storage.join(folder, "paired", f"{block}.npy"), storage.join(folder, "sides", f"{block}.npy")


def _summed(rows: MatchRows, which: BoolArray) -> Float64Array:
    """Return rows, sums and sums of squares of both sides, (2, 3, on) float64."""
    found = np.zeros((2, 3, rows.x.shape[1]))
    for side in (0, 1):
        x = rows.x[which & (rows.treated == bool(side))]
        found[side] = np.stack([np.full(x.shape[1], float(len(x))), x.sum(axis=0), (x**2).sum(axis=0)])
    return found
