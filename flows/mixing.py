"""One step of the loop of a mixture: publish the trials of a round, wait for their scores, or end the loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel

from evenkeel.flows.lineage import Lineage, resolve_lineage, save_shard_numbers
from evenkeel.flows.pipeline import (
    ClusteredPool,
    DrawnVersion,
    StagedVersion,
    cluster_pool,
    draw_version,
    sample_inputs,
    write_version,
)
from evenkeel.flows.recipe import Recipe
from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.registry import plugins_used
from evenkeel.infra.workspace import StepRef, discard
from evenkeel.tasks.feedback import rounds as records
from evenkeel.tasks.feedback.loop import (
    Reports,
    evidence_of,
    first_mixtures,
    missing,
    next_mixtures,
    planned_trials,
    reports_of,
    settle,
)
from evenkeel.tasks.feedback.rounds import Planned, Round, Rounds, Settled
from evenkeel.tasks.feedback.table import read_feedback
from evenkeel.tasks.mixture.config import DomainWeights, MixtureConfig
from evenkeel.tasks.mixture.evidence import Evidence
from evenkeel.tasks.mixture.rules.fixed import Fixed
from evenkeel.tasks.publish.config import trial_of
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.publish.staging.excerpt import EXCERPT, ExcerptConfig
from evenkeel.tasks.publish.staging.inputs import ExcerptInputs
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.domains import survey
from evenkeel.tasks.sample.inputs import SharedRowsInputs
from evenkeel.tasks.sample.shared_rows import SHARED_ROWS, SharedRowsConfig
from evenkeel.tasks.sample.step import open_problem
from evenkeel.tasks.sample.strategy import Strategy
from evenkeel.tasks.signal.order import signals_among
from evenkeel.tasks.step import Run, RunStep
from evenkeel.tasks.versions.listing import list_versions

Status = Literal["proposed", "waiting", "settled"]
MakeRound = Callable[[ClusteredPool], Round]


class MixState(BaseModel):
    """Where the loop of a mixture stands.

    trials: version of each trial of the last round by name. waits_for: those that have no score yet. settled: how the
    loop ended.
    """

    dataset: str
    status: Status
    round: int
    loop: int
    trials: dict[str, int] = {}
    waits_for: list[str] = []
    settled: Settled | None = None
    sentence: str


def mixture_of(recipe: Recipe) -> MixtureConfig:
    """Return the section mixture. Raises RecipeError where the recipe has none."""
    if recipe.mixture is None:
        raise RecipeError(
            "the recipe has no mixture", where="mixture", remedy="name domains and a rule, as in docs/MIXTURES.md"
        )
    return recipe.mixture


def advance(
    recipe: Recipe,
    run: Run,
    run_step: RunStep,
    *,
    late: bool = False,
    again: bool = False,
    begin: bool = True,
    only_round: int | None = None,
) -> MixState:
    """Do what comes next, and say where the loop stands.

    Where trials of the last round are not published yet, because a run was killed, these are published; where scores
    are missing it waits, or with `late` goes on without them; else it proposes the next round or ends the loop. again:
    begin a new loop, whatever the last one came to. begin: begin the first one where there is none. only_round: do
    nothing where another round is open, or none.
    """
    config = mixture_of(recipe)
    folder = records.mixture_folder(recipe.destination.uri, recipe.dataset)
    known = records.read_rounds(folder)
    if only_round is not None and (not known.open or known.open[-1].round != only_round):
        loop = 0 if known.last is None else known.last.loop
        over = f"round {only_round} is over, or never was"
        return MixState(dataset=recipe.dataset, status="waiting", round=only_round, loop=loop, sentence=over)
    if again or not known.open:
        if known.last is not None and not again:
            return _ended(recipe, known)
        if known.last is None and not begin:
            return MixState(dataset=recipe.dataset, status="waiting", round=0, loop=0, sentence="no loop has begun")
        return _publish(recipe, run, run_step, None, lambda pool: _first(recipe, config, known, pool, run, run_step))
    last = known.open[-1]
    _require_same(config, last)
    if {trial.name for trial in last.trials} - _published(recipe, run).keys():
        return _publish(recipe, run, run_step, last, lambda _: last)
    reports = reports_of(config, known.open, read_feedback(recipe.destination, recipe.dataset, run.workspace))
    _require_reported(config, reports)
    gone = missing(last, reports)
    if gone and (not late or not reports.by_trial):
        return _waiting(recipe, run, last, gone)
    if len(known.open) >= config.trials.rounds:
        evidence = evidence_of(config, known.open, reports, last.round + 1, recipe.sampling.seed)
        ended = records.save_settled(folder, settle(config, known.open, evidence, reports.metric))
        return _state(recipe, run, last, "settled", ended.sentence, settled=ended)
    following = _next(recipe, config, known.open, reports, gone)
    return _publish(recipe, run, run_step, last, lambda _: records.save_round(folder, following))


def _first(
    recipe: Recipe, config: MixtureConfig, known: Rounds, pool: ClusteredPool, run: Run, run_step: RunStep
) -> Round:
    """Save and return the first round of a loop; one that goes on is abandoned, once the new one is possible."""
    number = 0 if known.last is None else known.last.round + 1
    sampling = _sampling(recipe, number, {})
    shared = _shared_rows(recipe, pool, run_step)
    problem, budget = open_problem(sampling, sample_inputs(sampling, pool, run_step, shared), run)
    found = survey(config, problem)
    names, sizes = list(found.domains.names), found.domains.sizes
    config.require_known(names)
    about = Round(
        round=number,
        loop=number,
        domains=config.domains,
        names=names,
        sizes=sizes.tolist(),
        uniform=found.uniform.tolist(),
        budget=min(budget.amount, problem.tree.rows),
        rule=config.rule.model_dump(mode="json"),
        goal=config.goal,
        clusters=str(pool.cluster.facts.get("centroid_hash", "")) if config.level else "",
        trials=[],
    )
    evidence = evidence_of(config, [about], Reports("", {}), number, recipe.sampling.seed)
    mixtures = first_mixtures(config, evidence, found.uniform, found.given)
    trials = planned_trials(number, mixtures, evidence)
    folder = records.mixture_folder(recipe.destination.uri, recipe.dataset)
    if known.open:
        records.save_settled(folder, _abandoned(known.open))
    return records.save_round(folder, about.model_copy(update={"trials": trials}))


def _next(
    recipe: Recipe, config: MixtureConfig, open_rounds: Sequence[Round], reports: Reports, gone: list[str]
) -> Round:
    """Return the round after the last one."""
    last = open_rounds[-1]
    config.require_room(len(last.names))
    config.require_known(last.names)
    number = last.round + 1
    evidence = evidence_of(config, open_rounds, reports, number, recipe.sampling.seed)
    given = None
    if not config.rule.trains:
        before = next(trial for trial in last.trials if trial.role == "proposed")
        given = evidence.limit(_in_order(before.weights, evidence))
    trials = planned_trials(number, next_mixtures(config, evidence, given), evidence)
    return last.model_copy(update={"round": number, "trials": trials, "without": gone})


def _in_order(weights: Mapping[str, float], evidence: Evidence) -> Float64Array:
    return np.array([weights.get(name, 0.0) for name in evidence.names])


def _publish(recipe: Recipe, run: Run, run_step: RunStep, last: Round | None, make: MakeRound) -> MixState:
    """Publish the trials of a round that are not published yet, each in one commit, with its name."""
    lineage = resolve_lineage(recipe, run.workspace)
    save_shard_numbers(recipe, run.workspace, lineage.request)
    pool = cluster_pool(recipe, lineage, run_step)
    if last is not None and last.clusters and last.clusters != pool.cluster.facts.get("centroid_hash"):
        raise RecipeError(
            "the pool was clustered anew since the loop began, and its domains are clusters",
            expected=f"clusters {last.clusters[:12]}",
            found=str(pool.cluster.facts.get("centroid_hash"))[:12],
            where="mixture.domains",
            remedy="begin a new loop: evenkeel mix RECIPE --again",
        )
    one = make(pool)
    there = _published(recipe, run)
    if all(trial.name in there for trial in one.trials):
        return _state(recipe, run, one, "proposed", f"round {one.round}: {len(one.trials)} trials are published")
    shared = _shared_rows(recipe, pool, run_step)
    recipes, drawn, strategy = dict[str, Recipe](), dict[str, DrawnVersion](), recipe.sampling.strategy
    for trial in one.trials:
        recipes[trial.name] = made = _recipe_of(recipe, one, trial, strategy)
        drawn[trial.name] = version = draw_version(made, lineage, pool, run_step, shared)
        strategy = strategy.pinned(version.sample.facts)  # what the first one measured holds for the others
    excerpt = _excerpt(recipe, pool, drawn, run_step)
    for trial in one.trials:
        if trial.name not in there:
            staged = write_version(recipes[trial.name], drawn[trial.name], run_step, excerpt)
            _publish_trial(recipes[trial.name], lineage, one, trial, staged, run)
    discard(excerpt.uri)
    return _state(recipe, run, one, "proposed", f"round {one.round}: {len(one.trials)} trials are published")


def _shared_rows(recipe: Recipe, pool: ClusteredPool, run_step: RunStep) -> StepRef:
    """Decode the columns that all draws of all rounds read, once."""
    columns = dict.fromkeys(["identity", *mixture_of(recipe).reads(), *recipe.sampling.reads()])
    wanted = [name for name in columns if not name.startswith("tags.")]
    signals = {name: pool.signals[name] for name in signals_among(wanted, pool.signals)}
    inputs = SharedRowsInputs(pool.ingest, pool.embed, pool.cluster, signals)
    return run_step(SHARED_ROWS, SharedRowsConfig(columns=wanted), inputs)


def _excerpt(recipe: Recipe, pool: ClusteredPool, drawn: Mapping[str, DrawnVersion], run_step: RunStep) -> StepRef:
    """Take the rows of all trials of a round out of the pool, once."""
    config = ExcerptConfig(payload=recipe.destination.payload == "rows")
    samples = {name: version.sample for name, version in drawn.items()}
    return run_step(EXCERPT, config, ExcerptInputs(pool.ingest, pool.dedup, samples, pool.signals))


def _recipe_of(recipe: Recipe, one: Round, trial: Planned, strategy: Strategy) -> Recipe:
    sampling = _sampling(recipe, one.round, trial.weights).model_copy(update={"strategy": strategy})
    return recipe.model_copy(update={"sampling": sampling})


def _publish_trial(
    recipe: Recipe, lineage: Lineage, one: Round, trial: Planned, staged: StagedVersion, run: Run
) -> None:
    """Publish a staged trial under its name. recipe: that of the trial."""
    document = {
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.sampling.seed,
        "reason": f"{trial.name}: the {trial.role} mixture of round {one.round}",
        "plugins": plugins_used(recipe),
        "steps": {name: ref.model_dump(mode="json") for name, ref in staged.steps().items()},
        "mixture": {"round": one.round, "loop": one.loop, **trial.model_dump(mode="json")},
        **lineage.document(),
    }
    publish(recipe.destination, recipe.dataset, staged.stage, {}, document, run.workspace, trial=trial.name)


def _sampling(recipe: Recipe, number: int, weights: Mapping[str, float]) -> SamplingConfig:
    """Return how a trial is drawn: by the recipe's strategy, another seed in each round, without bounds on leaves."""
    config = mixture_of(recipe)
    mixture = DomainWeights(domains=config.domains, rule=Fixed(weights=dict(weights))) if weights else None
    changed = {"target": config.trials.rows, "seed": recipe.sampling.seed + number, "mixture": mixture}
    return SamplingConfig.model_validate({**vars(recipe.sampling), **changed, "floor": 0, "cap": None})


