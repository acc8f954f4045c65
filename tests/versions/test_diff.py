"""A diff counts what another library counts."""

import pandas as pd
import pytest

from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.versions import diff as diff_module
from evenkeel.tasks.versions.diff import diff
from tests.publish.fixtures import Publish


def rows(uri: str) -> pd.DataFrame:
    return pd.read_parquet(uri).set_index("ek_id")


@pytest.mark.long
def test_diff_counts_what_pandas_counts(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = publish_one(document={"recipe": {"sampling": {"target": 200, "seed": 0}}, "metrics": {"entropy": 0.5}})
    b = publish_one(
        seed=1, rows=600, document={"recipe": {"sampling": {"target": 240, "seed": 0}}, "metrics": {"gini": 1}}
    )
    old, new = rows(a.data), rows(b.data)
    whole = diff(destination, "demo", 1, "latest", workspace)
    monkeypatch.setattr(diff_module, "ROWS_AT_ONCE", 50)
    assert diff(destination, "demo", 1, 2, workspace) == whole

    removed, added = old.index.difference(new.index), new.index.difference(old.index)
    assert (whole.added, whole.removed, whole.unchanged) == (
        len(added),
        len(removed),
        len(old.index.intersection(new.index)),
    )
    assert not whole.same_clustering
    for change in whole.groups:
        assert change.before == (old["language"] == change.value).sum()
        assert change.after == (new["language"] == change.value).sum()
        assert change.added == (new.loc[added, "language"] == change.value).sum()
        assert change.removed == (old.loc[removed, "language"] == change.value).sum()
    assert {change.value: change.before for change in whole.clusters if change.before} == {
        str(value): count for value, count in old["ek_cluster_2"].value_counts().items()
    }
    assert whole.metrics == {"entropy": (0.5, None), "gini": (None, 1)}
    assert whole.recipe == {"sampling.target": (200, 240)}
