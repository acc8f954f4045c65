"""The dedup step: excluded, exact, near and semantic duplicates, in this order; each sees what the ones before left."""

from collections.abc import Mapping
from typing import Any

from infra import storage
from infra.workspace import StepFolder, StepRef
from tasks.dedup.config import DedupConfig
from tasks.dedup.drops import Drops
from tasks.dedup.duplicates import Duplicates
from tasks.dedup.exact import exact_duplicates
from tasks.dedup.exclude import excluded_rows
from tasks.dedup.near import near_duplicates
from tasks.dedup.prototypes import drop_prototypes
from tasks.dedup.semantic import semantic_duplicates
from tasks.embed.vectors import Vectors
from tasks.ingest.pool import Pool
from tasks.step import Outcome, Run, Step


def dedup(config: DedupConfig, inputs: Mapping[str, StepRef], out: StepFolder, run: Run) -> Outcome:
    """Write which rows are dropped and which rows stand for them."""
    pool, vectors = Pool.open(inputs["ingest"], run.scratch), Vectors.open(inputs["embed"], run.scratch)
    drops = Drops.none()
    facts: dict[str, Any] = {}

    def before(stage: str) -> Duplicates:
        drops.write(out.path("stages", stage))
        return Duplicates.open(out.path("stages", stage))

    if config.exclude:
        run.progress(0.0, f"holding rows against {len(config.exclude)} exclusion lists")
        drops, facts["excluded"] = excluded_rows(
            pool, vectors, config.exclude, out.path("stages", "lists"), out.uri, run
        )
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
        settings = config.semantic
        for number in range(1, settings.passes + 1):
            run.progress(0.8, f"semantic duplicates: clustering {number} of {settings.passes}")
            stage = f"semantic-{number}"
            semantic, found = semantic_duplicates(
                pool, vectors, settings, config.best, before(stage), out.path("stages", f"cells-{number}"), run
            )
            drops = drops.followed_by(semantic)
            facts["semantic"] = facts.get("semantic", found)
            settings = settings.model_copy(
                update={"seed": settings.seed + 1, "epsilon": found["epsilon"], "rate": None}
            )
            if found["cells"] < 2:
                break
        if settings.prototypes:
            central = drop_prototypes(
                pool, vectors, settings, config.best, before("prototypes"), out.path("stages", "cells-last"), run
            )
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
