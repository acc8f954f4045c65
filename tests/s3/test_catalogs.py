"""Catalogs that are not SQL: the REST catalog that SeaweedFS brings, and Glue as moto answers for it."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyiceberg.utils.config import Config

from evenkeel.infra import storage
from evenkeel.infra.catalog import NAME, open_catalog
from evenkeel.infra.errors import CatalogMismatch, StorageError
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.repair import repair
from evenkeel.tasks.versions.tags import rollback, tag
from evenkeel.tasks.versions.verify import verify
from tests.publish import small_steps
from tests.s3.servers import BUCKET, WAREHOUSE, Store, moto, seaweed

pytestmark = pytest.mark.server


def configure(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Configure PyIceberg by its own environment variables, which it reads when it is imported."""
    for name, value in settings.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__{name.upper()}", value)
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A SeaweedFS server with its REST catalog."""
    with seaweed(tmp_path_factory.mktemp("rest"), catalog=True) as store:
        yield store


@pytest.fixture
def rest_destination(rest: Store, monkeypatch: pytest.MonkeyPatch) -> DestinationConfig:
    """A folder of its own in the bucket, with the REST catalog."""
    rest.use(monkeypatch)
    configure(
        monkeypatch,
        evenkeel__credential=f"{rest.key}:{rest.secret}",
        evenkeel__warehouse=f"s3://{WAREHOUSE}/",
        evenkeel__oauth2_server_uri=f"{rest.catalog}/v1/oauth/tokens",
    )
    return DestinationConfig(uri=f"s3://{BUCKET}/{uuid.uuid4().hex}", catalog=rest.catalog, rows_per_file=60)


@pytest.fixture(scope="module")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A moto server, which answers for S3 and Glue alike."""
    with moto(tmp_path_factory.mktemp("glue")) as store:
        yield store


@pytest.fixture
def glue_destination(moto_server: Store, monkeypatch: pytest.MonkeyPatch) -> DestinationConfig:
    """A folder of its own in the bucket, with a Glue catalog that PyIceberg knows by its configuration."""
    moto_server.use(monkeypatch)
    configure(
        monkeypatch,
        company__type="glue",
        company__glue__endpoint=moto_server.endpoint,
        company__glue__region="us-east-1",
        company__glue__access_key_id=moto_server.key,
        company__glue__secret_access_key=moto_server.secret,
    )
    return DestinationConfig(uri=f"s3://{BUCKET}/{uuid.uuid4().hex}", catalog="company", rows_per_file=60)


@pytest.fixture(params=["rest", pytest.param("glue", marks=pytest.mark.slow)])
def destination(request: pytest.FixtureRequest) -> DestinationConfig:
    """Each catalog in turn."""
    found: DestinationConfig = request.getfixturevalue(f"{request.param}_destination")
    return found


def publish_one(folder: Path, config: DestinationConfig, dataset: str, **options: Any) -> PublishResult:
    small = small_steps.make(folder / "steps" / "-".join(options) / str(options.get("seed")), **options)
    run = Run(workspace=str(folder / "workspace"), dataset=dataset, scratch=folder / "scratch")
    return publish(config, dataset, STAGE(config.staging(), StageInputs.of(small.refs), run), {}, {}, run.workspace)


@pytest.mark.slow
@pytest.mark.parametrize("destination", ["rest", pytest.param("glue", marks=pytest.mark.slow)], indirect=True)
def test_the_life_of_versions(destination: DestinationConfig, tmp_path: Path) -> None:
    dataset, workspace = f"d{uuid.uuid4().hex[:12]}", str(tmp_path / "workspace")
    results = [publish_one(tmp_path, destination, dataset, seed=seed) for seed in (0, 0, 1, 2)]
    assert [(result.version, result.status) for result in results] == [
        (1, "published"),
        (1, "unchanged"),
        (2, "published"),
        (3, "published"),
    ]
    assert not (tmp_path / "workspace" / "catalog.db").exists()
    assert tag(destination, dataset, 1, "production", workspace).tags == ["production"]
    assert rollback(destination, dataset, 2, workspace).current
    assert read_version(destination, dataset, "latest", workspace).version == 2
    with dataset_table(destination, dataset, workspace) as table:
        assert set(table.scan().to_arrow()["ek_id"].to_pylist()) == set(pd.read_parquet(results[2].data)["ek_id"])

    eager = destination.model_copy(
        update={"retention": Retention(keep_last=1, keep_days=0, grace_hours=0, trash_days=0)}
    )
    removed = prune(eager, dataset, workspace, drop=[3], dry_run=False)
    assert (removed.versions, sorted(removed.kept)) == ([3], [1, 2])
    assert [version.version for version in list_versions(destination, dataset, workspace)] == [2, 1]
    assert all(verify(destination, dataset, number, workspace).sound for number in (1, 2))
    assert publish_one(tmp_path, destination, dataset, seed=3).version == 4
    index = storage.read_json(storage.join(destination.uri, dataset, "versions.json"))
    assert [entry["version"] for entry in index] == [4, 2, 1]


