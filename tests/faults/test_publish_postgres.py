"""Publishers at once on a catalog of many machines: PostgreSQL."""

from pathlib import Path

import pytest

from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.verify import verify
from tests.faults.publishing import Job
from tests.infra.test_postgres import Database, postgres

pytestmark = pytest.mark.server

__all__ = ["postgres"]


@pytest.mark.slow
def test_publishers_at_once_on_postgres(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    database: Database = request.getfixturevalue("postgres")
    config = DestinationConfig(
        uri=str(tmp_path / "published"), catalog=database.url("postgresql", "evenkeel"), rows_per_file=30
    )
    jobs = [Job(tmp_path, config, seed, str(tmp_path / f"workspace-{seed}")) for seed in range(8)]
    running = [job.start() for job in jobs]
    for process in running:
        process.join()
    failed = [job.error for job, process in zip(jobs, running, strict=True) if process.exitcode]
    assert failed == []
    known = list_versions(config, "demo", str(tmp_path))
    assert [version.version for version in known] == list(range(8, 0, -1))
    assert all(verify(config, "demo", version.version, str(tmp_path)).sound for version in known)
