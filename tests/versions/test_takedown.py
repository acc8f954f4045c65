"""A takedown names the versions that hold a row, and no coming one holds it."""

import pandas as pd
import pytest

from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.versions.listing import read_version
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.verify import verify
from tests.publish.fixtures import Publish


def rows(uri: str) -> pd.DataFrame:
    return pd.read_parquet(uri).set_index("ek_id")


@pytest.mark.long
def test_takedown_names_excludes_and_republishes(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    first, second = publish_one(extras={"card.html": b"<card>"}), publish_one(seed=1)
    evil = [
        sorted(set(rows(first.data).index) & set(rows(second.data).index))[0],
        sorted(rows(first.data).index)[-1],
        "none",
    ]
    looked = takedown(destination, "demo", evil, workspace)
    assert (looked.list, looked.nowhere) == (None, ["none"])
    assert looked.held[1] == sorted(evil[:2])
    assert publish_one(seed=2).version == 3

    done = takedown(destination, "demo", evil, workspace, reason="asked by its author", republish=True, dry_run=False)
    assert done.republished is not None
    assert done.republished.version == 4
    clean = rows(done.republished.data)
    held_by_3 = rows(read_version(destination, "demo", 3, workspace).data)
    assert set(clean.index) == set(held_by_3.index) - set(evil)
    assert verify(destination, "demo", 4, workspace).sound
    manifest = read_version(destination, "demo", 4, workspace)
    assert manifest.reason == "asked by its author"

    with pytest.raises(InputError, match="taken down would be published again"):
        publish_one(seed=0, force=True)
    assert read_version(destination, "demo", "latest", workspace).version == 4


def test_takedown_of_nothing_is_refused(publish_one: Publish, destination: DestinationConfig, workspace: str) -> None:
    with pytest.raises(RecipeError, match="no ids"):
        takedown(destination, "demo", [""], workspace)
