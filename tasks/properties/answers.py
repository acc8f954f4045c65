"""What the scan of a stated property finds: fixed in size, whatever the number of rows."""

from typing import NamedTuple

MOST_EXAMPLES = 20


class Counterexample(NamedTuple):
    """A row, a group or a cell that breaks a property.

    scope: what it is, `row` or the columns of its group. name: which, "" for a row, which is known by its id. row: its
    row id, or one of a row in it; None where it has none. rank: those of the least rank are named.
    """

    scope: str
    name: str
    why: str
    row: int | None
    rank: float


class Answer(NamedTuple):
    """How many rows, groups or cells were checked and how many of them break the property, and the first of those."""

    checked: int
    broken: int
    examples: tuple[Counterexample, ...] = ()

    def add(self, other: "Answer") -> "Answer":
        """Return what both together found."""
        return Answer(self.checked + other.checked, self.broken + other.broken, first(self.examples + other.examples))


def first(examples: tuple[Counterexample, ...]) -> tuple[Counterexample, ...]:
    """Return the counterexamples of the least rank, then of the least row id, in order, at most 20."""
    return tuple(sorted(examples, key=lambda one: (one.rank, one.row or 0, one.name))[:MOST_EXAMPLES])
