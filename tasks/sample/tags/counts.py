"""Count the rows of every tag, block by block, merged in pairs on the workers."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import Int64Array
from evenkeel.infra.tables import read_table
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.signal.entries.tag_lists import TagLists, has_tags

SCHEMA = pa.schema([("tag", pa.string()), ("count", pa.int64())])


class TagTally(NamedTuple):
    """Tags of several signals. tables: for each `tag, count`. rows: for each how many rows have one. any_of: of any."""

    tables: tuple[pa.Table, ...]
    rows: tuple[int, ...]
    any_of: int


def tally_block(block: str, rows: CandidateRows, over: tuple[str, ...]) -> TagTally:
    """Count the tags of the candidate rows of a block."""
    table = rows.table(block, [f"tags.{name}" for name in over])
    tables, having, any_of = [], [], np.zeros(table.num_rows, bool)
    for name in over:
        lists = TagLists.of(table[f"tags.{name}"])
        counts = lists.counts()
        seen = pa.array(counts > 0)
        columns = [lists.names.filter(seen), pa.array(counts).filter(seen)]
        tables.append(pa.Table.from_arrays(columns, schema=SCHEMA))
        there = has_tags(lists)
        having.append(int(there.sum()))
        any_of |= there
    return TagTally(tuple(tables), tuple(having), int(any_of.sum()))


def merge_tallies(one: TagTally, other: TagTally) -> TagTally:
    """Return the counts of both."""
    tables = tuple(_added(mine, its) for mine, its in zip(one.tables, other.tables, strict=True))
    rows = tuple(mine + its for mine, its in zip(one.rows, other.rows, strict=True))
    return TagTally(tables, rows, one.any_of + other.any_of)


def ranked(table: pa.Table) -> pa.Table:
    """Return tags from the most to the least frequent, equal counts by name."""
    return table.sort_by([("count", "descending"), ("tag", "ascending")])


def counts_of(names: pa.Array, uri: str) -> Int64Array:
    """Return how often each of some tags occurs, (n,) int64, by the table of the step `tag-counts`; 0 = never."""
    place, counts = places_of(names, uri), _opened(uri)[1]
    return np.where(place < 0, 0, counts[place]) if len(counts) else np.zeros(len(names), np.int64)


def places_of(names: pa.Array, uri: str) -> Int64Array:
    """Return the rank of each of some tags, (n,) int64, in the table of the step `tag-counts`; -1 = it is not there."""
    place = pc.fill_null(pc.index_in(names, value_set=_opened(uri)[0]), -1)
    found: Int64Array = place.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


@lru_cache(maxsize=8)
def _opened(uri: str) -> tuple[pa.Array, Int64Array]:
    """Return tags and counts; the folder is that of one content, so each process reads it once."""
    table = read_table(uri).combine_chunks()
    return table["tag"].combine_chunks(), table["count"].to_numpy()


def _added(one: pa.Table, other: pa.Table) -> pa.Table:
    joined = pa.concat_tables([one, other])
    summed = joined.group_by("tag", use_threads=False).aggregate([("count", "sum")])
    return pa.Table.from_arrays([summed["tag"], summed["count_sum"]], schema=SCHEMA)
