"""Common schemas for tables from many shards: all columns, in types that hold the values of every shard."""

import pyarrow as pa

from evenkeel.tasks.ingest import columns


def stack(tables: list[pa.Table]) -> pa.Table:
    """Return tables as one, their columns in common types, as text where they have none."""
    schema = common_schema([table.schema for table in tables])
    return pa.concat_tables([conform_table(table, schema) for table in tables])


def common_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """Return all columns, in the order they first appear, each in the type that holds the values of every schema."""
    kinds: dict[str, pa.DataType] = {}
    for schema in schemas:
        for item in schema:
            known = kinds.get(item.name, item.type)
            kinds[item.name] = columns.common_type(known, item.type) or pa.string()
    return pa.schema(list(kinds.items()))


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
