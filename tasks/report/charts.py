"""The card's pictures: Altair charts rendered to small SVGs that follow the page's light or dark colours.

Before and after always have the same two colours. They are written as the light theme's values, so that an SVG stands
alone; the page's stylesheet replaces them by its variables.
"""

import re
from typing import TypeAlias

import altair as alt
import numpy as np
import numpy.typing as npt
import pandas as pd

from evenkeel.tasks.report.facts import Distribution, name_of
from evenkeel.tasks.report.renderer import render_svg
from evenkeel.tasks.report.signals import SignalValues
from evenkeel.tasks.validate.examples import shorten

BEFORE, AFTER, INK, SOFT, LINE, PAPER = "#8f6d35", "#0b6e75", "#1d2126", "#667078", "#e2dfd9", "#fbfaf8"
FONT = "system-ui, sans-serif"
CURVE_POINTS = 120
MAP_WIDTH, MAP_HEIGHT, MAP_SPAN = 460, 400, (-0.06, 1.06)
DOT_AREAS = (2, 90_000)  # square pixels of a cluster with no rows, and with all
LETTER, LINE_HEIGHT = 7.2, 16.0  # pixels of a label
BASELINE_MARKS = {"random": "cross", "flat": "square", "top-down": "triangle-up", "previous": "diamond"}
Chart: TypeAlias = alt.Chart | alt.LayerChart
NUMBER = re.compile(r"-?\d+\.\d{3,}")
THEME = {
    "background": "transparent",
    "font": FONT,
    "aria": False,
    "padding": {"left": 2, "right": 14, "top": 6, "bottom": 2},
    "view": {"stroke": None, "continuousWidth": 300, "continuousHeight": 300},
    "axis": {
        "labelColor": SOFT,
        "titleColor": SOFT,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 12,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
        "titlePadding": 10,
    },
    "legend": {"labelColor": SOFT, "labelFontSize": 12, "symbolSize": 60},
}


