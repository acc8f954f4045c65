"""What becomes of a pool around clustering: signals are computed, rows are filtered and deduplicated.

Filters run before clustering where their signals need no clusters, and after it where they do.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.lists import dedup_request
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.filter.config import FilterConfig, FilterRule
from evenkeel.tasks.filter.inputs import FilterInputs
from evenkeel.tasks.filter.step import FILTER
from evenkeel.tasks.inputs import flat_refs
from evenkeel.tasks.publish.exclusions import TAKEDOWNS
from evenkeel.tasks.publish.layout import dataset_folder
from evenkeel.tasks.signal.complete import SCORED, ScoredInputs, ScoresNeeded
from evenkeel.tasks.signal.config import SignalRequest
from evenkeel.tasks.signal.inputs import SignalInputs
from evenkeel.tasks.signal.order import in_order, needed_parts, signals_among, with_those_read
from evenkeel.tasks.signal.signal import Part, Signal
from evenkeel.tasks.signal.step import SIGNAL
from evenkeel.tasks.step import RunStep


@dataclass(frozen=True)
class Left:
    """What is left of a pool before clustering: signals, filter, and the ledger of rows that have left."""

    dedup: StepRef
    signals: Mapping[str, StepRef]
    filter: StepRef | None
    must_keep: StepRef | None


def before_clustering(recipe: Recipe, done: Mapping[str, StepRef], run_step: RunStep) -> Left:
    """Compute the signals that need no clusters, filter by them, and deduplicate.

    Filters come first, so that no row that leaves represents others; where `rehydrate: auto` asks how many rows of each
    duplicate group they remove, they come after.
    """
    first, _ = recipe.rules_by_phase()
    signals = with_signals(recipe, done, run_step, lambda parts: "clusters" not in parts)
    request = dedup_request(recipe.dedup, _takedowns(recipe))
    best = {name: ref for name, ref in signals.items() if name == recipe.dedup.best}
    must = done.get("must_keep")
    if not first or recipe.sampling.rehydrates_by_filters:
        dedup = run_step(DEDUP, request, DedupInputs(done["ingest"], done["embed"], None, must, best))
        removed = None if not first else filter_rows(first, True, done, dedup, signals, run_step)
        return Left(removed or dedup, signals, removed, must)
    removed = filter_rows(first, False, done, None, signals, run_step)
    dedup = run_step(DEDUP, request, DedupInputs(done["ingest"], done["embed"], removed, must, best))
    return Left(dedup, signals, removed, must)


def scores_settled_late(recipe: Recipe) -> dict[str, str]:
    """Return the scores that sampling needs of every row and a filter after clustering may decide on, with that rule.

    Such a filter may be there to remove the rows without one. A rule that reads nothing but what clusters say is not.
    """
    _, last = recipe.rules_by_phase()
    parts = needed_parts(recipe.signals)
    of_clusters = {name for name, needs in parts.items() if "clusters" in needs}
    for rule in last:
        if _read_beside_clusters(recipe, rule, of_clusters):
            return {name: rule.text for name in recipe.sampling.needs_scores() if name not in of_clusters}
    return {}


def require_scores(
    recipe: Recipe, ingest: StepRef, dedup: StepRef, known: Mapping[str, StepRef], late: bool, run_step: RunStep
) -> None:
    """Raise RecipeError where sampling needs a score that some rows have no value of.

    known: the signals that are computed. late: after clustering and its filters, for scores that these may decide on
    and for signals of clusters; before it for all others, so that no pool is clustered in vain.
    """
    settled, parts = scores_settled_late(recipe), needed_parts(recipe.signals)
    asked = []
    for name in recipe.sampling.needs_scores():
        lacks = known[name].counts.get("missing") if name in known else name in recipe.source.scores
        if lacks and late == (name in settled or "clusters" in parts.get(name, ())):
            asked.append(name)
    if asked:
        signals = {name: known[name] for name in asked if name in known}
        run_step(SCORED, ScoresNeeded(names=asked), ScoredInputs(ingest, dedup, signals))


def _read_beside_clusters(recipe: Recipe, rule: FilterRule, of_clusters: Collection[str]) -> bool:
    """Tell whether a rule reads a column, itself or through its signals, that is no signal of clusters and no group."""
    named = [name for name in rule.columns if name != rule.by]
    read = with_those_read(signals_among(named, of_clusters), recipe.signals)
    grouped = {f"{prefix}{name}" for name in recipe.source.groups for prefix in ("", "group.")}
    below = [name for signal in read for name in signal.columns() if name not in grouped]
    return any(not signals_among([name], of_clusters) for name in [*named, *below])


def filter_rows(
    rules: list[FilterRule],
    sizes: bool,
    done: Mapping[str, StepRef],
    dedup: StepRef | None,
    signals: Mapping[str, StepRef],
    run_step: RunStep,
) -> StepRef:
    named = signals_among([name for rule in rules for name in rule.columns], signals)
    inputs = FilterInputs(done["ingest"], dedup, done.get("must_keep"), {name: signals[name] for name in named})
    return run_step(FILTER, FilterConfig(rules=rules, sizes=sizes), inputs)


def with_signals(
    recipe: Recipe,
    done: Mapping[str, StepRef],
    run_step: RunStep,
    wanted: Callable[[frozenset[Part]], bool],
) -> dict[str, StepRef]:
    """Return the signals that are there already and those whose parts are wanted, each after those that it reads."""
    parts = needed_parts(recipe.signals)
    known = {name.removeprefix("signals."): ref for name, ref in done.items() if name.startswith("signals.")}
    for signal in in_order(recipe.signals):
        if wanted(parts[signal.name]):
            known[signal.name] = compute_signal(signal, {**done, **flat_refs({"signals": known})}, run_step)
    return known


def compute_signal(signal: Signal, done: Mapping[str, StepRef], run_step: RunStep) -> StepRef:
    """Compute one signal, given finished steps by name; it builds on those that it says it reads, and no others."""
    needs = signal.needs()
    parts = {"vectors": ("embed",), "clusters": ("embed", "dedup", "cluster")}
    names = ["ingest", *(name for part, steps in parts.items() if part in needs for name in steps)]
    known = [name.removeprefix("signals.") for name in done if name.startswith("signals.")]
    names += [f"signals.{name}" for name in signals_among(signal.columns(), known)]
    return run_step(SIGNAL, SignalRequest.of(signal), SignalInputs.of({name: done[name] for name in names}))


def _takedowns(recipe: Recipe) -> str:
    return storage.join(dataset_folder(recipe.destination.uri, recipe.dataset), TAKEDOWNS)
