"""Count the rows of every attribute inside every concept, for the gates that ask: one pass, merged on the workers."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Int64Array
from evenkeel.infra.tables import read_range
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.signal.entries.tag_lists import TagLists

KEYS = ["scope", "given", "concept", "attribute"]
JOINT = pa.schema([*((name, pa.string()) for name in KEYS), ("before", pa.int64()), ("after", pa.int64())])

Pairs = Sequence[tuple[str, str]]


def measure_joint(rows: CandidateRows, sample: StepRef, pairs: Pairs, compute: Compute) -> pa.Table:
    """Return the profile's table `joint`: scope, given, concept, attribute, before, after for pairs of columns.

    pairs: an attribute, `group.<column>`, and concepts, `group.<column>` or `tags.<signal>`. A row without a concept is
    not counted, one with several tags once for each.
    """
    counting = partial(_count_block, rows=rows, sample=sample.uri, pairs=pairs)
    found = compute.reduce(counting, _added, rows.blocks, work=rows.pool.rows * 200)
    return (JOINT.empty_table() if found is None else found).sort_by([(name, "ascending") for name in KEYS])


def copies_of(row_id: Int64Array, sample: str) -> Int64Array:
    """Return how often each of the rows of a block, in order, is in the version, (n,) int64."""
    copies = np.zeros(len(row_id), np.int64)
    if len(row_id):
        selected = read_range(storage.join(sample, "selection.parquet"), int(row_id[0]), int(row_id[-1]))
        copies[np.searchsorted(row_id, selected["row_id"].to_numpy())] = selected["copies"].to_numpy()
    return copies


def _count_block(block: str, rows: CandidateRows, sample: str, pairs: Pairs) -> pa.Table:
    table = rows.table(block, [*dict.fromkeys(column for pair in pairs for column in pair)])
    copies = copies_of(table["row_id"].to_numpy(), sample)
    parts = []
    for attribute, given in pairs:
        row = np.arange(table.num_rows)
        concept = pc.fill_null(table[given], "(none)") if given.startswith("group.") else None
        if concept is None:
            lists = TagLists.of(table[given])
            row = np.repeat(row, np.diff(lists.offsets))
            concept = lists.names.take(pa.array(lists.codes))
        counted = pa.table(
            {
                "scope": pa.array([attribute] * len(row), pa.string()),
                "given": pa.array([given] * len(row), pa.string()),
                "concept": concept,
                "attribute": pc.fill_null(table[attribute], "(none)").take(pa.array(row)),
                "before": np.ones(len(row), np.int64),
                "after": copies[row],
            }
        )
        parts.append(_summed(counted))
    return pa.concat_tables(parts)


def _added(one: pa.Table, other: pa.Table) -> pa.Table:
    return _summed(pa.concat_tables([one, other]))


def _summed(table: pa.Table) -> pa.Table:
    summed = table.group_by(KEYS, use_threads=False).aggregate([("before", "sum"), ("after", "sum")])
    return pa.Table.from_arrays([summed[name] for name in (*KEYS, "before_sum", "after_sum")], schema=JOINT)
