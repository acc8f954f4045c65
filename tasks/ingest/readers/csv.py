"""CSV and TSV, plain or compressed: quotes and line ends inside quotes, every value as it was written.

A file is cut at the ends of records, which are counted before Arrow parses them: no row can vanish in between. A quote
that is never closed, or text behind a closing quote, leaves open where a row ends: such a file is not read.
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from evenkeel.infra.dtypes import Array
from evenkeel.tasks.ingest.compressed import decompressed
from evenkeel.tasks.ingest.reader import Batch, LocalShard, Reader, ShardSchema, ShardUnreadable, named, plain_suffix

_PIECE = 8 << 20
_LONGEST_RECORD = 256 << 20
_BOM = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'


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
        first = -1  # the header
        with path.open("rb") as raw, decompressed(raw, path.name) as plain:
            for piece, records, line in _pieces(plain, _delimiter(path.name).encode()):
                _require_text(piece, line)
                if not names:
                    raise ShardUnreadable("there is no header")
                batch = _parse(piece, names, _delimiter(path.name), records, first)
                first += records
                if len(batch.rows) or batch.rejects:
                    yield batch


def _parse(piece: bytes, names: list[str], delimiter: str, records: int, first: int) -> Batch:
    """Return the rows of a piece that holds whole records; first: the number of the first, -1 for the header."""
    skipped = int(first < 0)
    rejects: list[tuple[int, str]] = []

    def reject(row: pa.csv.InvalidRow) -> str:
        detail = f"{row.actual_columns} fields instead of {row.expected_columns} in {row.text[:80]!r}"
        rejects.append((first + row.number - 1, detail))
        return "skip"

    if records == skipped:
        return Batch(rows=np.empty(0, dtype=np.int64), table=_empty(names))
    table = pa.csv.read_csv(
        io.BytesIO(piece),
        read_options=pa.csv.ReadOptions(
            use_threads=False,
            block_size=max(len(piece) + 1, 1 << 10),
            column_names=names,
            skip_rows_after_names=skipped,
        ),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=reject),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    begin = first + skipped
    if table.num_rows + len(rejects) != records - skipped:
        raise ShardUnreadable(
            f"{records - skipped:,} records behind row {begin:,} were parsed as {table.num_rows + len(rejects):,}"
        )
    rows = np.arange(begin, first + records, dtype=np.int64)
    return Batch(rows=np.setdiff1d(rows, [row for row, _ in rejects], True), table=table, rejects=rejects)


def _empty(names: list[str]) -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in names})


def _require_text(piece: bytes, line: int) -> None:
    """Raise ShardUnreadable where a piece, which begins at a line, is not UTF-8."""
    try:
        piece.decode()
    except UnicodeDecodeError as error:
        line += piece.count(b"\n", 0, error.start)
        raise ShardUnreadable(f"line {line:,} is not UTF-8: {error.reason} {piece[error.start]:#04x}") from error


def _pieces(plain: BinaryIO, delimiter: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Cut a stream at the ends of records into pieces of about 8 MiB, with the number of records and the first line.

    Blank lines are none. Raises ShardUnreadable where it is open which quotes belong together.
    """
    rest, line, begun, ended = b"", 1, False, False
    while not ended:
        read = plain.read(_PIECE)
        ended = not read
        rest += read
        if not begun and rest:
            header = rest.removeprefix(_BOM).lstrip(b"\r\n")  # blank lines above it
            line += rest.count(b"\n", 0, len(rest) - len(header))
            rest, begun = header, bool(header)
        found = _records(rest, delimiter, ended)
        cut, records = found if found is not None else _records_by_line(rest, delimiter.decode(), ended, line)
        if cut:
            yield rest[:cut], records, line
            line += rest.count(b"\n", 0, cut)
            rest = rest[cut:]
        if len(rest) > _LONGEST_RECORD:
            raise ShardUnreadable(f"a quote opened in or behind line {line:,} is not closed within 256 MiB")


def _records(content: bytes, delimiter: bytes, ended: bool) -> tuple[int, int] | None:
    """Return where the last whole record ends and how many there are; None where quotes are not where they should be.

    A quote opens at the start of a field, closes at its end, and stands for itself where it is doubled inside.
    """
    if not ended and content.endswith((b'"', b"\r")):  # what follows says what it is
        content = content.rstrip(b'"\r')
    codes = np.frombuffer(content, dtype=np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    if len(quotes):
        edges = np.array([*delimiter, _NEWLINE, _RETURN], dtype=np.uint8)
        opening, closing = quotes[0::2], quotes[1::2]
        before, after = codes[opening[opening > 0] - 1], codes[closing[closing < len(codes) - 1] + 1]
        opened = np.isin(before, edges) | (before == _QUOTE)
        if not opened.all() or not (np.isin(after, edges) | (after == _QUOTE)).all() or (ended and len(quotes) % 2):
            return None
    ends = _line_ends(codes)
    if len(quotes):
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    if ended and len(content) and (not len(ends) or ends[-1] != len(content) - 1):
        ends = np.append(ends, len(content))
    if not len(ends):
        return 0, 0
    starts = np.concatenate([[0], ends[:-1] + 1])
    width = ends - starts
    returns = (width == 1) & (codes[np.minimum(starts, len(codes) - 1)] == _RETURN)
    return min(int(ends[-1]) + 1, len(content)), int(((width > 0) & ~returns).sum())


def _line_ends(codes: Array) -> Array:
    """Return the positions of line ends: of line feeds, and of carriage returns that no line feed follows."""
    feeds = np.flatnonzero(codes == _NEWLINE)
    returns = np.flatnonzero(codes == _RETURN)
    if not len(returns):
        return feeds
    alone = returns[codes[np.minimum(returns + 1, len(codes) - 1)] != _NEWLINE]
    return np.sort(np.concatenate([feeds, alone]))


def _records_by_line(content: bytes, delimiter: str, ended: bool, line: int) -> tuple[int, int]:
    """As `_records`, by Python's parser, which raises where a quote is not closed or text follows one that is."""
    csv.field_size_limit(_LONGEST_RECORD)
    text = content.decode("utf-8", "surrogateescape")
    lines = io.StringIO(text, newline="").readlines() if text else []
    if not ended:
        lines = lines[:-1]  # it may go on
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    used = records = 0
    try:
        for record in reader:
            used, records = reader.line_num, records + bool(record)
    except csv.Error as error:
        if ended or "unexpected end" not in str(error):
            raise ShardUnreadable(
                f"{error} in the record at line {line + used:,}: which quotes belong together?"
            ) from error
    taken = sum(len(one.encode("utf-8", "surrogateescape")) for one in lines[:used])
    return taken, records


def _header(plain: BinaryIO, name: str) -> list[str]:
    """Return the fields of the first line that is not blank."""
    text = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="")
    names = named(next((record for record in csv.reader(text, delimiter=_delimiter(name)) if record), []))
    text.detach()
    if len(set(names)) < len(names):
        raise ValueError(f"two columns have one name in the header {names[:20]}")
    return names


def _delimiter(name: str) -> str:
    return "\t" if plain_suffix(name) == ".tsv" else ","
