"""Arrays go through one door: what is read is what was written, or an error says that it is not."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from evenkeel.infra import arrays, storage
from evenkeel.infra.errors import DamagedFile

STORES = pytest.mark.parametrize("store", ["local", "memory"])
ARRAYS: list[npt.NDArray[np.generic]] = [
    np.arange(12, dtype=np.float16).reshape(4, 3),
    np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3)),
    np.arange(20, dtype=np.int64)[::2],
    np.empty((0, 5), np.float32),
    np.empty(0, np.uint64),
    np.array([(1, 2.5), (3, 4.5)], [("hash", "<u8"), ("weight", "<f4")]),
    np.array(["a", "tree"]),
]


def place(store: str, tmp_path: Path) -> str:
    return str(tmp_path / "array.npy") if store == "local" else f"memory://{tmp_path.name}/array.npy"


@STORES
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_an_array_comes_back_read_and_mapped_and_numpy_reads_it(
    array: npt.NDArray[np.generic], store: str, tmp_path: Path
) -> None:
    uri = place(store, tmp_path)
    arrays.write_array(uri, array)

    read, mapped = arrays.read_array(uri), arrays.map_array(uri, tmp_path)
    assert read.flags.writeable
    assert not mapped.flags.writeable
    for found in (read, mapped, np.load(io.BytesIO(storage.read_bytes(uri)))):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_without_its_checksum_a_file_is_what_numpy_writes(array: npt.NDArray[np.generic], tmp_path: Path) -> None:
    uri, plain = place("local", tmp_path), io.BytesIO()
    arrays.write_array(uri, array)
    np.save(plain, np.ascontiguousarray(array))

    assert arrays.plain_npy(uri) == plain.getvalue()


@STORES
def test_a_flipped_bit_is_found_wherever_it_is(store: str, tmp_path: Path) -> None:
    uri = place(store, tmp_path)
    arrays.write_array(uri, np.arange(60, dtype=np.float32).reshape(20, 3))
    content = storage.read_bytes(uri)

    for bit in range(0, 8 * len(content), 13):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        damaged = f"{uri}.{bit}.npy"
        storage.write_bytes(damaged, bytes(changed))
        for read in (arrays.read_array, arrays.plain_npy, lambda place: arrays.map_array(place, tmp_path)):
            with pytest.raises(DamagedFile, match=r"array\.npy"):
                read(damaged)


@STORES
def test_a_file_that_is_cut_short_is_damaged_and_one_that_is_not_there_is_missing(store: str, tmp_path: Path) -> None:
    uri = place(store, tmp_path)
    arrays.write_array(uri, np.arange(60))
    content = storage.read_bytes(uri)

    for size in (0, 5, 70, 128 + 479, len(content) - 1):
        storage.write_bytes(uri, content[:size])
        with pytest.raises(DamagedFile, match=r"array\.npy"):
            arrays.read_array(uri)
    for read in (arrays.read_array, lambda place: arrays.map_array(place, tmp_path)):
        with pytest.raises(FileNotFoundError):
            read(f"{uri}.missing")


def test_a_file_that_changes_is_verified_again(tmp_path: Path) -> None:
    uri = place("local", tmp_path)
    arrays.write_array(uri, np.arange(60))
    arrays.map_array(uri, tmp_path)
    content = bytearray(storage.read_bytes(uri))
    content[200] ^= 1
    storage.write_bytes(uri, bytes(content))

    with pytest.raises(DamagedFile):
        arrays.map_array(uri, tmp_path)


def test_a_file_of_others_is_read_without_a_checksum(tmp_path: Path) -> None:
    uri = place("local", tmp_path)
    np.save(uri, np.arange(60))

    for found in (arrays.read_array(uri), arrays.map_array(uri, tmp_path), arrays.map_foreign(Path(uri))):
        np.testing.assert_array_equal(found, np.arange(60))


def test_an_array_is_written_piece_by_piece_or_not_at_all(tmp_path: Path) -> None:
    uri, whole = place("local", tmp_path), np.arange(30, dtype=np.float32).reshape(10, 3)
    arrays.stream_array(uri, whole.shape, whole.dtype, (whole[first : first + 4] for first in range(0, 10, 4)))

    np.testing.assert_array_equal(arrays.read_array(uri), whole)
    with pytest.raises(ValueError, match=r"96 bytes are no float32 of shape \(10, 3\)"):
        arrays.stream_array(uri, whole.shape, whole.dtype, [whole[:8]])
    with pytest.raises(ValueError, match="unpickling"):
        arrays.write_array(uri, np.array([object()]))
    np.testing.assert_array_equal(arrays.read_array(uri), whole)
    assert [item.rpartition("/")[2] for item in storage.list_files(uri.rpartition("/")[0])] == ["array.npy"]


def test_many_threads_open_arrays_at_once(tmp_path: Path) -> None:
    uris = [str(tmp_path / f"{number}.npy") for number in range(64)]
    for number, uri in enumerate(uris):
        arrays.write_array(uri, np.full(8, number))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda uri: arrays.map_array(uri, tmp_path), uris * 4))

    assert [int(array[0]) for array in found] == list(range(64)) * 4


def test_small_arrays_that_are_held_keep_no_file_open(tmp_path: Path) -> None:
    uris = [str(tmp_path / f"{number}.npy") for number in range(100)]
    for number, uri in enumerate(uris):
        arrays.write_array(uri, np.full(8, number))
    before = len(os.listdir("/proc/self/fd"))
    held = [arrays.map_array(uri, tmp_path) for uri in uris]
    assert len(os.listdir("/proc/self/fd")) < before + 50
    assert [int(array[0]) for array in held] == list(range(100))
    assert not any(array.flags.writeable for array in held)
    large = np.arange(1 << 16)
    arrays.write_array(uris[0], large)
    np.testing.assert_array_equal(arrays.map_array(uris[0], tmp_path), large)
