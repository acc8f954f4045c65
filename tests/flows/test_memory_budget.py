"""One budget of memory for a whole flow: the same rows under any, fewer tasks and smaller pieces under a small one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra import memory
from evenkeel.infra.compute import Compute
from evenkeel.infra.memory import GIB, TASKS
from evenkeel.tasks.publish.staging import scatter
from evenkeel.tasks.publish.staging.step import read_staged
from evenkeel.tasks.step import InProcess, Run

K_MEANS = 60_000  # bytes: the 1,200 rows of the pool are clustered in groups


class Ran(NamedTuple):
    """The key of the rows that a run staged, the pieces they were written in, and the most k-means at a time."""

    content_key: str
    pieces: int
    at_once: int


def ran(document: dict[str, Any], folder: Path, budget: int, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Curate the pool as far as the files of a version, in four threads that may take `budget` bytes."""
    recipe = parse(
        document, [f"clustering.memory_gib={K_MEANS / GIB}", "source.rows_per_block=20", "sampling.target=1000"]
    )
    tasks, pieces, write = Watched(), [0], scatter._write_piece

    def written(*arguments: Any) -> str:
        pieces[0] += 1
        return write(*arguments)

    monkeypatch.setattr(memory, "_tasks", tasks)
    monkeypatch.setattr(scatter, "_write_piece", written)
    compute = Compute(threads=4, driver_limit=budget)
    run = Run(str(folder / "workspace"), recipe.dataset, folder / "scratch", compute)
    lineage, run_step = resolve_lineage(recipe, run.workspace), InProcess(run)
    staged = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
    return Ran(read_staged(staged.stage).content_key, pieces[0], tasks.most)


class Watched(memory._Tasks):
    """Counts how many tasks of a k-means hold their memory at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.most, self.lock = 0, 0, threading.Lock()

    @contextmanager
    def taking(self, size: float, most: float) -> Iterator[None]:
        counted = abs(size / K_MEANS - 1) < 1e-6
        with super().taking(size, most):
            with self.lock:
                self.inside += counted
                self.most = max(self.most, self.inside)
            yield
            with self.lock:
                self.inside -= counted


@pytest.mark.long
def test_the_rows_are_the_same_under_any_budget_and_a_small_one_takes_less(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ample = ran(document, tmp_path / "ample", GIB, monkeypatch)
    small = ran(document, tmp_path / "small", int(1.5 * K_MEANS / TASKS), monkeypatch)
    assert small.content_key == ample.content_key
    assert small.pieces > ample.pieces
    assert small.at_once == 1 < ample.at_once
