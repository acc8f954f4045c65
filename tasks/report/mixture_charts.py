"""The drawings of a mixture's page: weights by round, scores with their errors, predictions against what was seen."""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt
import pandas as pd

from evenkeel.tasks.mixture.evidence import Trial
from evenkeel.tasks.report.charts import AFTER, BEFORE, INK, SOFT, Chart

ROLES = ("natural", "uniform", "stratified", "proposed", "tried")
COLOURS = (BEFORE, SOFT, INK, AFTER, SOFT)
SHAPES = ("diamond", "square", "triangle-up", "circle", "cross")
MOST_DOMAINS = 20


class Prediction(NamedTuple):
    """What was predicted of a trial before it was drawn, and what was reported."""

    trial: str
    role: str
    predicted: float
    seen: float


def _role(present: Sequence[str]) -> tuple[alt.Color, alt.Shape]:
    """Return colour and shape of each role, named in one legend."""
    roles = [role for role in ROLES if role in present]
    place = [ROLES.index(role) for role in roles]
    legend = alt.Legend(orient="top", title=None, columns=3)
    colour = alt.Color("role:N", scale=alt.Scale(domain=roles, range=[COLOURS[at] for at in place]), legend=legend)
    shape = alt.Shape("role:N", scale=alt.Scale(domain=roles, range=[SHAPES[at] for at in place]), legend=legend)
    return colour, shape


def weight_lines(trials: Sequence[Trial], names: Sequence[str], width: int) -> Chart:
    """Return the weight of each domain: natural, stratified, and what the rule proposed in each round."""
    chosen = {"natural": "natural", "stratified": "stratified"}
    rows = []
    order: list[str] = []
    for trial in trials:
        stage = chosen.pop(trial.role, f"round {trial.round}" if trial.role == "proposed" else "")
        if stage:
            order.append(stage)
            pairs = zip(names, trial.weights, strict=True)
            rows += [{"domain": name, "stage": stage, "weight": float(weight)} for name, weight in pairs]
    table = pd.DataFrame(rows)
    largest = table.groupby("domain")["weight"].max().sort_values(ascending=False).index[:MOST_DOMAINS]
    table = table[table["domain"].isin(set(largest))]
    rounds = max(0, len(order) - 2)
    tones = [BEFORE, INK, *[SOFT] * (rounds - 1), AFTER][: len(order)]
    shapes = (
        ["diamond", "triangle-up", *["cross", "square", "circle"][-rounds:]] if rounds else ["diamond", "triangle-up"]
    )
    shapes = [*shapes[:2], *["cross"] * max(0, rounds - 3), *shapes[2:]]
    legend = alt.Legend(orient="top", title=None, columns=3)
    return (
        alt.Chart(table)
        .mark_point(filled=True, size=75, opacity=1)
        .encode(
            y=alt.Y("domain:N", sort=list(largest), title=None, axis=alt.Axis(labelLimit=150)),
            x=alt.X("weight:Q", title="weight", axis=alt.Axis(format="%", tickCount=4)),
            color=alt.Color("stage:N", scale=alt.Scale(domain=order, range=tones), legend=legend),
            shape=alt.Shape("stage:N", scale=alt.Scale(domain=order, range=shapes[: len(order)]), legend=legend),
        )
        .properties(width=width, height=26 * len(largest))
    )


def score_dots(trials: Sequence[Trial], noise: float, metric: str, width: int) -> Chart:
    """Return the metric of each scored trial by round, with its standard error."""
    rows = []
    for trial in trials:
        error = trial.error if trial.error == trial.error else noise
        error = error if error == error else 0.0
        low, high = trial.value - error, trial.value + error
        rows.append({"trial": trial.name, "role": trial.role, "value": trial.value, "low": low, "high": high})
    table = pd.DataFrame(rows)
    order = [trial.name for trial in trials]
    colour, shape = _role(list(table["role"]))
    y = alt.Y("trial:N", sort=order, title=None, axis=alt.Axis(labelLimit=150))
    x = alt.X("value:Q", title=metric, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))
    bars = (
        alt.Chart(table)
        .mark_rule(strokeWidth=1.5)
        .encode(y=y, x=alt.X("low:Q", title=metric, scale=alt.Scale(zero=False)), x2="high:Q", color=colour)
    )
    dots = alt.Chart(table).mark_point(filled=True, size=75, opacity=1).encode(y=y, x=x, color=colour, shape=shape)
    return alt.layer(bars, dots).properties(width=width, height=20 * len(order))


def predictions(found: Sequence[Prediction], metric: str, width: int) -> Chart:
    """Return the metric as it was predicted of each trial and as it was reported, with the line where both agree."""
    table = pd.DataFrame([one._asdict() for one in found])
    low = float(table[["predicted", "seen"]].min().min())
    high = float(table[["predicted", "seen"]].max().max())
    scale = alt.Scale(domain=[low, high], zero=False, nice=True)
    colour, shape = _role(list(table["role"]))
    x = alt.X("predicted:Q", title=f"{metric}, predicted", scale=scale, axis=alt.Axis(tickCount=4))
    y = alt.Y("seen:Q", title=f"{metric}, seen", scale=scale, axis=alt.Axis(tickCount=5))
    line = (
        alt.Chart(pd.DataFrame({"predicted": [low, high], "seen": [low, high]}))
        .mark_line(color=SOFT, strokeDash=[4, 4])
        .encode(x=x, y=y)
    )
    dots = alt.Chart(table).mark_point(filled=True, size=75, opacity=1).encode(x=x, y=y, color=colour, shape=shape)
    return alt.layer(line, dots).properties(width=width, height=min(width, 300))
