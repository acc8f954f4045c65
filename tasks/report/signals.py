"""The signals of the card: for each a small histogram, before and after, and the numbers that say it in words."""

from dataclasses import dataclass

import numpy as np

from evenkeel.expectations.measures import Counts
from evenkeel.expectations.wording import percent
from evenkeel.tasks.measure.profile import Profile

SHOWN = 24
NUMBERS = ("least", "median", "mean", "greatest")
HEADER = ["signal", *NUMBERS, "without a value"]
ARROW = "\u00a0→ "


@dataclass(frozen=True)
class Values:
    """The numbers of a signal at one stage. missing: rows of `rows` without a value."""

    rows: int
    missing: int
    least: float
    median: float
    mean: float
    greatest: float


@dataclass(frozen=True)
class SignalValues:
    """A signal or score in the pool and in the version. edges: (bins + 1,); shares: (bins,) of the rows in each."""

    name: str
    before: Values
    after: Values
    edges: Counts
    share_before: Counts
    share_after: Counts


def signal_values(profile: Profile) -> list[SignalValues]:
    """Return what the profile says of every signal and score, in its order; none of a profile that says nothing."""
    table, bins, found = profile.signals, profile.signal_bins, []
    for name, lines in table.groupby("signal", sort=False) if len(table) else ():
        stages = {
            str(line["stage"]): Values(int(line["rows"]), int(line["missing"]), *(float(line[one]) for one in NUMBERS))
            for line in lines.to_dict("records")
        }
        mine = bins[bins["signal"] == name]
        edges = np.append(mine["low"].to_numpy(np.float64), mine["high"].to_numpy(np.float64)[-1:])
        shares = [mine[stage].to_numpy(np.float64) for stage in ("before", "after")]
        found.append(SignalValues(str(name), stages["before"], stages["after"], edges, *shares))
    return found


def rows_of(signals: list[SignalValues]) -> list[list[str]]:
    """Return one row of words for each signal, below HEADER: what it is before → after."""
    return [
        [
            one.name,
            *(_both(*numbers(getattr(one.before, name), getattr(one.after, name))) for name in NUMBERS),
            _both(_without(one.before), _without(one.after)),
        ]
        for one in signals
    ]


def summary(one: SignalValues) -> str:
    """Return the median of a signal, and how many rows have no value, in words."""
    words = f"median {_both(*numbers(one.before.median, one.after.median))}"
    if not one.before.missing and not one.after.missing:
        return words
    return f"{words}; without a value {_both(_without(one.before), _without(one.after))}"


def moved_most(signals: list[SignalValues]) -> str:
    """Return how the median of the signal changed that sampling changed most, measured by its own histogram."""
    known = [one for one in signals if one.before.rows > one.before.missing and one.after.rows > one.after.missing]
    if not known:
        return "No row of the version has a value of a signal"
    one = max(known, key=lambda two: float(np.abs(two.share_after - two.share_before).sum()))
    was, now = numbers(one.before.median, one.after.median)
    if was == now:
        return f"{one.name}: the median stayed at {was}"
    return f"{one.name}: the median {'rose' if one.after.median > one.before.median else 'fell'} from {was} to {now}"


def numbers(*values: float) -> list[str]:
    """Return numbers that are read beside one another: four digits, large ones whole; – for none."""
    return [_number(value) for value in values]


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    words = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return words.replace("-", "−") if value < 0 else words


def _without(stage: Values) -> str:
    return "none" if not stage.missing else f"{stage.missing:,} ({percent(stage.missing / max(stage.rows, 1))})"


def _both(was: str, now: str) -> str:
    return was if was == now else f"{was}{ARROW}{now}"
