"""A version in the terminal: the facts of the card as a compact table with bars."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evenkeel.expectations.concerns.accounting import DISPOSITIONS
from evenkeel.expectations.result import Result, Status, worst_first
from evenkeel.expectations.wording import percent, printable
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.report.facts import name_of
from evenkeel.tasks.report.held_out import with_held_out

NAME, BAR, EIGHTHS = 20, 24, " ▏▎▍▌▋▊▉█"
BEFORE, AFTER = "yellow", "cyan"
MOST_OFFENDERS, PAIR = 3, "before and after"
COLOURS: Mapping[Status, str] = {"failed": "red", "warned": "yellow"}


def render_terminal(
    profile: Profile,
    *,
    title: str = "",
    results: Sequence[Result] | None = None,
    held_out: Mapping[str, float] | None = None,
    shown: int = 8,
) -> RenderableType:
    """Return a version for a rich console: rows by disposition, evenness, cluster sizes and groups, before and after.

    title: dataset and version. results: of the version's checks; those that failed or warned are listed. held_out:
    evenness over stable partitions by stage, where it is known. shown: how many values of each group column, the
    largest first. Foreign text is printed as text: no markup, no escapes.
    """
    parts: list[RenderableType] = [Text(printable(title), style="bold")] if title else []
    clusters = profile.clusters
    leaves = clusters[clusters["level"] == 1]
    tables = [dispositions(profile.totals), evenness(with_held_out(profile.balance, held_out or {})), sizes(leaves)]
    tables += [groups(str(name), rows, shown) for name, rows in profile.groups.groupby("group", sort=True)]
    if results is not None:
        tables.append(gates(results))
    for table in tables:
        heading, table.title = table.title, None
        parts += [Text(), Text(str(heading), style="bold"), table]
    return Group(*parts)


def dispositions(totals: pd.DataFrame) -> Table:
    """Return rows by disposition with a bar of their share of the rows read."""
    row = totals.iloc[0]
    table = _table(f"{int(row['read']):,} rows read", "", "rows", "share")
    for name in DISPOSITIONS:
        share = int(row[name]) / max(int(row["read"]), 1)
        style = AFTER if name == "kept" else "dim"
        table.add_row(name.replace("_", " "), bar(share, style), f"{int(row[name]):,}", percent(share))
    return table


def evenness(balance: pd.DataFrame) -> Table:
    """Return normalised entropy by scope: the version beside the pool and a random draw, on a scale from 0 to 1."""
    table = _table("evenness (normalised entropy)", PAIR, "before", "random", "after")
    for scope, rows in balance.groupby("scope", sort=False):
        value = rows.set_index("stage")["entropy"]
        cells = [f"{value[stage]:.3f}" if stage in value.index else "" for stage in ("before", "random", "after")]
        name = printable(name_of(str(scope)))
        table.add_row(_text(name), pair(float(value["before"]), float(value["after"])), *cells)
    return table


def sizes(leaves: pd.DataFrame) -> Table:
    """Return the shares of the largest 1, 1 %, 10 % and 50 % of the clusters."""
    table = _table(f"share of the rows in the largest of {len(leaves):,} clusters", PAIR, "before", "after")
    before, after = (np.sort(leaves[name].to_numpy(np.float64))[::-1] for name in ("share_before", "share_after"))
    for name, count in (
        ("1 cluster", 1),
        ("1 %", len(before) // 100),
        ("10 %", len(before) // 10),
        ("50 %", len(before) // 2),
    ):
        if count:
            was, now = float(before[:count].sum()), float(after[:count].sum())
            table.add_row(name, pair(was, now), percent(was), percent(now))
    return table


def groups(name: str, rows: pd.DataFrame, shown: int) -> Table:
    """Return the largest values of a group column, before and after; bars are relative to the largest share."""
    kept, there = int((rows["after"] > 0).sum()), int((rows["before"] > 0).sum())
    table = _table(f"{printable(name)}: {kept:,} of {there:,} values in the version", PAIR, "before", "after")
    rows = rows.sort_values("before", ascending=False, kind="stable").head(shown)
    top = max(float(rows["share_before"].max()), float(rows["share_after"].max()), 1e-12)
    for value, before, after in zip(rows["value"], rows["share_before"], rows["share_after"], strict=True):
        was, now = float(before), float(after)
        table.add_row(_text(printable(str(value)) or "(empty)"), pair(was / top, now / top), percent(was), percent(now))
    return table


def gates(results: Sequence[Result]) -> Table:
    """Return the checks that failed or warned, or one line that says none did."""
    checked = [one for one in results if one.status != "skipped"]
    shown = [one for one in worst_first(checked) if one.status in COLOURS]
    table = _table(
        f"{len(checked):,} checks, {len(shown):,} failed or warned" if shown else f"all {len(checked):,} checks passed"
    )
    for one in shown:
        table.add_row(_text(f"{one.sign} {one.sentence}", COLOURS[one.status]))
        table.add_row(_text(f"  {one.reason}", "dim"))
        for item in one.offenders[:MOST_OFFENDERS]:
            table.add_row(_text(f"  · {item.name}: {item.why}", "dim"))
    return table


def bar(share: float, style: str, width: int = BAR) -> Text:
    """Return a bar of `share` in [0, 1] in eighths of a character."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return Text(("█" * full + EIGHTHS[rest].strip()).ljust(width), style=style)


def pair(before: float, after: float, width: int = BAR) -> Text:
    """Return two bars in one line: before in the upper half, after in the lower one."""
    was, now = (round(min(max(share, 0.0), 1.0) * width) for share in (before, after))
    line = Text("▀" * min(was, now), style=f"{BEFORE} on {AFTER}")
    line.append("▀" * (was - now), style=BEFORE)
    line.append("▄" * (now - was), style=AFTER)
    line.append(" " * (width - max(was, now)))
    return line


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold", min_width=NAME if columns else None, max_width=NAME if columns else None)
    for column in columns:
        if column == PAIR:
            table.add_column(Text.assemble(("▀ before", BEFORE), " ", ("▄ after", AFTER)), min_width=BAR, no_wrap=True)
        else:
            table.add_column(column, justify="right" if column else "left", min_width=8, no_wrap=True)
    table.show_header = any(columns)
    return table


def _text(words: str, style: str = "") -> Text:
    return Text(printable(words), style=style)
