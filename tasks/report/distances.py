"""How near the version is in vector space: the distances of the profile as pictures of the card."""

import altair as alt
import numpy as np
import pandas as pd

from evenkeel.tasks.measure.histograms import LAST, POOL, TARGET
from evenkeel.tasks.report import charts
from evenkeel.tasks.report.charts import AFTER, SOFT, Chart
from evenkeel.tasks.report.figures import NARROW, WIDE, Figure
from evenkeel.tasks.report.findings import nearness

NAMES = {
    "mmd": "mmd",
    "frechet": "Frechet",
    "transport": "transport",
    "kl": "kl",
}
NOTE = (
    "Maximum mean discrepancy (mmd) and Frechet distance compare vectors; transport and divergence (kl) histograms of "
    "clusters."
)


def title(distances: pd.DataFrame) -> str:
    """Return what the distances say in one sentence, "" where there is no target and no last version."""
    if between := nearness(distances):
        return f"At {between} of the pool's distance to the target"
    last = _times(_to(distances, LAST))
    if not len(last):
        return ""
    apart = last[last["times"] > 1]
    if not len(apart):
        return "No further from the last version than two draws of one set are"
    return f"{float(apart['times'].max()):,.1f} times as far from the last version as sampling noise brings it"


def pictures(distances: pd.DataFrame) -> list[Figure]:
    """Return the distances to the target, and those from the last version, one picture each where there are any."""
    found = []
    near = _to(distances, TARGET).dropna(subset=["pool", "after"])
    near = near[near["pool"] > 0]
    if len(near):
        head = "To the target"
        note = "The line at 1 is the pool; crosses are random draws of the version's size, and dots the version."
        rows = _rows(near, ["pool", "random", "after"])
        svgs = _both(_shares(near), "Distances to the target as shares of the pool's", "share of the pool's distance")
        found.append(Figure(head, note, svgs, ["", "Pool", "Random draw", "This version"], rows))
    for to, head in ((LAST, "From the last version"), (POOL, "From the pool")):
        far = _times(_to(distances, to))
        if not len(far) or (to == POOL and not found):
            continue
        note = "In multiples of what sampling noise brings between two draws of one set, which is the line at 1."
        rows = _rows(far, ["after", "bound", "times"])
        svgs = _both(_multiples(far), f"Distances {head.lower()} in multiples of noise", "times the noise")
        found.append(Figure(head, note, svgs, ["", "Distance", "Noise", "Times"], rows))
    return found


def _to(distances: pd.DataFrame, to: str) -> pd.DataFrame:
    if not len(distances):
        return pd.DataFrame(columns=["by", "pool", "random", "after", "bound"])
    return distances[distances["to"].eq(to)]


def _rows(lines: pd.DataFrame, columns: list[str]) -> list[list[str]]:
    numbers = lines[columns].to_numpy(np.float64).tolist()
    return [[NAMES[by], *map(_number, row)] for by, row in zip(lines["by"].tolist(), numbers, strict=True)]


def _times(rows: pd.DataFrame) -> pd.DataFrame:
    known = rows.dropna(subset=["after", "bound"])
    known = known[known["bound"] > 0]
    return known.assign(times=known["after"] / known["bound"])


def _shares(near: pd.DataFrame) -> pd.DataFrame:
    parts = [
        near.assign(stage=stage, x=near[column] / near["pool"])
        for stage, column in (("random", "random"), ("after", "after"))
    ]
    return pd.concat(parts).dropna(subset=["x"])


def _multiples(far: pd.DataFrame) -> pd.DataFrame:
    return far.assign(stage="after", x=far["times"])


def _both(table: pd.DataFrame, label: str, axis: str) -> list[tuple[str, str]]:
    return [
        (kind, charts.render(_strip(table, width, axis), label)) for kind, width in (("wide", WIDE), ("narrow", NARROW))
    ]


def _strip(table: pd.DataFrame, width: int, axis: str) -> Chart:
    """Return one line per distance with its marks: by, stage (random, after), x; a line stands at 1."""
    names = [NAMES[one] for one in dict.fromkeys(table["by"])]
    table = table.assign(name=[NAMES[one] for one in table["by"]])[["name", "stage", "x"]]
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=8))
    top = max(1.1, 1.05 * float(table["x"].max()))
    x = alt.X("x:Q", title=axis, scale=alt.Scale(domain=[0, top]), axis=alt.Axis(tickCount=5))
    rule = alt.Chart(pd.DataFrame({"x": [1.0]})).mark_rule(color=SOFT, strokeDash=[3, 3]).encode(x="x:Q")
    dots = alt.Chart(table[table["stage"] != "random"]).mark_circle(size=150, opacity=1, color=AFTER).encode(y=y, x=x)
    cross = alt.Chart(table[table["stage"] == "random"]).mark_point(
        shape="cross", filled=True, size=60, color=SOFT, opacity=1
    )
    return (rule + dots + cross.encode(y=y, x=x)).properties(width=width, height=max(50, 34 * len(names)))


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.4g}"
