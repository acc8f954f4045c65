"""What the numbers of every signal and score are, in the pool and in the version: one pass, merged on the workers.

Counts, sums and ends are exact. Medians and histograms come from a sample of the rows by the hash of their ids, of
about 65,536 of the pool and as many of the version, so that a pass costs the driver the same for any pool.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.hashing import uniform
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.measure.config import SignalCount
from evenkeel.tasks.measure.joint import copies_of
from evenkeel.tasks.measure.signal_bounds import add_bounds, bound_table, count_bounds
from evenkeel.tasks.sample.candidates import CandidateRows

SAMPLE, SEED = 1 << 16, 0x7369_676E
BINS, TAIL = 31, 0.005
STAGES = ("before", "after")


class Values(NamedTuple):
    """The numbers of some rows. sample: (2, n) float64, values of the rows that the hash chose, and their copies."""

    rows: int
    missing: int
    total: float
    least: float
    greatest: float
    sample: Float64Array

    @classmethod
    def of(cls, numbers: Float64Array, copies: Int64Array, chosen: np.ndarray) -> "Values":
        """Return what there is of numbers (n,), each so many times (n,); chosen: (n,) bool, those of the sample."""
        there = np.isfinite(numbers) & (copies > 0)
        found, times = numbers[there], copies[there]
        rows, sample = int(copies.sum()), np.stack([numbers, copies.astype(np.float64)])[:, there & chosen]
        ends = (float(found.min()), float(found.max())) if len(found) else (np.nan, np.nan)
        return cls(rows, rows - int(times.sum()), float(found @ times), *ends, sample)

    def add(self, other: "Values") -> "Values":
        """Return the numbers of both together."""
        least, greatest = np.fmin(self.least, other.least), np.fmax(self.greatest, other.greatest)
        sums = (self.rows + other.rows, self.missing + other.missing, self.total + other.total)
        return Values(*sums, float(least), float(greatest), np.concatenate([self.sample, other.sample], axis=1))

    def line(self, name: str, stage: str) -> dict[str, object]:
        """Return a line of the profile's table `signals`."""
        there = self.rows - self.missing
        return {
            "signal": name,
            "stage": stage,
            "rows": self.rows,
            "missing": self.missing,
            "least": self.least,
            "median": median(self.sample),
            "mean": self.total / there if there else np.nan,
            "greatest": self.greatest,
        }


class SignalUse(NamedTuple):
    """Numbers of every signal and score before and after, and what the gates ask of them."""

    values: Mapping[str, tuple[Values, Values]]
    bounds: pa.Table


def measure_signals(
    rows: CandidateRows, sample: StepRef, signals: Mapping[str, StepRef], asked: Sequence[SignalCount], compute: Compute
) -> dict[str, pa.Table]:
    """Return the profile's tables `signals`, `signal_bins` and, where gates ask, `signal_bounds`.

    signals: signal, stage (before: the rows that sampling draws from; after: the copies drawn), rows, missing, least,
    median, mean, greatest. signal_bins: signal, low, high and the share of rows in it before and after.
    """
    names = tuple(rows.pool.scores)
    pool, kept = (min(1.0, SAMPLE / max(sample.counts.get(name, 0), 1)) for name in ("pool", "kept"))
    around = {name: float(ref.facts.get("mean") or 0.0) for name, ref in signals.items()}
    found = compute.reduce(
        partial(_use_block, rows=rows, sample=sample.uri, names=names, shares=(pool, kept), asked=asked, around=around),
        _added,
        rows.blocks,
        work=rows.pool.rows * 60,
    )
    if found is None:
        return {}
    lines = [
        two.line(name, stage) for name, both in found.values.items() for two, stage in zip(both, STAGES, strict=True)
    ]
    bins = [histogram(name, *(stage.sample for stage in both)) for name, both in found.values.items()]
    tables = {"signals": pa.Table.from_pylist(lines), "signal_bins": pa.concat_tables(bins)}
    return tables if not asked else {**tables, "signal_bounds": bound_table(found.bounds, asked, around)}


def median(sample: Float64Array) -> float:
    """Return the median of (2, n) values and copies, as if every copy stood there; NaN without any."""
    order = np.argsort(sample[0], kind="stable")
    ends = np.cumsum(sample[1][order])
    if not len(ends):
        return float("nan")
    middle = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], side="right")
    return float(sample[0][order][middle].mean())


def histogram(name: str, before: Float64Array, after: Float64Array) -> pa.Table:
    """Return bins of equal width from the 0.5 % to the 99.5 % quantile; the first and the last hold what is beyond.

    A signal with one value has it in the middle; one without any has no bins.
    """
    values = np.concatenate([before[0], after[0]])
    low, high = np.quantile(values, [TAIL, 1 - TAIL]) if len(values) else (0.0, 0.0)
    if low == high and len(values):
        low, high = float(values.min()), float(values.max())
    middle, half = (low + high) / 2, (high - low) / 2 or max(0.5, abs(low) * 1e-6)
    edges = np.linspace(middle - half, middle + half, BINS + 1) if len(values) else np.empty(1)
    shares = [shares_of(edges, sample) for sample in (before, after)]
    return pa.table(
        {
            "signal": pa.array([name] * len(shares[0]), pa.string()),
            "low": edges[:-1],
            "high": edges[1:],
            **dict(zip(STAGES, shares, strict=True)),
        }
    )


def shares_of(edges: Float64Array, sample: Float64Array) -> Float64Array:
    """Return the share of (2, n) values and copies in each bin (edges - 1,), those beyond the ends in the end bins."""
    if not (bins := len(edges) - 1):
        return np.empty(0)
    place = np.clip(np.searchsorted(edges, sample[0], side="right") - 1, 0, bins - 1)
    counts: Float64Array = np.bincount(place, sample[1], bins).astype(np.float64)
    return counts / max(float(counts.sum()), 1.0)


def _use_block(
    block: str,
    rows: CandidateRows,
    sample: str,
    names: tuple[str, ...],
    shares: tuple[float, float],
    asked: Sequence[SignalCount],
    around: Mapping[str, float],
) -> SignalUse:
    groups = dict.fromkeys(one.by for one in asked if one.by)
    table = rows.table(block, ["identity", *(f"score.{name}" for name in names), *groups])
    copies, ones = copies_of(table["row_id"].to_numpy(), sample), np.ones(table.num_rows, np.int64)
    drawn = uniform(SEED, table["identity"].to_numpy())
    numbers = {name: table[f"score.{name}"].to_numpy().astype(np.float64) for name in names}
    values = {
        name: (Values.of(one, ones, drawn < shares[0]), Values.of(one, copies, drawn < shares[1]))
        for name, one in numbers.items()
    }
    return SignalUse(values, count_bounds(numbers, {name: table[name] for name in groups}, copies, asked, around))


def _added(one: SignalUse, other: SignalUse) -> SignalUse:
    values = {
        name: (before.add(other.values[name][0]), after.add(other.values[name][1]))
        for name, (before, after) in one.values.items()
    }
    return SignalUse(values, add_bounds(one.bounds, other.bounds))
