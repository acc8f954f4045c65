"""The one door for ids in plain files and list columns: what cannot be read as ids is an error, never another id."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest import columns
from evenkeel.tasks.ingest.column_types import is_bytes, plain_type

_EXACT = float(1 << 53)


def read_lines(path: Path, rows: int, where: str, what: str = "a list of ids") -> Iterator[list[str]]:
    """Yield the lines of a UTF-8 file, `rows` at a time, without line ends and byte order mark.

    Raises InputError for any other encoding, which names the line.
    """
    number = 0
    with path.open("rb") as raw:
        if raw.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise _no_utf8(what, where, 1, "a byte order mark of UTF-16")
    try:
        with path.open(encoding="utf-8-sig") as stream:
            while part := list(itertools.islice(stream, rows)):
                for line in part:
                    number += 1
                    if "\0" in line:
                        raise _no_utf8(what, where, number, "a zero byte")
                yield [line.rstrip("\r\n") for line in part]
    except UnicodeDecodeError as error:
        raise _no_utf8(what, where, number + 1, f"{error} in or behind that line") from error


def ids_of_column(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Return the ids that a column of a list names, in every form in which a pool may hold them.

    Bytes are texts and hex; whole numbers in a column of floats are written without a point. Raises InputError where a
    row has no id, or one that was rounded.
    """
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise InputError("a row of the list names no id", where=f"{where}, row {row:,}", remedy="correct the list")
    kind = plain_type(column.type)
    texts = columns.conform(column, pa.string())
    if pa.types.is_floating(kind):
        if len(column) and not pc.all(pc.less(pc.abs(column), _EXACT)).as_py():
            raise InputError(
                "ids were rounded: they are floats", where=where, remedy="write them as whole numbers or text"
            )
        whole = column.filter(pc.equal(pc.round(column), column))
        return pa.chunked_array([*texts.chunks, *whole.cast(pa.int64()).cast(pa.string()).chunks], pa.string())
    if is_bytes(kind):
        in_hex = pa.array([value.hex() for value in column.to_pylist()], pa.string())
        return pa.chunked_array([*texts.chunks, in_hex], pa.string())
    return texts


def id_of_each_row(column: pa.ChunkedArray, where: str, first: int) -> pa.ChunkedArray:
    """Return the id of every row of a list as a pool writes it, (n,) string; `first` is the number of the first row.

    Whole numbers in a column of floats are written without a point. Raises InputError as `ids_of_column` does.
    """
    if column.null_count:
        row = first + int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise InputError("a row of the list names no id", where=f"{where}, row {row:,}", remedy="correct the list")
    texts = columns.conform(column, pa.string())
    if not pa.types.is_floating(plain_type(column.type)):
        return texts
    if len(column) and not pc.all(pc.less(pc.abs(column), _EXACT)).as_py():
        raise InputError("ids were rounded: they are floats", where=where, remedy="write them as whole numbers or text")
    whole = pc.equal(pc.round(column), column)
    return pc.if_else(whole, column.cast(pa.int64(), safe=False).cast(pa.string()), texts)


def _no_utf8(what: str, where: str, line: int, found: str) -> InputError:
    return InputError(
        f"{what} is not UTF-8 text", found=found, where=f"{where}, line {line:,}", remedy="save it as UTF-8"
    )