def _published(recipe: Recipe, run: Run) -> dict[str, Version]:
    """Return the trials that are published, by name."""
    known = list_versions(recipe.destination, recipe.dataset, run.workspace)
    return {trial: version for version in known if (trial := trial_of(version.tags))}


def _require_same(config: MixtureConfig, last: Round) -> None:
    now = {"domains": config.domains, "goal": config.goal, "rule": config.rule.name}
    then = {"domains": last.domains, "goal": last.goal, "rule": str(last.rule["name"])}
    if changed := [name for name in now if now[name] != then[name]]:
        raise RecipeError(
            "the mixture is another one than the loop that goes on",
            expected=", ".join(f"{name}: {then[name]}" for name in changed),
            found=", ".join(f"{name}: {now[name]}" for name in changed),
            where="mixture",
            remedy="put it back, or begin a new loop: evenkeel mix RECIPE --again",
        )


def _require_reported(config: MixtureConfig, reports: Reports) -> None:
    """Raise RecipeError where the recipe names a metric that no trial of the loop was reported by."""
    told = {one.score.metric for found in reports.by_trial.values() for one in found} - {config.rule.reward_metric()}
    if told and reports.metric not in told:
        raise RecipeError(
            "no trial of the loop was reported by the metric of the recipe",
            expected=f"one of {', '.join(sorted(told))}",
            found=config.metric,
            where="mixture.metric",
            remedy="put it back, or begin a new loop for another metric: evenkeel mix RECIPE --again",
        )


