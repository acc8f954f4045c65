"""What annotations of a recipe a version cannot have, as far as it is known before the work."""

import difflib
from collections.abc import Collection

from evenkeel.expectations.outlook import Obstacle, Outlook
from evenkeel.flows.recipe import Recipe
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.column import Foreseen
from evenkeel.tasks.annotate.seen import Seen
from evenkeel.tasks.estimate.pool_sample import PoolSample
from evenkeel.tasks.ingest.named import OWN, find_column
from evenkeel.tasks.ingest.pool import Pool

KINDS = ("score", "group", "tags")


def seen_in_sample(recipe: Recipe, sample: PoolSample, shards: int, asked: int) -> Seen:
    """Return what a sample of the source says of its values. asked: how many rows the sample has if there are more."""
    whole = (shards == 1 and sample.rows < asked) or (sample.size.exact and sample.rows == sample.size.rows)
    return Seen.of_sample(sample.table, whole, [one.name for one in recipe.signals])


def seen_in_pool(recipe: Recipe, ingest: StepRef, compute: Compute) -> Seen:
    """Return what the pool says of its values, which the workers read where an annotation asks."""
    return Seen.of_pool(Pool.open(ingest), compute, [one.name for one in recipe.signals])


def unmet_annotations(
    recipe: Recipe, outlook: Outlook, columns: Collection[str] | None, ingest: StepRef | None, seen: Seen | None
) -> list[Obstacle]:
    """Return the annotations that so many rows and clusters, or the values that rows have, do not allow, and why.

    Raises RecipeError where an annotation reads a column that a finished pool does not have.
    """
    found = []
    for one in recipe.annotations:
        if ingest is not None:
            _require(recipe, one.columns(), Pool.open(ingest), one.label)
        kept = min(outlook.kept, outlook.most)
        unmet = one.foresee(kept, outlook.clusters)
        unmet += [] if columns is None else [Foreseen(*pair) for pair in unknown(recipe, one.columns(), columns)]
        unmet += [] if seen is None else one.foresee_values(seen, kept)
        found += [Obstacle(expectation=one.label, stops=each.severity == "block", **each._asdict()) for each in unmet]
    return found


def require_met(obstacles: Collection[Obstacle]) -> None:
    """Raise RecipeError where an annotation is known to stop the run, before the work begins."""
    if stopping := [one for one in obstacles if one.stops]:
        raise RecipeError(
            "what a trainer is to follow cannot be made of this source",
            found="; ".join(f"{one.expectation}: {one.why}" for one in stopping),
            where="annotations",
            remedy="; ".join(dict.fromkeys(one.remedy for one in stopping)),
        )


def unknown(recipe: Recipe, named: Collection[str], columns: Collection[str]) -> list[tuple[str, str]]:
    """Return why each name is of no column, given those of the source, and a remedy."""
    source, found = recipe.source, []
    ours = {*source.groups, *source.scores, *(signal.name for signal in recipe.signals)}
    known = {*columns, *ours, *OWN, *(f"{kind}.{name}" for kind in KINDS for name in ours)}
    for name in (one for one in named if one not in known):
        close = difflib.get_close_matches(name, sorted(known), n=1)
        remedy = f"did you mean {close[0]}?" if close else "correct the name, or add the signal"
        found.append((f"there is no column {name!r} in the rows that were sampled", remedy))
    return found


def _require(recipe: Recipe, names: Collection[str], pool: Pool, where: str) -> None:
    made = {called for one in recipe.signals for called in (one.name, *(f"{kind}.{one.name}" for kind in KINDS))}
    for name in names:
        if name not in made:
            find_column(pool, name, where)
