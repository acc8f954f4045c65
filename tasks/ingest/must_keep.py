"""Rows that must be kept: found by id before the work, and left alone by filters, deduplication and sampling.

Source: data taggants (Bouaziz et al. 2024, arXiv 2410.09101) prove whose data a model was trained on by rows that
only prove it if they are all in the training set.
"""

from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from evenkeel.infra import storage
from evenkeel.infra.dtypes import BoolArray, UInt64Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepFolder, StepRef
from evenkeel.tasks.ingest.columns import as_text, identities
from evenkeel.tasks.ingest.lists import find_files, fingerprint, read_strings
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.inputs import Inputs
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

ROWS = "rows.parquet"
WHAT = "the list of rows that must be kept"
MOST_ROWS = 1_000_000
SHOWN = 5


class MustKeep(BaseModel):
    """Where the ids of the rows are."""

    model_config = ConfigDict(extra="forbid")

    rows: str = Field(min_length=1)
    column: str = "id"
    fingerprint: str = ""

    def current(self) -> Self:
        """Return it with the fingerprint of its files. Raises InputError where there are none."""
        return self.model_copy(update={"fingerprint": fingerprint(self.rows)})


@dataclass(frozen=True)
class MustKeepInputs(Inputs):
    """The pool."""

    ingest: StepRef


def must_keep(config: MustKeep, inputs: MustKeepInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the row ids of the rows that must be kept, ascending.

    Raises InputError, naming them, where some are not in the pool or were refused by it.
    """
    pool = Pool.open(inputs.ingest, run.scratch)
    read = [part for file in find_files(config.rows) for part in read_strings(file, config.column, run.scratch, WHAT)]
    listed = pa.chunked_array([chunk for part in map(as_text, read) for chunk in part.chunks], pa.string())
    wanted = pc.drop_null(listed).unique()
    if not len(wanted) or len(wanted) > MOST_ROWS:
        raise InputError(
            f"{WHAT} has {len(wanted):,} ids", expected=f"1 to {MOST_ROWS:,}", where=config.rows, remedy="correct it"
        )
    hashes: UInt64Array = np.sort(identities(pa.chunked_array([wanted])))
    found = run.compute.map(partial(_find, pool, hashes, wanted), pool.blocks, work=pool.rows * 16)
    rows: UInt64Array = np.sort(np.concatenate([np.empty(0, np.uint64), *(ids for ids, _ in found)]))
    there = {name for _, names in found for name in names}
    if missing := [name for name in wanted.to_pylist() if name not in there]:
        refused = _refused(pool, missing)
        told = [f"{name!r} ({refused.get(name, 'no row of the source has this id')})" for name in missing[:SHOWN]]
        raise InputError(
            f"{len(missing):,} of {len(wanted):,} rows that must be kept are not in the pool",
            found="; ".join(told) + (f"; and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""),
            where=config.rows,
            remedy="add them to the source or mend them, or take them off the list",
        )
    write_table(out.path(ROWS), pa.table({"row_id": rows}))
    return Outcome({"rows": len(rows)}, {})


def kept_by_force(ref: StepRef | None) -> UInt64Array:
    """Return the ids of the rows that must be kept, ascending, (n,) uint64; none without the step."""
    if ref is None:
        return np.empty(0, np.uint64)
    rows: UInt64Array = read_table(storage.join(ref.uri, ROWS))["row_id"].to_numpy()
    return rows


def among(must: UInt64Array, row_ids: UInt64Array) -> BoolArray:
    """Return which of some rows must be kept, (n,) bool."""
    return find_sorted(must, row_ids)[1]


def ids_of(pool: Pool, row_ids: UInt64Array) -> list[str]:
    """Return the ids of the first few of some rows, for messages."""
    named: list[str] = []
    for block in pool.blocks:
        if len(named) >= SHOWN:
            break
        table = pool.table(block, ["row_id", "id"])
        here = np.isin(table["row_id"].to_numpy(), row_ids)
        named += table["id"].filter(pa.array(here)).to_pylist()
    return named[:SHOWN]


def _find(pool: Pool, hashes: UInt64Array, wanted: pa.Array, block: Block) -> tuple[UInt64Array, list[str]]:
    """Return the row ids of the rows of a block whose ids are wanted, and these ids."""
    table = pool.table(block, ["row_id", "identity", "id"])
    near = pa.array(find_sorted(hashes, table["identity"].to_numpy())[1])
    rows = table.filter(near)
    rows = rows.filter(pc.is_in(rows["id"], wanted)) if rows.num_rows else rows
    return rows["row_id"].to_numpy(), rows["id"].to_pylist()


def _refused(pool: Pool, ids: list[str]) -> dict[str, str]:
    """Return why ingest refused some rows, by their ids."""
    table = pool.quarantine()
    mine = table.filter(pc.is_in(table["id"], pa.array(ids, pa.string()))).to_pylist()
    return {str(one["id"]): f"refused: {one['reason']}" for one in mine}


def cost(config: MustKeep, work: Workload) -> float:
    """Return the CPU-seconds of looking for the ids in a pool."""
    return 0.05 + 6e-8 * work.rows


MUST_KEEP = Step("must-keep", 1, must_keep, cost=cost)
