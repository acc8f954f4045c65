"""Small sound files of every format that a reader takes, from which fuzzed ones are made."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Compress = Callable[[bytes], bytes]
COMPRESS: dict[str, Compress] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".bz2": bz2.compress,
    ".xz": partial(lzma.compress, preset=0),
}
TEXTS = ["plain words", "grün und ẞ", 'she said "so", twice', "two\nlines", "日本語", "a, b; c\td", "007", "x" * 90]


def rows(at: int, many: int) -> list[dict[str, Any]]:
    """Return some rows of a pool."""
    return [
        {
            "id": f"r{at}-{row}",
            "text": TEXTS[(at + row) % len(TEXTS)],
            "g": "ab"[row % 2],
            "s": row / 2,
            "v": [1.5, row],
        }
        for row in range(many)
    ]


def jsonl(at: int) -> bytes:
    """Return JSON lines, some with nested values, large numbers and escapes."""
    extra: list[dict[str, Any]] = [
        {}, {"deep": {"a": [1, {"b": None}]}}, {"n": 2**53 + 1}, {"when": "2024-01-31T10:00:00"}, {"m": {}}
    ]  # fmt: skip
    end = b"\r\n" if at % 4 == 3 else b"\n"
    lines = [
        json.dumps(row | extra[(at + place) % len(extra)], ensure_ascii=bool(place % 2)).encode()
        for place, row in enumerate(rows(at, 5))
    ]
    return end.join(lines) + end * (at % 2)


def separated(at: int, delimiter: str) -> bytes:
    """Return CSV or TSV with quotes, line ends in quotes and blank lines."""
    stream = io.StringIO()
    table = csv.writer(
        stream,
        delimiter=delimiter,
        lineterminator="\r\n" if at % 3 else "\n",
        quoting=csv.QUOTE_ALL if at % 4 == 1 else csv.QUOTE_MINIMAL,
    )
    table.writerow(["id", "text", "g", "s"])
    for row in rows(at, 6):
        table.writerow([row["id"], row["text"], row["g"], row["s"]])
    return (b"\xef\xbb\xbf" if at % 5 == 4 else b"") + (b"\n" if at % 7 == 6 else b"") + stream.getvalue().encode()


def parquet(at: int) -> bytes:
    """Return a Parquet file of many types in one of many encodings."""
    found = rows(at, 6)
    columns: dict[str, Any] = {name: [row[name] for row in found] for name in ("id", "text", "g", "s")}
    columns["v"] = pa.array([row["v"] for row in found], pa.list_(pa.float32()))
    more: list[dict[str, pa.Array]] = [
        {"n": pa.array([{"a": [1, None], "b": "x"}] * 5 + [None])},
        {"m": pa.array([[("k", 1)], None] * 3, pa.map_(pa.string(), pa.int32()))},
        {"d": pa.array([Decimal("1.25"), None] * 3), "t": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 6)},
        {"b": pa.array([b"\xff\x00", b"ab", None] * 2), "o": pa.array([True, False, None] * 2)},
        {"c": pa.array(["a", "b", "a"] * 2).dictionary_encode(), "u": pa.array(range(6), pa.uint8())},
        {"i": pa.array([0, 10**15, None] * 2, pa.timestamp("ns"))},
    ]
    stream = io.BytesIO()
    pq.write_table(
        pa.table(columns | more[at % len(more)]),
        stream,
        compression=("none", "snappy", "zstd", "gzip", "lz4", "brotli")[at // 2 % 6],
        use_dictionary=at % 3 != 1,
        data_page_version=("1.0", "2.0")[at % 2],
        row_group_size=(6, 2)[at // 3 % 2],
        write_page_checksum=at % 4 == 2,
        use_deprecated_int96_timestamps=at % len(more) == 5,
        write_statistics=at % 5 != 4,
        store_schema=at % 2 == 0,
    )
    return stream.getvalue()


def npy(at: int) -> bytes:
    """Return vectors as a .npy file."""
    kind = ("<f4", "<f2", "<f8", "<i4", ">f4", "|u1")[at % 6]
    array = np.asfortranarray(np.arange(1, 13).reshape(6, 2)) if at % 7 == 6 else np.arange(1, 13).reshape(6, 2)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array.astype(kind), version=((1, 0), (2, 0))[at % 2])
    return stream.getvalue()


def ids(at: int) -> tuple[str, bytes]:
    """Return the suffix and content of a file of ids beside six vectors."""
    names = [f"r{at}-{row}" for row in range(6)]
    if at % 4 == 0:
        return ".txt", "\n".join(names).encode() + b"\n" * (at % 8 == 0)
    if at % 4 == 1:
        stream = io.BytesIO()
        np.save(stream, np.array(names))
        return ".npy", stream.getvalue()
    if at % 4 == 2:
        return ".jsonl", b"".join(json.dumps({"id": name, "text": "x"}).encode() + b"\n" for name in names)
    return ".csv", b"id,text\n" + b"".join(f"{name},x\n".encode() for name in names)


def python(at: int) -> bytes:
    """Return a Python file with docstrings."""
    return (
        f'"""Module {at}."""\n\nclass A:\n    """Class."""\n\n    def f(self):\n        """Method \\u00e9."""\n\n'
        f'if True:\n    def g():\n        r"""Raw {TEXTS[at % 3]}."""\n'
    ).encode()


def id_list(at: int) -> tuple[str, bytes]:
    """Return the suffix and content of a list of ids, as a recipe excludes or takes down by."""
    names = [f"r{at}-{row}" for row in range(6)]
    if at % 3 == 0:
        return ".txt", b"\xef\xbb\xbf" * (at % 2) + "\r\n".join(names).encode()
    if at % 3 == 1:
        return ".jsonl", b"".join(json.dumps({"id": name}).encode() + b"\n" for name in names)
    return ".csv", b"id\n" + b"".join(f"{name}\n".encode() for name in names)
