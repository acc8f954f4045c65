"""Types of columns: what they are without encodings, which type holds two of them, and where that may lose digits."""

import pyarrow as pa

_MANTISSA = {16: 11, 32: 24, 64: 53}
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
_LONGEST_DECIMAL = 38


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column, at every depth without dictionaries, views, extensions and `not null`.

    A UUID and a duration are texts, any other extension is what it is stored as.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if kind.extension_name == "arrow.uuid" else plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_string_view(kind) or pa.types.is_duration(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(child.name, plain_type(child.type)) for child in kind])
    if pa.types.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type), kind.list_size)
    if pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind):
        return pa.large_list(plain_type(kind.value_type))
    if pa.types.is_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(plain_type(kind.value_type))
    return kind


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both, None where only text does.

    64-bit integers and doubles have the double in common, times the finer unit: where `may_lose` says so, the values
    decide whether they fit.
    """
    one, other = plain_type(one), plain_type(other)
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if _is_number(one) and _is_number(other):
        return _common_number(one, other)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        return _common_struct(one, other)
    if pa.types.is_map(one) and pa.types.is_map(other):
        keys, items = common_type(one.key_type, other.key_type), common_type(one.item_type, other.item_type)
        return None if keys is None or items is None else pa.map_(keys, items)
    if is_list(one) and is_list(other):
        values = common_type(one.value_type, other.value_type)
        if values is None:
            return None
        return pa.large_list(values) if any(map(pa.types.is_large_list, (one, other))) else pa.list_(values)
    try:
        pair = [pa.schema([("x", one)]), pa.schema([("x", other)])]
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None


def may_lose(one: pa.DataType, common: pa.DataType) -> bool:
    """Tell whether some values of a type, at any depth, have no equal in their common type with others."""
    one = plain_type(one)
    if one == common:
        return False
    if pa.types.is_integer(one) and pa.types.is_floating(common):
        return bool(_bits(one) > _MANTISSA[common.bit_width])
    if pa.types.is_struct(one) and pa.types.is_struct(common):
        return any(may_lose(child.type, common.field(child.name).type) for child in one)
    if pa.types.is_map(one) and pa.types.is_map(common):
        return may_lose(one.key_type, common.key_type) or may_lose(one.item_type, common.item_type)
    if is_list(one) and is_list(common):
        return may_lose(one.value_type, common.value_type)
    return bool(pa.types.is_temporal(one) and pa.types.is_temporal(common))


def lasting_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that versions have for a type, at every depth: microseconds for nanoseconds, 38 digits for 76."""
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_decimal256(kind):
        return pa.decimal128(_LONGEST_DECIMAL, min(kind.scale, _LONGEST_DECIMAL))
    if pa.types.is_struct(kind):
        return pa.struct([child.with_type(lasting_type(child.type)) for child in kind])
    if pa.types.is_map(kind):
        return pa.map_(lasting_type(kind.key_type), lasting_type(kind.item_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(lasting_type(kind.value_type))
    return pa.list_(lasting_type(kind.value_type)) if pa.types.is_list(kind) else kind


def twice_named(kind: pa.DataType, place: str) -> str:
    """Return what is wrong where a struct, at any depth, has two fields of one name, else ""."""
    children = [kind.field(number) for number in range(kind.num_fields)]
    if pa.types.is_struct(kind) and len(names := [child.name for child in children]) > len(set(names)):
        return f"two fields of {place!r} are named {next(name for name in names if names.count(name) > 1)!r}"
    return next((wrong for child in children if (wrong := twice_named(child.type, f"{place}.{child.name}"))), "")


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a type is a list of any kind."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def has_empty_struct(kind: pa.DataType) -> bool:
    """Tell whether there is, at any depth, a struct without fields, which no Parquet file can hold."""
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(has_empty_struct(child.type) for child in kind)
    if pa.types.is_map(kind):
        return has_empty_struct(kind.item_type)
    return is_list(kind) and has_empty_struct(kind.value_type)


def is_bytes(kind: pa.DataType) -> bool:
    """Tell whether values are bytes of any length: text, where a writer did not mark it as such."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _bits(kind: pa.DataType) -> int:
    return int(kind.bit_width) - int(pa.types.is_signed_integer(kind))


def _common_number(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if pa.types.is_decimal(one) or pa.types.is_decimal(other):
        return _common_decimal(one, other)
    if pa.types.is_floating(one) and pa.types.is_floating(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    if pa.types.is_floating(one) or pa.types.is_floating(other):
        number, whole = (one, other) if pa.types.is_floating(one) else (other, one)
        floats = [kind for kind in (pa.float16(), pa.float32(), pa.float64()) if kind.bit_width >= number.bit_width]
        return next((kind for kind in floats if _MANTISSA[kind.bit_width] >= _bits(whole)), pa.float64())
    if pa.types.is_signed_integer(one) == pa.types.is_signed_integer(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    wanted = max(map(_bits, (one, other)))
    signed = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
    return next((kind for kind in signed if _bits(kind) >= wanted), pa.decimal128(20, 0))


def _common_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if pa.types.is_floating(one) or pa.types.is_floating(other):
        return None
    whole, scale = (max(pair) for pair in zip(_digits(one), _digits(other), strict=True))
    return pa.decimal128(whole + scale, scale) if whole + scale <= _LONGEST_DECIMAL else None


def _digits(kind: pa.DataType) -> tuple[int, int]:
    """Return the most digits before and behind the point."""
    if pa.types.is_decimal(kind):
        return kind.precision - kind.scale, kind.scale
    return _DIGITS[kind.bit_width] + int(kind == pa.uint64()), 0


def _common_struct(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    fields: dict[str, pa.DataType] = {child.name: child.type for child in one}
    for child in other:
        common = common_type(fields.get(child.name, child.type), child.type)
        if common is None:
            return None
        fields[child.name] = common
    return pa.struct(list(fields.items()))
