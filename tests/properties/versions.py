"""Versions of any table, in the layout of docs/ARCHITECTURE.md, to scan for stated properties."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.tables import write_table
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.properties.version_rows import VersionRows


def write_version(
    folder: Path,
    table: pa.Table,
    kept: Sequence[int] | None = None,
    block_rows: int = 3,
    groups: Sequence[str] = (),
    ids: Sequence[str] | None = None,
) -> VersionRows:
    """Write the columns of a table as the payload of a pool, and a selection of some of its rows, None = all."""
    rows = table.num_rows
    row_id = np.arange(rows, dtype=np.uint64) * 2 + 5
    names = [f"row-{row}" for row in range(rows)] if ids is None else list(ids)
    blocks = []
    for number, first in enumerate(range(0, rows, block_rows)):
        part = slice(first, min(first + block_rows, rows))
        name = f"s00000-b{number:06d}"
        plain = {"row_id": row_id[part], "id": names[part], "shard": np.zeros(part.stop - first, np.int32)}
        plain |= {"identity": row_id[part] * 2654435761, "row": np.arange(part.start, part.stop)}
        of_groups = {f"group.{one}": table[one].slice(first, block_rows).fill_null("(none)") for one in groups}
        write_table(str(folder / "ingest" / "rows" / f"{name}.parquet"), pa.table({**plain, **of_groups}))
        write_table(str(folder / "ingest" / "payload" / f"{name}.parquet"), table.slice(first, block_rows))
        blocks.append({"name": name, "shard": 0, "rows": part.stop - part.start})
    about: dict[str, object] = dict.fromkeys(("id", "text", "vector", "dimension", "dtype"))
    about |= {"read": rows, "rows": rows, "quarantined": 0, "groups": list(groups), "scores": [], "reasons": {}}
    about |= {"payload": {field.name: str(field.type) for field in table.schema}}
    storage.write_json(str(folder / "ingest" / "pool.json"), about)
    storage.write_json(str(folder / "ingest" / "blocks.json"), blocks)
    storage.write_json(str(folder / "ingest" / "shards.json"), [])
    chosen = row_id if kept is None else row_id[list(kept)]
    selection = {"row_id": chosen, "copies": np.ones(len(chosen), np.int32), "leaf": np.zeros(len(chosen), np.int32)}
    write_table(str(folder / "sample" / "selection.parquet"), pa.table({**selection, "weight": np.ones(len(chosen))}))
    return VersionRows(Pool.open(str(folder / "ingest")), str(folder / "sample"), "gates")


def places(rows: Sequence[int]) -> list[int]:
    """Return the places in the table of some row ids."""
    return [(row - 5) // 2 for row in rows]
