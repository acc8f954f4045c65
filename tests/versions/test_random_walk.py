"""No version is lost, doubled or mislabelled, whatever is done in whatever order; see `random_walk`."""

import secrets
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.s3.servers import BUCKET, Store, seaweed
from tests.versions.random_walk import Walk


class LocalWalk(Walk):
    """On the local disk, without killed processes: quick."""

    kills = 0


@pytest.mark.long
def test_a_short_walk() -> None:
    run_state_machine_as_test(LocalWalk, settings=settings(max_examples=2, stateful_step_count=15))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_steps_on_disk() -> None:
    run_state_machine_as_test(Walk, settings=settings(max_examples=50, stateful_step_count=40))


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(3600)
def test_two_thousand_steps_on_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with seaweed(tmp_path / "weed") as store:
        store.use(monkeypatch)
        run_state_machine_as_test(_on(store), settings=settings(max_examples=50, stateful_step_count=40))


def _on(store: Store) -> type[Walk]:
    class StoreWalk(Walk):
        """On a real S3 server."""

        environment = store.environment()

        def uri(self) -> str:
            """Where this walk publishes: a folder of its own."""
            return f"s3://{BUCKET}/walk-{secrets.token_hex(6)}"

    return StoreWalk
