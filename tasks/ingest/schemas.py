"""Common schemas for tables from many shards: all columns, in types that hold the values of every shard."""

import pyarrow as pa

from evenkeel.tasks.ingest import columns
from evenkeel.tasks.ingest.column_types import common_type, has_empty_struct, lasting_type, may_lose


def stack(tables: list[pa.Table]) -> pa.Table:
    """Return tables as one, their columns in common types, as text where they have none."""
    schema = common_schema([table.schema for table in tables])
    unfit = {name for table in tables for name in unfit_columns(table, schema)}
    schema = with_texts(schema, unfit)
    return pa.concat_tables([conform_table(table, schema) for table in tables])


def common_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """Return all columns, in the order they first appear, each in the type that holds the values of every schema."""
    kinds: dict[str, pa.DataType] = {}
    for schema in schemas:
        for item in schema:
            known = kinds.get(item.name, item.type)
            kinds[item.name] = common_type(known, item.type) or pa.string()
    return pa.schema(list(kinds.items()))


def kinds_of(schemas: list[pa.Schema]) -> dict[str, list[str]]:
    """Return the columns that have several types in tables, and which these are, null apart."""
    found: dict[str, dict[str, None]] = {}
    for schema in dict.fromkeys(schemas):
        for item in schema:
            if not pa.types.is_null(item.type):
                found.setdefault(item.name, {})[str(item.type)] = None
    return {name: list(kinds) for name, kinds in found.items() if len(kinds) > 1}


def lossy_columns(own: pa.Schema, common: pa.Schema) -> list[str]:
    """Return the columns that have values, perhaps, which their common type with other tables does not hold."""
    return [item.name for item in own if may_lose(item.type, common.field(item.name).type)]


def unfit_columns(table: pa.Table, common: pa.Schema) -> list[str]:
    """Return the columns that have a value which their common type with other tables does not hold."""
    return [name for name in lossy_columns(table.schema, common) if not _fits(table, common, name)]


def with_texts(schema: pa.Schema, names: set[str]) -> pa.Schema:
    """Return a schema in which some columns are texts."""
    return pa.schema([(item.name, pa.string() if item.name in names else item.type) for item in schema])


def storable(table: pa.Table) -> pa.Table:
    """Return a table that a Parquet file can hold: columns with structs without any field as JSON.

    Nanoseconds and decimals of 76 digits have a type that versions have where that holds every value.
    """
    kinds = {item.name: pa.string() if has_empty_struct(item.type) else item.type for item in table.schema}
    lasting = {name: lasting_type(kind) for name, kind in kinds.items()}
    kinds |= {name: new for name, new in lasting.items() if new != kinds[name] and columns.fits(table[name], new)}
    return conform_table(table, pa.schema(list(kinds.items())))


def without_lasting_type(schema: pa.Schema) -> set[str]:
    """Return the columns of blocks whose values no type of a version holds: nanoseconds, more than 38 digits."""
    return {item.name for item in schema if lasting_type(item.type) != item.type}


def _fits(table: pa.Table, schema: pa.Schema, name: str) -> bool:
    return columns.fits(table[name], schema.field(name).type)


def conform_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns and types of a schema; what it lacks is null."""
    if table.schema == schema:
        return table
    arrays = [
        columns.conform(table[item.name], item.type)
        if item.name in table.column_names
        else pa.nulls(table.num_rows, item.type)
        for item in schema
    ]
    return pa.table(arrays, schema=schema)
