"""On real object stores: two workspaces share one catalog, one first publisher wins, a bucket rebuilds a catalog."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evenkeel.infra import storage
from evenkeel.infra.catalog import embedded
from evenkeel.infra.errors import CatalogMismatch, StorageError
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.marker import Marker, create_marker
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.repair import repair
from evenkeel.tasks.versions.tags import rollback, tag
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.trash import restore
from evenkeel.tasks.versions.verify import verify
from tests.s3.servers import BUCKET, Store

pytestmark = pytest.mark.server

Publish = Callable[..., PublishResult]


@pytest.fixture
def destination() -> DestinationConfig:
    """A folder of its own in the bucket."""
    return DestinationConfig(uri=f"s3://{BUCKET}/{uuid.uuid4().hex}", rows_per_file=60)


def test_one_of_many_markers_at_once_is_there(store: Store, destination: DestinationConfig) -> None:
    folder = storage.join(destination.uri, "demo")
    drafts = [Marker(dataset="demo", location=folder, keeper=f"{number:016x}", catalog="c") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        created = list(
            pool.map(lambda draft: storage.create_bytes(storage.join(folder, "evenkeel.json"), draft.encode()), drafts)
        )
    assert sum(created) == 1
    assert create_marker(drafts[0]).keeper == drafts[created.index(True)].keeper


@pytest.mark.slow
def test_two_workspaces_and_two_machines_make_one_line_of_versions(
    store: Store, publish_from: Publish, destination: DestinationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish_from("worker", seed=0)
    assert (first.version, publish_from("shell", seed=1).version) == (1, 2)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another machine"))
    assert [version.version for version in list_versions(destination, "demo", str(tmp_path))] == [2, 1]
    eager = destination.model_copy(update={"retention": Retention(keep_last=1, keep_days=0, grace_hours=0)})
    for action in (
        lambda: publish_from("third", seed=2),
        lambda: prune(eager, "demo", str(tmp_path), dry_run=False),
        lambda: tag(destination, "demo", 1, "prod", str(tmp_path)),
    ):
        with pytest.raises(CatalogMismatch, match=r"sqlite:///(.|\n)*evenkeel repair"):
            action()
    assert all(verify(destination, "demo", number, str(tmp_path)).sound for number in (1, 2))


@pytest.mark.slow
def test_a_lost_catalog_is_rebuilt_from_the_bucket_and_a_copy_adopted(
    store: Store, publish_from: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    for seed in range(3):
        publish_from("one", seed=seed)
    tag(destination, "demo", 1, "prod", "")
    rollback(destination, "demo", 2, "")
    before = [version.model_dump(exclude={"snapshot_id"}) for version in list_versions(destination, "demo", "")]
    embedded(destination.uri).unlink()
    assert repair(destination, "demo").versions == [1, 2, 3]
    repair(destination, "demo", dry_run=False)
    assert [version.model_dump(exclude={"snapshot_id"}) for version in list_versions(destination, "demo", "")] == before
    assert publish_from("two", seed=3).version == 4

    copy = destination.model_copy(update={"uri": f"{destination.uri}-copy"})
    for uri in storage.list_files(destination.uri):
        storage.write_bytes(uri.replace(destination.uri, copy.uri), storage.read_bytes(uri))
    with pytest.raises(CatalogMismatch, match="copied or moved"):
        publish_from("one", copy, seed=4)
    assert repair(copy, "demo", dry_run=False).action == "rebuild"
    assert publish_from("one", copy, seed=4).version == 5
    assert all(verify(copy, "demo", number, "").sound for number in (1, 2, 3, 4, 5))
    assert all(uri.startswith(copy.uri) for uri in (v.location for v in list_versions(copy, "demo", "")))


@pytest.mark.slow
def test_a_pruned_version_comes_back_from_the_trash_of_a_bucket(
    store: Store, publish_from: Publish, destination: DestinationConfig
) -> None:
    first, _ = publish_from("one", seed=0), publish_from("one", seed=1)
    eager = destination.model_copy(update={"retention": Retention(keep_last=1, keep_days=0, grace_hours=0)})
    assert prune(eager, "demo", "", dry_run=False).trash == [first.location]
    assert prune(eager, "demo", "", dry_run=False).folders == []
    assert restore(eager, "demo", 1, "").location == first.location
    assert verify(eager, "demo", 1, "").sound
    assert prune(eager, "demo", "", at_once=True, dry_run=False).folders == [first.location]
    assert not [uri for uri in storage.list_files(first.location) if uri != first.location]
    assert [version.version for version in list_versions(eager, "demo", "")] == [2]


@pytest.mark.slow
def test_a_reader_key_reads_without_a_catalog_and_changes_nothing(
    seaweed_store: Store,
    publish_from: Publish,
    destination: DestinationConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seaweed_store.use(monkeypatch)
    for seed in (0, 1):
        publish_from("one", seed=seed)
    rule = Retention(keep_last=1, keep_days=0, grace_hours=0)
    eager = destination.model_copy(update={"retention": rule})
    before = {uri: storage.read_bytes(uri) for uri in storage.list_files(destination.uri)}
    seaweed_store.with_key("reader", "reader-hunter2").use(monkeypatch)
    for action in (
        lambda: tag(destination, "demo", 1, "prod", ""),
        lambda: rollback(destination, "demo", 1, ""),
        lambda: prune(eager, "demo", "", dry_run=False),
        lambda: takedown(destination, "demo", ["doc-0000001"], "", dry_run=False),
    ):
        with pytest.raises(StorageError, match="not allowed to write"):
            action()
    assert verify(destination, "demo", 1, "").sound
    embedded(destination.uri).unlink()
    with pytest.raises(StorageError, match="not allowed to write"):
        repair(destination, "demo", dry_run=False)
    embedded(destination.uri).unlink()
    assert [version.version for version in list_versions(destination, "demo", "")] == [2, 1]
    assert verify(destination, "demo", 2, "").sound
    assert repair(destination, "demo").versions == [1, 2]
    assert {uri: storage.read_bytes(uri) for uri in storage.list_files(destination.uri)} == before
    assert not embedded(destination.uri).exists()
