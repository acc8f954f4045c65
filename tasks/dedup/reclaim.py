"""Rows that a list excludes and a filter removed before: the list is their reason, and filters did not remove them."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import UInt64Array
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.filtered import Filtered
from evenkeel.tasks.dedup.ledger import read_ledger
from evenkeel.tasks.ingest.pool import SHARD_BITS, Block, Pool, blocks_of
from evenkeel.tasks.step import Run


def ledger_without(folder: str, row_ids: UInt64Array) -> Iterator[pa.Table]:
    """Yield the ledger of a folder, some rows at a time, without rows of these ids, which are ascending."""
    for table in read_ledger(folder):
        yield table.filter(pa.array(~find_sorted(row_ids, table["row_id"].to_numpy())[1]))


def facts_without(filtered: StepRef, row_ids: UInt64Array, pool: Pool, run: Run) -> dict[str, object]:
    """Return what a filter step says of the rows it removed, less those of these ids, which are ascending."""
    said = Filtered.of(filtered)
    by_rule = Counter[str]()
    for table in read_ledger(filtered.uri):
        mine = find_sorted(row_ids, table["row_id"].to_numpy())[1]
        by_rule.update(table["rule"].filter(pa.array(mine)).to_pylist())
    shard = (row_ids >> np.uint64(SHARD_BITS)).astype(np.int64)
    names = {one.number: one.name for one in pool.shards}
    by_shard = Counter(names.get(number, str(number)) for number in shard.tolist())
    blocks = blocks_of(pool, row_ids)
    groups = {name: Counter(values) for name, values in said.groups.items()}
    for counts in run.compute.map(partial(_groups_of, pool, row_ids), blocks, work=pool.rows * 16):
        for name, values in counts.items():
            groups[name].subtract(values)
    for rule in said.rules:
        rule["removed"] -= by_rule[rule["rule"]]
        by_rule[rule["rule"]] = 0  # two rules may read the same: the first that holds removes
    return {
        "rules": [dict(rule) for rule in said.rules],
        "shards": dict(said.shards - by_shard),
        "groups": {name: dict(+values) for name, values in groups.items()},
    }


def _groups_of(pool: Pool, row_ids: UInt64Array, block: Block) -> dict[str, Counter[str]]:
    table = pool.table(block, ["row_id", *(f"group.{name}" for name in pool.groups)])
    mine = pa.array(find_sorted(row_ids, table["row_id"].to_numpy())[1])
    return {name: Counter(table[f"group.{name}"].filter(mine).to_pylist()) for name in pool.groups}
