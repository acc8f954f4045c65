"""The order in which signals are computed: each after those that it reads."""

import graphlib
from collections.abc import Iterable, Mapping, Sequence

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.signal import Part, Signal


def signals_among(columns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the signals that columns name, as `loss`, `score.loss` or `tags.loss`, without repetition."""
    known = set(names)
    bare = (column.removeprefix("score.").removeprefix("tags.").removeprefix("group.") for column in columns)
    return [name for name in dict.fromkeys(bare) if name in known]


def in_order(signals: Sequence[Signal]) -> list[Signal]:
    """Return signals so that each comes after those that it reads. Raises RecipeError where some read each other."""
    by_name = {signal.name: signal for signal in signals}
    reads = {signal.name: [*signals_among(signal.columns(), by_name)] for signal in signals}
    for signal in signals:
        if signal.makes_group and signal.name in reads[signal.name]:  # bins of a column may have its name
            reads[signal.name].remove(signal.name)
    try:
        return [by_name[name] for name in graphlib.TopologicalSorter(reads).static_order()]
    except graphlib.CycleError as error:
        raise RecipeError(
            "signals read each other in a circle",
            found=" reads ".join(reversed(error.args[1])),
            where="signals",
            remedy="let one of them read the source's columns",
        ) from error


def needed_parts(signals: Sequence[Signal]) -> dict[str, frozenset[Part]]:
    """Return for each signal what must be there first: what it reads, and what the signals that it reads do."""
    parts: dict[str, frozenset[Part]] = {}
    for signal in in_order(signals):
        below = (parts[name] for name in signals_among(signal.columns(), parts))
        parts[signal.name] = signal.needs().union(*below)
    return parts


def with_those_read(wanted: Iterable[str], signals: Sequence[Signal]) -> list[Signal]:
    """Return the signals of some names and all that these read, in order."""
    by_name: Mapping[str, Signal] = {signal.name: signal for signal in signals}
    left, found = list(wanted), set[str]()
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            left += signals_among(by_name[name].columns(), by_name)
    return [signal for signal in in_order(signals) if signal.name in found]