def render(chart: Chart, label: str) -> str:
    """Return a chart as an SVG element that scales to its place and says `label` to screen readers."""
    specification = {**chart.to_dict(validate=False), "config": THEME}
    svg = render_svg(specification)
    svg = re.sub(r' width="([\d.]+)" height="[\d.]+"', r' style="max-width:\1px"', svg, count=1)
    svg = re.sub(r'<rect [^>]*fill="(?:white|transparent)"[^>]*/>', "", svg, count=1)
    svg = re.sub(r' (?:aria-[a-z]+|role|class|xmlns:xlink|version)="[^"]*"', "", svg)
    svg = NUMBER.sub(lambda number: f"{float(number.group()):.1f}", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{_attribute(label)}"', 1)


def map_panel(
    places: npt.NDArray[np.float32], shares: npt.NDArray[np.float64], colour: str, names: dict[int, str]
) -> Chart:
    """Return the map of clusters: one dot each at `places` (k, 2), its area the share of rows (k,) float64.

    names: words beside some dots, by cluster.
    """
    table = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "share": shares})
    table = table[table["share"] > 0].sort_values("share", ascending=False)
    axes = {
        "x": alt.X("x:Q", axis=None, scale=alt.Scale(domain=list(MAP_SPAN))),
        "y": alt.Y("y:Q", axis=None, scale=alt.Scale(domain=list(MAP_SPAN))),
    }
    area = alt.Size("share:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=list(DOT_AREAS), type="linear"))
    dots = (
        alt.Chart(table)
        .mark_circle(color=colour, opacity=0.55, stroke=PAPER, strokeWidth=0.5)
        .encode(**axes, size=area)
    )
    words = place_labels(places, shares, {c: shorten(word, 28) for c, word in names.items() if shares[c] > 0})
    layers = []
    for align in ("left", "right"):
        style = {"fontSize": 12, "fontWeight": 600, "align": align, "baseline": "middle"}
        mine = alt.Chart(words[words["align"] == align])
        halo = mine.mark_text(stroke=PAPER, strokeWidth=4, strokeJoin="round", opacity=0.85, **style)
        layers += [layer.encode(**axes, text="word:N") for layer in (halo, mine.mark_text(color=INK, **style))]
    return alt.layer(dots, *layers).properties(width=MAP_WIDTH, height=MAP_HEIGHT)


def place_labels(
    places: npt.NDArray[np.float32], shares: npt.NDArray[np.float64], names: dict[int, str]
) -> pd.DataFrame:
    """Return where words stand beside their dots: x, y (in the map's units), word, align.

    names: the word of a cluster by its place, the most important first. A word stands to the right of its dot, else to
    the left, and is left out where it would lie over another word or run off the map.
    """
    span = MAP_SPAN[1] - MAP_SPAN[0]
    across, down = MAP_WIDTH / span, MAP_HEIGHT / span  # pixels in a unit
    taken: list[tuple[float, float, float]] = []
    found = []
    for cluster, word in names.items():
        x, y = (places[cluster] - MAP_SPAN[0]) * (across, down)
        gap = float(np.sqrt((DOT_AREAS[0] + shares[cluster] * (DOT_AREAS[1] - DOT_AREAS[0])) / np.pi)) + 4
        width = LETTER * len(word)
        for align, low in (("left", x + gap), ("right", x - gap - width)):
            clear = all(
                low > end or low + width < start or abs(y - height) > LINE_HEIGHT for start, end, height in taken
            )
            if clear and low >= 0 and low + width <= MAP_WIDTH:
                taken.append((low, low + width, y))
                edge = low if align == "left" else low + width
                found.append((MAP_SPAN[0] + edge / across, float(places[cluster, 1]), word, align))
                break
    return pd.DataFrame(found, columns=["x", "y", "word", "align"])


def size_curve(leaves: Distribution, width: int) -> Chart:
    """Return rank against rows, both on logarithmic scales, before and after."""
    parts = []
    for stage, counts in (("before", leaves.before), ("after", leaves.after)):
        ordered = np.sort(counts[counts > 0])[::-1]
        ranks = np.unique(np.geomspace(1, max(len(ordered), 1), CURVE_POINTS).round().astype(int))[: len(ordered)]
        parts.append(pd.DataFrame({"rank": ranks, "rows": ordered[ranks - 1], "stage": stage}))
    table = pd.concat(parts)
    line = (
        alt.Chart(table)
        .mark_line(strokeWidth=2.5, interpolate="step-after")
        .encode(
            x=alt.X(
                "rank:Q",
                scale=alt.Scale(type="log"),
                title="cluster, from the largest to the smallest",
                axis=_log_axis(table["rank"]),
            ),
            y=alt.Y("rows:Q", scale=alt.Scale(type="log"), title="rows", axis=_log_axis(table["rows"])),
            color=_stages(),
        )
    )
    ends = table.groupby("stage", sort=False).first().reset_index()
    ends["label"] = [f"{stage}: largest {rows:,.0f}" for stage, rows in zip(ends["stage"], ends["rows"], strict=True)]
    names = (
        alt.Chart(ends)
        .mark_text(align="left", dx=6, dy=-9, fontWeight=600, fontSize=12)
        .encode(x="rank:Q", y="rows:Q", text="label:N", color=_stages())
    )
    return (line + names).properties(width=width, height=260)


def rank_frequency(by_rank: pd.DataFrame, cap: float | None, width: int) -> Chart:
    """Return rank against rows of tags, both on logarithmic scales, before and after; cap: a line at so many rows."""
    stages = [("before", "before"), ("after", "ranked_after")]
    parts = [
        pd.DataFrame({"rank": by_rank["rank"], "rows": by_rank[column], "stage": stage}) for stage, column in stages
    ]
    table = pd.concat(parts).query("rows > 0")
    axis = alt.Axis(format="~s", grid=True)
    x = alt.X(
        "rank:Q",
        scale=alt.Scale(type="log"),
        title="tag, from the most to the least frequent",
        axis=_log_axis(table["rank"]),
    )
    y = alt.Y(
        "rows:Q", scale=alt.Scale(type="log"), title="rows", axis=_log_axis(table["rows"]) if len(table) else axis
    )
    line = alt.Chart(table).mark_line(strokeWidth=2.5).encode(x=x, y=y, color=_stages())
    ends = table.groupby("stage", sort=False).first().reset_index()
    ends["label"] = [f"{stage}: most {rows:,.0f}" for stage, rows in zip(ends["stage"], ends["rows"], strict=True)]
    style = {"align": "left", "dx": 6, "dy": -9, "fontWeight": 600, "fontSize": 12}
    layers = [line, alt.Chart(ends).mark_text(**style).encode(x="rank:Q", y="rows:Q", text="label:N", color=_stages())]
    if cap is not None and cap >= 1:
        last = float(table["rank"].max())
        rule = pd.DataFrame({"rank": [1.0, last], "rows": [cap, cap], "label": [f"cap t = {cap:,.0f}", ""]})
        base = alt.Chart(rule).encode(x="rank:Q", y="rows:Q")
        layers.append(base.mark_line(color=SOFT, strokeWidth=1.5, strokeDash=[4, 4]))
        layers.append(base.mark_text(align="left", dx=6, dy=11, fontSize=12, color=SOFT).encode(text="label:N"))
    return alt.layer(*layers).properties(width=width, height=260)


def signal_bars(one: SignalValues, width: int) -> Chart:
    """Return the histogram of a signal: the pool filled, the version as an outline."""
    top = max(1e-12, float(one.share_before.max()), float(one.share_after.max()))
    x = alt.X("low:Q", axis=None, scale=alt.Scale(domain=[one.edges[0], one.edges[-1]], nice=False, zero=False))
    y = alt.Y("share:Q", axis=None, scale=alt.Scale(domain=[0, top]))
    bars = pd.DataFrame({"low": one.edges[:-1], "high": one.edges[1:], "share": one.share_before, "ground": 0.0})
    steps = np.concatenate([[0.0], np.repeat(one.share_after, 2), [0.0]])
    outline = pd.DataFrame({"low": np.repeat(one.edges, 2), "share": steps, "place": np.arange(len(steps))})
    filled = alt.Chart(bars).mark_rect(color=BEFORE, opacity=0.45).encode(x=x, x2="high:Q", y=y, y2="ground:Q")
    line = alt.Chart(outline).mark_line(color=AFTER, strokeWidth=2).encode(x=x, y=y, order="place:Q")
    return (filled + line).properties(width=width, height=54)


def group_shares(groups: Distribution, width: int, shown: int = 14) -> Chart:
    """Return the share of each of the largest values of a group column, before and after, joined by a line."""
    order = np.argsort(-np.maximum(groups.share_before, groups.share_after), kind="stable")[:shown]
    names = [shorten(groups.names[i], 22 if width > 400 else 14) or "(empty)" for i in order]
    names = _distinct(names)
    long = pd.DataFrame(
        {
            "value": names * 2,
            "share": np.concatenate([groups.share_before[order], groups.share_after[order]]),
            "stage": ["before"] * len(order) + ["after"] * len(order),
        }
    )
    wide = pd.DataFrame({"value": names, "low": groups.share_before[order], "high": groups.share_after[order]})
    y = alt.Y(
        "value:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=170, labelPadding=8)
    )
    rule = alt.Chart(wide).mark_rule(color=LINE, strokeWidth=3).encode(y=y, x="low:Q", x2="high:Q")
    dots = (
        alt.Chart(long)
        .mark_circle(size=90, opacity=1)
        .encode(
            y=y,
            x=alt.X("share:Q", title="share of rows", axis=alt.Axis(format=".1~%", tickCount=5)),
            color=_stages(),
        )
    )
    return (rule + dots).properties(width=width, height=max(60, 22 * len(order)))


def baseline_strip(balance: pd.DataFrame, classes: dict[str, int], width: int) -> Chart:
    """Return the evenness (normalised entropy) of every scope at every stage: the version beside the baselines.

    classes: how many clusters or values each scope has.
    """
    table = balance[["scope", "stage", "entropy"]].dropna().copy()
    names = {
        scope: shorten(name_of(scope), 18) + (f" · {classes[scope]:,}" if scope in classes else "")
        for scope in dict.fromkeys(map(str, table["scope"]))
    }
    table["scope"] = [names[str(scope)] for scope in table["scope"]]
    scopes = list(names.values())
    main = table[table["stage"].isin(["before", "after"])]
    other = table[~table["stage"].isin(["before", "after"])]
    y = alt.Y("scope:N", sort=scopes, title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=8))
    low = float(table["entropy"].min(skipna=True))
    x = alt.X(
        "entropy:Q",
        title="evenness (normalised entropy)",
        scale=alt.Scale(domain=[max(0.0, np.floor(low * 20) / 20 - 0.02), 1.0]),
        axis=alt.Axis(tickCount=5),
    )
    known = {name: mark for name, mark in BASELINE_MARKS.items() if (other["stage"] == name).any()}
    shape = alt.Shape(
        "stage:N",
        scale=alt.Scale(domain=list(known), range=list(known.values())),
        legend=alt.Legend(title=None, orient="top", symbolFillColor=SOFT, symbolStrokeColor=SOFT),
    )
    outlined = {"filled": True, "size": 60, "color": SOFT, "opacity": 1, "stroke": PAPER, "strokeWidth": 1}
    marks = alt.Chart(other).mark_point(**outlined).encode(y=y, x=x, shape=shape)
    dots = alt.Chart(main).mark_circle(size=150, opacity=1).encode(y=y, x=x, color=_stages())
    return (dots + marks).properties(width=width, height=max(50, 34 * len(scopes)))


