"""How often tags occur in the pool and in the version: every signal that is tags, one pass, merged on the workers.

The question is that of "No zero-shot without exponential data" (arXiv 2404.04125): how long the tail of concepts is,
and which of those asked for are never seen.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.measure.joint import copies_of
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.signal.entries.tag_lists import TagLists, has_tags
from evenkeel.tasks.signal.kinds.entries import ENTRIES

FIRST, POINTS, EXAMPLES = 100, 160, 20
COUNTS = pa.schema([("tag", pa.string()), ("before", pa.int64()), ("after", pa.int64())])
RANKS = pa.schema(
    [
        ("signal", pa.string()),
        ("rank", pa.int64()),
        ("tag", pa.string()),
        ("before", pa.int64()),
        ("after", pa.int64()),
        ("ranked_after", pa.int64()),
    ]
)


class TagUse(NamedTuple):
    """Tables `tag, before, after` of each signal, and (signals, 2) rows with any tag, before and after."""

    tables: tuple[pa.Table, ...]
    rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def measure_tags(
    rows: CandidateRows, sample: StepRef, signals: Mapping[str, StepRef], compute: Compute
) -> tuple[pa.Table, pa.Table]:
    """Return the profile's tables `tags` and `tag_totals` over the signals that are tags.

    tags: signal, rank, tag, before, after, ranked_after (the rows of the tag of that rank in the version), for the
    first ranks and some further on. tag_totals: signal, tags, kept_tags, matches_before, matches_after, rows_before,
    rows_after, asked (entries of a list; null for other tags), unseen (asked for, in no row), examples of those.
    """
    names = rows.pool.tags
    found = compute.reduce(
        partial(_use_block, rows=rows, sample=sample.uri, names=names),
        _merged,
        rows.blocks,
        work=rows.pool.rows * 200,
    )
    if found is None:
        found = TagUse(tuple(COUNTS.empty_table() for _ in names), np.zeros((len(names), 2), np.int64))
    ranked, totals = [], []
    for name, counts, having in zip(names, found.tables, found.rows, strict=True):
        counts = counts.sort_by([("before", "descending"), ("tag", "ascending")])
        ranked.append(_ranks(name, counts))
        totals.append(_totals(name, counts, having, signals[name]))
    return pa.concat_tables(ranked), pa.Table.from_pylist(totals)


def _use_block(block: str, rows: CandidateRows, sample: str, names: tuple[str, ...]) -> TagUse:
    table = rows.table(block, [f"tags.{name}" for name in names])
    copies = copies_of(table["row_id"].to_numpy(), sample)
    tables, having = [], []
    for name in names:
        lists = TagLists.of(table[f"tags.{name}"])
        before, there = lists.counts(), has_tags(lists)
        after = np.bincount(lists.codes, np.repeat(copies, np.diff(lists.offsets)), len(lists.names)).astype(np.int64)
        seen = pa.array(before > 0)
        columns = [part.filter(seen) for part in (lists.names, pa.array(before), pa.array(after))]
        tables.append(pa.Table.from_arrays(columns, schema=COUNTS))
        having.append((int(there.sum()), int(copies[there].sum())))
    return TagUse(tuple(tables), np.array(having, np.int64).reshape(len(names), 2))


def _merged(one: TagUse, other: TagUse) -> TagUse:
    tables = []
    for mine, its in zip(one.tables, other.tables, strict=True):
        both = pa.concat_tables([mine, its]).group_by("tag", use_threads=False)
        summed = both.aggregate([("before", "sum"), ("after", "sum")])
        tables.append(pa.Table.from_arrays([summed["tag"], summed["before_sum"], summed["after_sum"]], schema=COUNTS))
    return TagUse(tuple(tables), one.rows + other.rows)


def _ranks(name: str, counts: pa.Table) -> pa.Table:
    """Return the first tags by rank, and some further on, evenly on a logarithmic scale."""
    tags = counts.num_rows
    far = np.geomspace(1, max(tags, 1), POINTS).round().astype(np.int64)
    ranks = np.unique(np.concatenate([np.arange(1, min(FIRST, tags) + 1), far[far <= tags]]))
    ordered = np.sort(counts["after"].to_numpy())[::-1]
    shown = counts.take(pa.array(ranks - 1))
    columns = [pa.array([name] * len(ranks), pa.string()), ranks, *shown.columns, ordered[ranks - 1]]
    return pa.Table.from_arrays(columns, schema=RANKS)


def _totals(
    name: str, counts: pa.Table, having: np.ndarray[tuple[int, ...], np.dtype[np.int64]], signal: StepRef
) -> dict[str, object]:
    before, after = counts["before"].to_numpy(), counts["after"].to_numpy()
    listed = storage.join(signal.uri, "fit", ENTRIES)
    asked = unseen = None
    examples: list[str] = []
    if storage.exists(listed):
        entries = read_table(listed)["entry"]
        never = entries.filter(pc.invert(pc.is_in(entries, value_set=counts["tag"].combine_chunks())))
        asked, unseen, examples = len(entries), len(never), never.slice(0, EXAMPLES).to_pylist()
    return {
        "signal": name,
        "tags": len(before),
        "kept_tags": int((after > 0).sum()),
        "matches_before": int(before.sum()),
        "matches_after": int(after.sum()),
        "rows_before": int(having[0]),
        "rows_after": int(having[1]),
        "asked": asked,
        "unseen": unseen,
        "examples": examples,
    }
