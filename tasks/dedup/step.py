"""The dedup step: unreadable, featureless, excluded, exact, near, semantic, in this order; each sees what is left."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.dtypes import UInt64Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepFolder, StepRef
from evenkeel.tasks.dedup.config import DedupConfig, NearConfig, SemanticConfig
from evenkeel.tasks.dedup.drops import EXCLUDED, FEATURELESS, KINDS, UNREADABLE, Drops
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.exact import exact_duplicates
from evenkeel.tasks.dedup.exclude import excluded_rows
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.ledger import listed
from evenkeel.tasks.dedup.near import near_duplicates
from evenkeel.tasks.dedup.prototypes import drop_prototypes
from evenkeel.tasks.dedup.reclaim import facts_without, ledger_without
from evenkeel.tasks.dedup.semantic import semantic_duplicates
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.must_keep import among, ids_of, kept_by_force
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.kmeans.cost import k_means_seconds
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload


@dataclass
class Stages:
    """The stages of one run, what they have dropped so far, and facts about it."""

    pool: Pool
    vectors: Vectors
    config: DedupConfig
    out: StepFolder
    run: Run
    filter: StepRef | None = None
    drops: Drops = field(default_factory=Drops.none)
    reclaimed: UInt64Array = field(default_factory=lambda: np.empty(0, np.uint64))
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def any_left(self) -> bool:
        """Whether there are rows that no filter removed and no stage has dropped."""
        return len(self.drops) + self.filtered < self.pool.rows

    @property
    def filtered(self) -> int:
        """The rows that filters removed, less those that a list excludes."""
        return 0 if self.filter is None else self.filter.counts["filtered"] - len(self.reclaimed)

    def drop_unreadable(self) -> None:
        """Drop rows whose image could not be read."""
        row_id = self.vectors.unreadable()
        self._drop(Drops.of(row_id, row_id, UNREADABLE, 0.0))

    def drop_featureless(self) -> None:
        """Drop rows whose vector is zero: nothing is known of what they are about."""
        work = self.pool.rows * self.vectors.dimension * self.vectors.dtype.itemsize
        parts = self.run.compute.map(partial(zero_rows, self.pool, self.vectors), self.pool.blocks, work=work)
        row_id = np.concatenate([np.empty(0, np.uint64), *parts])
        self._drop(Drops.of(row_id, row_id, FEATURELESS, 0.0))

    def exclude(self) -> None:
        """Drop rows that an exclusion list names, also those that a filter removed: the list is their reason."""
        lists, folder = self.config.exclude, self.out.path("stages", "lists")
        self.run.progress(0.0, f"matching rows against {len(lists)} exclusion lists")
        found, self.facts["excluded"] = excluded_rows(self.pool, self.vectors, lists, folder, self.out.uri, self.run)
        if self.filter is not None:
            self.reclaimed = found.row_id[listed(self.filter.uri, found.row_id)]
        self.drops = self.drops.followed_by(found.without(self.drops))

    def exact(self) -> None:
        """Drop exact duplicates."""
        self.run.progress(0.1, "exact duplicates")
        self.drops = self.drops.followed_by(exact_duplicates(self._stage("exact"), self.run))

    def near(self, config: NearConfig) -> None:
        """Drop near-duplicates."""
        found, self.facts["near"] = near_duplicates(self._stage("near"), config, self.run)
        self.drops = self.drops.followed_by(found)

    def semantic(self, config: SemanticConfig) -> None:
        """Drop semantic duplicates, with other clusters in every pass, then prototypes."""
        facts: dict[str, object] = {}
        for number in range(1, config.passes + 1):
            self.run.progress(0.8, f"semantic duplicates: clustering {number} of {config.passes}")
            found, cells = semantic_duplicates(self._stage(f"semantic-{number}"), config, self.run)
            self.drops = self.drops.followed_by(found)
            facts = facts or cells._asdict()
            config = config.model_copy(update={"seed": config.seed + 1, "epsilon": cells.epsilon, "rate": None})
            if cells.cells < 2:
                break
        if config.prototypes:
            found = drop_prototypes(self._stage("prototypes"), config, self.run)
            facts["prototypes"] = len(found)
            self.drops = self.drops.followed_by(found)
        self.facts["semantic"] = facts

    def _stage(self, name: str) -> Stage:
        """Write what is dropped when a stage begins, so that workers can read a range of it; return the stage."""
        before = self.out.path("stages", f"before-{name}")
        self.drops.write(before)
        folder = self.out.path("stages", name)
        also = None if self.filter is None else self.filter.uri
        return Stage(self.pool, self.vectors, self.config.best, Duplicates.open(before, also), folder)

    def _drop(self, found: Drops) -> None:
        """Drop rows that are of no duplicate group, less those that have left already."""
        if self.filter is not None:
            found = found.where(~listed(self.filter.uri, found.row_id))
        self.drops = self.drops.followed_by(found.without(self.drops))


def dedup(config: DedupConfig, inputs: DedupInputs, out: StepFolder, run: Run) -> Outcome:
    """Write which rows are dropped, and their representatives."""
    pool = Pool.open(inputs.ingest, run.scratch, inputs.signals)
    vectors = Vectors.open(inputs.embed, run.scratch)
    stages = Stages(pool, vectors, config, out, run, inputs.filter)
    stages.drop_unreadable()
    if config.zero_vectors == "drop":
        stages.drop_featureless()
    if config.exclude:
        stages.exclude()
    if config.exact and stages.any_left:
        stages.exact()
    if config.near is not None and pool.has_text and stages.any_left:
        stages.near(config.near)
    if config.semantic is not None and stages.any_left:
        stages.semantic(config.semantic)
    drops = _sparing(stages.drops, kept_by_force(inputs.must_keep), pool)
    filtered = None if inputs.filter is None else ledger_without(inputs.filter.uri, stages.reclaimed)
    drops.write(out.uri, filtered)
    storage.remove(out.path("stages"))
    kept, sizes = drops.sizes()
    kept_rows = pool.rows - len(drops) - stages.filtered
    counts = {"rows": pool.rows, "kept": kept_rows, "filtered": stages.filtered, **drops.counts()}
    if inputs.filter is not None:
        stages.facts["filtered"] = (
            facts_without(inputs.filter, stages.reclaimed, pool, run)
            if len(stages.reclaimed)
            else inputs.filter.facts["filtered"]
        )
    return Outcome(counts, {**stages.facts, "groups": len(kept), "largest_group": int(sizes.max(initial=1))})


def _sparing(drops: Drops, must: UInt64Array, pool: Pool) -> Drops:
    """Return drops without the rows that must be kept, whatever they are duplicates of.

    Raises InputError where one of them cannot be kept: a list excludes it, or nothing is known of what it is about.
    """
    mine = among(must, drops.row_id)
    lost = drops.where(mine & (drops.kind >= EXCLUDED))
    if len(lost):
        kinds = ", ".join(sorted({KINDS[kind] for kind in lost.kind.tolist()}))
        raise InputError(
            f"{len(lost):,} rows that must be kept cannot be: {kinds}",
            found=", ".join(map(repr, ids_of(pool, lost.row_id))),
            where="ownership.rows",
            remedy="take them off the list, or off dedup.exclude and the takedowns of the dataset",
        )
    return drops.where(~mine)


def zero_rows(pool: Pool, vectors: Vectors, block: Block) -> UInt64Array:
    """Return the ids of the rows of a block whose vector is zero."""
    row_id: UInt64Array = pool.table(block, ["row_id"])["row_id"].to_numpy()
    zero: UInt64Array = row_id[~np.any(vectors.block(block), axis=1)]
    return zero


def cost(config: DedupConfig, work: Workload) -> float:
    """Return the CPU-seconds of deduplicating a pool."""
    seconds = 0.015 + 1.1e-6 * work.rows
    if config.near is not None:
        seconds += 0.05 * work.text_megabytes
    if config.semantic is not None:
        cells = config.semantic.clusters or work.rows**0.5
        clustering = k_means_seconds(work.rows, cells, work.dimension)
        comparing = 4e-11 * work.rows * work.rows / cells * work.dimension
        seconds += config.semantic.passes * (clustering + comparing)
    return seconds


def by_backend(config: DedupConfig) -> bool:
    """Tell whether rows are compared on a device where there is one: only semantic duplicates depend on it."""
    return config.semantic is not None


DEDUP = Step(name="dedup", version=7, function=dedup, by_backend=by_backend, cost=cost)
