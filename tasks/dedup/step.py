"""The dedup step: excluded, exact, near and semantic duplicates, in this order; each sees what the ones before left."""

from collections.abc import Mapping
from typing import Any

from infra import storage
from infra.workspace import StepFolder, StepRef
from tasks.dedup.config import DedupConfig
from tasks.dedup.drops import Drops
from tasks.dedup.duplicates import Duplicates
from tasks.dedup.exact import exact_duplicates
from tasks.dedup.near import near_duplicates
from tasks.dedup.prototypes import drop_prototypes
from tasks.dedup.semantic import semantic_duplicates
from tasks.embed.vectors import Vectors
from tasks.ingest.pool import Pool
from tasks.step import Outcome, Run, Step


def dedup(config: DedupConfig, inputs: Mapping[str, StepRef], out: StepFolder, run: Run) -> Outcome:
    """Write which rows are dropped and which rows stand for them."""
    pool, vectors = Pool.open(inputs["ingest"], run.scratch), Vectors.open(inputs["embed"], run.scratch)
    drops, facts = Drops.none(), {}

    def before(stage: str) -> Duplicates:
        drops.write(out.path("stages", stage))
        return Duplicates.open(out.path("stages", stage))

    if config.exact:
        run.progress(0.0, "exact duplicates")
        exact = exact_duplicates(pool, vectors, config.best, before("exact"), out.path("stages", "exact"), run)
        drops = drops.followed_by(exact)
    if config.near is not None and pool.has_text:
        near, facts["near"] = near_duplicates(
            pool, config.near, config.best, before("near"), out.path("stages", "near"), run
        )
        drops = drops.followed_by(near)
    if config.semantic is not None:
        stage = (pool, vectors, config.semantic, config.best)
        semantic, facts["semantic"] = semantic_duplicates(*stage, before("semantic"), out.path("stages", "cells"), run)
        drops = drops.followed_by(semantic)
        if config.semantic.prototypes:
            central = drop_prototypes(*stage, before("prototypes"), out.path("stages", "cells-again"), run)
            facts["semantic"]["prototypes"] = len(central)
            drops = drops.followed_by(central)
    drops.write(out.uri)
    storage.remove(out.path("stages"))
    return _outcome(pool, drops, facts)


def _outcome(pool: Pool, drops: Drops, facts: dict[str, Any]) -> Outcome:
    kept, sizes = drops.sizes()
    counts = {"rows": pool.rows, "kept": pool.rows - len(drops), **drops.counts()}
    return Outcome(counts, {**facts, "groups": len(kept), "largest_group": int(sizes.max(initial=1))})


DEDUP = Step(name="dedup", version=1, function=dedup)
