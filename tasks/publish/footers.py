"""What the catalog records of data files: counts, sizes and bounds of every column, from the files' footers."""

import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    pyarrow_to_schema,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import BinaryType, DoubleType, FloatType, IntegerType, LongType, PrimitiveType, StringType
from pyiceberg.utils.truncate import truncate_upper_bound_binary_string, truncate_upper_bound_text_string

from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import read_footer

THREADS = 16
NUMBERS = {IntegerType(): "<i", LongType(): "<q", FloatType(): "<f", DoubleType(): "<d"}
MODES = {MetricModeTypes.COUNTS, MetricModeTypes.TRUNCATE, MetricModeTypes.FULL}

Bounds = Callable[[Any, Any], tuple[bytes | None, bytes | None]]
Statistics = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One leaf column: its id in the catalog, and how its least and greatest value are written; None: not at all."""

    field: int
    bounds: Bounds | None


def iceberg_schema(schema: pa.Schema, number: int) -> Schema:
    """Return an Arrow schema with field ids as Iceberg's, under this number."""
    return Schema(*pyarrow_to_schema(schema).fields, schema_id=number)


def read_footers(table: Table, schema: pa.Schema, files: Sequence[tuple[str, int]]) -> list[DataFile]:
    """Return what the catalog records of each data file (URI, bytes), statistics included, from the files' footers.

    Raises InputError where a file does not have `schema`.
    """
    iceberg = iceberg_schema(schema, 0)
    plan = compute_statistics_plan(iceberg, table.metadata.properties)
    ids = parquet_path_to_id_mapping(iceberg)
    first = read_footer(files[0][0])
    if not first.schema.to_arrow_schema().equals(schema, check_metadata=False):
        raise InputError("a data file has other columns than were staged", where=files[0][0])
    columns = known_columns(first, plan, ids)

    def read(file: tuple[str, int]) -> DataFile:
        uri, size = file
        footer = read_footer(uri)
        if not footer.schema.equals(first.schema):
            raise InputError("a data file has other columns than the first", where=uri)
        if columns is None:
            statistics = data_file_statistics_from_parquet_metadata(footer, plan, ids).to_serialized_dict()
        else:
            statistics = gather_statistics(footer, columns)
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=uri,
            file_format=FileFormat.PARQUET,
            partition=Record(),
            file_size_in_bytes=size,
            sort_order_id=None,
            spec_id=table.metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics,
        )

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(read, files))


def known_columns(footer: pq.FileMetaData, plan: dict[int, Any], ids: dict[str, int]) -> list[Column] | None:
    """Return the leaf columns of a file in order, or None where one is of a type that is left to PyIceberg."""
    columns = []
    for place in range(footer.num_columns):
        field = ids[footer.schema.column(place).path]
        mode, kind = plan[field].mode, plan[field].iceberg_type
        if mode.type not in MODES or kind not in (*NUMBERS, StringType(), BinaryType()):
            return None
        columns.append(Column(field, None if mode.type == MetricModeTypes.COUNTS else _bounds(kind, mode.length)))
    return columns


def gather_statistics(footer: pq.FileMetaData, columns: Sequence[Column]) -> Statistics:
    """Return what `data_file_statistics_from_parquet_metadata` of PyIceberg returns, in under half of the time."""
    sizes, values, nulls = ({column.field: 0 for column in columns} for _ in range(3))
    lows: dict[int, list[Any]] = {}
    highs: dict[int, list[Any]] = {}
    incomplete: set[int] = set()
    offsets = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for place, column in enumerate(columns):
            chunk = group.column(place)
            if not place:
                pages = (chunk.dictionary_page_offset, chunk.data_page_offset)
                offsets.append(min(pages) if chunk.has_dictionary_page else pages[1])
            sizes[column.field] += chunk.total_compressed_size
            values[column.field] += chunk.num_values
            found = chunk.statistics
            if found is None:
                incomplete.add(column.field)
                continue
            nulls[column.field] += found.null_count or 0
            if column.bounds is not None and found.has_min_max:
                lows.setdefault(column.field, []).append(found.min)
                highs.setdefault(column.field, []).append(found.max)
    bounds = {
        column.field: column.bounds(min(lows[column.field]), max(highs[column.field]))
        for column in columns
        if column.bounds is not None and column.field in lows and column.field not in incomplete
    }
    return {
        "record_count": footer.num_rows,
        "column_sizes": sizes,
        "value_counts": values,
        "null_value_counts": {field: count for field, count in nulls.items() if field not in incomplete},
        "nan_value_counts": {},
        "lower_bounds": {field: low for field, (low, _) in bounds.items() if low is not None},
        "upper_bounds": {field: high for field, (_, high) in bounds.items() if high is not None},
        "split_offsets": sorted(offsets),
    }


def _bounds(kind: PrimitiveType, length: int | None) -> Bounds:
    if kind in NUMBERS:
        write = struct.Struct(NUMBERS[kind]).pack
        return lambda low, high: (write(low), write(high))
    if kind == StringType():

        def texts(low: str, high: str) -> tuple[bytes | None, bytes | None]:
            above = truncate_upper_bound_text_string(high, length)
            return low[:length].encode(), above.encode() if above is not None else None

        return texts
    return lambda low, high: (low[:length], truncate_upper_bound_binary_string(high, length))
