"""What the card says of annotations: the columns that a trainer follows, and what was decided for each."""

from collections.abc import Mapping
from typing import NamedTuple

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.columns import written_columns

LONGEST = 600


class FollowedLine(NamedTuple):
    """One annotation. columns: each with its meaning. words: what was decided."""

    name: str
    columns: list[tuple[str, str]]
    words: str


def lines_of(annotations: Mapping[str, StepRef]) -> list[FollowedLine]:
    """Return one line for each finished annotation, in the order of the recipe."""
    return [
        FollowedLine(name, [(one.name, one.meaning) for one in written_columns(ref)], words_of(ref.facts))
        for name, ref in annotations.items()
    ]


def words_of(facts: Mapping[str, object]) -> str:
    """Return small facts as words: `rows: train 180, test 20`."""
    about = {name: value for name, value in facts.items() if name not in ("kind", "columns")}
    words = "; ".join(f"{name.replace('_', ' ')}: {_said(value)}" for name, value in about.items())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(_said(one) for one in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
