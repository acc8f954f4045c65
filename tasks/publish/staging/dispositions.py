"""What became of the rows that a version does not hold: one line each, in Parquet files below `fates/`.

A row of the pool is kept, or its disposition is deduplicated (with its representative), filtered (with the rule),
not_sampled or quarantined.
"""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra.errors import AccountingError
from evenkeel.tasks.dedup.drops import QUARANTINED
from evenkeel.tasks.dedup.ledger import FILTERED

FOLDER = "fates"
DROPPED = ("deduplicated", "filtered", "quarantined")
SCHEMA = pa.schema(
    [
        ("ek_row_id", pa.int64()),
        ("ek_id", pa.string()),
        ("fate", pa.string()),
        ("reason", pa.string()),
        ("duplicate_of", pa.int64()),
        ("similarity", pa.float32()),
    ]
)


def of_a_block(rows: pa.Table, kept: npt.NDArray[np.int64], dropped: pa.Table | None) -> pa.Table:
    """Return the dispositions of the rows of a block that were not kept, in pool order.

    rows: all of the block, with `row_id` and `id`. kept: places of the kept ones. dropped: the rows of the block that
    filters and deduplication dropped, as in `dropped.parquet`; None for none.
    Raises AccountingError where a row was both kept and dropped.
    """
    ids = rows["row_id"].to_numpy()
    lost = np.ones(len(ids), dtype=bool)
    lost[kept] = False
    disposition = np.full(len(ids), "not_sampled", object)
    reason = np.full(len(ids), "", object)
    representative = np.full(len(ids), -1, np.int64)
    similarity = np.full(len(ids), np.nan, np.float32)
    if dropped is not None and dropped.num_rows:
        at = np.searchsorted(ids, dropped["row_id"].to_numpy())
        if not lost[at].all():
            raise AccountingError(
                "a row is both selected and dropped as a duplicate", found=f"row {ids[at][~lost[at]][0]}"
            )
        kind = dropped["kind"].to_numpy(zero_copy_only=False)
        filtered, refused = kind == FILTERED, np.isin(kind, QUARANTINED)
        disposition[at] = np.select([filtered, refused], ["filtered", "quarantined"], "deduplicated")
        reason[at] = np.where(filtered, dropped["rule"].to_numpy(zero_copy_only=False), kind)
        representative[at] = np.where(filtered | refused, -1, dropped["duplicate_of"].to_numpy().astype(np.int64))
        similarity[at] = dropped["similarity"].to_numpy(zero_copy_only=False)
    return pa.table(
        {
            "ek_row_id": ids[lost].astype(np.int64),
            "ek_id": rows["id"].filter(pa.array(lost)),
            "fate": disposition[lost],
            "reason": reason[lost],
            "duplicate_of": pa.array(representative[lost], mask=representative[lost] < 0),
            "similarity": pa.array(similarity[lost], mask=np.isnan(similarity[lost])),
        },
        schema=SCHEMA,
    )


def counted(rows: pa.Table, kept: npt.NDArray[np.int64], dropped: pa.Table | None) -> Counter[str]:
    """Return how many rows of a block have each disposition but kept; arguments and errors as of `of_a_block`."""
    if dropped is None or not dropped.num_rows:
        return Counter(not_sampled=rows.num_rows - len(kept))
    at = np.searchsorted(rows["row_id"].to_numpy(), dropped["row_id"].to_numpy())
    lost = np.concatenate([at, kept])
    some = rows.take(np.unique(lost))
    where = np.searchsorted(np.unique(lost), kept)
    found = count(of_a_block(some, where, dropped))
    found["not_sampled"] += rows.num_rows - some.num_rows
    return found


def quarantined(row_ids: pa.ChunkedArray, ids: pa.ChunkedArray, reasons: pa.ChunkedArray | pa.Array) -> pa.Table:
    """Return the dispositions of rows that are quarantined for these reasons."""
    nothing = pa.nulls(len(row_ids))
    columns = {
        "ek_row_id": row_ids.cast(pa.int64()),
        "ek_id": ids,
        "fate": pa.array(["quarantined"] * len(row_ids), pa.string()),
        "reason": reasons,
        "duplicate_of": nothing.cast(pa.int64()),
        "similarity": nothing.cast(pa.float32()),
    }
    return pa.table(columns, schema=SCHEMA)


def count(table: pa.Table) -> Counter[str]:
    """Return how many rows have each disposition."""
    return Counter({one["values"]: one["counts"] for one in table["fate"].value_counts().to_pylist()})
