"""One holder at a time, on a disk and on a store; what a dead holder held is free again, soon and for one."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evenkeel.infra import lease, storage
from evenkeel.infra.errors import DatasetBusy
from evenkeel.infra.lease import held
from tests.s3.servers import BUCKET, Store

pytestmark = pytest.mark.server

HOLD = """
import sys, time
from evenkeel.infra.lease import held
with held(sys.argv[1], "notes"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["disk", "seaweed", pytest.param("moto", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder on a disk and on each store, where leases expire after three seconds and not after 90."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.5)
    monkeypatch.setattr(lease, "EXPIRE_SECONDS", 3.0)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)
    if request.param == "disk":
        return str(tmp_path / "leases")
    store: Store = request.getfixturevalue(f"{request.param}_store")
    store.use(monkeypatch)
    return f"s3://{BUCKET}/{tmp_path.name}"


def holding(uri: str) -> "subprocess.Popen[str]":
    """Start a process that holds the lease, and return when it does."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, uri], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


class Contenders:
    """Threads that want one lease: who had it when, how many at once at most, and what they were told."""

    def __init__(self, uri: str, many: int) -> None:
        self.uri, self.inside, self.most = uri, 0, 0
        self.begun = time.monotonic()
        self.times: list[float] = []
        self.told: list[str] = []
        threads = [threading.Thread(target=self._contend) for _ in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    def _contend(self) -> None:
        with held(self.uri, "notes", tell=self.told.append):
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.times.append(time.monotonic() - self.begun)
            time.sleep(0.1)
            self.inside -= 1


def test_contenders_take_turns(place: str) -> None:
    found = Contenders(storage.join(place, ".turns.lock"), 5)
    assert (len(found.times), found.most) == (5, 1)


def test_who_does_not_wait_is_told_who_holds_it(place: str) -> None:
    uri = storage.join(place, ".told.lock")
    with held(uri, "notes"):
        holder = json.loads(storage.read_bytes(uri))["process"]
        told = pytest.raises(DatasetBusy, match=f"another run of notes(.|\n)*process {holder} on ")
        with told, held(uri, "notes", wait=False):
            pass
    with held(uri, "notes", wait=False):
        pass


def test_a_killed_holder_frees_it_and_one_of_many_takes_it(place: str) -> None:
    uri = storage.join(place, ".killed.lock")
    with holding(uri) as holder:
        with pytest.raises(DatasetBusy), held(uri, "notes", wait=False):
            pass
        holder.kill()
    found = Contenders(uri, 3)
    assert (len(found.times), found.most) == (3, 1)
    assert min(found.times) < (30 if "://" in place else 5)
    assert all("process " in one or "just " in one for one in found.told)


@pytest.mark.slow
def test_a_lease_is_kept_past_its_expiry_while_it_is_renewed(place: str) -> None:
    uri = storage.join(place, ".long.lock")
    with held(uri, "notes"):
        deadline = time.monotonic() + (4 if "://" in place else 0.2)
        while time.monotonic() < deadline:
            with pytest.raises(DatasetBusy), held(uri, "notes", wait=False):
                pass
            time.sleep(0.5)
    assert "://" not in place or not storage.exists(uri)
