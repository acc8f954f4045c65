"""What the catalog records of a file is what PyIceberg itself would record."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)

from evenkeel.tasks.publish.footers import gather_statistics, iceberg_schema, known_columns

TYPES = {
    "i": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "l": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "f": (pa.float32(), st.floats(width=32)),
    "d": (pa.float64(), st.floats()),
    "s": (pa.string(), st.text(max_size=40)),
    "b": (pa.binary(), st.binary(max_size=40)),
    "v": (pa.list_(pa.field("element", pa.float32(), metadata={"PARQUET:field_id": "7"})), st.just([1.0, 2.0])),
}


def fields(names: str) -> pa.Schema:
    ids = {name: str(number) for number, name in enumerate("ilfdsbv_tn", start=10)}
    kinds = {**{name: kind for name, (kind, _) in TYPES.items()}, "t": pa.timestamp("us"), "n": pa.decimal128(9, 2)}
    return pa.schema([pa.field(name, kinds[name], metadata={"PARQUET:field_id": ids[name]}) for name in names])


def both(table: pa.Table, rows_per_group: int) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return our statistics (None where the types are left to PyIceberg) and PyIceberg's."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=rows_per_group)
    footer = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    iceberg = iceberg_schema(table.schema, 0)
    plan, ids = compute_statistics_plan(iceberg, {}), parquet_path_to_id_mapping(iceberg)
    columns = known_columns(footer, plan, ids)
    ours = gather_statistics(footer, columns) if columns is not None else None
    return ours, data_file_statistics_from_parquet_metadata(footer, plan, ids).to_serialized_dict()


rows = st.fixed_dictionaries({name: st.one_of(st.none(), values) for name, (_, values) in TYPES.items()})


@settings(max_examples=50)
@given(rows=st.lists(rows, min_size=1, max_size=9), rows_per_group=st.integers(1, 4))
def test_the_statistics_are_those_of_pyiceberg(rows: list[dict[str, Any]], rows_per_group: int) -> None:
    ours, theirs = both(pa.Table.from_pylist(rows, schema=fields("ilfdsbv")), rows_per_group)
    assert ours == theirs


@pytest.mark.parametrize("name", ["t", "n"])
def test_other_types_are_left_to_pyiceberg(name: str, tmp_path: Path) -> None:
    ours, _ = both(pa.table({name: pa.nulls(2, fields(name).field(0).type)}, schema=fields(name)), 2)
    assert ours is None
