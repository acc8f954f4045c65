"""The figures of the card: each has a title, a wide and a narrow drawing, and its numbers as a table."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from evenkeel.expectations import measures
from evenkeel.expectations.wording import percent, percents
from evenkeel.tasks.report import charts, findings
from evenkeel.tasks.report import signals as of_signals
from evenkeel.tasks.report.cluster_map import ClusterMap
from evenkeel.tasks.report.facts import CardFacts, Distribution, TagFrequencies, evenness

WIDE, NARROW, SMALL = 680, 250, 250


@dataclass(frozen=True)
class Figure:
    """One picture. svgs: (css class, SVG); table: header and rows of the same numbers."""

    title: str
    note: str
    svgs: list[tuple[str, str]]
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class SignalFigure:
    """The small histogram of a signal. ends: the numbers at its two ends; words: what it says."""

    name: str
    svg: str
    ends: list[str]
    words: str


@dataclass(frozen=True)
class SignalFigures:
    """The histograms of the first signals, and the numbers of all of them as a table."""

    title: str
    note: str
    shown: list[SignalFigure]
    header: list[str]
    rows: list[list[str]]


def cluster_map(facts: CardFacts, clusters: ClusterMap) -> Figure:
    """Return the map of clusters, before and after side by side."""
    panels = []
    for stage, colour, shares in (
        ("before", charts.BEFORE, clusters.share_before),
        ("after", charts.AFTER, clusters.share_after),
    ):
        label = (
            f"Map of {len(shares):,} clusters {stage} balancing; the largest dot is {percent(shares.max())} of the rows"
        )
        panel = charts.map_panel(clusters.places, shares, colour, clusters.labels)
        panels.append((stage, charts.render(panel, label)))
    note = (
        f"Each dot is one of {len(clusters.places):,} clusters{clusters.partial} (level {clusters.level}); dots close "
        "together have similar content; the area is the share of the rows. Both maps are drawn to the same scale."
    )
    order = np.argsort(-clusters.share_before, kind="stable")[:10]
    rows = [[clusters.name(i), *percents(clusters.share_before[i], clusters.share_after[i])] for i in order]
    return Figure(findings.of_map(facts), note, panels, ["Cluster", "Before", "After"], rows)


def sizes(facts: CardFacts) -> Figure:
    """Return the curve of cluster sizes."""
    leaves = facts.leaves
    ranks = sorted(
        {rank for rank in (1, 10, 100, 1000, 10_000, 100_000) if rank <= len(leaves.before)} | {len(leaves.before)}
    )
    before, after = np.sort(leaves.before)[::-1], np.sort(leaves.after)[::-1]
    rows = [[f"{rank:,}", f"{before[rank - 1]:,.0f}", f"{after[rank - 1]:,.0f}"] for rank in ranks]
    label = f"Rows per cluster by rank: the largest has {before[0]:,.0f} before and {after[0]:,.0f} after"
    return Figure(
        findings.of_sizes(facts),
        "Clusters in order of size, both scales logarithmic. A flat line is a balanced version.",
        _both(lambda width: charts.size_curve(leaves, width), label),
        ["Rank", "Rows before", "Rows after"],
        rows,
    )


def groups(facts: CardFacts) -> list[tuple[Distribution, Figure]]:
    """Return one picture per group column."""
    return [(counts, _group(counts, facts.name)) for counts in facts.groups if len(counts.names)]


def _group(counts: Distribution, what: str) -> Figure:
    order = np.argsort(-counts.before, kind="stable")
    rows = [
        [
            counts.names[i],
            f"{counts.before[i]:,.0f}",
            f"{100 * counts.share_before[i]:.2f}\u00a0%",
            f"{counts.after[i]:,.0f}",
            f"{100 * counts.share_after[i]:.2f}\u00a0%",
        ]
        for i in order[:100]
    ]
    more = "" if len(order) <= 14 else f" The 14 largest of {len(order):,} values."
    return Figure(
        findings.of_group(counts, what),
        f"Share of the rows by {counts.title}; the clustering did not use this column.{more}",
        _both(
            lambda width: charts.group_shares(counts, width),
            f"Share of rows by {counts.title}, before and after",
        ),
        [counts.title, "Rows before", "Share", "Rows after", "Share"],
        rows,
    )


def tags(facts: CardFacts) -> list[Figure]:
    """Return one picture for each signal that is tags: its frequencies by rank, before and after."""
    return [_tags(one) for one in facts.tags if one.tags]


def _tags(one: TagFrequencies) -> Figure:
    first = one.by_rank.head(30)
    rows = [[f"{line.rank:,}", str(line.tag), f"{line.before:,}", f"{line.after:,}"] for line in first.itertuples()]
    title = findings.of_tags(one)
    note = f"Tags in order of their rows, both scales logarithmic; a row may have several. {findings.of_tail(one)}"
    drawings = _both(lambda width: charts.rank_frequency(one.by_rank, one.cap, width), f"Rows of {one.name} by rank")
    return Figure(title, note, drawings, ["Rank", one.name, "Rows before", "Rows after"], rows)


def signals(facts: CardFacts) -> SignalFigures | None:
    """Return small histograms of the signals and scores, before and after; None where there are none."""
    if not facts.signals:
        return None
    more = len(facts.signals) - of_signals.SHOWN
    note = (
        "The numbers of the signals and scores, of the pool (filled) and of the version (line). The first and the last "
        "bar hold what lies beyond."
    ) + (f" {more:,} more are in the table." if more > 0 else "")
    shown = [
        SignalFigure(
            one.name,
            charts.render(charts.signal_bars(one, SMALL), f"Histogram of {one.name}, before and after"),
            of_signals.numbers(*(float(end) for end in one.edges[[0, -1]])),
            of_signals.summary(one),
        )
        if one.share_before.size
        else SignalFigure(one.name, "", [], "no row has a value")
        for one in facts.signals[: of_signals.SHOWN]
    ]
    rows = of_signals.rows_of(facts.signals)
    return SignalFigures(of_signals.moved_most(facts.signals), note, shown, of_signals.HEADER, rows)


def baselines(facts: CardFacts) -> Figure:
    """Return evenness of the version beside the baselines."""
    table = evenness(facts.balance)
    rows = [
        [str(name), *(f"{value:.3f}" if value == value else "–" for value in line)] for name, line in table.iterrows()
    ]
    classes = {one.scope: int((one.before > 0).sum()) for one in facts.distributions}
    held = (
        "Held out: over stable partitions of the space, which the clusters had no part in. " if facts.held_out else ""
    )
    note = (
        f"{held}Every level of clusters and every group column with its number of classes, beside what simpler rules "
        f"would have given. {findings.of_oversized(facts)}"
    )
    return Figure(
        findings.of_balance(facts),
        note,
        _both(
            lambda width: charts.baseline_strip(facts.balance, classes, width),
            "Evenness of the version and of the baselines",
        ),
        ["", *map(str, table.columns)],
        rows,
    )


def history(facts: CardFacts) -> Figure | None:
    """Return evenness over the last ten versions and this one, or None where there is no earlier version."""
    lines = [
        {
            "version": f"v{past.version}",
            "before": past.metrics.get("entropy_before"),
            "after": past.metrics.get("entropy_after"),
            "rows": past.rows,
        }
        for past in facts.config.history[-10:]
    ]
    if not lines:
        return None
    past, number = facts.config.history[-1].version, facts.config.version
    name = "draft" if facts.blocked else f"v{number or past + 1}"
    now = facts.totals
    lines.append(
        {"version": name, "before": now.get("entropy_before"), "after": now.get("entropy_after"), "rows": now["kept"]}
    )
    table = pd.DataFrame(lines).dropna(subset=["before", "after"])
    if len(table) < 2:
        return None
    first, last = table.iloc[0], table.iloc[-1]
    title = f"Evenness {_moved(float(first['after']), float(last['after']))} since {first['version']}"
    rows = [
        [str(line.version), f"{line.rows:,.0f}", f"{line.before:.3f}", f"{line.after:.3f}"]
        for line in table.itertuples()
    ]
    return Figure(
        title,
        "Normalised entropy over the clusters, of the pool and of the version.",
        _both(lambda width: charts.history_line(table, width), title),
        ["Version", "Rows", "Before", "After"],
        rows,
    )


def drift(facts: CardFacts) -> list[Figure]:
    """Return what changed by group column since the last version."""
    return [
        _change(counts, counts.previous)
        for counts in facts.groups
        if counts.previous is not None and counts.previous.sum() and counts.after.sum()
    ]


def _change(counts: Distribution, previous: measures.Counts) -> Figure:
    last = previous / previous.sum()
    order = np.argsort(-np.abs(counts.share_after - last), kind="stable")[:20]
    rows = [[counts.names[i], *percents(last[i], counts.share_after[i])] for i in order]
    moved = measures.moved(counts.after, previous)
    title = f"{percent(moved)} of the rows changed {counts.title} since the last version"
    return Figure(
        title,
        "The values whose share changed most.",
        _both(lambda width: charts.change_bars(counts, width), title),
        [counts.title, "Last version", "This version"],
        rows,
    )


def _both(draw: Callable[[int], charts.Chart], label: str) -> list[tuple[str, str]]:
    return [("wide", charts.render(draw(WIDE), label)), ("narrow", charts.render(draw(NARROW), label))]


def _moved(first: float, last: float) -> str:
    if f"{first:.2f}" == f"{last:.2f}":
        return f"has held at {last:.2f}"
    return f"{'rose' if last > first else 'fell'} from {first:.2f} to {last:.2f}"
