"""`make serve` starts everything on one machine, and `make serve-down` ends exactly that."""

import socket
from pathlib import Path

import httpx
import psutil
import pytest

from evenkeel.flows.server import serve
from evenkeel.infra.errors import RecipeError, ResourceError
from tests.served import Served

pytestmark = pytest.mark.server


def test_server_is_healthy_and_shows_its_pages(served: Served) -> None:
    assert served.ask("GET", "/health") is True
    page = httpx.get(served.addresses["ui"], follow_redirects=True)
    assert page.status_code == 200
    assert "<title>Prefect Server</title>" in page.text


def test_pools_have_their_workers(served: Served) -> None:
    pools = {pool["name"]: pool["status"] for pool in served.ask("POST", "/work_pools/filter", {})}
    assert pools == {"cpu": "READY"}


def test_every_process_heeds_the_shared_settings(served: Served) -> None:
    for name, process in serve.processes(served.home).items():
        if name != "s3":
            environment = process.environ()
            assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
            assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
            assert environment["DO_NOT_TRACK"] == "1"


def test_s3_server_wants_keys(served: Served) -> None:
    assert httpx.get(served.addresses["s3"]).status_code == 403


def test_everything_listens_on_this_machine_only(served: Served) -> None:
    family = [member for each in serve.processes(served.home).values() for member in (each, *each.children(True))]
    listening = {
        connection.laddr.ip
        for member in family
        for connection in member.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_starting_twice_is_refused(served: Served) -> None:
    with pytest.raises(ResourceError, match=r"already serving\n  found: pages, s3, server, worker"):
        serve.up(served.home, port=serve.free_port())
    assert set(serve.processes(served.home)) == {"pages", "s3", "server", "worker"}


def test_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ResourceError, match=f"port {other.getsockname()[1]} is taken"):
            serve.up(tmp_path / "home", port=other.getsockname()[1])
    assert not (tmp_path / "home").exists()


def test_folder_without_deployments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"expected: prefect\.yaml"):
        serve.up(tmp_path / "home", port=serve.free_port(), project=tmp_path)


@pytest.mark.slow
def test_a_server_that_ends_early_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "nonsense://")
    with pytest.raises(ResourceError, match="the server did not come up") as caught:
        serve.up(tmp_path, port=serve.free_port())
    assert "nonsense" in str(caught.value)
    assert serve.processes(tmp_path) == {}