def history_line(versions: pd.DataFrame, width: int) -> Chart:
    """Return evenness by version: version, before, after."""
    table = versions.melt("version", ["before", "after"], "stage", "entropy")
    base = alt.Chart(table).encode(
        x=alt.X("version:O", sort=None, title="version", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("entropy:Q", title="evenness", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=4)),
        color=_stages(),
    )
    return (base.mark_line(strokeWidth=2) + base.mark_circle(size=60, opacity=1)).properties(width=width, height=180)


def change_bars(groups: Distribution, width: int, shown: int = 12) -> Chart:
    """Return the values of a group column whose share changed most since the last version, in percentage points."""
    assert groups.previous is not None
    now, last = groups.share_after, groups.previous / max(groups.previous.sum(), 1.0)
    order = np.argsort(-np.abs(now - last), kind="stable")[:shown]
    names = _distinct([shorten(groups.names[i], 22 if width > 400 else 14) or "(empty)" for i in order])
    table = pd.DataFrame({"value": names, "change": 100 * (now - last)[order]})
    return (
        alt.Chart(table)
        .mark_bar(color=SOFT, height=12)
        .encode(
            y=alt.Y("value:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=8)),
            x=alt.X(
                "change:Q", title="percentage points since the last version", axis=alt.Axis(format="+.2~f", tickCount=5)
            ),
        )
        .properties(width=width, height=max(50, 22 * len(names)))
    )


def _stages() -> alt.Color:
    return alt.Color("stage:N", scale=alt.Scale(domain=["before", "after"], range=[BEFORE, AFTER]), legend=None)


def _log_axis(values: "pd.Series[float]") -> alt.Axis:
    top = float(values.max())
    ticks = [10.0**power for power in range(int(np.ceil(np.log10(max(top, 1)))) + 1)]
    return alt.Axis(values=ticks, format="~s", grid=True)


def _distinct(names: list[str]) -> list[str]:
    """Return names made different by a zero-width mark where shortening made them equal."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name + "\u200b" * (seen[name] - 1))
    return found


def _attribute(words: str) -> str:
    return words.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
