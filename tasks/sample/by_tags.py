"""The rule of the strategies that balance by tags: a cap on every tag, solved from the target."""

from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.expectations.goals import Goal
from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.tables import read_batches, read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.draw_plan import DrawPlan, one_cell_plan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import Strategy
from evenkeel.tasks.sample.tags.cap import Cap, TagChances, cap_of_tail, expected_rows, solve_cap
from evenkeel.tasks.sample.tags.config import TagCountsConfig

SHOWN = 50


class ByTags(Strategy):
    """Rows are kept by how rare their tags are: a tag with n rows passes each with chance min(1, t / n)."""

    obeys: ClassVar[frozenset[str]] = frozenset()
    goal: ClassVar[Goal] = "weights"

    cap: Literal["auto"] | Annotated[float, Field(gt=0)] = Field(
        "auto", description="Largest t, the rows that a tag is expected to pass; auto = what the target needs."
    )
    tail_share: float | None = Field(
        None, gt=0, lt=1, description="Another bound on t: tags with up to t rows make up this share of all matches."
    )

    def perspectives(self) -> list[str]:
        """Return the signals whose tags pass rows."""
        raise NotImplementedError

    def reads(self) -> tuple[str, ...]:
        """Return the tags."""
        return tuple(f"tags.{name}" for name in self.perspectives())

    def tag_counts(self) -> TagCountsConfig:
        """Return which tags are counted for the rule."""
        return TagCountsConfig(over=self.perspectives())

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return one cell with the chances of rows under the cap. Raises RecipeError where no row has a tag."""
        counted = problem.tag_counts
        assert counted is not None
        over = self.perspectives()
        matched = counted.counts["rows"]
        if not matched:
            raise RecipeError(
                f"no row has any of the tags of {', '.join(over)}",
                where="sampling.strategy",
                remedy="check what the entries are matched with, and how they are written",
            )
        uris = {name: storage.join(counted.uri, f"{name}.parquet") for name in over}
        counts = {name: read_table(uri, ["count"])["count"].to_numpy() for name, uri in uris.items()}
        found = self._cap(problem, uris, counts, matched)
        chances = TagChances(uris, found.cap)
        facts = {
            "cap": found.cap,
            "matched": matched,
            "expected": round(found.expected, 3),
            "tags": {name: _summary(counted, name, uri, counts[name], found.cap) for name, uri in uris.items()},
        }
        rows = min(matched, max(1, round(found.expected))) if found.expected < problem.target - 1 else matched
        return one_cell_plan(problem, rows, chances, chances.columns, facts=facts)

    def _cap(self, problem: SamplingProblem, uris: dict[str, str], counts: dict[str, Int64Array], matched: int) -> Cap:
        """Return the cap of the target, or the smaller bound that the recipe sets."""

        def expected(caps: Float64Array) -> Float64Array:
            sums = problem.compute.reduce(
                partial(expected_rows, rows=problem.rows, chances=TagChances(uris, 0.0), caps=caps),
                np.add,
                problem.rows.blocks,
                work=problem.rows.pool.rows * 200,
            )
            return np.zeros(len(caps)) if sums is None else sums

        largest = max(int(part.max(initial=0)) for part in counts.values())
        found = solve_cap(expected, float(problem.target), largest, matched)
        bounds = [] if self.cap == "auto" else [float(self.cap)]
        if self.tail_share is not None:
            bounds.append(cap_of_tail(np.concatenate(list(counts.values())), self.tail_share))
        if not bounds or min(bounds) >= found.cap:
            return found
        return Cap(min(bounds), float(expected(np.array([min(bounds)]))[0]))


def _summary(counted: StepRef, name: str, uri: str, counts: Int64Array, cap: float) -> dict[str, object]:
    """Return how many tags a signal has, how many of them are under the cap, and the most frequent."""
    tail = counts[counts <= cap]
    first = next(read_batches(uri, SHOWN), None)
    return {
        **counted.facts["signals"][name],
        "under_cap": len(tail),
        "tail_share": round(float(tail.sum() / max(1, counts.sum())), 6),
        "most": {} if first is None else dict(zip(first["tag"].to_pylist(), first["count"].to_pylist(), strict=True)),
    }
