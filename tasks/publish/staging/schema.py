"""What published columns look like: Arrow types that Iceberg has, and field ids that do not depend on earlier versions.

A column's Iceberg field id is a hash of its name and type, written into every data file. So a column that is
dropped and comes back is the same column, one whose type changes is another, and no version ever reads another
version's data by accident; no name mapping has to be kept.
"""

import pyarrow as pa
import xxhash

from evenkeel.infra.errors import InputError

FIELD_ID = b"PARQUET:field_id"
HIGHEST_ID = 1 << 30


def published(schema: pa.Schema) -> pa.Schema:
    """Return `schema` with the nearest types that lose nothing Iceberg can hold, and field ids.

    Small and unsigned integers widen (uint64 becomes decimal(20, 0)), half floats become float32, nanoseconds become
    microseconds, dictionaries their values. Raises InputError where a column has no counterpart.
    """
    fields = [_with_ids(pa.field(field.name, _plain(field.type, field.name)), field.name) for field in schema]
    ids: dict[int, str] = {}
    for field in fields:
        if (other := ids.setdefault(_id_of(field), field.name)) != field.name:
            raise InputError(f"columns {other!r} and {field.name!r} share a field id", remedy="rename one of them")
    return pa.schema(fields)


def cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` in the published types; nanoseconds are cut to microseconds."""
    columns = []
    for field, column in zip(schema, table.columns, strict=True):
        source = column.type
        if pa.types.is_dictionary(source):
            column = column.cast(source.value_type)
        if pa.types.is_duration(source):
            column = column.cast(pa.int64())
        columns.append(column.cast(field.type, safe=not _has_time(source)))
    return pa.table(columns, schema=schema)


def _plain(kind: pa.DataType, where: str) -> pa.DataType:
    is_ = pa.types
    if is_.is_dictionary(kind):
        return _plain(kind.value_type, where)
    if is_.is_null(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return pa.string()
    if is_.is_large_binary(kind) or is_.is_binary_view(kind):
        return pa.binary()
    if is_.is_uint64(kind):
        return pa.decimal128(20, 0)
    if is_.is_uint32(kind):
        return pa.int64()
    if is_.is_integer(kind) and kind.bit_width < 32:
        return pa.int32()
    if is_.is_float16(kind):
        return pa.float32()
    if is_.is_date64(kind):
        return pa.date32()
    if is_.is_time(kind):
        return pa.time64("us")
    if is_.is_timestamp(kind):
        return pa.timestamp("us", tz=None if kind.tz is None else "UTC")
    if is_.is_duration(kind):
        return pa.int64()
    if is_.is_struct(kind):
        return pa.struct([pa.field(part.name, _plain(part.type, f"{where}.{part.name}")) for part in kind.fields])
    if is_.is_map(kind):
        return pa.map_(_plain(kind.key_type, f"{where}.key"), _plain(kind.item_type, f"{where}.value"))
    if hasattr(kind, "value_field"):
        return pa.list_(pa.field("element", _plain(kind.value_type, f"{where}.element")))
    if is_.is_decimal256(kind) or is_.is_interval(kind) or is_.is_union(kind) or isinstance(kind, pa.BaseExtensionType):
        raise InputError(
            f"column {where!r} cannot be published",
            expected="a type that Iceberg has",
            found=str(kind),
            remedy="cast or drop the column in the source, or publish pointers (destination.payload)",
        )
    return kind


def _with_ids(field: pa.Field, path: str) -> pa.Field:
    kind = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct([_with_ids(part, f"{path}.{part.name}") for part in kind.fields])
    elif pa.types.is_map(kind):
        kind = pa.map_(
            _with_ids(pa.field("key", kind.key_type, nullable=False), f"{path}.key"),
            _with_ids(pa.field("value", kind.item_type), f"{path}.value"),
        )
    elif pa.types.is_list(kind):
        kind = pa.list_(_with_ids(pa.field("element", kind.value_type), f"{path}.element"))
    number = 1 + xxhash.xxh3_64_intdigest(f"{path}\0{field.type}".encode()) % HIGHEST_ID
    return pa.field(field.name, kind, field.nullable, metadata={FIELD_ID: str(number).encode()})


def _id_of(field: pa.Field) -> int:
    return int(field.metadata[FIELD_ID])


def _has_time(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_time(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_temporal(kind))
