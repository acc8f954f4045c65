"""Measure how fast this machine is: the real steps run on some of the real rows for about five seconds."""

import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from evenkeel.flows.lineage import Changes, Lineage
from evenkeel.flows.pipeline import cluster_pool, stage_version
from evenkeel.flows.recipe import Recipe
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import EvenkeelError
from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.levels import first_levels
from evenkeel.tasks.estimate.pool_sample import PoolSample, PoolSize
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.signal.joining import Joining
from evenkeel.tasks.signal.kinds.source_table import SourceTableSignal
from evenkeel.tasks.step import ConfigT, InputsT, Run, Step
from evenkeel.tasks.workload import Workload

FIRST_ROWS = 1_000
SAMPLE_ROWS = 20_000
PROBE_SECONDS = 5.0
MAX_DEVIATION = 4.0  # of the speed of one step from that of all steps together


def workload_of(recipe: Recipe, size: PoolSize, dimension: int, levels: list[int] | None = None) -> Workload:
    """Return what curating a pool of that size by this recipe amounts to; dimension: of the vectors to cluster."""
    wanted = first_levels(levels or recipe.clustering.levels, size.rows)
    budget = recipe.sampling.budget(size.rows)
    return Workload(
        rows=size.rows,
        dimension=dimension,
        source_dimension=size.dimension or 0,
        text_bytes=size.text_bytes,
        payload_bytes=size.payload_bytes,
        levels=tuple(wanted),
        kept=min(size.rows, budget.amount if budget.unit == "rows" else size.rows),
        vector_kept=size.vector_kept,
    )


@dataclass(frozen=True)
class Speed:
    """How many times its cost a step takes on this machine: each step that was tried, and any other.

    busy: wall seconds for each CPU-second, by the cores and whatever else runs on them.
    """

    steps: dict[str, float]
    other: float
    busy: float

    def seconds(self, step: str, cost: float) -> float:
        """Return the wall seconds that a step of this cost, in CPU-seconds, is expected to take here."""
        return cost * self.steps.get(step, self.other) * self.busy


REFERENCE = Speed({}, 1.0, 1.0)


def measure_speed(recipe: Recipe, whole: Workload, found: PoolSample, threads: int) -> Speed:
    """Run the steps from ingest to stage on few rows and return how fast each was.

    They run twice, since only then is everything loaded and compiled, and once more on as many rows as fit into the
    five seconds. The speed of a step is in CPU-seconds, which other work on the machine does not change; wall seconds
    say how busy the machine is.
    """
    few = min(FIRST_ROWS, found.rows)
    _run_sample(recipe, whole, found, few, threads)
    begun = time.monotonic()
    trial = _run_sample(recipe, whole, found, few, threads)
    spent = time.monotonic() - begun
    more = int(min(found.rows, few * max(1.0, (PROBE_SECONDS - spent) / max(spent, 0.01))))
    if more > 2 * few:
        trial = _run_sample(recipe, whole, found, more, threads)
    if not trial.expected or not (used := sum(trial.used.values())):
        return REFERENCE
    other = used / sum(trial.expected.values())
    steps = {
        name: min(max(trial.used[name] / expected, other / MAX_DEVIATION), other * MAX_DEVIATION)
        for name, expected in trial.expected.items()
        if expected > 0
    }
    return Speed(steps, other, trial.wall / used)


@dataclass
class _Trial:
    """CPU-seconds by step as used and as expected, and wall seconds of all."""

    used: dict[str, float] = field(default_factory=dict)
    expected: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0


def _run_sample(recipe: Recipe, whole: Workload, found: PoolSample, rows: int, threads: int) -> _Trial:
    """Run the steps on `rows` rows and return what they took; a step that fails ends the trial.

    Everything lies in a folder of its own that goes with the trial, the staged files too: `dedup.exclude` is left out,
    as are annotations, whose shares may be of no row of the sample, and where lists are joined, which may be far longer
    than the sample, or shards have sources, signals and filters are.
    """
    recipe = recipe.model_copy(update={"provenance": None, "ownership": None, "annotations": []})
    if any(isinstance(one, Joining | SourceTableSignal) for one in recipe.signals):
        recipe = recipe.model_copy(update={"signals": [], "filters": []})
    levels = [max(1, round(clusters * rows / max(1, whole.rows))) for clusters in whole.levels]
    levels = [clusters for at, clusters in enumerate(levels) if at == 0 or clusters < levels[at - 1]]
    size = replace(found.size, rows=rows)
    expected = workload_of(recipe, size, whole.dimension, levels)
    trial = _Trial()
    with tempfile.TemporaryDirectory(prefix="evenkeel-probe-") as folder, suppress(EvenkeelError):
        sample = Path(folder) / "sample.parquet"
        write_table(str(sample), found.table.slice(0, rows))
        smaller = recipe.model_copy(
            update={
                "source": found.source.model_copy(update={"uri": str(sample)}),
                "destination": recipe.destination.model_copy(update={"uri": folder, "catalog": None}),
                "dedup": recipe.dedup.model_copy(update={"exclude": []}),
                "clustering": recipe.clustering.model_copy(update={"levels": levels}),
                "sampling": recipe.sampling.model_copy(
                    update={"target": max(1, expected.kept * rows // max(1, 2 * expected.rows)), "shares": []}
                ),
            }
        )
        run = Run(folder, recipe.dataset, Path(folder), Compute(threads=threads))

        def run_step(step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
            begun, used = time.monotonic(), time.process_time()
            ref = step(config, inputs, run)
            called = step.called(config)
            trial.used[called] = time.process_time() - used
            trial.expected[called] = step.cost(config, expected)
            trial.wall += time.monotonic() - begun
            return ref

        lineage = Lineage(request=ingest_request(smaller.source), changes=Changes(), current=None)
        stage_version(smaller, lineage, cluster_pool(smaller, lineage, run_step), run_step)
    return trial
