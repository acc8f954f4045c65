"""The dedup step: excluded, exact, near and semantic duplicates, in this order; each sees what the ones before left."""

from collections.abc import Mapping

from infra import storage
from infra.workspace import StepFolder, StepRef
from tasks.dedup.config import DedupConfig
from tasks.dedup.drops import Drops
from tasks.dedup.exact import exact_duplicates
from tasks.embed.vectors import Vectors
from tasks.ingest.pool import Pool
from tasks.step import Outcome, Run, Step


def dedup(config: DedupConfig, inputs: Mapping[str, StepRef], out: StepFolder, run: Run) -> Outcome:
    """Write which rows are dropped and which rows stand for them."""
    pool, vectors = Pool.open(inputs["ingest"], run.scratch), Vectors.open(inputs["embed"], run.scratch)
    drops = Drops.none()
    if config.exact and pool.rows:
        run.progress(0.1, "exact duplicates")
        drops = drops.followed_by(exact_duplicates(pool, vectors, config.best, drops, out.path("exact"), run))
    drops.write(out.uri)
    storage.remove(out.path("exact"))
    kept, sizes = drops.sizes()
    facts = {"groups": len(kept), "largest_group": int(sizes.max(initial=1))}
    return Outcome({"rows": pool.rows, "kept": pool.rows - len(drops), **drops.counts()}, facts)


DEDUP = Step(name="dedup", version=1, function=dedup, by_backend=True)
