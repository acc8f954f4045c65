"""CSV and TSV, plain or compressed: quotes and line ends inside quotes, every value as it was written."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from evenkeel.tasks.ingest.readers import Batch, ShardSchema
from evenkeel.tasks.ingest.readers.compressed import decompressed

_PIECE = 8 << 20
_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?$"
_BOOLEAN = r"^(true|false)$"


def inspect_csv(stream: BinaryIO, name: str) -> ShardSchema:
    """Return the header as a schema of strings: types are inferred when all is read."""
    with decompressed(stream, name) as plain:
        names = _header(plain, name)
    return ShardSchema(schema=pa.schema([(column, pa.string()) for column in names]), rows=None if names else 0)


def read_csv(path: Path) -> Iterator[Batch]:
    """Yield batches of string columns; a row with too few or too many fields is a reject, blank lines are no rows."""
    with path.open("rb") as raw, decompressed(raw, path.name) as plain:
        names = _header(plain, path.name)
    if not names:
        return
    rejects: list[tuple[int, str]] = []

    def reject(row: pa.csv.InvalidRow) -> str:
        detail = f"{row.actual_columns} fields instead of {row.expected_columns} in {row.text[:80]!r}"
        rejects.append((row.number - 2, detail))
        return "skip"

    with path.open("rb") as raw, decompressed(raw, path.name) as plain:
        reader = pa.csv.open_csv(
            plain,
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=_PIECE),
            parse_options=pa.csv.ParseOptions(
                delimiter=_delimiter(path.name), newlines_in_values=True, invalid_row_handler=reject
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
        first, yielded = 0, 0
        for batch in reader:
            new, yielded = rejects[yielded:], len(rejects)
            rows = np.arange(first, first + batch.num_rows + len(new), dtype=np.int64)
            rows = np.setdiff1d(rows, [row for row, _ in new], assume_unique=True)
            first += batch.num_rows + len(new)
            yield Batch(rows=rows, table=pa.Table.from_batches([batch]), rejects=new)
        if yielded < len(rejects):
            empty = pa.table({name: pa.array([], pa.string()) for name in names})
            yield Batch(rows=np.empty(0, dtype=np.int64), table=empty, rejects=rejects[yielded:])


def plain_types(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings as whole numbers, numbers or booleans where all are written as those are written back."""
    if not pa.types.is_string(column.type) or column.null_count == len(column):
        return column
    for pattern, kind in ((_INTEGER, pa.int64()), (_NUMBER, pa.float64()), (_BOOLEAN, pa.bool_())):
        if pc.all(pc.match_substring_regex(column, pattern)).as_py():
            return column.cast(kind)
    return column


def _header(plain: BinaryIO, name: str) -> list[str]:
    text = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")
    names = next(csv.reader(text, delimiter=_delimiter(name)), [])
    text.detach()
    if len(set(names)) < len(names):
        raise ValueError(f"two columns have one name in the header {names[:20]}")
    return names


def _delimiter(name: str) -> str:
    return "\t" if ".tsv" in name.lower() else ","
