"""Iceberg's own files are there whole or not at all, and a damaged one is named instead of being a traceback."""

from pathlib import Path

import pytest

from evenkeel.infra.catalog import StorageIO
from evenkeel.infra.errors import CatalogMismatch
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.folder import folder_table, holds_versions, metadata_files
from evenkeel.tasks.publish.opening import published_table
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.repair import repair
from tests.publish.fixtures import Publish


def newest(config: DestinationConfig) -> Path:
    return Path(metadata_files(f"{config.uri}/demo")[0])


def test_metadata_that_a_first_publisher_is_writing_is_no_concern_of_a_second(tmp_path: Path) -> None:
    folder = str(tmp_path / "demo")
    file = StorageIO({}).new_output(f"{folder}/metadata/00000-11111111.metadata.json")
    with file.create() as stream:
        stream.write(b'{"format-version"')
        assert (metadata_files(folder), holds_versions(folder)) == ([], False)
        assert not file.exists()
        stream.write(b": 2}")
    assert metadata_files(folder) == [file.location]
    with pytest.raises(FileExistsError):
        file.create()


def test_metadata_whose_writing_failed_is_not_there(tmp_path: Path) -> None:
    file = StorageIO({}).new_output(str(tmp_path / "00000-11111111.metadata.json"))

    def be_stopped() -> None:
        with file.create() as stream:
            stream.write(b"{")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_stopped()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [0, 100])
@pytest.mark.long
def test_damaged_metadata_is_named_and_repaired(
    left: int, publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    results: list[PublishResult] = [publish_one(), publish_one(seed=1)]
    file = newest(destination)
    file.write_bytes(file.read_bytes()[:left])
    assert folder_table(f"{destination.uri}/demo", "demo") is None
    with (
        pytest.raises(CatalogMismatch, match=r"metadata file of 'demo' that is damaged(.|\n)*evenkeel repair"),
        published_table(destination, "demo", workspace),
    ):
        pass
    with pytest.raises(CatalogMismatch, match="is damaged"):
        publish_one(seed=2)
    assert repair(destination, "demo", dry_run=False).versions == [1, 2]
    known = list_versions(destination, "demo", workspace)
    assert [(one.version, one.current, one.location) for one in known] == [
        (2, True, results[1].location),
        (1, False, results[0].location),
    ]
    assert publish_one(seed=2).version == 3
