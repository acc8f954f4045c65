"""Write a version in the formats of training libraries, by those libraries: WebDataset, MDS, JSONL, Hugging Face."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pyarrow as pa
import zstandard
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, ResourceError
from evenkeel.infra.tables import read_groups
from evenkeel.tasks.publish.layout import MADE
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.listing import read_manifest

Format = Literal["webdataset", "mds", "jsonl", "hf"]


class Exported(BaseModel):
    """What was written where. rows: with copies counted. made: rows that were made of others, in the folder `made`."""

    model_config = ConfigDict(frozen=True)

    format: Format
    uri: str
    rows: int
    files: int
    made: int = 0


def export(version: Version, to: Format, target: str, *, copies: bool = True, rows_per_file: int = 100_000) -> Exported:
    """Write `version` to the empty or missing folder `target` in a format of another library.

    copies: write a row as often as `ek_copies` says. All columns are written. Rows that were made of others lie in a
    folder `made` of the same format, marked by `ek_made`, with their parents named. A row group is in memory at a time.
    The libraries write to a local disk; copy the folder on where it belongs. Raises RecipeError where the folder is not
    local or not empty, ResourceError where the format's library is not installed.
    """
    if not storage.is_local(target):
        raise RecipeError("exports are written to a local folder", found=target, remedy="export, then copy it")
    folder = Path(storage.filesystem(target)[1])
    if folder.exists() and any(folder.iterdir()):
        raise RecipeError("the folder of an export must be empty", found=str(folder), remedy="name another")
    uris = [storage.join(version.location, entry.path) for entry in read_manifest(version).data]
    rows = _write(to, uris, folder, copies, rows_per_file)
    made = storage.list_files(storage.join(version.location, MADE))
    children = _write(to, made, folder / MADE, False, rows_per_file) if made else 0
    files = [path for path in folder.rglob("*") if path.is_file()]
    return Exported(format=to, uri=str(folder), rows=rows, files=len(files), made=children)


def _write(to: Format, uris: Sequence[str], folder: Path, copies: bool, rows_per_file: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    if to == "hf":
        return _hf(uris, folder, copies, rows_per_file)
    write = {"webdataset": _webdataset, "mds": _mds, "jsonl": _jsonl}[to]
    return write(partial(_tables, uris, copies), folder, rows_per_file)


def _tables(uris: Sequence[str], copies: bool) -> Iterator[pa.Table]:
    for uri in uris:
        for table in read_groups(uri):
            yield table.take(_repeated(table)) if copies else table


def _repeated(table: pa.Table) -> pa.Array:
    return pa.array(np.repeat(np.arange(table.num_rows), table["ek_copies"].to_numpy()))


Tables = Callable[[], Iterator[pa.Table]]


def _jsonl(tables: Tables, folder: Path, rows_per_file: int) -> int:
    count, stream = 0, None
    try:
        for table in tables():
            for row in table.to_pylist():
                if count % rows_per_file == 0:
                    if stream is not None:
                        stream.close()
                    name = folder / f"part-{count // rows_per_file:05d}.jsonl.zst"
                    stream = zstandard.open(name, "wt", encoding="utf-8")
                assert stream is not None
                stream.write(json.dumps(row, default=_plain, ensure_ascii=False) + "\n")
                count += 1
    finally:
        if stream is not None:
            stream.close()
    return count


def _webdataset(tables: Tables, folder: Path, rows_per_file: int) -> int:
    """One sample a row, key = its place: `json` holds the columns, and bytes columns are members of their own."""
    try:
        import webdataset
    except ImportError:
        raise _missing("webdataset") from None
    count = 0
    with webdataset.ShardWriter(str(folder / "part-%05d.tar"), maxcount=rows_per_file, maxsize=1e9, verbose=0) as sink:
        for table in tables():
            for row in table.to_pylist():
                blobs = {name: row.pop(name) for name in list(row) if isinstance(row[name], bytes)}
                text = json.dumps(row, default=_plain, ensure_ascii=False).encode()
                sink.write({"__key__": f"{count:012d}", "json": text, **blobs})
                count += 1
    return count


def _mds(tables: Tables, folder: Path, rows_per_file: int) -> int:
    try:
        from streaming import MDSWriter
    except ImportError:
        raise _missing("mosaicml-streaming") from None
    count = 0
    schema = next(tables()).schema
    columns = {field.name: _mds_encoding(field.type) for field in schema}
    with MDSWriter(out=str(folder), columns=columns, hashes=["xxh64"]) as sink:
        for table in tables():
            for row in table.to_pylist():
                sink.write({name: _mds_value(row[name], encoding) for name, encoding in columns.items()})
                count += 1
    return count


def _mds_encoding(kind: pa.DataType) -> str:
    for test, encoding in (
        (pa.types.is_string, "str"),
        (pa.types.is_binary, "bytes"),
        (pa.types.is_int32, "int32"),
        (pa.types.is_int64, "int64"),
        (pa.types.is_float32, "float32"),
        (pa.types.is_float64, "float64"),
    ):
        if test(kind):
            return encoding
    return "json"


def _mds_value(value: object, encoding: str) -> object:
    """MDS knows no null: texts and bytes become empty, numbers 0, anything else JSON null."""
    if encoding == "json":
        return json.loads(json.dumps(value, default=_plain))
    return {"str": "", "bytes": b""}.get(encoding, 0) if value is None else value


def _hf(uris: Sequence[str], folder: Path, copies: bool, rows_per_file: int) -> int:
    """A folder that `datasets.load_from_disk` maps into memory."""
    try:
        import datasets
    except ImportError:
        raise _missing("datasets") from None
    with TemporaryDirectory() as scratch:
        paths = [str(storage.local_copy(uri, Path(scratch))) for uri in uris]
        whole = datasets.Dataset.from_parquet(paths, cache_dir=scratch)
        if copies:
            whole = whole.select(np.repeat(np.arange(len(whole)), np.asarray(whole["ek_copies"])))
        whole.save_to_disk(str(folder), num_shards=-(-len(whole) // rows_per_file))
        return len(whole)


def _plain(value: object) -> object:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _missing(package: str) -> ResourceError:
    return ResourceError(f"this export is written by {package}", remedy=f"pip install {package}")
