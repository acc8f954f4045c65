"""A workspace, a destination and a way to publish into it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.step import Run
from tests.publish import small_steps

Publish = Callable[..., PublishResult]


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    """The workspace of a test."""
    return str(tmp_path / "workspace")


@pytest.fixture
def destination(tmp_path: Path) -> DestinationConfig:
    """A local destination whose data files hold at most 60 rows."""
    return DestinationConfig(uri=str(tmp_path / "published"), rows_per_file=60, rows_per_group=16)


@pytest.fixture
def run(tmp_path: Path, workspace: str) -> Run:
    """A run in this process."""
    return Run(workspace=workspace, dataset="demo", scratch=tmp_path / "scratch")


@pytest.fixture
def publish_one(tmp_path: Path, workspace: str, destination: DestinationConfig, run: Run) -> Publish:
    """Stage and publish a small pool: `publish_one(seed=3)` makes another selection of another pool."""

    def one(
        config: DestinationConfig = destination,
        *,
        force: bool = False,
        document: dict[str, Any] | None = None,
        extras: dict[str, Any] | None = None,
        **options: Any,
    ) -> PublishResult:
        name = "-".join(f"{key}{value}" for key, value in options.items() if not isinstance(value, dict)) or "plain"
        small = small_steps.make(tmp_path / "steps" / name, **options)
        ref = STAGE(config.staging(), StageInputs.of(small.refs), run)
        return publish(config, "demo", ref, extras or {}, document or {}, workspace, force=force)

    return one


@pytest.fixture
def publish_from(tmp_path: Path, destination: DestinationConfig) -> Publish:
    """Publish a small pool from a workspace: `publish_from("worker", seed=3)`."""

    def one(workspace: str, config: DestinationConfig = destination, *, seed: int = 0) -> PublishResult:
        small = small_steps.make(tmp_path / "steps" / f"{seed}", rows=120, seed=seed)
        run = Run(workspace=str(tmp_path / workspace), dataset="demo", scratch=tmp_path / "scratch")
        return publish(config, "demo", STAGE(config.staging(), StageInputs.of(small.refs), run), {}, {}, run.workspace)

    return one
