"""The pictures of `evenkeel sweep`: an SVG in the card's design, which follows the reader's light or dark setting."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import altair as alt
import numpy as np

from evenkeel.tasks.distance.tradeoff import OWN, PullRow
from evenkeel.tasks.report.charts import AFTER, BASELINE_MARKS, INK, LINE, PAPER, SOFT, Chart, render
from evenkeel.tasks.sample.sweep import SweepRow

CHOSEN = "this recipe"
MARKS = {CHOSEN: "circle", **{name: BASELINE_MARKS[name] for name in ("random", "flat", "top-down")}}
DARK = {INK: "#e9e7e3", SOFT: "#a0a8ae", LINE: "#2d3338", AFTER: "#58c3c0", PAPER: "#131618"}
PANELS: Sequence[tuple[Literal["imbalance", "coverage"], str]] = (
    ("imbalance", "imbalance over stable partitions"),
    ("coverage", "share of clusters covered"),
)


def draw_sweep(found: Sequence[SweepRow], path: Path) -> None:
    """Draw imbalance and coverage against the number of rows, one line per rule, as an SVG."""
    sizes = sorted({row["rows"] for row in found})
    panels = [_panel(found, field, title, sizes) for field, title in PANELS]
    say = f"Imbalance and coverage of {CHOSEN} and of simpler rules at {len(sizes)} sizes"
    write_picture(alt.hconcat(*panels, spacing=40), say, path)


def draw_pulls(found: Sequence[PullRow], path: Path) -> None:
    """Draw evenness against nearness to the target as an SVG, a point for each share of the pull."""
    points = [
        {
            "toward": f"{row['toward']:g}" + (f" ({OWN})" if row["own"] else ""),
            "order": row["toward"],
            "own": row["own"],
            "distance": row["distance"],
            "entropy": row["entropy"],
        }
        for row in found
        if np.isfinite(row["distance"])
    ]
    base = alt.Chart(alt.Data(values=points), width=460, height=280).encode(
        x=alt.X(
            "distance:Q",
            title="transport to the target, as a share of a random draw's",
            scale=alt.Scale(zero=False, nice=False, padding=30),
        ),
        y=alt.Y("entropy:Q", title="evenness of leaves", scale=alt.Scale(zero=False, nice=False, padding=20)),
    )
    line = base.mark_line(color=SOFT).encode(order="order:Q")
    dots = base.mark_circle(size=90, opacity=1).encode(
        color=alt.Color("own:N", scale=alt.Scale(domain=[True, False], range=[AFTER, SOFT]), legend=None)
    )
    names = base.mark_text(align="left", dx=9, dy=9, color=INK, fontSize=12).encode(text="toward:N")
    write_picture(line + dots + names, f"Evenness against nearness to the target at {len(points)} pulls", path)


def write_picture(chart: Chart | alt.HConcatChart, say: str, path: Path) -> None:
    """Write a chart as an SVG that stands alone, on paper of its own; `say` is read to those who do not see it."""
    rules = "".join(
        f'[fill="{light}"]{{fill:{dark}}}[stroke="{light}"]{{stroke:{dark}}}' for light, dark in DARK.items()
    )
    dark = f"@media(prefers-color-scheme:dark){{svg{{background:{DARK[PAPER]}}}{rules}}}"
    style = f"<style>svg{{background:{PAPER}}}{dark}</style>"
    head, mark, rest = render(chart, say).partition(">")
    path.write_text(f"{head}{mark}{style}{rest}", encoding="utf-8")


def _panel(
    found: Sequence[SweepRow], field: Literal["imbalance", "coverage"], title: str, sizes: Sequence[int]
) -> alt.LayerChart:
    lines = [
        {"rows": row["rows"], "rule": CHOSEN if row["rule"] == "chosen" else row["rule"], field: row[field]}
        for row in found
        if np.isfinite(row[field])
    ]
    names = list(MARKS)
    base = alt.Chart(alt.Data(values=lines), width=340, height=240).encode(
        x=alt.X(
            "rows:Q",
            scale=alt.Scale(type="log", nice=False, padding=14),
            axis=alt.Axis(values=list(sizes), labelOverlap=True, format=",d"),
            title="rows kept",
        ),
        y=alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format=".0~%" if field == "coverage" else "~g", tickCount=5)),
        color=alt.Color("rule:N", scale=alt.Scale(domain=names, range=[AFTER, SOFT, SOFT, SOFT]), title=None),
        shape=alt.Shape("rule:N", scale=alt.Scale(domain=names, range=list(MARKS.values())), title=None),
    )
    outlined = {"filled": True, "size": 70, "opacity": 1, "stroke": PAPER, "strokeWidth": 1}
    return base.mark_line(strokeWidth=2) + base.mark_point(**outlined)
