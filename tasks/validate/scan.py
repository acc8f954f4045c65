"""Search the texts of the version for e-mail addresses, phone numbers and secrets, block by block."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.expectations.concerns.privacy import PATTERNS, masked
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Run

EXAMPLES = 5


def scan(pool: Pool, sample: StepRef | None, rows: int, run: Run) -> pd.DataFrame:
    """Return one row per text column and pattern: column, pattern, rows, hits, examples (row ids, the match masked).

    rows: how many rows of the version to look at, spread evenly over it (none without a selection);
    the columns are the payload's strings.
    """
    columns = [name for name, kind in pool.info.payload.items() if kind in ("string", "large_string", "string_view")]
    chosen = _spread(Selection.open(sample), rows) if sample else np.empty(0, np.uint64)
    if not columns or not len(chosen):
        return pd.DataFrame(columns=["column", "pattern", "rows", "hits", "examples"])
    ranges = run.compute.map(partial(_scan_block, pool, columns, chosen), pool.blocks, work=len(chosen) * 1024)
    found: dict[tuple[str, str], dict[str, Any]] = {
        (column, pattern): {"rows": 0, "hits": 0, "examples": []} for column in columns for pattern in PATTERNS
    }
    for part in ranges:
        for key, counts in part.items():
            found[key]["rows"] += counts["rows"]
            found[key]["hits"] += counts["hits"]
            found[key]["examples"] = (found[key]["examples"] + counts["examples"])[:EXAMPLES]
    return pd.DataFrame(
        [{"column": column, "pattern": pattern, **counts} for (column, pattern), counts in found.items()]
    )


def _spread(selection: Selection, rows: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    ids = selection.row_ids()
    if len(ids) <= rows:
        return ids
    return ids[np.linspace(0, len(ids) - 1, rows).astype(np.int64)] if rows else ids[:0]


def _scan_block(
    pool: Pool, columns: list[str], chosen: np.ndarray[Any, np.dtype[np.uint64]], block: Any
) -> Mapping[tuple[str, str], dict[str, Any]]:
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
            found[column, name] = {
                "rows": sum(text is not None for text in texts),
                "hits": len(hits),
                "examples": examples,
            }
    return found
