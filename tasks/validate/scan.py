"""Search the texts of the version for e-mail addresses, phone numbers and secrets, block by block."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from evenkeel.expectations.concerns.privacy import PATTERNS, masked
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Run

EXAMPLES = 5


@dataclass(frozen=True)
class Hits:
    """Texts of one column that match one pattern. rows: texts read; examples: row ids with the match masked."""

    rows: int = 0
    hits: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: "Hits") -> "Hits":
        examples = (self.examples + other.examples)[:EXAMPLES]
        return Hits(self.rows + other.rows, self.hits + other.hits, examples)


Found = Mapping[tuple[str, str], Hits]  # by column and pattern


def scan(pool: Pool, sample: StepRef, rows: int, run: Run) -> pd.DataFrame:
    """Return one row per text column and pattern: column, pattern, rows, hits, examples.

    rows: how many rows of the version are searched, at equal distances. The columns are the payload's strings.
    """
    columns = [name for name, kind in pool.info.payload.items() if kind in ("string", "large_string", "string_view")]
    chosen = _at_equal_distances(Selection.open(sample).row_ids(), rows)
    if not columns or not len(chosen):
        return pd.DataFrame(columns=["column", "pattern", "rows", "hits", "examples"])
    parts = run.compute.map(partial(_scan_block, pool, columns, chosen), pool.blocks, work=len(chosen) * 1024)
    lines = []
    for column in columns:
        for pattern in PATTERNS:
            found = sum((part[column, pattern] for part in parts if part), Hits())
            lines.append({"column": column, "pattern": pattern, **asdict(found)})
    return pd.DataFrame(lines)


def _at_equal_distances(row_ids: npt.NDArray[np.uint64], rows: int) -> npt.NDArray[np.uint64]:
    """Return `rows` of the row ids (n,), or all where there are no more."""
    if len(row_ids) <= rows:
        return row_ids
    return row_ids[np.linspace(0, len(row_ids) - 1, rows).astype(np.int64)] if rows else row_ids[:0]


def _scan_block(pool: Pool, columns: list[str], chosen: npt.NDArray[np.uint64], block: Block) -> Found:
    """Return the hits among the chosen rows of a block; nothing where it has none of them."""
    row_ids = pool.table(block, ["row_id"])["row_id"].to_numpy()
    places = np.flatnonzero(np.isin(row_ids, chosen, assume_unique=True))
    if not len(places):
        return {}
    payload = pool.payload(block, columns).take(pa.array(places))
    found = {}
    for column in columns:
        texts = payload[column].to_pylist()
        for name, pattern in PATTERNS.items():
            hits = [(place, match) for place, text in enumerate(texts) if text and (match := pattern.search(text))]
            examples = [f"row {row_ids[places[place]]}: {masked(match.group())}" for place, match in hits[:EXAMPLES]]
            found[column, name] = Hits(sum(text is not None for text in texts), len(hits), tuple(examples))
    return found
