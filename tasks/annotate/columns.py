"""The columns that an annotate step leaves: one file per block of the pool, the kept rows in order of row id."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.column import Column, ColumnType

TYPES: dict[ColumnType, pa.DataType] = {
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "list<int64>": pa.list_(pa.int64()),
    "list<string>": pa.list_(pa.string()),
}


BESIDE = "beside"


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema of the files of an annotation: row_id, then its columns."""
    return pa.schema([("row_id", pa.uint64()), *((one.name, TYPES[one.type]) for one in columns)])


def block_uri(folder: str, block: str) -> str:
    """Return where the columns of a block lie."""
    return storage.join(folder, "columns", f"{block}.parquet")


def written_columns(ref: StepRef) -> list[Column]:
    """Return the columns that a finished annotate step wrote."""
    return [Column(*one) for one in ref.facts.get("columns", [])]


def read_columns(refs: Mapping[str, StepRef], block: str) -> pa.Table | None:
    """Return row_id and all columns of some annotations for the kept rows of a block; None where they have none."""
    tables = [read_table(block_uri(ref.uri, block)) for ref in refs.values() if written_columns(ref)]
    if not tables:
        return None
    found = tables[0]
    for other in tables[1:]:
        for name in other.column_names[1:]:
            found = found.append_column(name, other[name])
    return found
