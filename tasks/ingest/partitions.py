"""Columns that the path of a shard gives: folders named `key=value`, as Hive, Spark and Polars write them."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import pyarrow as pa

    from evenkeel.tasks.ingest.listing import ListedShard

NULL = "__HIVE_DEFAULT_PARTITION__"
FROM_PATH = b"evenkeel.from_path"  # in the metadata of a field: the file itself has no such column
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


def partition_of(uri: str, name: str) -> dict[str, str | None]:
    """Return the columns that the folders of a shard give; name: its path below the fixed part of the source.

    Folders of the fixed part count where nothing but such folders lies between them and the shard.
    """
    folders = posixpath.dirname(uri).split("/")
    begin = len(folders) - name.count("/")
    while begin > 0 and _pair(folders[begin - 1]):
        begin -= 1
    return dict(pair for folder in folders[begin:] if (pair := _pair(folder)))


def partition_types(shards: Sequence["ListedShard"]) -> dict[str, "pa.DataType"]:
    """Return the types of the columns that paths give: whole numbers where all values are written so, else texts."""
    import pyarrow as pa

    whole: dict[str, bool] = {}
    for shard in shards:
        for name, value in shard.partition.items():
            whole[name] = whole.get(name, True) and (value is None or bool(_WHOLE.fullmatch(value)))
    return {name: pa.int64() if numbers else pa.string() for name, numbers in whole.items()}


def with_fields(schema: "pa.Schema", partition: Mapping[str, str | None]) -> "pa.Schema":
    """Return the schema of a shard with fields for what its path gives and the file does not have."""
    import pyarrow as pa

    more = [pa.field(name, pa.string(), metadata={FROM_PATH: b""}) for name in partition if name not in schema.names]
    return pa.schema([*schema, *more])


def with_types(schema: "pa.Schema", kinds: Mapping[str, "pa.DataType"]) -> "pa.Schema":
    """Return a schema in which the fields that `with_fields` added have the types of all shards."""
    import pyarrow as pa

    def field(item: "pa.Field") -> "pa.Field":
        return pa.field(item.name, kinds[item.name]) if item.metadata and FROM_PATH in item.metadata else item

    return pa.schema([field(item) for item in schema])


def with_columns(
    table: "pa.Table", rows: int, partition: Mapping[str, str | None], kinds: Mapping[str, "pa.DataType"]
) -> "pa.Table":
    """Return rows of a shard with the columns that its path gives; a column of the file itself stays as it is."""
    import pyarrow as pa

    for name, value in partition.items():
        if name not in table.column_names:
            one = pa.scalar(value, pa.string()).cast(kinds[name])
            table = table.append_column(name, pa.repeat(one, rows))
    return table


def _pair(folder: str) -> tuple[str, str | None] | None:
    key, sign, value = folder.partition("=")
    if not (key and sign):
        return None
    return unquote(key), None if value in ("", NULL) else unquote(value)