def _waiting(recipe: Recipe, run: Run, last: Round, gone: list[str]) -> MixState:
    sentence = f"round {last.round} waits for scores of {', '.join(gone)}"
    return _state(recipe, run, last, "waiting", sentence, waits_for=gone)


def _ended(recipe: Recipe, known: Rounds) -> MixState:
    assert known.last is not None
    ended = known.settled[known.last.loop]
    return MixState(
        dataset=recipe.dataset,
        status="settled",
        round=known.last.round,
        loop=known.last.loop,
        settled=ended,
        sentence=f"the loop has ended: {ended.sentence}",
    )


def _abandoned(open_rounds: Sequence[Round]) -> Settled:
    last = open_rounds[-1]
    count = len(last.names)
    return Settled(
        loop=last.loop,
        round=last.round,
        domains=last.domains,
        clusters=last.clusters,
        metric="",
        role="abandoned",
        weights=dict.fromkeys(last.names, 1 / count),
        proposed=None,
        stratified=None,
        natural=None,
        noise=None,
        gain=None,
        sentence="the loop was abandoned for a new one",
    )


def _state(
    recipe: Recipe,
    run: Run,
    one: Round,
    status: Status,
    sentence: str,
    waits_for: Sequence[str] = (),
    settled: Settled | None = None,
) -> MixState:
    there = _published(recipe, run)
    return MixState(
        dataset=recipe.dataset,
        status=status,
        round=one.round,
        loop=one.loop,
        trials={trial.name: there[trial.name].version for trial in one.trials if trial.name in there},
        waits_for=list(waits_for),
        settled=settled,
        sentence=sentence,
    )
