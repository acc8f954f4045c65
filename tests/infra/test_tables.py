"""Parquet files go through one door: what is read is what was written, or an error says that it is not."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.infra import storage, tables
from evenkeel.infra.errors import DamagedFile

STORES = pytest.mark.parametrize("store", ["local", "memory"])
TABLE = pa.table({"row_id": np.arange(0, 2000, 2, dtype=np.uint64), "name": [f"row {i}" for i in range(1000)]})


def place(store: str, tmp_path: Path) -> str:
    return str(tmp_path / "table.parquet") if store == "local" else f"memory://{tmp_path.name}/table.parquet"


def flip(uri: str, position: int) -> None:
    content = bytearray(storage.read_bytes(uri))
    content[position] ^= 1
    storage.write_bytes(uri, bytes(content))


@STORES
def test_a_table_comes_back_whole_in_columns_groups_batches_and_ranges(store: str, tmp_path: Path) -> None:
    uri = place(store, tmp_path)
    tables.write_table(uri, TABLE, rows_per_group=300)

    assert tables.read_table(uri).equals(TABLE)
    assert tables.read_table(uri, ["name"]).equals(TABLE.select(["name"]))
    assert [part.num_rows for part in tables.read_groups(uri)] == [300, 300, 300, 100]
    assert tables.read_group(uri, 3, ["name"]).equals(TABLE.select(["name"]).slice(900))
    assert pa.Table.from_batches(tables.read_batches(uri, 128)).equals(TABLE)
    assert tables.read_footer(uri).num_rows == 1000
    assert tables.read_schema(uri) == TABLE.schema
    assert tables.read_range(uri, 601, 1500).equals(TABLE.slice(301, 450))
    assert tables.read_range(uri, 601, 1500, columns=["name"]).equals(TABLE.select(["name"]).slice(301, 450))
    assert tables.read_range(uri, 5000, 6000).num_rows == tables.read_range(uri, 9, 3).num_rows == 0


def test_a_range_of_a_file_that_was_written_again_is_that_of_the_new_one(tmp_path: Path) -> None:
    uri = str(tmp_path / "table.parquet")
    parts = iter([TABLE.slice(0, 0), TABLE.slice(0, 400), TABLE.slice(0, 0), TABLE.slice(400)])
    tables.write_tables(uri, TABLE.schema, parts, 100)
    for first in range(2, 2000, 170):
        found = tables.read_range(uri, first, first + 99)["row_id"].to_pylist()
        assert found == [row for row in range(0, 2000, 2) if first <= row <= first + 99]
    tables.write_table(uri, TABLE.slice(900))
    assert tables.read_range(uri, 0, 10**6).equals(TABLE.slice(900))


def test_small_tables_share_a_row_group(tmp_path: Path) -> None:
    uri = str(tmp_path / "table.parquet")
    tables.write_tables(uri, TABLE.schema, (TABLE.slice(row, 1) for row in range(1000)), 1 << 16)
    assert tables.read_footer(uri).num_row_groups == 1
    assert tables.read_table(uri).equals(TABLE)
    tables.write_tables(uri, TABLE.schema, (TABLE.slice(row, 7) for row in range(0, 1000, 7)), 300)
    assert [part.num_rows for part in tables.read_groups(uri)] == [300, 1] * 3 + [97]
    assert tables.read_table(uri).equals(TABLE)


@STORES
def test_a_flipped_bit_in_a_page_is_found_by_every_way_of_reading(store: str, tmp_path: Path) -> None:
    uri = place(store, tmp_path)
    tables.write_table(uri, TABLE)
    chunk = tables.read_footer(uri).row_group(0).column(0)
    flip(uri, (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 3)
    ways = (
        lambda: tables.read_table(uri),
        lambda: tables.read_range(uri, 0, 10),
        lambda: tables.read_group(uri, 0),
        lambda: list(tables.read_groups(uri)),
        lambda: list(tables.read_batches(uri, 100)),
    )

    for read in ways:
        with pytest.raises(DamagedFile, match=r"table\.parquet"):
            read()


@STORES
def test_a_file_that_is_cut_short_is_damaged_and_one_that_is_not_there_is_missing(store: str, tmp_path: Path) -> None:
    uri = place(store, tmp_path)
    tables.write_table(uri, TABLE)
    storage.write_bytes(uri, storage.read_bytes(uri)[:-9])

    with pytest.raises(DamagedFile, match=r"table\.parquet"):
        tables.read_footer(uri)
    with pytest.raises(FileNotFoundError):
        tables.read_table(f"{uri}.missing")


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    uri = place("local", tmp_path)
    tables.write_table(uri, TABLE)

    with pytest.raises(pa.ArrowNotImplementedError):
        tables.write_table(uri, pa.table({"empty": pa.array([{}], pa.struct([]))}))

    assert tables.read_table(uri).equals(TABLE)
    assert [item.rpartition("/")[2] for item in storage.list_files(uri.rpartition("/")[0])] == ["table.parquet"]


def test_the_error_of_whoever_reads_is_not_taken_for_damage(tmp_path: Path) -> None:
    uri = place("local", tmp_path)
    tables.write_table(uri, TABLE)

    def numbers() -> list[pa.Array]:
        return [part["name"].cast(pa.int64()) for part in tables.read_groups(uri)]

    with pytest.raises(pa.ArrowInvalid):
        numbers()


def test_pages_carry_checksums_and_other_readers_read_them(tmp_path: Path) -> None:
    uri = place("local", tmp_path)
    tables.write_table(uri, TABLE)

    assert pq.read_table(uri).equals(TABLE)
    assert pq.ParquetFile(uri, page_checksum_verification=True).read().equals(TABLE)
