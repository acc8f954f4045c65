"""The signal step: computes one signal for every row of the pool, block by block."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import InputError, StepError
from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.signal.config import SignalRequest
from evenkeel.tasks.signal.groups import NO_VALUE
from evenkeel.tasks.signal.inputs import SignalInputs
from evenkeel.tasks.signal.signal import Fit, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
SAMPLE = 1 << 16


class BlockSummary(NamedTuple):
    """What is said of a block's column. sample: values of a fixed share of its rows, chosen by the hash of their id."""

    rows: int
    missing: int
    least: float
    greatest: float
    total: float
    sample: Float64Array


def signal(config: SignalRequest, inputs: SignalInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the column of a signal, one file per block: `row_id uint64` and `value`, null where a row has no value.

    Raises RecipeError for a column that the pool does not have, InputError for a value that is infinite.
    """
    one = config.signal
    source = SignalSource.open(inputs, run.scratch, f"signals, {one.name}")
    source.check(one.columns())
    one.check(source)
    facts = one.fit(source, out.path("fit"), run)
    fit = Fit(out.path("fit"), str(run.scratch), facts, run.compute.backend)
    share = min(1.0, SAMPLE / max(source.pool.rows, 1))
    total = max(1, len(source.blocks))
    parts = run.compute.map(
        partial(write_column, one, source, fit, out.uri, share),
        source.blocks,
        work=source.pool.rows * 64,
        on_done=lambda done: run.progress(done / total, f"{one.name}: block {done} of {total}"),
    )
    counts = {"rows": sum(part.rows for part in parts), "missing": sum(part.missing for part in parts)}
    run.progress(1.0, f"{one.name}: {_without(counts)}")
    about = {"name": one.name, "kind": one.kind, "tags": one.tags, **({"group": True} if one.makes_group else {})}
    return Outcome(counts, {**about, **_summary(parts), **fit.facts})


def write_column(one: Signal, source: SignalSource, fit: Fit, out: str, share: float, block: str) -> BlockSummary:
    """Compute and write the column of a block; return what is said of it."""
    rows = source.pool.table(block, ["row_id", "identity"])
    found = one.compute(source, block, fit)
    if len(found) != rows.num_rows:
        raise StepError(
            f"the signal {one.name} has not one value a row", expected=f"{rows.num_rows:,}", found=f"{len(found):,}"
        )
    values = found if one.tags or one.makes_group else pa.array(_numbers(found, one, rows), from_pandas=True)
    table = pa.table({"row_id": rows["row_id"], "value": pc.fill_null(values, NO_VALUE) if one.makes_group else values})
    write_table(storage.join(out, "column", f"{block}.parquet"), table)
    missing = pa.table({"value": values})["value"].null_count
    if one.tags or one.makes_group:
        return BlockSummary(len(found), missing, np.nan, np.nan, 0.0, np.empty(0))
    there = table["value"].drop_null().to_numpy()
    least, greatest = (float(there.min()), float(there.max())) if len(there) else (np.nan, np.nan)
    chosen = table["value"].filter(pa.array(rows["identity"].to_numpy() <= np.uint64(share * (2**64 - 2**11))))
    return BlockSummary(len(found), missing, least, greatest, float(there.sum()), chosen.drop_null().to_numpy())


def _numbers(found: object, one: Signal, rows: pa.Table) -> Float64Array:
    values = np.asarray(found, np.float64)
    infinite = np.isinf(values)
    if values.ndim == 1 and infinite.any():
        raise InputError(
            f"the signal {one.name} is infinite for {int(infinite.sum()):,} row(s) of a block",
            found=f"{values[infinite.argmax()]} at row_id {rows['row_id'][int(infinite.argmax())]}",
            where=f"signals, {one.name}",
            remedy="bound it (min, max, where), or leave those rows without a value",
        )
    return values


def _without(counts: dict[str, int]) -> str:
    """Return how many rows have no value, in words."""
    if not counts["missing"]:
        return f"a value for each of {counts['rows']:,} rows"
    return f"no value for {counts['missing']:,} of {counts['rows']:,} rows"


def _summary(parts: list[BlockSummary]) -> dict[str, object]:
    """Return least, mean and greatest value, and quantiles over at most about 65,536 sampled rows."""
    present = sum(part.rows - part.missing for part in parts)
    numbers = [part for part in parts if not np.isnan(part.least)]
    if not numbers:
        return {}
    sample = np.concatenate([part.sample for part in numbers])
    found = np.quantile(sample, QUANTILES) if len(sample) else np.full(len(QUANTILES), np.nan)
    return {
        "least": min(part.least for part in numbers),
        "mean": sum(part.total for part in numbers) / present,
        "greatest": max(part.greatest for part in numbers),
        "quantiles": {str(q): float(value) for q, value in zip(QUANTILES, found, strict=True)},
    }


def cost(config: SignalRequest, work: Workload) -> float:
    """Return the CPU-seconds of a signal."""
    return config.signal.cost(work)


def label(config: SignalRequest) -> str:
    """Return what the step is called where it runs for this signal."""
    return f"signal {config.signal.name}"


def by_backend(config: SignalRequest) -> bool:
    """Tell whether the values are others on a device."""
    return config.signal.by_backend()


SIGNAL = Step("signal", 1, signal, by_backend=by_backend, cost=cost, label=label)
