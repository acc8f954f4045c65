"""Tell OpenTelemetry and OpenLineage of runs, their steps, rows and versions. Off unless installed and configured.

OpenTelemetry: one trace for a run with a span for each step, where OTEL_EXPORTER_OTLP_ENDPOINT (or that for traces) is
set. OpenLineage: START, and COMPLETE or FAIL, with the source as input and the version as output, where OPENLINEAGE_URL
or another OPENLINEAGE variable says where to. Both need the extra `telemetry`. What cannot be told is a warning, never
the end of a run.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from prefect.exceptions import PrefectSignal

from evenkeel.flows.places import absolute
from evenkeel.flows.progress import ENDED
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage

Teller = Callable[[dict[str, Any] | None, BaseException | None], None]
"""Is called when a run has ended: with what it came to, or with its error; with neither where it is suspended."""
Warn = Callable[[str], None]
PRODUCER = "https://pypi.org/project/evenkeel"
TRACES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@contextmanager
def told(recipe: Recipe, warn: Warn) -> Iterator[list[dict[str, Any]]]:
    """Tell of what happens inside; the caller appends the result of the run to the list that it is given."""
    tellers = [teller for begin in (_open_trace, _open_lineage) if (teller := _try(begin, recipe, warn)) is not None]
    found: list[dict[str, Any]] = []
    try:
        yield found
    except PrefectSignal:  # suspended until somebody approves
        _tell(tellers, None, None, warn)
        raise
    except BaseException as error:
        _tell(tellers, None, error, warn)
        raise
    _tell(tellers, found[-1] if found else None, None, warn)


def _try(begin: Callable[[Recipe], Teller | None], recipe: Recipe, warn: Warn) -> Teller | None:
    try:
        return begin(recipe)
    except ModuleNotFoundError as error:
        warn(f"nothing is told of this run: {error.name} is not installed (pip install 'evenkeel[telemetry]')")
    except Exception as error:
        warn(f"nothing is told of this run: {type(error).__name__}: {error}")
    return None


def _tell(tellers: list[Teller], found: dict[str, Any] | None, error: BaseException | None, warn: Warn) -> None:
    for teller in tellers:
        try:
            teller(found, error)
        except Exception as failed:
            warn(f"the end of this run could not be told: {type(failed).__name__}: {failed}")


def _open_trace(recipe: Recipe) -> Teller | None:
    if not any(os.environ.get(name) for name in TRACES):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import StatusCode, set_span_in_context

    provider = TracerProvider(resource=Resource.create({"service.name": "evenkeel"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("evenkeel")
    run = tracer.start_span("curate", attributes={"evenkeel.dataset": recipe.dataset}, start_time=time.time_ns())

    def step(name: str, begun: int, ended: int, cached: bool, counts: dict[str, int]) -> None:
        about = {"evenkeel.step": name, "evenkeel.cached": cached}
        about |= {f"evenkeel.rows.{what}": count for what, count in counts.items()}
        tracer.start_span(name, set_span_in_context(run), attributes=about, start_time=begun).end(ended)

    listening = ENDED.set(step)

    def end(found: dict[str, Any] | None, error: BaseException | None) -> None:
        ENDED.reset(listening)
        try:
            if error is not None:
                run.record_exception(error)
                run.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
            else:
                run.set_attributes(_attributes(found or {}))
        finally:
            run.end()
            provider.shutdown()

    return end


def _attributes(found: dict[str, Any]) -> dict[str, str | int]:
    """Return what a run came to as attributes of its span."""
    rows = {f"evenkeel.rows.{name}": int(count) for name, count in found.get("totals", {}).items() if _counts(count)}
    told = {f"evenkeel.{name}": found[name] for name in ("version", "status", "location") if name in found}
    return {**told, **rows}


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _open_lineage(recipe: Recipe) -> Teller | None:
    if not any(name.startswith("OPENLINEAGE") for name in os.environ):
        return None
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import dataset_version_dataset, error_message_run, output_statistics_output_dataset
    from openlineage.client.uuid import generate_new_uuid

    client = OpenLineageClient()
    number = str(generate_new_uuid())
    uris = [recipe.source.uri] if isinstance(recipe.source.uri, str) else list(recipe.source.uri)
    inputs = [InputDataset(*_name(uri)) for uri in uris]
    folder = storage.join(absolute(recipe.destination.uri), recipe.dataset)
    job = Job(os.environ.get("OPENLINEAGE_NAMESPACE", "evenkeel"), f"curate.{recipe.dataset}")

    def say(state: RunState, facets: dict[str, Any], outputs: list[Any]) -> None:
        now = datetime.now(UTC).isoformat()
        event = RunEvent(
            eventTime=now,
            producer=PRODUCER,
            run=Run(number, facets),
            job=job,
            eventType=state,
            inputs=inputs,
            outputs=outputs,
        )
        client.emit(event)

    def end(found: dict[str, Any] | None, error: BaseException | None) -> None:
        if error is not None:
            message = error_message_run.ErrorMessageRunFacet(f"{type(error).__name__}: {error}", "python")
            say(RunState.FAIL, {"errorMessage": message}, [])
        elif found is None:
            say(RunState.OTHER, {}, [])
        else:
            version = dataset_version_dataset.DatasetVersionDatasetFacet(str(found["version"]))
            rows = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(found["rows"])
            output = OutputDataset(*_name(folder), facets={"version": version}, outputFacets={"outputStatistics": rows})
            say(RunState.COMPLETE, {}, [output])
        client.close()

    say(RunState.START, {}, [OutputDataset(*_name(folder))])
    return end


def _name(uri: str) -> tuple[str, str]:
    """Return namespace and name of a place as OpenLineage writes them: `s3://bucket` and a key, `file` and a path."""
    if storage.is_local(uri):
        return "file", absolute(uri)
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/") or "/"
