"""Names move atomically, and only names."""

import pandas as pd
import pyarrow as pa
import pytest

from evenkeel.infra.errors import RecipeError, VersionNotFound
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.table import find
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.tags import rollback, tag, untag
from evenkeel.tasks.versions.verify import verify
from tests.publish.fixtures import Publish


def rows(uri: str) -> pd.DataFrame:
    return pd.read_parquet(uri).set_index("ek_id")


@pytest.mark.long
def test_rollback_and_tags_move_names_only(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    publish_one(seed=1, extra={"new": pa.array(range(500))})
    tag(destination, "demo", "v2", "prod-2026.11", workspace)
    assert rollback(destination, "demo", 1, workspace).tags == ["latest"]
    assert read_version(destination, "demo", "latest", workspace).version == 1
    assert read_version(destination, "demo", "prod-2026.11", workspace).version == 2
    with dataset_table(destination, "demo", workspace) as table:
        assert "new" not in table.scan().to_arrow().column_names
    assert tag(destination, "demo", 1, "prod-2026.11", workspace).tags == ["latest", "prod-2026.11"]
    assert untag(destination, "demo", "prod-2026.11", workspace).version == 1
    with pytest.raises(VersionNotFound):
        read_version(destination, "demo", "prod-2026.11", workspace)
    with pytest.raises(RecipeError, match="kept for the versions"):
        tag(destination, "demo", 1, "v2", workspace)
    beside = publish_one(seed=2)
    assert (beside.status, beside.version) == ("beside", 3)
    assert read_version(destination, "demo", "latest", workspace).version == 1


@pytest.mark.long
def test_latest_is_the_current_version_and_no_free_name(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    follower = destination.model_copy(update={"tag": "stable"})
    publish_one(follower)
    publish_one(follower, seed=1)
    with pytest.raises(RecipeError, match="`latest` always means the current version"):
        tag(destination, "demo", 1, "latest", workspace)
    with pytest.raises(RecipeError, match="`latest` always means the current version"):
        untag(destination, "demo", "latest", workspace)
    with dataset_table(destination, "demo", workspace) as table:
        # What `evenkeel tag RECIPE v1 latest` of earlier releases left.
        commit.apply(table, *commit.point(table, find(table, 1).snapshot_id, ["latest"]))
        assert find(table, "latest").version == 2
    assert verify(destination, "demo", "latest", workspace).version == 2
    assert [version.tags for version in list_versions(destination, "demo", workspace)] == [["latest", "stable"], []]
    rollback(follower, "demo", 1, workspace)
    with dataset_table(destination, "demo", workspace) as table:
        refs = {name: table.metadata.refs[name].snapshot_id for name in ("main", "latest", "stable", "v1")}
    assert len(set(refs.values())) == 1


@pytest.mark.long
def test_a_tag_moved_while_reading_harms_no_reader(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    with dataset_table(destination, "demo", workspace) as table:
        scan = table.scan(snapshot_id=table.metadata.refs["latest"].snapshot_id)
        expected = set(rows(read_version(destination, "demo", 1, workspace).data).index)
        publish_one(seed=1)
        assert set(scan.to_arrow()["ek_id"].to_pylist()) == expected