@pytest.mark.slow
def test_a_publisher_that_comes_second_gets_the_next_version(
    destination: DestinationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, workspace = f"d{uuid.uuid4().hex[:12]}", str(tmp_path / "workspace")
    publish_one(tmp_path, destination, dataset)
    real, between = commit.make_visible, []

    def late(*arguments: Any) -> None:
        monkeypatch.setattr(commit, "make_visible", real)
        between.append(publish_one(tmp_path / "other", destination, dataset, seed=1, width=20))
        real(*arguments)

    monkeypatch.setattr(commit, "make_visible", late)
    assert publish_one(tmp_path, destination, dataset, seed=2, width=30).version == 3
    assert [result.version for result in between] == [2]
    known = list_versions(destination, dataset, workspace)
    assert [version.version for version in known] == [3, 2, 1]
    with dataset_table(destination, dataset, workspace) as table:
        assert not [name for name in table.metadata.refs if name.startswith("audit-")]
        for version in known:
            rows = table.scan(snapshot_id=version.snapshot_id).to_arrow()
            assert rows.column_names == list(pd.read_parquet(version.data).columns)
            assert len(rows) == version.rows


@pytest.mark.slow
def test_schemas_added_at_once_each_stay_with_their_rows(
    destination: DestinationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, workspace = f"d{uuid.uuid4().hex[:12]}", str(tmp_path / "workspace")
    publish_one(tmp_path, destination, dataset)
    real, between = commit.begin, []

    def late(table: Any) -> Any:
        monkeypatch.setattr(commit, "begin", real)
        transaction = real(table)
        between.append(publish_one(tmp_path / "other", destination, dataset, seed=1, width=20))
        return transaction

    monkeypatch.setattr(commit, "begin", late)
    assert publish_one(tmp_path, destination, dataset, seed=2, extra={"more": pa.array(range(500))}).version == 3
    with dataset_table(destination, dataset, workspace) as table:
        for version in list_versions(destination, dataset, workspace):
            rows = table.scan(snapshot_id=version.snapshot_id).to_arrow()
            assert rows.column_names == list(pd.read_parquet(version.data).columns)
    assert [result.version for result in between] == [2]


@pytest.mark.slow
def test_a_name_given_while_a_version_is_pruned_brings_it_back(
    rest_destination: DestinationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, workspace = f"d{uuid.uuid4().hex[:12]}", str(tmp_path / "workspace")
    for seed in (0, 1):
        publish_one(tmp_path, rest_destination, dataset, seed=seed)
    from evenkeel.tasks.versions import prune as pruning

    real = pruning._sort_out

    def slow(*arguments: object) -> object:
        found = real(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(pruning, "_sort_out", real)
        tag(rest_destination, dataset, 1, "late", workspace)
        return found

    monkeypatch.setattr(pruning, "_sort_out", slow)
    eager = rest_destination.model_copy(
        update={"retention": Retention(keep_last=1, keep_days=0, grace_hours=0, trash_days=0)}
    )
    assert prune(eager, dataset, workspace, dry_run=False).versions == []
    assert read_version(rest_destination, dataset, "late", workspace).version == 1
    assert verify(rest_destination, dataset, 1, workspace).sound


def test_a_wrong_token_is_refused_without_echoing_it(
    rest_destination: DestinationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, evenkeel__credential="publisher:wrong-hunter2")
    with pytest.raises(StorageError, match="does not answer, or refuses") as caught:
        publish_one(tmp_path, rest_destination, "demo")
    assert "hunter2" not in str(caught.value) + repr(caught.value)


@pytest.mark.slow
def test_a_catalog_with_a_warehouse_of_its_own_is_rebuilt_from_the_folder(
    rest_destination: DestinationConfig, tmp_path: Path
) -> None:
    """Its metadata does not lie in the folder: versions come from `versions.json` and the manifests."""
    config, dataset = rest_destination, f"d{uuid.uuid4().hex[:12]}"
    results = [publish_one(tmp_path, config, dataset, seed=seed) for seed in (0, 1)]
    tag(config, dataset, 1, "production", "")
    before = [one.model_dump(exclude={"snapshot_id"}) for one in list_versions(config, dataset, "")]
    with open_catalog(config.catalog, config.uri) as catalog:
        catalog.drop_table((NAME, dataset))
    with pytest.raises(CatalogMismatch, match=r"does not know them(.|\n)*evenkeel repair"):
        publish_one(tmp_path, config, dataset, seed=2)
    assert repair(config, dataset, dry_run=False).action == "rebuild"
    assert [one.model_dump(exclude={"snapshot_id"}) for one in list_versions(config, dataset, "")] == before
    assert all(verify(config, dataset, number, "").sound for number in (1, 2))
    with dataset_table(config, dataset, "") as table:
        assert set(table.scan().to_arrow()["ek_id"].to_pylist()) == set(pd.read_parquet(results[1].data)["ek_id"])
    assert publish_one(tmp_path, config, dataset, seed=2).version == 3
    assert repair(config, dataset).action == "none"
