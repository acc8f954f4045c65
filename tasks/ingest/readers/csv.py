"""CSV and TSV, plain or compressed: quotes and line ends inside quotes, every value as it was written."""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from evenkeel.tasks.ingest.compressed import decompressed
from evenkeel.tasks.ingest.reader import Batch, LocalShard, Reader, ShardSchema

_PIECE = 8 << 20


class CsvReader(Reader):
    """CSV and TSV: a header, then one row per record, every value as it was written."""

    name: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")
    types: ClassVar[Literal["text"]] = "text"
    header_lines: ClassVar[int] = 1

    def inspect(self, stream: BinaryIO, name: str) -> ShardSchema:
        """Return the header as a schema of strings: types are inferred when all is read."""
        with decompressed(stream, name) as plain:
            names = _header(plain, name)
        return ShardSchema(schema=pa.schema([(column, pa.string()) for column in names]), rows=None if names else 0)

    def batches(self, shard: LocalShard) -> Iterator[Batch]:
        """Yield batches of strings; a row with too few or too many fields is a reject, a blank line is no row."""
        path = shard.path
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


def _header(plain: BinaryIO, name: str) -> list[str]:
    text = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")
    names = next(csv.reader(text, delimiter=_delimiter(name)), [])
    text.detach()
    if len(set(names)) < len(names):
        raise ValueError(f"two columns have one name in the header {names[:20]}")
    return names


def _delimiter(name: str) -> str:
    return "\t" if ".tsv" in name.lower() else ","
