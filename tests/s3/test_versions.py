"""Versions on a real object store, over real connections: the promises hold, and a refusal is in clear words."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.dataset
import pytest

import evenkeel
from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError
from evenkeel.infra.listing import store_time
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.layout import check_destination
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.tags import history, release, rollback
from evenkeel.tasks.versions.verify import verify
from tests.publish import small_steps
from tests.s3.servers import BUCKET, Store

pytestmark = pytest.mark.server

Publish = Callable[..., PublishResult]


@pytest.fixture
def destination() -> DestinationConfig:
    """A folder of its own in the bucket."""
    return DestinationConfig(uri=f"s3://{BUCKET}/{uuid.uuid4().hex}", rows_per_file=60)


@pytest.fixture
def publish_one(tmp_path: Path, destination: DestinationConfig) -> Publish:
    """Stage and publish a small pool."""

    def one(config: DestinationConfig = destination, **options: int) -> PublishResult:
        small = small_steps.make(tmp_path / "steps" / str(options), **options)  # type: ignore[arg-type]
        run = Run(workspace=str(tmp_path / "workspace"), dataset="demo", scratch=tmp_path / "scratch")
        ref = STAGE(config.staging(), StageInputs.of(small.refs), run)
        return publish(config, "demo", ref, {"card.html": b"<card>"}, {}, run.workspace)

    return one


@pytest.mark.slow
def test_a_version_is_held_and_the_newest_is_opened_by_its_address(
    store: Store, publish_one: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    workspace, folder = str(tmp_path / "workspace"), f"{destination.uri}/demo"
    first = publish_one()
    publish_one(seed=1)
    assert evenkeel.open(folder).version == 2
    rollback(destination, "demo", 1, workspace, "v2 has a bug")
    beside = publish_one(seed=2)
    assert (beside.status, beside.version, evenkeel.open(folder).version) == ("beside", 3, 1)
    assert storage.read_bytes(f"{folder}/latest/data.txt").decode() == f"{first.data}\n"
    assert len(evenkeel.open(folder).to_arrow()) == first.rows
    assert sum(len(part) for part in evenkeel.open(folder, "v3").scan(["ek_id"])) == beside.rows
    release(destination, "demo", workspace)
    assert publish_one(seed=2).status == "reinstated"
    assert evenkeel.open(folder).version == 3
    told = [(one.action, one.version) for one in history(destination, "demo", workspace)]
    assert told[:3] == [("published", 3), ("released", 1), ("published", 3)]


@pytest.mark.slow
def test_who_looks_at_a_store_leaves_nothing_there(
    store: Store, publish_one: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    check_destination(destination.uri, "demo")
    assert storage.list_files(destination.uri) == []
    publish_one()
    fs, path = storage.filesystem(destination.uri)

    def contents() -> object:
        fs.invalidate_cache()
        uploads = fs.call_s3("list_multipart_uploads", Bucket=BUCKET).get("Uploads", [])
        return fs.find(path, detail=True), uploads

    before, workspace = contents(), str(tmp_path / "workspace")
    check_destination(destination.uri, "demo")
    prune(destination, "demo", workspace)
    assert verify(destination, "demo", 1, workspace).sound
    assert contents() == before
    assert abs((store_time(destination.uri) - datetime.now(UTC)).total_seconds()) < 60
    with pytest.raises(StorageError, match="does not exist"):
        check_destination("s3://no-such-bucket/published", "demo")


def test_the_life_of_versions_on_a_store(
    store: Store, publish_one: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    workspace = str(tmp_path / "workspace")
    first, again, second = publish_one(), publish_one(), publish_one(seed=1)
    assert (first.version, again.status, second.version) == (1, "unchanged", 2)
    assert first.data.startswith("s3://")
    assert len(pd.read_parquet(first.data)) == 200
    assert verify(destination, "demo", 1, workspace).sound

    rollback(destination, "demo", 1, workspace)
    with dataset_table(destination, "demo", workspace) as table:
        assert set(table.scan().to_arrow()["ek_id"].to_pylist()) == set(pd.read_parquet(first.data)["ek_id"])

    uri = storage.join(second.location, "data", "part-00000.parquet")
    good = storage.read_bytes(uri)
    storage.write_bytes(uri, good[:-9] + bytes([good[-9] ^ 4]) + good[-8:])
    assert [damage.path for damage in verify(destination, "demo", 2, workspace).damages] == ["data/part-00000.parquet"]

    eager = destination.model_copy(
        update={"retention": Retention(keep_last=1, keep_days=0, grace_hours=0, trash_days=0)}
    )
    publish_one(seed=2)
    rollback(destination, "demo", 3, workspace)
    assert prune(eager, "demo", workspace, dry_run=False).versions == [1, 2]
    assert not [uri for uri in storage.list_files(second.location) if uri != second.location]
    assert prune(eager, "demo", workspace).folders == []
    assert [version.version for version in list_versions(destination, "demo", workspace)] == [3]
    assert verify(destination, "demo", 3, workspace).sound


@pytest.mark.slow
def test_a_large_file_goes_up_in_parts(
    seaweed_store: Store, monkeypatch: pytest.MonkeyPatch, publish_one: Publish
) -> None:
    seaweed_store.use(monkeypatch)
    config = DestinationConfig(uri=f"s3://{BUCKET}/{uuid.uuid4().hex}")
    result = publish_one(config, rows=400, width=400_000)
    assert result.files == 1
    assert result.bytes > 60 << 20
    assert (
        pyarrow.dataset.dataset(
            result.data.removeprefix("s3://"), filesystem=storage.filesystem(result.data)[0]
        ).count_rows()
        == 160
    )


def test_a_wrong_key_is_refused_without_echoing_it(
    seaweed_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    publish_one: Publish,
    destination: DestinationConfig,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    seaweed_store.use(monkeypatch)
    publish_one()
    seaweed_store.with_key("publisher", "wrong-hunter2").use(monkeypatch)
    with pytest.raises(StorageError, match="not allowed to write") as caught:
        publish_one(seed=1)
    with pytest.raises(StorageError, match="not allowed to read") as reading:
        read_version(destination, "demo", 1, str(tmp_path / "workspace"))
    said = str(caught.value) + repr(caught.value) + str(reading.value) + "".join(capfd.readouterr())
    assert "credentials" in said
    assert "hunter2" not in said


def test_a_reader_key_reads_and_does_nothing_else(
    seaweed_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    publish_one: Publish,
    destination: DestinationConfig,
    tmp_path: Path,
) -> None:
    seaweed_store.use(monkeypatch)
    result, workspace = publish_one(), str(tmp_path / "workspace")
    seaweed_store.with_key("reader", "reader-hunter2").use(monkeypatch)
    assert len(pd.read_parquet(result.data)) == 200
    assert verify(destination, "demo", 1, workspace).sound
    with pytest.raises(StorageError, match="not allowed to write"):
        publish_one(seed=1)
    with pytest.raises(StorageError):
        storage.write_bytes(storage.join(result.data, "part-00000.parquet"), b"evil")
    with pytest.raises(StorageError):
        prune(destination, "demo", workspace, dry_run=False)
    assert verify(destination, "demo", 1, workspace).sound


def test_a_missing_bucket_is_named_before_the_work(
    seaweed_store: Store, monkeypatch: pytest.MonkeyPatch, publish_one: Publish
) -> None:
    seaweed_store.use(monkeypatch)
    with pytest.raises(StorageError, match=r"destination s3://no-such-bucket/x does not exist(.|\n)*create the bucket"):
        publish_one(DestinationConfig(uri="s3://no-such-bucket/x"))


def use_profile(store: Store, name: str, config: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a profile of an AWS configuration file be all that the process knows of a store."""
    for variable in store.environment():
        monkeypatch.delenv(variable, raising=False)
    (folder / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_PROFILE", name)


@pytest.mark.slow
def test_a_profile_gives_endpoint_region_and_key(
    seaweed_store: Store, monkeypatch: pytest.MonkeyPatch, publish_one: Publish, tmp_path: Path
) -> None:
    config = (
        f"[profile curator]\nendpoint_url = {seaweed_store.endpoint}\nregion = us-east-1\n"
        f"aws_access_key_id = {seaweed_store.key}\naws_secret_access_key = {seaweed_store.secret}\n"
        "s3 =\n  addressing_style = path\n"
    )
    use_profile(seaweed_store, "curator", config, tmp_path, monkeypatch)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    assert publish_one().version == 1


@pytest.mark.slow
def test_a_role_is_assumed_by_the_profile(
    moto_store: Store, monkeypatch: pytest.MonkeyPatch, publish_one: Publish, tmp_path: Path
) -> None:
    config = (
        f"[profile base]\naws_access_key_id = {moto_store.key}\naws_secret_access_key = {moto_store.secret}\n"
        "[profile publisher]\nrole_arn = arn:aws:iam::123456789012:role/publisher\nsource_profile = base\n"
        f"endpoint_url = {moto_store.endpoint}\nregion = us-east-1\ns3 =\n  addressing_style = path\n"
    )
    use_profile(moto_store, "publisher", config, tmp_path, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_store.endpoint)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    assert publish_one().version == 1


def test_a_reader_without_catalog_finds_the_versions(
    store: Store, publish_one: Publish, destination: DestinationConfig
) -> None:
    result = publish_one()
    index = storage.read_json(storage.join(destination.uri, "demo", "versions.json"))
    assert [(entry["version"], entry["data"]) for entry in index] == [(1, result.data)]


@pytest.mark.slow
def test_versions_survive_the_server_being_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish_one: Publish
) -> None:
    from tests.s3.servers import seaweed

    with seaweed(tmp_path / "weed") as store:
        store.use(monkeypatch)
        result = publish_one()
    port = int(store.endpoint.rpartition(":")[2])
    with seaweed(tmp_path / "weed", port):
        store.use(monkeypatch)
        config = DestinationConfig(uri=result.location.partition("/demo/")[0])
        assert read_version(config, "demo", "latest", str(tmp_path / "workspace")).version == 1
        assert verify(config, "demo", 1, str(tmp_path / "workspace")).sound
