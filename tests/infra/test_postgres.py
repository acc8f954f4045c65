"""PostgreSQL, as Debian ships it, under Prefect's server and under the catalog of versions."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from evenkeel.flows.server import serve
from evenkeel.infra.catalog import open_catalog
from evenkeel.infra.ports import free_port

pytestmark = pytest.mark.server

DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), *map(str, reversed(DEBIAN))])
NOBODY = "postgres"  # PostgreSQL refuses to run as root; Debian's package makes this user


@dataclass(frozen=True)
class Database:
    host: Path
    port: int

    def url(self, driver: str, name: str) -> str:
        return f"{driver}://{NOBODY}@/{name}?host={self.host}&port={self.port}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Database]:
    """A PostgreSQL with two empty databases, on a socket of its own."""
    tools = {name: shutil.which(name, path=SEARCH) for name in ("initdb", "pg_ctl", "createdb", "postgres")}
    if missing := [name for name, path in tools.items() if path is None]:
        pytest.skip(f"PostgreSQL is not installed: no {', '.join(missing)} (apt-get install postgresql)")
    user = NOBODY if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="evenkeel-postgres-"))  # pytest's own folders are closed to other users
    if user is not None:
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()

    def run(tool: str, *arguments: str) -> None:
        subprocess.run([str(tools[tool]), *arguments], user=user, cwd="/", check=True, capture_output=True, text=True)

    run("initdb", "--pgdata", str(data), "--username", NOBODY, "--auth", "trust", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -p {port} -c fsync=off"
    run("pg_ctl", "start", "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options)
    try:
        for name in ("prefect", "evenkeel"):
            run("createdb", "-h", str(folder), "-p", str(port), "-U", NOBODY, name)
        yield Database(folder, port)
    finally:
        run("pg_ctl", "stop", "-D", str(data), "-m", "fast")
        shutil.rmtree(folder)


@pytest.mark.slow
def test_everything_runs_on_postgres_and_ends_alone(
    postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    jobs = Path(__file__).parent.parent / "flows"
    shutil.copy(jobs / "jobs.py", project)
    every_seconds = (jobs / "jobs.yaml").read_text().replace("active: false", "active: true")
    (project / "prefect.yaml").write_text("deployments:\n" + every_seconds)
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", postgres.url("postgresql+asyncpg", "prefect"))
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        addresses = serve.up(home, port=free_port(), project=project)
        assert not (home / "prefect" / "prefect.db").exists()
        started = [member for each in serve.processes(home).values() for member in (each, *each.children(True))]
        assert len(started) >= 2
        wait_for_scheduled_run(addresses["api"])
        assert serve.down(home) == ["worker", "server"]
        assert [process for process in started if process.is_running() and process.status() != "zombie"] == []
        assert psutil.Process(bystander.pid).is_running()
        assert serve.down(home) == []
    finally:
        serve.down(home)
        bystander.kill()
        bystander.wait()


def wait_for_scheduled_run(api: str) -> None:
    """Return when a run that only the schedule asked for has completed."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        wanted = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        if runs := httpx.post(f"{api}/flow_runs/filter", json=wanted, timeout=30).json():
            assert runs[0]["auto_scheduled"]
            return
        time.sleep(0.5)
    raise AssertionError("the schedule did not fire")


def test_catalog_of_versions_lives_in_postgres(postgres: Database, tmp_path: Path) -> None:
    uri = postgres.url("postgresql", "evenkeel")
    with open_catalog(uri, "s3://bucket/workspace") as catalog:
        catalog.create_namespace("evenkeel")
    with open_catalog(uri, "s3://bucket/workspace") as again:
        assert again.list_namespaces() == [("evenkeel",)]
