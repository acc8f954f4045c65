"""What a run knows of the coming version before it draws a row, and the gates that it cannot pass."""

from collections.abc import Collection, Mapping, Sequence

from evenkeel.expectations.expectation import Expectation
from evenkeel.expectations.outlook import Obstacle, Outlook
from evenkeel.expectations.suites import obstacles
from evenkeel.flows.around_clustering import scores_settled_late
from evenkeel.flows.lineage import Lineage
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.unmet import unknown, unmet_annotations
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.seen import Seen
from evenkeel.tasks.cluster.levels import first_levels
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.validate.built_in import check_built_in
from evenkeel.tasks.validate.stated import check_stated, columns_of
from evenkeel.tasks.validate.tables import shards

SHOWN = 5
EVEN = ("default", "strict", "first-version")


def foreseen(
    recipe: Recipe,
    lineage: Lineage,
    rows: int,
    exact: bool,
    ingest: StepRef | None = None,
    columns: Collection[str] | None = None,
    seen: Seen | None = None,
) -> list[Obstacle]:
    """Return the gates that no version of `rows` rows of the source can pass, the annotations it cannot have, and why.

    exact: whether the rows were counted. ingest: the finished step, whose counts are taken where it is given. columns:
    of a sample of the source, None where none was taken. seen: what is known of values. Raises RecipeError where a gate
    or an annotation goes by a column that the source was read without.
    """
    strategy, sampling = recipe.sampling.strategy, recipe.sampling
    read = rows if ingest is None else ingest.counts["read"]
    pool = rows if ingest is None else ingest.counts["pool"]
    clusters = first_levels(recipe.clustering.levels, pool)
    budget = sampling.budget(pool)
    most = pool * max(sampling.max_repeats, strategy.max_copies())
    if sampling.cap is not None and clusters:
        most = min(most, sampling.cap * clusters[0])
    outlook = Outlook(
        rows=read,
        exact=exact or ingest is not None,
        kept=budget.amount if budget.unit == "rows" else pool,
        most=most,
        clusters=tuple(clusters),
        uris=tuple(shard.uri for shard in lineage.request.shards),
        last_read=None if lineage.current is None else lineage.current.counts.get("read"),
        shards=None if ingest is None else shards(Pool.open(ingest)),
    )
    gates = recipe.gates.expectations(sampling.goal)
    check_built_in(gates)
    if ingest is not None:
        check_stated(gates, Pool.open(ingest), [signal.name for signal in recipe.signals])
    missing = [] if ingest is not None or columns is None else _without_columns(recipe, gates, columns)
    asked = unmet_annotations(recipe, outlook, columns if ingest is None else None, ingest, seen)
    return _unsuited(recipe) + _unused_sources(recipe, lineage) + missing + asked + obstacles(gates, outlook)


def lines(found: Sequence[Obstacle]) -> list[str]:
    """Return one line for each, those that block first."""
    blocking = [f"CANNOT PASS: {one.summary()}" for one in found if one.severity == "block"]
    return blocking + [f"will warn: {one.summary()}" for one in found if one.severity == "warn"]


def _without_columns(recipe: Recipe, gates: Sequence[Expectation], columns: Collection[str]) -> list[Obstacle]:
    """Return the gates that state something of a column that a sample of the source does not have."""
    found = []
    for one in gates:
        for why, remedy in unknown(recipe, columns_of([one]), columns)[:1]:
            found.append(Obstacle(expectation=one.label, severity=one.severity, why=why, remedy=remedy))
    return found


def without_values(recipe: Recipe, signals: Mapping[str, StepRef]) -> list[Obstacle]:
    """Return a caution for each score that sampling needs of every row, where rows are without it or this is not known.

    signals: those that are finished. Of a score that a filter after clustering may decide on, it is known only then.
    """
    filtered = {name.removeprefix("score.") for rule in recipe.filters for name in rule.columns}
    late, found = scores_settled_late(recipe), []
    for name in recipe.sampling.needs_scores():
        counts = signals[name].counts if name in signals else {}
        missing = counts.get("missing", 0) if counts else None  # None = not known yet
        remedy = f'leave them out by a filter, drop: "{name} is null", or give them one: coalesce({name}, 0)'
        if name in late and missing != 0:
            why = f"whether every row that is left has a value of {name} is known only after clustering, because the "
            why += f"filter {late[name]!r}, which comes after it, may remove those that have none"
            found.append(Obstacle(expectation="sampling", severity="warn", why=why, remedy=f"to know before, {remedy}"))
        elif missing and name not in filtered:
            why = f"{missing:,} of {counts['rows']:,} rows have no value of {name}, which sampling needs of every row"
            found.append(Obstacle(expectation="sampling", severity="warn", why=why, remedy=remedy))
    return found


def _unsuited(recipe: Recipe) -> list[Obstacle]:
    """Return a caution where a suite asks for evenness of a strategy that is after something else."""
    strategy, suite = recipe.sampling.strategy, recipe.gates.suite
    if suite not in EVEN or recipe.sampling.goal == "balance":
        return []
    who = f"the strategy {strategy.name}" if recipe.sampling.mixture is None else "a mixture"
    why = f"it asks for evenness, which {who} is not after"
    remedy = "set gates.suite to auto, or take a strategy that balances"
    return [Obstacle(expectation=f"suite {suite}", severity="warn", why=why, remedy=remedy)]


def _unused_sources(recipe: Recipe, lineage: Lineage) -> list[Obstacle]:
    """Return a caution where lines of the table of sources match no shard. Raises InputError where a shard has none."""
    unused = [] if recipe.provenance is None else recipe.provenance.unused(lineage.request.shards)
    if not unused:
        return []
    more = f" and {len(unused) - SHOWN:,} more" if len(unused) > SHOWN else ""
    why = f"{len(unused):,} patterns of provenance.sources match no shard: {', '.join(unused[:SHOWN])}{more}"
    return [Obstacle(expectation="provenance", severity="warn", why=why, remedy="correct them, or remove the lines")]
