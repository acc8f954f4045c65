"""`make serve` starts everything on one machine, and `make serve-down` ends exactly that."""

import socket
from pathlib import Path

import httpx
import psutil
import pytest
from botocore.session import get_session  # type: ignore[import-untyped]
from prefect.settings import PREFECT_API_URL, temporary_settings

from evenkeel.flows.server import serve
from evenkeel.flows.server.register import register
from evenkeel.infra.errors import RecipeError, ResourceError
from evenkeel.infra.ports import free_port
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


def test_prometheus_finds_metrics_of_the_server(served: Served) -> None:
    metrics = httpx.get(f"{served.addresses['api']}/metrics", timeout=60).text
    assert "process_resident_memory_bytes" in metrics
    assert "prefect_" in metrics


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
        serve.up(served.home, port=free_port())
    assert set(serve.processes(served.home)) == {"pages", "s3", "server", "worker"}


def test_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ResourceError, match=f"port {other.getsockname()[1]} is taken"):
            serve.up(tmp_path / "home", port=other.getsockname()[1])
    assert not (tmp_path / "home").exists()


@pytest.mark.long
def test_flows_wait_no_longer_than_asked_for_a_server(tmp_path: Path) -> None:
    (tmp_path / "prefect.yaml").write_text("deployments: []\n")
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
        pytest.raises(ResourceError, match="no Prefect server answers"),
    ):
        register(tmp_path, wait=0.1)


def test_folder_without_deployments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"expected: prefect\.yaml"):
        serve.up(tmp_path / "home", port=free_port(), project=tmp_path)


def test_s3_server_has_a_bucket_and_says_its_keys(served: Served) -> None:
    keys = dict(each.split("=", 1) for each in served.addresses["keys"].split())
    assert keys["AWS_ENDPOINT_URL"] == served.addresses["s3"]
    client = get_session().create_client(
        "s3",
        endpoint_url=keys["AWS_ENDPOINT_URL"],
        region_name=keys["AWS_REGION"],
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    bucket = served.addresses["bucket"].removeprefix("s3://")
    client.put_object(Bucket=bucket, Key="a/b", Body=b"c")
    assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"c"


def test_what_has_ended_is_started_again_as_it_was(served: Served) -> None:
    before = serve.processes(served.home)
    before["pages"].kill()
    before["pages"].wait(10)
    told: list[str] = []
    assert serve.up(served.home, tell=told.append) == served.addresses
    after = serve.processes(served.home)
    assert "starting again what has ended: pages" in told
    assert {name: process.pid for name, process in after.items() if name != "pages"} == {
        name: process.pid for name, process in before.items() if name != "pages"
    }
    assert httpx.get(served.addresses["pages"], timeout=60).status_code == 200


@pytest.mark.slow
def test_a_server_that_ends_early_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "nonsense://")
    with pytest.raises(ResourceError, match="the server did not come up") as caught:
        serve.up(tmp_path, port=free_port())
    assert "nonsense" in str(caught.value)
    assert serve.processes(tmp_path) == {}
    alive = [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
    assert not [one for one in alive if "evenkeel.flows.server.register" in one.cmdline()], "it waits for the server"
