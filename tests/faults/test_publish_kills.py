"""SIGKILL anywhere: readers see the old version or the new one, whole, and the next run succeeds and cleans up."""

import signal
import threading
from pathlib import Path

import pandas as pd
import pytest

from evenkeel.infra import storage
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.verify import verify
from tests.faults.publishing import Job
from tests.s3.servers import BUCKET, seaweed


def check_whole(config: DestinationConfig, workspace: str, versions: set[int]) -> int:
    """Assert that the versions are these and each is whole; return the current one."""
    known = list_versions(config, "demo", workspace)
    assert {version.version for version in known} in (versions, versions | {max(versions, default=0) + 1})
    for version in known[:1]:
        assert verify(config, "demo", version.version, workspace).sound
        assert len(pd.read_parquet(version.data)) == version.rows == 48
    with dataset_table(config, "demo", workspace) as table:
        assert len(table.scan().to_arrow()) == 48
    return next(version.version for version in known if version.current)


def kill_everywhere(folder: Path, config: DestinationConfig, environment: dict[str, str], step: int) -> int:
    workspace = str(folder / "workspace")
    assert Job(folder, config, 0, workspace).run().version == 1
    expected, die_at = {1}, 1
    while True:
        job = Job(folder, config, die_at, workspace, die_at=die_at, environment=environment)
        process = job.start()
        process.join()
        seen = check_whole(config, workspace, expected)
        if process.exitcode == 0:
            return die_at
        assert process.exitcode == -signal.SIGKILL, job.error
        result = job.run()
        expected.add(max(expected) + 1)
        assert result.version == max(expected)
        assert result.status == ("published" if seen != result.version else "unchanged")
        assert check_whole(config, workspace, expected) == result.version
        die_at += step


def check_clean(config: DestinationConfig, workspace: str) -> None:
    """Assert that nothing is left but the versions: no folder, no branch, no index of something else."""
    held = {version.location for version in list_versions(config, "demo", workspace)}
    base = storage.join(config.uri, "demo", "versions")
    there = {storage.join(base, uri.partition("/demo/versions/")[2].split("/")[0]) for uri in storage.list_files(base)}
    assert there == held
    with dataset_table(config, "demo", workspace) as table:
        assert not [name for name in table.metadata.refs if name.startswith("audit-")]
    index = storage.read_json(storage.join(config.uri, "demo", "versions.json"))
    assert {entry["location"] for entry in index} == held


@pytest.mark.long
@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_publisher_killed_anywhere_on_disk(tmp_path: Path, step: int) -> None:
    config = DestinationConfig(uri=str(tmp_path / "published"), rows_per_file=30)
    assert kill_everywhere(tmp_path, config, {}, step=step) > 40
    check_clean(config, str(tmp_path / "workspace"))


@pytest.mark.server
@pytest.mark.slow
def test_a_publisher_killed_anywhere_on_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with seaweed(tmp_path / "weed") as store:
        store.use(monkeypatch)
        config = DestinationConfig(uri=f"s3://{BUCKET}/killed", rows_per_file=30)
        assert kill_everywhere(tmp_path, config, store.environment(), step=2) > 40
        check_clean(config, str(tmp_path / "workspace"))


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("publishers", "rounds"),
    [(2, 1), pytest.param(8, 1, marks=pytest.mark.slow), pytest.param(8, 50, marks=pytest.mark.slow)],
)
def test_publishers_at_once_each_get_a_version_of_their_own(tmp_path: Path, publishers: int, rounds: int) -> None:
    config = DestinationConfig(uri=str(tmp_path / "published"), rows_per_file=30)
    jobs = [
        Job(tmp_path, config, seed, str(tmp_path / f"workspace-{seed % 2}"), rounds=rounds)
        for seed in range(publishers)
    ]
    running = [job.start() for job in jobs]
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * publishers, [
        job.error for job, process in zip(jobs, running, strict=True) if process.exitcode
    ]
    known = list_versions(config, "demo", str(tmp_path))
    assert [version.version for version in known] == list(range(publishers * rounds, 0, -1))
    assert len({version.content_key for version in known}) == publishers * rounds
    assert all(verify(config, "demo", version.version, str(tmp_path)).sound for version in known)
    check_clean(config, str(tmp_path))


@pytest.mark.long
def test_a_reader_beside_publishers_sees_only_whole_versions(tmp_path: Path) -> None:
    config = DestinationConfig(uri=str(tmp_path / "published"), rows_per_file=30)
    workspace = str(tmp_path / "workspace")
    Job(tmp_path, config, 0, workspace).run()
    seen: list[tuple[int, frozenset[str]]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with dataset_table(config, "demo", workspace) as table:
                rows = frozenset(table.scan().to_arrow()["ek_id"].to_pylist())
            seen.append((0, rows))
            version = read_version(config, "demo", "latest", workspace)
            seen.append((version.version, frozenset(pd.read_parquet(version.data)["ek_id"])))

    reader = threading.Thread(target=read)
    reader.start()
    for seed in range(1, 5):
        Job(tmp_path, config, seed, workspace).run()
    done.set()
    reader.join()
    whole = {
        version.version: frozenset(pd.read_parquet(version.data)["ek_id"])
        for version in list_versions(config, "demo", workspace)
    }
    assert len(seen) > 2
    for number, rows in seen:
        assert rows == whole[number] if number else rows in whole.values()
