"""Where and how the steps of a recipe run."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evenkeel.flows.artifacts import artifact_key, show
from evenkeel.flows.places import absolute
from evenkeel.flows.progress import LISTENER
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage
from evenkeel.infra.compute import open_compute
from evenkeel.infra.lease import held
from evenkeel.tasks.step import Run


@contextmanager
def running(recipe: Recipe) -> Iterator[Run]:
    """Yield the Run of a recipe: its compute, started when first needed, and a scratch folder that goes with it.

    Where Dask was used, its performance report is saved in the workspace, as `<dataset>/performance/<run>.html`.
    """
    workspace = absolute(recipe.workspace)
    with tempfile.TemporaryDirectory(prefix="evenkeel-") as scratch:
        report = Path(scratch) / "dask-report.html"
        try:
            with open_compute(recipe.compute, Path(scratch), report, recipe.memory_gib) as compute:
                yield Run(workspace, recipe.dataset, Path(scratch), compute)
        finally:
            if report.exists():
                _save_report(report, storage.join(workspace, recipe.dataset, "performance"), recipe.dataset)


@contextmanager
def one_at_a_time(recipe: Recipe, *, wait: bool) -> Iterator[None]:
    """Let no other run of this dataset into this destination go on meanwhile, whoever started it and from where.

    wait: False raises DatasetBusy where one does, instead of waiting until it has ended.
    """
    folder = absolute(recipe.destination.uri)
    with held(storage.join(folder, f".{recipe.dataset}.lock"), recipe.dataset, wait=wait, tell=_say):
        yield


def _say(sentence: str) -> None:
    """Log a sentence, and show it where the command line shows the steps."""
    from prefect.logging import get_run_logger

    get_run_logger().info(sentence)
    if (listener := LISTENER.get()) is not None:
        listener("turn", 1.0, sentence)


def _save_report(report: Path, folder: str, dataset: str) -> None:
    """Save Dask's performance report in the workspace, and link it on the page of the run where there is one."""
    from prefect.artifacts import create_markdown_artifact
    from prefect.runtime import flow_run

    place = storage.join(folder, f"{flow_run.id or time.strftime('%Y%m%d-%H%M%S')}.html")
    storage.write_bytes(place, report.read_bytes())
    if flow_run.id:
        text = f"Dask's performance report of this run: `{place}`"
        show(
            create_markdown_artifact,
            text,
            key=artifact_key(dataset, "performance"),
            description="What workers did",
        )
