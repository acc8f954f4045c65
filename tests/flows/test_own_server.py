"""The server that a run starts for itself while it is still being imported."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from evenkeel.infra.errors import ResourceError

RUN = """
    import json, sys
    from evenkeel.infra.environment import set_defaults
    set_defaults()
    from evenkeel.flows.own_server import start_own_server
    ready = start_own_server(meanwhile=["colorsys"])
    from prefect import flow
    from prefect.settings import get_current_settings
    ready()

    @flow
    def one():
        return get_current_settings().api.url

    found = one()
    print(json.dumps([found, "prefect.server.api.server" in sys.modules, "colorsys" in sys.modules]))
"""


@pytest.mark.slow  # `make test` sees one in test_killed.py
def test_a_flow_runs_there_and_nothing_of_prefects_server_is_imported_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    for name in ("PREFECT_API_URL", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"):
        monkeypatch.delenv(name, raising=False)
    code = "\n".join(line[4:] for line in RUN.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    url, server_is_imported, what_was_meant_for_meanwhile = json.loads(done.stdout)
    assert url.startswith("http://127.0.0.1:")
    assert not server_is_imported
    assert what_was_meant_for_meanwhile
    with socket.socket() as probe:  # and it has ended
        assert probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))) != 0


def test_none_is_started_beside_one_that_settings_name(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenkeel.flows import own_server

    def refuse(port: int, *, quiet: bool) -> None:
        raise AssertionError(port)

    monkeypatch.setattr(own_server, "OwnServer", refuse)
    own_server.start_own_server()()


@pytest.mark.slow
def test_one_that_cannot_start_says_so() -> None:
    from evenkeel.flows.own_server import OwnServer

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = OwnServer(taken.getsockname()[1])
        taken.settimeout(0.1)
        with pytest.raises(ResourceError, match="does not start"):
            server.ready()
        server.stop()
