"""A dataset with published versions, and its recipe."""

from pathlib import Path

import pytest
import yaml

from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.step import Run
from tests.publish import small_steps


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """The recipe of a dataset with two versions."""
    return two_versions(tmp_path)


def two_versions(folder: Path) -> str:
    """Publish two versions in a folder, and return where their recipe lies."""
    destination = DestinationConfig(uri=str(folder / "published"), rows_per_file=60, tag="newest")
    run = Run(workspace=str(folder / "workspace"), dataset="demo", scratch=folder / "scratch")
    for seed in (0, 1):
        small = small_steps.make(folder / f"steps-{seed}", seed=seed)
        publish(
            destination, "demo", STAGE(destination.staging(), StageInputs.of(small.refs), run), {}, {}, run.workspace
        )
    document = {
        "dataset": "demo",
        "source": {"uri": "pool/*.parquet"},
        "sampling": {"target": 100},
        "workspace": run.workspace,
        "destination": {"uri": destination.uri},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(document))
    return str(folder / "recipe.yaml")
