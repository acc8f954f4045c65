"""The page of a mixture: where its loop stands, what was tried, and what training made of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from evenkeel.expectations.pages import environment
from evenkeel.expectations.wording import percent
from evenkeel.tasks.feedback.loop import Reports, evidence_of, missing, noise_of
from evenkeel.tasks.feedback.rounds import Round, Rounds
from evenkeel.tasks.mixture.config import MixtureConfig
from evenkeel.tasks.mixture.evidence import Evidence
from evenkeel.tasks.report import mixture_charts as charts
from evenkeel.tasks.report.charts import Chart, render
from evenkeel.tasks.report.figures import NARROW, WIDE, Figure
from evenkeel.tasks.validate.examples import shorten

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class KeyFigure:
    """A number at the head of the page."""

    name: str
    value: str
    note: str


def render_mixture(dataset: str, config: MixtureConfig, known: Rounds, shown: Sequence[Round], reports: Reports) -> str:
    """Return the page as HTML that loads nothing. shown: the rounds of the loop that it is of."""
    figures: list[tuple[str, Figure]] = []
    numbers: list[KeyFigure] = []
    if shown:
        evidence = evidence_of(config, shown, reports, shown[-1].round + 1, 0)
        numbers = _key_figures(evidence)
        figures = [("weights", _weights(evidence))]
        if evidence.scored:
            figures.append(("scores", _scores(evidence, reports.metric)))
        if predicted := _predictions(evidence, shown):
            figures.append(("predicted", _predicted(predicted, reports.metric)))
    headline, lead = _words(config, known, shown, reports)
    context = {
        "dataset": dataset,
        "headline": headline,
        "lead": lead,
        "numbers": numbers,
        "figures": figures,
        "domains": config.domains,
        "rule": config.rule.name,
        "approved": known.approved,
    }
    return environment(TEMPLATES).get_template("mixture.html.j2").render(**context)


def _words(config: MixtureConfig, known: Rounds, shown: Sequence[Round], reports: Reports) -> tuple[str, str]:
    """Return the headline and the sentence below it."""
    if not shown:
        return "Nothing was tried yet", "evenkeel mix RECIPE publishes the first trials."
    last = shown[-1]
    about = (
        f"{len(last.names):,} domains ({config.domains}), rule {config.rule.name}, trials of {last.budget:,} rows; "
        f"round {last.round - last.loop + 1} of {config.trials.rounds}."
    )
    if (ended := known.settled.get(last.loop)) is not None:
        names = {"proposed": f"{config.rule.name} is proposed", "stratified": "Stratified is proposed"}
        return names.get(
            ended.role, "The loop was abandoned"
        ), f"{ended.sentence[0].upper()}{ended.sentence[1:]}. {about}"
    if gone := missing(last, reports):
        return f"Round {last.round} waits for {len(gone)} of {len(last.trials)} scores", f"{', '.join(gone)}. {about}"
    return f"Round {last.round} is complete", about


def _key_figures(evidence: Evidence) -> list[KeyFigure]:
    """Return the metric of the proposed mixture, stratified and natural, and the regret against stratified."""
    means = {}
    for role in ("proposed", "stratified", "natural"):
        values = [trial.value for trial in evidence.scored if trial.role == role]
        if values:
            means[role] = values[-1] if role == "proposed" else sum(values) / len(values)
    notes = {
        "proposed": "what the rule believed in last",
        "stratified": "every domain the same weight",
        "natural": "as in the pool",
    }
    found = [KeyFigure(role, _number(value), notes[role]) for role, value in means.items()]
    if "proposed" in means and "stratified" in means:
        regret = evidence.sign * (means["stratified"] - means["proposed"])
        noise = noise_of(evidence)
        note = "no error is known" if math.isnan(noise) else f"a value's standard error: {_number(noise)}"
        found.append(KeyFigure("regret against stratified", _number(regret), note))
    return found


def _weights(evidence: Evidence) -> Figure:
    drawn = [trial for trial in evidence.trials if trial.role in ("natural", "stratified", "proposed")]
    stages = [trial for trial in evidence.trials if trial.role in ("natural", "uniform")]
    stages += [trial for trial in evidence.trials if trial.role == "proposed"]
    rows = [
        [name, *(percent(float(trial.weights[at])) for trial in stages)] for at, name in enumerate(evidence.names[:200])
    ]
    header = ["Domain", *(trial.role if trial.role != "proposed" else f"round {trial.round}" for trial in stages)]
    label = f"Weights of {len(evidence.names)} domains: natural, stratified, and proposed in each round"
    more = len(evidence.names) > charts.MOST_DOMAINS
    note = "Of the pool, of equal weights, and of what the rule proposed in each round" + (
        f"; the {charts.MOST_DOMAINS} domains with the largest weights." if more else "."
    )
    svgs = _both(lambda width: charts.weight_lines(drawn, _drawable(evidence.names), width), label)
    return Figure("Weights by round", note, svgs, header, rows)


def _drawable(names: Sequence[str]) -> list[str]:
    """Return names that can be drawn: on one line, without control characters, and still apart from each other."""
    found: dict[str, None] = {}
    for name in names:
        short = shorten(name, 40)
        found[short if short not in found else f"{short} ({len(found)})"] = None
    return list(found)


def _scores(evidence: Evidence, metric: str) -> Figure:
    noise = noise_of(evidence)
    stratified = [trial.value for trial in evidence.scored if trial.role == "stratified"]
    base = sum(stratified) / len(stratified) if stratified else math.nan
    rows = [
        [
            trial.name,
            trial.role,
            _number(trial.value),
            _number(trial.error),
            _number(evidence.sign * (base - trial.value)),
        ]
        for trial in evidence.scored
    ]
    label = f"{metric} of {len(evidence.scored)} trials"
    svgs = _both(lambda width: charts.score_dots(evidence.scored, noise, metric, width), label)
    note = "A bar is one standard error, as reported or from the repeats of stratified. Regret is against stratified."
    return Figure("Scores", note, svgs, ["Trial", "Role", metric, "Error", "Regret"], rows)


def _predictions(evidence: Evidence, shown: Sequence[Round]) -> list[charts.Prediction]:
    seen = {trial.name: trial.value for trial in evidence.scored}
    return [
        charts.Prediction(trial.name, trial.role, trial.predicted, seen[trial.name])
        for one in shown
        for trial in one.trials
        if trial.predicted is not None and trial.name in seen
    ]


def _predicted(found: Sequence[charts.Prediction], metric: str) -> Figure:
    rows = [[one.trial, one.role, _number(one.predicted), _number(one.seen)] for one in found]
    label = f"{metric} predicted and seen of {len(found)} trials"
    svgs = _both(lambda width: charts.predictions(found, metric, width), label)
    note = "What a law fitted to all earlier rounds said of a trial before it was drawn."
    return Figure("Predicted against seen", note, svgs, ["Trial", "Role", "Predicted", "Seen"], rows)


def _both(draw: Callable[[int], Chart], label: str) -> list[tuple[str, str]]:
    return [("wide", Markup(render(draw(WIDE - 120), label))), ("narrow", Markup(render(draw(NARROW - 60), label)))]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"
