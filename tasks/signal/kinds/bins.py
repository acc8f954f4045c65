"""Bins of a number or a date: a group column, usable wherever one of the source is.

Strata of numbers are how CISIR balances what it mines by hardness, and what attribute balance (StyleGAN-Human) needs.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Literal, Self, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.signal import Fit, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload

Period = Literal["year", "quarter", "month", "week", "day"]
FORMATS = {"year": "%Y", "month": "%Y-%m", "week": "%G-W%V", "day": "%Y-%m-%d"}
DAY = r"^\d{4}-\d{2}-\d{2}"


class BinsSignal(Signal):
    """The bin that a number or a date falls into, as a group column: `q03`, `[5, 10)`, `2024-05`."""

    makes_group: ClassVar[bool] = True

    kind: Literal["bins"] = "bins"
    of: str = Field("", description="The column that is cut into bins; empty = the one of the same name.")
    quantiles: int | None = Field(None, ge=2, le=10_000, description="Bins of about equally many rows: q1, q2, ...")
    width: float | None = Field(None, gt=0, description="Bins of this width, from its multiples: [5, 10).")
    by: Period | None = Field(None, description="Bins of dates and times, in UTC.")
    edges: list[float] = Field(
        default_factory=list,
        description="Where bins begin; with quantiles those of the version whose clusters are used.",
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        ways = [self.quantiles, self.width, self.by, self.edges if self.quantiles is None else None]
        if sum(bool(way) for way in ways) != 1:
            raise ValueError("bins need one of quantiles, width, by and edges")
        if sorted(set(self.edges)) != self.edges and self.quantiles is None:
            raise ValueError("the edges of bins ascend")
        self.of = self.of or self.name
        return self

    def columns(self) -> tuple[str, ...]:
        """Return the column that is cut."""
        return (self.of,)

    def pinned(self, facts: Mapping[str, object]) -> Self:
        """Return it with the edges that an earlier version found for the same column and number of quantiles."""
        same = (facts.get("of"), facts.get("asked")) == (self.of, self.quantiles)
        if self.quantiles is None or self.edges or not same:
            return self
        return self.model_copy(update={"edges": facts["edges"]})

    def check(self, source: SignalSource) -> None:
        """Raise RecipeError where the column cannot be cut like this."""
        for block in source.blocks[:1]:
            self._labels(source.columns(block, [self.of])[self.of].slice(0, 0), self.edges or [0.0], source.where)

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Find the edges of quantiles, from a sketch of the whole pool."""
        edges = self.edges
        if self.quantiles is not None and not edges:
            from evenkeel.tasks.signal.groups import count_groups
            from evenkeel.tasks.signal.quantiles import Ranks

            count_groups(source, "", folder, run)
            ranks = Ranks.fit(source, self.of, folder, folder, run)
            edges = [float(ranks.quantile(one / self.quantiles)[0]) for one in range(1, self.quantiles)]
            if not ranks.rows()[0]:
                raise RecipeError(f"the column {self.of!r} has no numbers to take quantiles of", where=source.where)
        return {"of": self.of, "asked": self.quantiles, "edges": edges}

    def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
        """Return the bin of each row, null for a row without a value."""
        edges = fit.facts["edges"]
        assert isinstance(edges, list)
        return self._labels(source.columns(block, [self.of])[self.of], edges, source.where)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool on a reference core."""
        return 0.05 + 5e-7 * work.rows

    def _labels(self, column: pa.ChunkedArray, edges: Sequence[float], where: str) -> pa.Array:
        if self.by is not None:
            return periods(column, self.by, self.of, where)
        if pa.types.is_temporal(column.type):
            raise RecipeError(
                f"the column {self.of!r} holds dates or times, which are cut by periods",
                expected="by: " + ", ".join(get_args(Period)),
                found="another rule",
                where=where,
                remedy=f"write bins: {{{self.name}: {{by: month}}}}",
            )
        from evenkeel.tasks.signal.groups import numbers_of

        numbers = numbers_of(column, self.of, where)
        if self.width is not None:
            return widths(numbers, self.width)
        if self.quantiles is not None:
            digits = len(str(self.quantiles))
            names = [f"q{one + 1:0{digits}d}" for one in range(self.quantiles)]
            return _named(numbers, np.searchsorted(edges, numbers, side="left"), names)
        inner = [f"[{low:.12g}, {high:.12g})" for low, high in pairwise(edges)]
        names = [f"< {edges[0]:.12g}", *inner, f">= {edges[-1]:.12g}"]
        return _named(numbers, np.searchsorted(edges, numbers, side="right"), names)


def widths(numbers: Float64Array, width: float) -> pa.Array:
    """Return the bins of a width that numbers fall into, (n,) string, null for NaN."""
    known = np.isfinite(numbers)
    steps = np.floor(np.where(known, numbers, 0.0) / width + 1e-9)
    distinct, places = np.unique(steps, return_inverse=True)
    names = [f"[{step * width:.12g}, {(step + 1) * width:.12g})" for step in distinct.tolist()]
    return pa.DictionaryArray.from_arrays(
        pa.array(places.astype(np.int32), mask=~known), pa.array(names, pa.string())
    ).cast(pa.string())


def periods(column: pa.ChunkedArray, by: Period, name: str, where: str) -> pa.Array:
    """Return the periods that dates fall into, (n,) string. Texts are read where they begin with 2024-05-31.

    Raises RecipeError for a column of another type, or with a date that is none.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        dated = pc.match_substring_regex(column, DAY)
        column = pc.if_else(dated, pc.utf8_slice_codeunits(column, 0, 10), pa.scalar(None, pa.string()))
    elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise _no_dates(name, str(kind), where)
    try:
        times = pc.cast(column, pa.timestamp("us"), safe=False)
        if by == "quarter":
            quarter = pc.binary_join_element_wise(
                pc.strftime(times, "%Y"), pc.cast(pc.quarter(times), pa.string()), "-Q"
            )
            return quarter.combine_chunks()
        return pc.strftime(times, FORMATS[by]).combine_chunks()
    except pa.ArrowInvalid as error:
        raise _no_dates(name, str(error), where) from error


def _named(numbers: Float64Array, places: np.ndarray, names: Sequence[str]) -> pa.Array:
    codes = pa.array(places.astype(np.int32), mask=np.isnan(numbers))
    return pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.string())).cast(pa.string())


def _no_dates(name: str, found: str, where: str) -> RecipeError:
    return RecipeError(
        f"the column {name!r} does not hold dates",
        expected="dates, times, or texts that begin with a date, such as 2024-05-31",
        found=found,
        where=where,
        remedy="cut numbers by quantiles, width or edges",
    )
