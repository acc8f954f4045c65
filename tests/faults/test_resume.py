"""A killed run goes on from the last finished step: the same selection, one version, nothing half visible.

Killed in each step in turn: the flow's process, a Dask worker, the S3 server, the Prefect server.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from evenkeel.flows.server import serve
from evenkeel.infra.ports import free_port
from tests.faults.curation import STEPS, Curation, killed
from tests.flows.conftest import write_shards
from tests.s3.servers import BUCKET, free_ports, seaweed
from tests.served import Served

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("pool"), rows=6000)


@pytest.fixture(params=["inline", "workers"])
def curation(served: Served, pool: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Curation:
    """Runs that do all in one process, or all maps on two Dask workers."""
    compute = "inline" if request.param == "inline" else two_workers(tmp_path)
    return Curation(served.addresses["api"], served.project, str(pool), tmp_path, compute=compute)


def two_workers(folder: Path) -> str:
    """Write the file of a cluster that has every map, however small, and return its path."""
    cluster = folder / "two.yaml"
    cluster.write_text("kind: local\nworkers: 2\nmemory: 1GiB\ninline_below: 1B\n")
    return str(cluster)


@pytest.fixture(scope="module")
def undisturbed(served: Served, pool: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The selection of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    curation = Curation(served.addresses["api"], served.project, str(pool), folder)
    curation.finish()
    assert curation.versions() == [1]
    return curation.selection()


@pytest.mark.timeout(3000)
def test_flow_killed_while_clustering_goes_on(curation: Curation, undisturbed: str, tmp_path: Path) -> None:
    assert killed(curation.kill_when(lambda _: curation.began("cluster")))
    assert {"ingest", "embed", "dedup"} <= curation.finished()
    assert curation.versions() == []
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("workspace/notes/*/*/done.json")}
    curation.finish()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert curation.selection() == undisturbed
    assert curation.versions() == [1]


@pytest.mark.timeout(3000)
def test_flow_killed_in_every_step_publishes_once(curation: Curation, undisturbed: str, tmp_path: Path) -> None:
    for step in STEPS:
        curation.kill_when(lambda _, step=step: curation.began(step))  # type: ignore[misc]
        assert len(curation.versions()) <= 1
    curation.kill_when(lambda _: any((tmp_path / "published").rglob("*.parquet")))
    curation.finish()
    curation.finish()
    assert curation.selection() == undisturbed
    assert curation.versions() == [1]


@pytest.mark.timeout(3000)
def test_a_dask_worker_killed_in_every_step_is_replaced(
    served: Served, pool: Path, undisturbed: str, tmp_path: Path
) -> None:
    cluster = two_workers(tmp_path)
    curation = Curation(served.addresses["api"], served.project, str(pool), tmp_path, compute=cluster)
    victims: list[int] = []

    def kill_a_worker(flow: psutil.Process) -> None:
        workers = [child for child in flow.children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]
        for worker in workers[-1:]:
            worker.kill()
            victims.append(worker.pid)

    assert curation.disturb_each_step(kill_a_worker)[-1] == "report"
    assert len(set(victims)) >= 5
    assert curation.log().count("Beginning flow run") == 1, curation.log()[-4000:]
    assert curation.selection() == undisturbed
    assert curation.versions() == [1]


@pytest.mark.timeout(3000)
def test_the_s3_server_killed_in_every_step(
    served: Served, pool: Path, undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    port = free_ports()["s3"]
    with ExitStack() as life:

        def start() -> None:
            life.enter_context(seaweed(tmp_path / "weed", port)).use(monkeypatch)

        start()
        source = f"s3://{BUCKET}/pool"
        s3fs.S3FileSystem().put(str(pool), source, recursive=True)
        curation = Curation(
            served.addresses["api"],
            served.project,
            source,
            tmp_path,
            place=f"s3://{BUCKET}",
            destination={"uri": f"s3://{BUCKET}/published", "catalog": f"sqlite:///{tmp_path}/catalog.db"},
        )

        def restart_the_store(_: psutil.Process) -> None:
            life.close()
            time.sleep(2)
            start()

        disturbed = curation.disturb_each_step(restart_the_store)
        assert len(disturbed) >= 7, disturbed
        curation.finish()
        assert curation.selection() == undisturbed
        assert curation.versions() == [1]


@pytest.fixture
def lonely(served: Served, tmp_path: Path) -> Iterator[Served]:
    """A server of this test's own: it is going to be killed."""
    home = tmp_path / "home"
    own = Served(home, served.project, serve.up(home, port=free_port(), project=served.project))
    yield own
    own.api.close()
    serve.down(home)


@pytest.mark.timeout(3000)
def test_the_prefect_server_killed_in_every_step(
    served: Served, lonely: Served, pool: Path, undisturbed: str, tmp_path: Path
) -> None:
    curation = Curation(lonely.addresses["api"], served.project, str(pool), tmp_path / "curation")
    first = serve.processes(lonely.home)["server"]
    command, environment = first.cmdline(), first.environ()
    server: psutil.Process | subprocess.Popen[bytes] = first
    survived = []
    try:
        for step in STEPS:
            curation.forget_from(step)
            flow = curation.start()
            while not curation.began(step) and flow.poll() is None:
                time.sleep(0.01)
            assert flow.poll() is None, curation.log()[-4000:]
            server.kill()
            server.wait()
            with (lonely.home / "server.log").open("ab") as log:
                server = subprocess.Popen(command, env=environment, cwd=served.project, stdout=log, stderr=log)
            survives = flow.wait(timeout=900) == 0
            lonely.until(lambda: serve._answers(f"{lonely.addresses['api']}/health"), 600)
            if survives:
                survived.append(step)
            else:
                assert curation.versions() == []
                curation.finish()
            assert curation.selection() == undisturbed
            assert curation.versions() == [1]
        assert survived == list(STEPS)
    finally:
        server.kill()
        server.wait()
