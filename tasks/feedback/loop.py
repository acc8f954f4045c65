"""The loop of a mixture: what the feedback says of the trials, what to try next, and what it ends with."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.feedback.rounds import Planned, Round, Settled
from evenkeel.tasks.feedback.table import Reported
from evenkeel.tasks.mixture.config import MixtureConfig
from evenkeel.tasks.mixture.evidence import Evidence, Trial
from evenkeel.tasks.mixture.rules.regress import fitted

BEYOND = 2.0
"""How many standard errors a mixture must be better than stratified."""


class Reports(NamedTuple):
    """What was reported of trials. metric: that of the mixture; by_trial: the scores of each trial by its name."""

    metric: str
    by_trial: Mapping[str, list[Reported]]


def reports_of(config: MixtureConfig, rounds: Sequence[Round], feedback: Sequence[Reported]) -> Reports:
    """Return the reports of the trials of a loop; the metric is that of the recipe, else the first one reported."""
    names = {trial.name for one in rounds for trial in one.trials}
    by_trial: dict[str, list[Reported]] = {}
    for reported in feedback:
        if reported.trial in names and not reported.score.example:
            by_trial.setdefault(reported.trial, []).append(reported)
    every = [reported for reported in feedback if reported.trial in by_trial and not reported.score.example]
    rewards = config.rule.reward_metric()
    first = next((one.score.metric for one in every if not one.score.domain), "")
    first = first or next((one.score.metric for one in every if one.score.metric != rewards), "")
    return Reports(config.metric or first, by_trial)


def missing(one: Round, reports: Reports) -> list[str]:
    """Return the trials of a round that have no value of the metric yet, in their order."""
    scored = {
        name
        for name, found in reports.by_trial.items()
        if any(reported.score.metric == reports.metric for reported in found)
    }
    return [trial.name for trial in one.trials if trial.name not in scored]


def evidence_of(config: MixtureConfig, rounds: Sequence[Round], reports: Reports, number: int, seed: int) -> Evidence:
    """Return what a rule is told before round `number`: the domains, and the trials of a loop with their scores."""
    last = rounds[-1]
    names, sizes = tuple(last.names), np.array(last.sizes, np.int64)
    trials = [_trial(config, planned, one, reports, names, sizes) for one in rounds for planned in one.trials]
    return Evidence(
        names=names,
        natural=sizes / max(int(sizes.sum()), 1),
        sizes=sizes,
        budget=last.budget,
        trials=tuple(trials),
        floor=config.floor,
        cap=config.cap,
        cost=np.array([config.cost.get(name, 1.0) for name in names]) if config.cost else np.empty(0),
        maximise=config.goal == "maximise",
        round=number,
        seed=seed,
    )


def _trial(
    config: MixtureConfig,
    planned: Planned,
    one: Round,
    reports: Reports,
    names: tuple[str, ...],
    sizes: np.ndarray,
) -> Trial:
    place = {name: at for at, name in enumerate(names)}
    weights = np.array([planned.weights.get(name, 0.0) for name in names])
    by_domain, rewards = np.full((2, len(names)), np.nan)
    rows = np.minimum(sizes, np.rint(one.budget * weights)).astype(np.int64)
    value = error = math.nan
    wanted = config.rule.reward_metric() or reports.metric
    for reported in reports.by_trial.get(planned.name, []):
        score, at = reported.score, place.get(reported.score.domain)
        if score.metric == reports.metric and not score.domain:
            value, error = score.value, math.nan if score.error is None else score.error
        if at is not None and score.metric == reports.metric:
            by_domain[at] = score.value
            rows[at] = rows[at] if score.rows is None else score.rows
        if at is not None and score.metric == wanted:
            rewards[at] = score.value
    if math.isnan(value) and np.isfinite(by_domain).any():
        value = float(np.nanmean(by_domain))
    return Trial(planned.name, planned.role, one.round, weights, value, error, by_domain, rewards, rows)


def first_mixtures(
    config: MixtureConfig, evidence: Evidence, uniform: Float64Array, given: Float64Array | None
) -> list[tuple[str, Float64Array]]:
    """Return role and weights of the trials of a loop's first round.

    uniform: (k,) weights by which every leaf counts the same. given: the weights of a rule that needs no training.
    """
    base = [("natural", evidence.natural), ("uniform", uniform), ("stratified", evidence.uniform)]
    if given is not None:
        return [*base, ("proposed", given)]
    count = config.trials.per_round - len(base)
    tried = evidence.limit(config.rule.try_first(evidence, count))
    return [*base, *(("tried", one) for one in tried)]


def next_mixtures(
    config: MixtureConfig, evidence: Evidence, given: Float64Array | None
) -> list[tuple[str, Float64Array]]:
    """Return role and weights of the trials of a later round: stratified again, the proposed one, and others to try.

    Stratified is drawn with another seed in every round, so that what differs between these is noise.
    """
    base = [("stratified", evidence.uniform)]
    if given is not None:
        return [*base, ("proposed", given)]
    proposed = evidence.limit(config.rule.propose(evidence, config.trials.per_round - 1))
    return [*base, ("proposed", proposed[0]), *(("tried", one) for one in proposed[1:])]


def planned_trials(number: int, mixtures: Sequence[tuple[str, Float64Array]], evidence: Evidence) -> list[Planned]:
    """Return the trials of a round, with the metric that a law fitted to all earlier ones predicts of each."""
    law = fitted(evidence)
    found = []
    for place, (role, weights) in enumerate(mixtures):
        predicted = None if law is None else float(-evidence.sign * law(weights[None])[0])
        named = {name: float(weight) for name, weight in zip(evidence.names, weights, strict=True)}
        found.append(Planned(name=f"trial-{number}-{place}", role=role, weights=named, predicted=predicted))
    return found


def noise_of(evidence: Evidence) -> float:
    """Return the standard error of one value: what is reported, else the spread of stratified over rounds; else NaN."""
    errors = [trial.error for trial in evidence.scored if math.isfinite(trial.error)]
    if errors:
        return float(np.median(errors))
    again = [trial.value for trial in evidence.scored if trial.role == "stratified"]
    return float(np.std(again, ddof=1)) if len(again) > 1 else math.nan


def settle(config: MixtureConfig, rounds: Sequence[Round], evidence: Evidence, metric: str) -> Settled:
    """Return what a loop ends with. Raises InputError where stratified has no score at all.

    The candidate is the mixture that the rule proposed in its last scored round, whatever else scored best: it was
    chosen before its score was known. It must be better than stratified by two standard errors of the difference.
    """
    values = {
        role: [trial.value for trial in evidence.scored if trial.role == role] for role in ("stratified", "natural")
    }
    if not values["stratified"]:
        raise InputError(
            "the loop cannot end: no trial of the stratified mixture has a score",
            expected=", ".join(trial.name for one in rounds for trial in one.trials if trial.role == "stratified"),
            where=metric or "no metric was reported yet",
            remedy="report at least one of them: evenkeel feedback RECIPE TRIAL --scores FILE",
        )
    stratified, noise = float(np.mean(values["stratified"])), noise_of(evidence)
    natural = float(np.mean(values["natural"])) if values["natural"] else None
    candidates = [trial for trial in evidence.scored if trial.role == "proposed"]
    candidate = candidates[-1] if candidates else None
    spread = noise * math.sqrt(1 + 1 / len(values["stratified"]))
    gain = None if candidate is None else evidence.sign * (candidate.value - stratified)
    wins = gain is not None and math.isfinite(spread) and gain > BEYOND * spread
    chosen = candidate.weights if wins and candidate is not None else evidence.uniform
    rule = config.rule.name
    if candidate is None or gain is None:
        sentence = f"no mixture of the rule {rule} was scored: stratified is proposed"
    elif wins:
        sentence = (
            f"{rule} is better than stratified by {gain:.4g} {metric}, {gain / max(spread, 1e-300):.1f} standard errors"
        )
    elif math.isfinite(spread):
        sentence = (
            f"no rule beats stratified beyond noise: {rule} differs by {gain:+.4g} {metric}, and two standard errors "
            f"are {BEYOND * spread:.4g}; stratified is proposed"
        )
    else:
        sentence = f"how noisy {metric} is, is not known (report `error`, or run more rounds): stratified is proposed"
    last = rounds[-1]
    return Settled(
        loop=last.loop,
        round=last.round,
        domains=last.domains,
        clusters=last.clusters,
        metric=metric,
        role="proposed" if wins else "stratified",
        weights={name: float(weight) for name, weight in zip(evidence.names, chosen, strict=True)},
        proposed=None if candidate is None else candidate.value,
        stratified=stratified,
        natural=natural,
        noise=spread if math.isfinite(spread) else None,
        gain=gain,
        sentence=sentence,
    )
