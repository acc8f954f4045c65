"""The step that makes sure, before clustering, that no row left for sampling is without a score that it needs.

It runs only where that is not known already: for scores of the source, and for signals with rows without a value.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepFolder, StepRef
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.inputs import Inputs, Signals
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

EXAMPLES = 3


class ScoresNeeded(BaseModel):
    """The names of scores and signals of which no row may be without a value."""

    model_config = ConfigDict(extra="forbid")

    names: list[str]


@dataclass(frozen=True)
class ScoredInputs(Inputs):
    """The pool, what has left it, and the signals among the scores."""

    ingest: StepRef
    dedup: Dropped
    signals: Signals = field(default_factory=dict)


class Missing(NamedTuple):
    """Rows that are left, how many of them have no value, and the ids of some of these."""

    rows: int
    missing: int
    examples: tuple[str, ...]

    def add(self, other: "Missing") -> "Missing":
        """Return the rows of both."""
        examples = (*self.examples, *other.examples)[:EXAMPLES]
        return Missing(self.rows + other.rows, self.missing + other.missing, examples)


def require_scores(config: ScoresNeeded, inputs: ScoredInputs, out: StepFolder, run: Run) -> Outcome:
    """Raise RecipeError where a row that is left for sampling has no value of a score, naming some."""
    pool, left = Pool.open(inputs.ingest, run.scratch, inputs.signals), Duplicates.open(inputs.dedup)
    rows = 0
    for name in config.names:
        look = partial(_look, pool, left, name)
        found = run.compute.reduce(look, Missing.add, [block.name for block in pool.blocks], work=pool.rows * 24)
        if found is not None and found.missing:
            raise RecipeError(
                f"sampling reads {name!r}, which {found.missing:,} of {found.rows:,} rows have no finite value of",
                expected="a number for every row that filters and deduplication leave",
                found=f"none for {', '.join(map(repr, found.examples))}"
                + (", ..." if found.missing > EXAMPLES else ""),
                where=f"signals, {name}" if name in inputs.signals else f"source.scores, {name}",
                remedy=f'leave those rows out by a filter, drop: "{name} is null", or give them a value by a signal, '
                f"of: coalesce({name}, 0)",
            )
        rows = 0 if found is None else found.rows
    return Outcome({"rows": rows})


def _look(pool: Pool, left: Duplicates, name: str, block: str) -> Missing:
    table = pool.table(block, ["row_id", "id", f"score.{name}"])
    kept = left.kept(table["row_id"].to_numpy())
    wrong = np.flatnonzero(kept & ~np.isfinite(table[f"score.{name}"].to_numpy().astype(np.float64)))
    return Missing(int(kept.sum()), len(wrong), tuple(table["id"].take(wrong[:EXAMPLES]).to_pylist()))


def cost(config: ScoresNeeded, work: Workload) -> float:
    """Return the CPU-seconds of looking at the scores of a pool."""
    return 0.01 + 5e-8 * work.rows * len(config.names)


SCORED = Step("scored", 1, require_scores, cost=cost)
