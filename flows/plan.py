"""Plan a run: which steps are done already, the rows, memory, seconds and money of the others, and what cannot fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from evenkeel.expectations.outlook import Obstacle
from evenkeel.flows.approved import with_approved
from evenkeel.flows.columns import require_columns
from evenkeel.flows.lineage import Changes, Lineage, resolve_lineage
from evenkeel.flows.outlook import foreseen, lines, without_values
from evenkeel.flows.pipeline import ClusteredPool, cluster_pool, prove_version, stage_version
from evenkeel.flows.probe import REFERENCE, SAMPLE_ROWS, measure_speed, workload_of
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.target import require_target
from evenkeel.flows.unmet import seen_in_pool, seen_in_sample
from evenkeel.infra.errors import ResourceError
from evenkeel.infra.quantities import count, duration, size
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.together import devices_together
from evenkeel.tasks.embed.step import output_dimension
from evenkeel.tasks.estimate.pool_sample import sample_pool
from evenkeel.tasks.estimate.requirements import Requirements, ResourceLimits, Shortfall, requirements, shortfalls
from evenkeel.tasks.ingest.on_device import held_bytes
from evenkeel.tasks.ingest.packs import packs_of
from evenkeel.tasks.step import ConfigT, InputsT, Run, Step
from evenkeel.tasks.workload import Workload

START_AND_END = "start and end"
START = 12.0  # seconds for Prefect's temporary server, imports, shutting down


class PlannedStep(BaseModel):
    """One step of a plan: done already (with its counts), or to do."""

    name: str
    key: str
    done: bool
    counts: dict[str, int] = {}
    seconds: float | None = None


class Estimate(BaseModel):
    """What the steps that are still to do would take.

    rows: of the pool; `exact` where every footer was read. left: rows that deduplication and filters leave, None before
    they have run; kept: rows of the version, at most so many before that. memory: of the driver process and all workers
    together. seconds: of each step to do, and of start and end, on the compute asked for; total: of all of them. price:
    of one hour, in any currency; money: for all of it. note: what the user should know of the source: that a column was
    guessed to be the vector. obstacles: gates that cannot pass. devices: over how many, at least, the rows are one
    k-means, where one does not hold them and those of all workers do.
    """

    rows: int
    exact: bool
    dimension: int
    clusters: int
    kept: int
    left: int | None = None
    requirements: Requirements
    workers: int = 1
    memory: int = 0
    seconds: dict[str, float]
    total: float
    price: float | None = None
    money: float | None = None
    shortfalls: list[Shortfall] = []
    obstacles: list[Obstacle] = []
    note: str = ""
    target: str = ""
    devices: int | None = None


class Plan(BaseModel):
    """The answer to `evenkeel plan`."""

    dataset: str
    shards: int
    bytes: int
    changes: Changes
    clusters: str
    steps: list[PlannedStep]
    compute: str
    workspace: str
    destination: str
    estimate: Estimate | None = None

    def expected(self) -> dict[str, float]:
        """Return the seconds that each step still to do would take."""
        return {} if self.estimate is None else dict(self.estimate.seconds)

    def summary(self) -> list[str]:
        """Return lines about rows, memory, time and money; what cannot pass or fit comes last."""
        if (found := self.estimate) is None:
            return [f"{self.changes.summary()}; clusters: {self.clusters}", "nothing is left to compute"]
        about = [
            f"{count(self.shards, 'shard')}, {size(self.bytes)} to read; {self.changes.summary()}; "
            f"clusters: {self.clusters}",
            f"{'' if found.exact else 'about '}{found.rows:,} rows x {found.dimension}, {found.clusters:,} clusters, "
            f"{found.kept:,} rows to keep{'' if found.left is not None else ' at most'}: {found.target}",
            f"memory: {size(found.memory)} in all, {_processes(found)}; disk: {size(found.requirements.disk)}",
            f"time: about {duration(found.total)} on this machine as busy as it is now"
            + ("" if found.money is None else f"; money: {found.money:,.2f} at {found.price:g} an hour"),
        ]
        about += [found.note] if found.note else []
        if found.devices is not None:
            about.append(
                f"level 1 is one k-means over {count(found.workers, 'device')}: it takes {found.devices} at least"
            )
        return [*about, *lines(found.obstacles), *(f"DOES NOT FIT: {one.summary()}" for one in found.shortfalls)]

    @property
    def fits(self) -> bool:
        """Tell whether everything fits."""
        return self.estimate is None or not self.estimate.shortfalls

    @property
    def passes(self) -> bool:
        """Tell whether no gate that blocks is known to fail."""
        return self.estimate is None or all(one.severity == "warn" for one in self.estimate.obstacles)

    def require_fit(self) -> None:
        """Raise ResourceError where something does not fit, naming the setting that would help."""
        if self.estimate is not None and (wrong := self.estimate.shortfalls):
            raise ResourceError(
                f"{self.dataset} does not fit: " + "; ".join(f"{one.what} needs {size(one.required)}" for one in wrong),
                found="; ".join(f"{size(one.available)} of {one.what}" for one in wrong),
                where=f"compute {self.compute}, workspace {self.workspace}",
                remedy="; ".join(one.setting for one in wrong),
            )


@dataclass
class LookOnly:
    """Runs no step; records for each whether it is done, and what it costs where it is not."""

    run: Run
    steps: list[PlannedStep] = field(default_factory=list)
    costs: dict[str, Callable[[Workload], float]] = field(default_factory=dict)

    def __call__(self, step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        """Return the reference to the finished output, or to where it would be."""
        folder = step.folder(config, inputs, self.run)
        finished = step.finished(config, inputs, self.run)
        self.steps.append(
            PlannedStep(
                name=step.called(config),
                key=folder.key,
                done=finished is not None,
                counts=finished.counts if finished else {},
                seconds=finished.seconds if finished else None,
            )
        )
        if finished is None:
            self.costs[step.called(config)] = partial(step.cost, config)
        return finished or StepRef(step=step.name, key=folder.key, uri=folder.uri)


def plan(recipe: Recipe, run: Run, price: float | None = None, probe: bool = True) -> Plan:
    """Return what running `recipe` would do and take.

    Lists the source, looks at the workspace and, where anything is left to do, tries the steps on a few of its rows for
    about five seconds, in a folder of their own; without `probe` the seconds are those of the reference machine. Keeps
    nothing. price: of an hour of the compute, in any currency; else the recipe's `price_per_hour`.
    """
    recipe = with_approved(recipe)
    price = recipe.price_per_hour if price is None else price
    require_target(recipe, run.scratch)
    look = LookOnly(run)
    lineage = resolve_lineage(recipe, run.workspace)
    require_columns(recipe, lineage.request.shards)
    pool = cluster_pool(recipe, lineage, look)
    staged = stage_version(recipe, lineage, pool, look)
    prove_version(recipe, run.workspace, staged, look)
    request, changes = lineage.request, lineage.changes
    everything = {shard.name for shard in request.shards}
    new = everything if changes.since is None else {*changes.new, *changes.changed}
    return Plan(
        dataset=recipe.dataset,
        shards=len(request.shards),
        bytes=sum(shard.bytes for shard in request.shards),
        changes=changes,
        clusters=lineage.why,
        steps=look.steps,
        compute=recipe.compute,
        workspace=run.workspace,
        destination=recipe.destination.uri,
        estimate=_estimate(recipe, lineage, new, pool, look.costs, run, price, probe) if look.costs else None,
    )


def _estimate(
    recipe: Recipe,
    lineage: Lineage,
    new: set[str],
    pool: ClusteredPool,
    costs: Mapping[str, Callable[[Workload], float]],
    run: Run,
    price: float | None,
    probe: bool,
) -> Estimate:
    """Return what the steps that are still to do would take, by their costs; `new` shards are to be read."""
    request = lineage.request
    found = sample_pool(recipe.source, request.shards, SAMPLE_ROWS, Path(run.scratch))
    require_target(recipe, run.scratch, found.size.dimension)
    dimension = pool.embed.facts.get("dimension") or output_dimension(recipe.embedding, found.size.dimension, run)
    work = workload_of(recipe, found.size, dimension)
    left = None if "cluster" in costs else pool.cluster.counts.get("rows")
    kept = work.kept
    if left is not None and (budget := recipe.sampling.budget(left)).unit == "rows":
        kept = min(left, budget.amount)
    speed = measure_speed(recipe, work, found, run.compute.threads) if probe else REFERENCE
    seconds = {name: round(speed.seconds(name, cost(work)), 1) for name, cost in costs.items()}
    if "ingest" in costs:
        fresh = sum(shard.bytes for shard in request.shards if shard.name in new) / max(1, found.size.bytes)
        seconds["ingest"] = round(fresh * (seconds["ingest"] + found.size.bytes / found.bytes_per_second), 1)
    seconds[START_AND_END] = round(START * speed.other * speed.busy, 1)
    total = round(sum(seconds.values()), 1)
    packs = [sum(shard.bytes for shard in pack) for pack in packs_of(request.shards)]
    limits = ResourceLimits(
        recipe.source.rows_per_block,
        recipe.clustering.memory_gib,
        found.size.itemsize if found.size.dimension else 4,
        run.compute,
        recipe.clustering.resampling_share if recipe.clustering.resampling else 0.0,
        clusters="cluster" in costs,
        asked=recipe.memory_gib,
        largest=max(packs) / max(1, sum(packs)),
        held=held_bytes(request.shards, run.compute),
    )
    required = requirements(work, limits)
    ingest = None if "ingest" in costs else pool.ingest
    if ingest is None:
        seen = seen_in_sample(recipe, found, len(request.shards), SAMPLE_ROWS)
    else:
        seen = seen_in_pool(recipe, ingest, run.compute)
    return Estimate(
        rows=work.rows,
        exact=found.size.exact,
        dimension=work.dimension,
        clusters=work.leaves,
        kept=kept,
        left=left,
        requirements=required,
        workers=run.compute.workers,
        memory=required.memory(run.compute.workers),
        seconds=seconds,
        total=total,
        price=price,
        money=None if price is None else round(price * total / 3600, 4),
        shortfalls=shortfalls(required, work, limits, run.workspace),
        obstacles=foreseen(
            recipe,
            lineage,
            work.rows,
            found.size.exact,
            ingest,
            found.table.column_names,
            seen,
        )
        + without_values(recipe, pool.signals),
        note=found.note,
        devices=devices_together(
            work.rows, work.dimension, limits.itemsize, work.leaves, recipe.clustering, run.compute
        )
        if "cluster" in costs
        else None,
        target=_target_in_words(recipe, left),
    )


def _processes(found: Estimate) -> str:
    """Return what each process of a run takes, in words."""
    needs = found.requirements
    parts = [f"{size(needs.driver)} of it in the driver process"]
    parts += [f"{size(needs.worker)} in each of {count(found.workers, 'worker')}"] if needs.worker else []
    parts += [f"{size(needs.reader)} in each of {count(needs.readers, 'reader')} of shards"] if needs.readers else []
    return ", ".join(parts[:-1]) + (" and " if parts[1:] else "") + parts[-1]


def _target_in_words(recipe: Recipe, left: int | None) -> str:
    """Return what the target of a recipe is, and of what: a share is one of what is left to sample from."""
    target = recipe.sampling.target
    if isinstance(target, int):
        return "so many were asked for"
    if target.endswith("%"):
        rows = "rows" if left is None else f"{left:,} rows"
        return f"{target} of the {rows} that deduplication and filters leave" + (
            ", which is not known before they have run" if left is None else ""
        )
    return target
