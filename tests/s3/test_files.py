"""Tables, arrays and sections on object stores: written whole or not at all, read in ranges, verified."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.infra import arrays, sections, storage, tables
from evenkeel.infra.errors import DamagedFile
from tests.s3.servers import BUCKET, Store

pytestmark = pytest.mark.server


def test_what_is_written_comes_back_and_a_flipped_bit_is_found(store: Store, tmp_path: Path) -> None:
    base = f"s3://{BUCKET}/files-{tmp_path.name}"
    table = pa.table({"row_id": np.arange(5000, dtype=np.uint64), "text": [f"row {row}" for row in range(5000)]})
    array = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    table_uri, array_uri, keys_uri = (storage.join(base, name) for name in ("a/t.parquet", "a/v.npy", "a/k.bin"))
    tables.write_table(table_uri, table, rows_per_group=1000)
    arrays.write_array(array_uri, array)
    sections.write_sections(keys_uri, [b"one" * 9000, b"", b"three"])

    assert tables.read_table(table_uri).equals(table)
    assert tables.read_range(table_uri, 1500, 3499, columns=["text"]).equals(table.select(["text"]).slice(1500, 2000))
    np.testing.assert_array_equal(arrays.read_array(array_uri), array)
    np.testing.assert_array_equal(arrays.map_array(array_uri, tmp_path), array)
    assert sections.read_sections(keys_uri, 1, 3) == [b"", b"three"]

    for uri in (array_uri, keys_uri):
        content = bytearray(storage.read_bytes(uri))
        content[-20] ^= 1
        storage.write_bytes(uri, bytes(content))
    with pytest.raises(DamagedFile):
        arrays.read_array(array_uri)
    with pytest.raises(DamagedFile):
        sections.read_sections(keys_uri, 0, 3)


def test_a_file_whose_writing_fails_leaves_what_was_there(store: Store, tmp_path: Path) -> None:
    uri = f"s3://{BUCKET}/files-{tmp_path.name}/v.npy"
    array = np.arange(10, dtype=np.int64)
    arrays.write_array(uri, array)
    piece = np.zeros(1 << 22, np.int64)

    with pytest.raises(ValueError, match="no int64 of shape"):
        arrays.stream_array(uri, (1 << 24,), np.int64, [piece, piece])

    np.testing.assert_array_equal(arrays.read_array(uri), array)
    assert storage.list_files(uri.rpartition("/")[0]) == [uri]
