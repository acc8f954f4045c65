"""Names move atomically, and only names."""

import pandas as pd
import pyarrow as pa
import pytest

from evenkeel.infra.errors import RecipeError, VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.versions.listing import read_version
from evenkeel.tasks.versions.tags import rollback, tag, untag
from tests.publish.fixtures import Publish


def rows(uri: str) -> pd.DataFrame:
    return pd.read_parquet(uri).set_index("ek_id")


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
    assert publish_one(seed=2).version == 3


def test_a_tag_moved_while_reading_harms_no_reader(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    with dataset_table(destination, "demo", workspace) as table:
        scan = table.scan(snapshot_id=table.metadata.refs["latest"].snapshot_id)
        expected = set(rows(read_version(destination, "demo", 1, workspace).data).index)
        publish_one(seed=1)
        assert set(scan.to_arrow()["ek_id"].to_pylist()) == expected
