"""What a file holds by another, simpler reading: the standard library's, one row after another, all in memory."""

import bz2
import csv
import gzip
import io
import json
import lzma
import warnings
from typing import Any, NoReturn

import numpy as np
import zstandard

Rows = list[dict[str, Any] | None]
"""The rows of a file in order, None where one does not parse."""


def plain(content: bytes, suffix: str) -> bytes:
    """Return decompressed content. Raises an exception of the library's where it is damaged."""
    if suffix == ".gz":
        return gzip.decompress(content)
    if suffix == ".bz2":
        return bz2.decompress(content)
    if suffix == ".xz":
        return _xz(content)
    if suffix == ".zst":
        with zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(content, read_across_frames=True) as it:
            return it.read()
    return content


def _xz(content: bytes) -> bytes:
    """Return the streams of a file one after another; zeros may lie behind each, in fours (`lzma` stops at them)."""
    found, rest = b"", content
    while True:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        found += stream.decompress(rest)
        if not stream.eof:
            raise EOFError("cut off")
        rest = stream.unused_data.lstrip(b"\0")
        if (len(stream.unused_data) - len(rest)) % 4:
            raise ValueError("zeros that are no padding")
        if not rest:
            return found


def json_rows(content: bytes) -> Rows:
    """Return the rows of JSON lines."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [_json_row(line) for line in lines if line.strip()]


def _json_row(line: bytes) -> dict[str, Any] | None:
    def never(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        value = json.loads(line.decode(), parse_constant=never)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def csv_rows(content: bytes, delimiter: str) -> Rows:
    """Return the rows of a CSV. Raises csv.Error or UnicodeDecodeError where it is damaged."""
    text = content.decode("utf-8-sig")
    records = [
        record for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if record
    ]
    if not records:
        return []
    header = records[0]
    return [dict(zip(header, record, strict=True)) if len(record) == len(header) else None for record in records[1:]]


def npy_rows(content: bytes) -> Rows:
    """Return the vectors of a .npy file. Raises ValueError where it is damaged."""
    with warnings.catch_warnings(action="ignore"):  # of headers that look like Python 2's
        array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError("no vectors")
    return [{"vector": vector} for vector in array.astype(np.float64).tolist()]
