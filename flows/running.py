"""Where and how the steps of a recipe run."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.recipe import Recipe
from infra import storage
from infra.compute import open_compute
from tasks.step import Run


@contextmanager
def running(recipe: Recipe) -> Iterator[Run]:
    """Yield the Run of a recipe: its compute, started when first needed, and a scratch folder that goes with it."""
    with (
        tempfile.TemporaryDirectory(prefix="evenkeel-") as scratch,
        open_compute(recipe.compute, Path(scratch)) as compute,
    ):
        yield Run(absolute(recipe.workspace), recipe.dataset, Path(scratch), compute)


def absolute(uri: str) -> str:
    """Return a local folder as an absolute path and any other URI as it is."""
    return str(Path(storage.filesystem(uri)[1]).absolute()) if storage.is_local(uri) else uri
