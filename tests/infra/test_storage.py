"""Storage verbs behave the same on a local disk and on another fsspec store."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}-{id(request)}"


def test_bytes_come_back_and_are_listed(place: str) -> None:
    storage.write_bytes(storage.join(place, "a", "one.bin"), b"1")
    storage.write_bytes(storage.join(place, "b.bin"), b"22")
    listed = storage.list_files(place)
    assert [path.rsplit("/", 1)[1] for path in listed] == ["one.bin", "b.bin"]
    assert [storage.read_bytes(path) for path in listed] == [b"1", b"22"]


def test_missing_file_is_file_not_found(place: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(place, "nothing"))
    assert not storage.exists(storage.join(place, "nothing"))
    assert storage.list_files(storage.join(place, "nothing")) == []


def test_a_shared_file_is_there_twice_and_replaced_once(place: str) -> None:
    source, target = storage.join(place, "one.bin"), storage.join(place, "deep", "two.bin")
    storage.write_bytes(source, b"1")
    for _ in range(2):
        storage.share(source, target)
    storage.write_bytes(target, b"2")
    assert (storage.read_bytes(source), storage.read_bytes(target)) == (b"1", b"2")
    assert len(storage.list_files(place)) == 2
    with pytest.raises(FileNotFoundError):
        storage.share(storage.join(place, "nothing"), target)


def test_a_file_that_a_killed_process_was_writing_is_not_listed(tmp_path: Path) -> None:
    with storage.open_replace(str(tmp_path / "whole.bin")) as stream:
        stream.write(b"1")
        assert storage.list_files(str(tmp_path)) == []
    assert storage.list_files(str(tmp_path)) == [str(tmp_path / "whole.bin")]


@given(data=st.binary(max_size=64))
def test_checksum_is_sha256(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    uri = str(tmp_path_factory.mktemp("sum") / "file")
    storage.write_bytes(uri, data)
    assert storage.sha256(uri) == hashlib.sha256(data).hexdigest()


def test_no_half_written_file_is_left_visible(tmp_path: Path) -> None:
    target = str(tmp_path / "whole.json")
    storage.write_json(target, {"a": 1})
    with pytest.raises(TypeError):
        storage.write_json(target, {"a": object()})
    assert storage.read_json(target) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["whole.json"]


def test_remote_file_is_copied_once(tmp_path: Path) -> None:
    uri = "memory://copied/vectors.npy"
    storage.write_bytes(uri, b"first")
    copy = storage.local_copy(uri, tmp_path)
    storage.write_bytes(uri, b"second")
    assert storage.local_copy(uri, tmp_path) == copy
    assert copy.read_bytes() == b"first"


def test_unknown_store_names_itself() -> None:
    with pytest.raises(StorageError, match="nosuchstore"):
        storage.read_bytes("nosuchstore://bucket/key")


def test_file_in_the_way_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"")
