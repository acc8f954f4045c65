"""Catalogs and stores that fail: down, full, slow, cutting the line, answering 503, losing the answer to a commit."""

import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy.exc import OperationalError

from evenkeel.infra.errors import CommitStateUnknown, StorageError
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.verify import verify
from tests.examples import telling
from tests.faults.publishing import Job
from tests.s3.servers import BUCKET, Store, free_ports, seaweed

pytestmark = pytest.mark.server


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Publications to a local destination, one per seed."""
    config = DestinationConfig(uri=str(tmp_path / "published"), rows_per_file=30)

    def one(seed: int, config: DestinationConfig = config, **options: Any) -> Job:
        return Job(tmp_path, config, seed, str(tmp_path / "workspace"), **options)

    return one


def numbers(job: Job) -> list[int]:
    return [version.version for version in list_versions(job.config, "demo", job.workspace)]


@pytest.mark.parametrize("catalog", ["postgresql://nobody@127.0.0.1:9/none", "http://127.0.0.1:9", "no-such-name"])
def test_a_catalog_that_is_down_is_said_so(job: Callable[..., Job], tmp_path: Path, catalog: str) -> None:
    config = DestinationConfig(uri=str(tmp_path / "published"), catalog=catalog)
    with pytest.raises(StorageError, match="the catalog does not answer"):
        job(0, config).run()


@pytest.mark.slow
def test_a_catalog_locked_for_a_while_is_waited_for(job: Callable[..., Job]) -> None:
    job(0).run()
    lock = sqlite3.connect(Path(job(0).config.uri) / "catalog.db", check_same_thread=False, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(1.0, lock.rollback)
    timer.start()
    assert job(1).run().version == 2
    timer.join()
    lock.close()


def on_promotion(monkeypatch: pytest.MonkeyPatch, fail: Callable[[Callable[[], Any]], Any]) -> None:
    """Let `fail` stand in for the first commit that tags a version."""
    real, failed = SqlCatalog.commit_table, list[bool]()

    def commit(self: SqlCatalog, table: Any, requirements: Any, updates: Any) -> Any:
        if not failed and any(getattr(update, "ref_name", "") == "v2" for update in updates):
            failed.append(True)
            return fail(lambda: real(self, table, requirements, updates))
        return real(self, table, requirements, updates)

    monkeypatch.setattr(SqlCatalog, "commit_table", commit)


LOST = OperationalError("UPDATE", {}, Exception("server closed the connection unexpectedly"))


@pytest.mark.parametrize("landed", [True, False])
def test_a_commit_whose_answer_is_lost_happens_once(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    job(0).run()

    def fail(commit: Callable[[], Any]) -> None:
        if landed:
            commit()
        raise LOST

    on_promotion(monkeypatch, fail)
    assert (job(1).run().version, numbers(job(1))) == (2, [2, 1])


@pytest.mark.slow
def test_a_catalog_that_dies_in_the_commit_leaves_the_state_unknown_until_one_looks(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job(0).run()

    def fail(commit: Callable[[], Any]) -> None:
        commit()
        monkeypatch.setattr(SqlCatalog, "load_table", lambda *_: (_ for _ in ()).throw(LOST))
        raise LOST

    on_promotion(monkeypatch, fail)
    with pytest.raises(CommitStateUnknown, match="running again is safe"):
        job(1).run()
    monkeypatch.undo()
    again = job(1).run()
    assert (again.status, again.version, numbers(job(1))) == ("unchanged", 2, [2, 1])


def test_a_full_store_fails_clearly_and_harms_nothing(job: Callable[..., Job]) -> None:
    job(0).run()
    full = job(1, largest_file=3_000)
    process = full.start()
    process.join()
    assert process.exitcode == 1
    assert full.error.startswith("StorageError: cannot write")
    assert "File too large" in full.error
    assert numbers(full) == [1]
    assert job(1).run().version == 2


class Proxy:
    """Between us and a store: meets every `nth` request with `fault` (503, cut, slow) and passes the others on."""

    def __init__(self, target: Store, fault: str, nth: int) -> None:
        self.target, self.fault, self.nth = int(target.endpoint.rpartition(":")[2]), fault, nth
        self.requests, self.faults, self.lock = 0, 0, threading.Lock()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.store = Store(f"http://127.0.0.1:{self.server.getsockname()[1]}", target.key, target.secret)

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.handle, args=(self.server.accept()[0],), daemon=True).start()

    def handle(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.target)) as store, contextlib.suppress(OSError):
            cut = threading.Event()
            threading.Thread(target=self.answer, args=(store, client, cut), daemon=True).start()
            while piece := client.recv(1 << 16):
                if piece.split(b" ", 1)[0] in (b"GET", b"PUT", b"POST", b"HEAD", b"DELETE") and self.is_faulty():
                    if self.fault == "503":
                        client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        return
                    if self.fault == "cut":
                        cut.set()
                    else:
                        time.sleep(0.3)
                store.sendall(piece)

    def is_faulty(self) -> bool:
        with self.lock:
            self.requests += 1
            faulty = self.requests % self.nth == 0
            self.faults += faulty
            return faulty

    def answer(self, store: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := store.recv(1 << 16):
                if cut.is_set():
                    client.sendall(piece[: len(piece) // 2])
                    break
                client.sendall(piece)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A SeaweedFS server."""
    with seaweed(tmp_path_factory.mktemp("weed")) as store:
        yield store


@pytest.mark.parametrize("fault", telling(["503", "cut", "slow"], "503"))
def test_a_store_that_stumbles_is_tried_again(
    weed: Store, fault: str, job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DestinationConfig(uri=f"s3://{BUCKET}/{fault}", rows_per_file=30)
    with Proxy(weed, fault, nth=10) as proxy:
        proxy.store.use(monkeypatch)
        assert job(0, config).run().version == 1
        assert proxy.faults > 5
    weed.use(monkeypatch)
    assert verify(config, "demo", 1, job(0).workspace).sound


@pytest.mark.slow
def test_a_store_that_stays_down_fails_clearly_and_the_next_run_goes_on(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = free_ports()
    config = DestinationConfig(uri=f"s3://{BUCKET}/down", rows_per_file=30)
    with seaweed(tmp_path / "weed", ports["s3"]) as store:
        store.use(monkeypatch)
        job(0, config).run()
    with pytest.raises(StorageError, match=f"cannot write s3://{BUCKET}/down"):
        job(1, config).run()
    with seaweed(tmp_path / "weed", ports["s3"]) as store:
        store.use(monkeypatch)
        assert job(1, config).run().version == 2
        assert all(verify(config, "demo", number, job(1).workspace).sound for number in (1, 2))
