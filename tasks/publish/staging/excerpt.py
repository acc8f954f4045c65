"""The step `excerpt`: the rows of the pool that any of several selections took, read and written once.

Trials of a mixture are staged one after another, and each has a few rows of every block: from an excerpt they are
staged without reading the whole pool again. It holds what a version is written of: our columns and the user's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.tables import read_range, read_table, write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.publish.staging import dispositions
from evenkeel.tasks.publish.staging.inputs import ExcerptInputs
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload


class ExcerptConfig(BaseModel):
    """Whether the user's columns are taken along."""

    model_config = ConfigDict(frozen=True)

    payload: bool


@dataclass(frozen=True)
class Extracting:
    """What a worker needs to write the excerpt of a block."""

    pool: Pool
    dropped: str
    selections: tuple[str, ...]
    folder: str
    payload: bool


@dataclass(frozen=True)
class Excerpt:
    """The rows of an excerpt, block by block, read as those of a pool are."""

    uri: str

    def table(self, block: str, columns: Sequence[str]) -> pa.Table:
        """Return columns of the row table, and of the signals, for the rows of a block that are here."""
        return read_table(_place(self.uri, "rows", block), columns)

    def payload(self, block: str) -> pa.Table:
        """Return the user's columns of the same rows."""
        return read_table(_place(self.uri, "payload", block))


def row_columns(pool: Pool) -> list[str]:
    """Return the columns of the row table that a version is written of, with those of signals."""
    groups = [f"group.{name}" for name in pool.info.groups]
    return ["row_id", "shard", "row", "id", "identity", *groups, *pool.signals]


def excerpt(config: ExcerptConfig, inputs: ExcerptInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the rows of each block that a selection took.

    Counts all rows of the pool: those dropped by disposition, and those left to be sampled. Raises AccountingError
    where a row was both selected and dropped.
    """
    pool = Pool.open(inputs.ingest, run.scratch, inputs.signals)
    selections = tuple(storage.join(ref.uri, "selection.parquet") for ref in inputs.samples.values())
    dropped = storage.join(inputs.dedup.uri, "dropped.parquet")
    job = Extracting(pool, dropped, selections, out.uri, config.payload)
    names = [block.name for block in pool.blocks]
    counted = run.compute.map(
        partial(_extract, job=job),
        names,
        work=pool.rows * 100,
        on_done=lambda n: run.progress(n / len(names), f"taking rows: block {n} of {len(names)}"),
    )
    totals = sum(counted, Counter[str]())
    return Outcome({name: totals[name] for name in (*dispositions.DROPPED, "left", "rows")})


def _extract(block: str, job: Extracting) -> Counter[str]:
    """Write the rows of a block that were selected; return the counts of its rows, `rows` being those written."""
    rows = job.pool.table(block, row_columns(job.pool))
    if not rows.num_rows:
        places, dropped = np.empty(0, np.int64), None
    else:
        first, last = rows["row_id"][0].as_py(), rows["row_id"][-1].as_py()
        taken = [read_range(uri, first, last, columns=["row_id"])["row_id"].to_numpy() for uri in job.selections]
        places = np.searchsorted(rows["row_id"].to_numpy(), np.unique(np.concatenate(taken)))
        dropped = read_range(job.dropped, first, last)
    write_table(_place(job.folder, "rows", block), rows.take(places))
    if job.payload:
        write_table(_place(job.folder, "payload", block), job.pool.payload(block).take(places))
    counts = dispositions.counted(rows, places, dropped)
    return counts + Counter(left=counts["not_sampled"] + len(places), rows=len(places))


def _place(folder: str, part: str, block: str) -> str:
    return storage.join(folder, part, f"{block}.parquet")


def cost(config: ExcerptConfig, work: Workload) -> float:
    """Return the CPU-seconds of reading the pool once."""
    return 0.05 + 1e-6 * work.rows + 5e-9 * work.rows * work.payload_bytes


EXCERPT = Step("excerpt", 1, excerpt, cost=cost)
