"""What runs tell OpenTelemetry and OpenLineage arrives, over HTTP, at a receiver on this machine."""

import gzip
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from evenkeel.flows.progress import ENDED
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.flows.telemetry import told

FOUND = {
    "version": 3,
    "status": "published",
    "location": "/out/pets/versions/a",
    "rows": 40,
    "totals": {"read": 100, "kept": 40},
}


class Receiver:
    """Keeps what is posted to it, by path."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        kept = self.got

        class Keeper(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept.append(
                    (self.path, gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                )
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Keeper)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> dict[str, Any]:
        """Return the spans that came, by name."""
        found: dict[str, Any] = {}
        for _, body in (each for each in self.got if each[0] == "/v1/traces"):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                found |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
        return found

    def events(self) -> list[dict[str, Any]]:
        """Return the events of lineage that came, in order."""
        return [json.loads(body) for path, body in self.got if path == "/api/v1/lineage"]


@pytest.fixture(autouse=True)
def nobody_asks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable that asks for anything; OpenLineage's client sets some itself, which go after each test."""
    for name in [name for name in os.environ if name.startswith(("OTEL", "OPENLINEAGE"))]:
        monkeypatch.delenv(name)
    yield
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE__")]:
        del os.environ[name]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the environment names."""
    receiver = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.address)
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    uri = ["s3://raw/pets/*.parquet", str(tmp_path / "pool")]
    return parse(
        {"dataset": "pets", "source": {"uri": uri}, "sampling": {"target": 40}, "destination": {"uri": "/out"}}
    )


def attributes(span: Any) -> dict[str, Any]:
    values = {one.key: one.value for one in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


@pytest.mark.long
def test_a_run_that_publishes_is_told_to_both(receiver: Receiver, recipe: Recipe, tmp_path: Path) -> None:
    warned: list[str] = []
    with told(recipe, warned.append) as results:
        ended = ENDED.get()
        assert ended is not None
        begun = time.time_ns()
        ended("ingest", begun, begun + 5, True, {"read": 100, "pool": 99})
        results.append(FOUND)
    assert warned == []
    assert ENDED.get() is None
    spans = receiver.spans()
    assert set(spans) == {"curate", "ingest"}
    assert spans["ingest"].parent_span_id == spans["curate"].span_id
    assert (spans["ingest"].start_time_unix_nano, spans["ingest"].end_time_unix_nano) == (begun, begun + 5)
    assert attributes(spans["ingest"])["evenkeel.rows.pool"] == 99
    run = attributes(spans["curate"])
    assert (run["evenkeel.dataset"], run["evenkeel.version"], run["evenkeel.rows.kept"]) == ("pets", 3, 40)
    started, done = receiver.events()
    assert (started["eventType"], done["eventType"]) == ("START", "COMPLETE")
    assert started["run"]["runId"] == done["run"]["runId"]
    assert done["job"]["name"] == "curate.pets"
    assert [(one["namespace"], one["name"]) for one in done["inputs"]] == [
        ("s3://raw", "pets/*.parquet"),
        ("file", str(tmp_path / "pool")),
    ]
    (output,) = done["outputs"]
    assert (output["namespace"], output["name"]) == ("file", "/out/pets")
    assert output["facets"]["version"]["datasetVersion"] == "3"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 40


@pytest.mark.long
def test_a_run_that_fails_is_told_as_failed(receiver: Receiver, recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="no luck"), told(recipe, print):
        raise ValueError("no luck")
    assert receiver.spans()["curate"].status.message == "ValueError: no luck"
    assert [one["eventType"] for one in receiver.events()] == ["START", "FAIL"]
    assert receiver.events()[1]["run"]["facets"]["errorMessage"]["message"] == "ValueError: no luck"


def test_nothing_is_told_unless_somebody_asks(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openlineage", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    warned: list[str] = []
    with told(recipe, warned.append) as results:
        assert ENDED.get() is None
        results.append(FOUND)
    assert warned == []


def test_what_is_not_installed_is_a_warning(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "openlineage", None)
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    warned: list[str] = []
    with told(recipe, warned.append) as results:
        results.append(FOUND)
    assert len(warned) == 1
    assert "pip install 'evenkeel[telemetry]'" in warned[0]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_real_run_tells_of_its_steps(receiver: Receiver, document: dict[str, Any]) -> None:
    from evenkeel.flows.curate import curate

    result = curate(parse(document))
    spans = receiver.spans()
    assert set(result["steps"]) <= set(spans)
    assert attributes(spans["ingest"])["evenkeel.rows.read"] == 1200
    assert attributes(spans["curate"])["evenkeel.version"] == 1
    assert [one["eventType"] for one in receiver.events()] == ["START", "COMPLETE"]
