"""Balance by metadata: rows whose text contains rare concepts get a larger weight.

Source: MetaCLIP (arXiv 2309.16671). Concepts are found as substrings (Aho-Corasick). A concept with `count` matches has
probability min(1, t / count), a row 1 - prod(1 - probability) over its concepts, and 0 without any. The cap t is set so
that a wanted share of all matches is in the tail, the concepts below the cap.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from evenkeel.expectations.goals import Goal
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.draw_plan import DrawPlan, one_cell_plan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import Strategy

if TYPE_CHECKING:
    from ahocorasick import Automaton


@lru_cache(maxsize=2)
def automaton(concepts: tuple[str, ...]) -> "Automaton":
    """Return the Aho-Corasick automaton of some concepts (lower case)."""
    import ahocorasick

    found = ahocorasick.Automaton()
    for number, concept in enumerate(concepts):
        found.add_word(concept.lower(), number)
    found.make_automaton()
    return found


def matches(rows: CandidateRows, block: str, row_ids: NDArray[np.uint64], concepts: tuple[str, ...]) -> list[list[int]]:
    """Return the concepts in the text of each of some rows of a block, once each."""
    pool_ids = rows.pool.table(block, ["row_id"])["row_id"].to_numpy()
    texts = rows.pool.text(block).take(pa.array(np.searchsorted(pool_ids, row_ids)))
    finder = automaton(concepts)
    return [sorted({number for _, number in finder.iter(text.lower())}) for text in texts.to_pylist()]


def cap_for(counts: NDArray[np.int64], tail_share: float) -> int:
    """Return the smallest t for which concepts with a count below t make up `tail_share` of all matches."""
    ordered = np.sort(counts[counts > 0])
    if not len(ordered):
        return 1
    place = int(np.searchsorted(np.cumsum(ordered) / ordered.sum(), tail_share))
    return int(ordered[min(place, len(ordered) - 1)])


@dataclass(frozen=True)
class ConceptWeights:
    """The weight of a row: 1 - prod(1 - probability) over the concepts in its text."""

    rows: CandidateRows
    concepts: tuple[str, ...]
    probabilities: NDArray[np.float64]

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return the weights of the rows of a block, (n,) float64."""
        found = matches(self.rows, block, table["row_id"].to_numpy(), self.concepts)
        return np.array([1.0 - np.prod(1.0 - self.probabilities[numbers]) for numbers in found])


class Metaclip(Strategy):
    """Keep rows by how rare the concepts in their text are."""

    obeys: ClassVar[frozenset[str]] = frozenset()
    goal: ClassVar[Goal] = "weights"

    name: Literal["metaclip"] = "metaclip"
    concepts: list[str] = Field(min_length=1, description="Strings to look for in the text, in any case.")
    tail_share: float = Field(
        0.2, gt=0, lt=1, description="Share of all matches that concepts below the cap make up; it sets the cap."
    )

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return one cell with weights by how rare a row's concepts are.

        Raises RecipeError where no text contains any.
        """
        rows = problem.rows
        if not rows.pool.has_text:
            raise RecipeError(
                "metaclip reads texts, and the pool has none", where="sampling.strategy", remedy="set source.text"
            )
        concepts = tuple(dict.fromkeys(concept.lower() for concept in self.concepts if concept))
        parts = problem.compute.map(
            partial(_count, rows=rows, concepts=concepts), rows.blocks, work=rows.pool.rows * 400
        )
        counts = np.sum([part[0] for part in parts], axis=0) if parts else np.zeros(len(concepts), np.int64)
        matched = sum(part[1] for part in parts)
        if not matched:
            raise RecipeError(
                "no row of the pool contains any of the concepts",
                found=f"{len(concepts)} concept(s), such as {concepts[0]!r}",
                where="sampling.strategy.concepts",
            )
        cap = cap_for(counts, self.tail_share)
        weights = ConceptWeights(rows, concepts, np.minimum(1.0, cap / np.maximum(counts, 1)))
        found = sorted(zip(counts.tolist(), concepts, strict=True), reverse=True)[:50]
        facts = {"cap": cap, "matched": matched, "concepts": {concept: count for count, concept in found}}
        return one_cell_plan(problem, matched, weights, facts=facts)


def _count(block: str, rows: CandidateRows, concepts: tuple[str, ...]) -> tuple[NDArray[np.int64], int]:
    found = matches(rows, block, rows.table(block)["row_id"].to_numpy(), concepts)
    flat = [number for numbers in found for number in numbers]
    return np.bincount(flat, minlength=len(concepts)).astype(np.int64), sum(bool(numbers) for numbers in found)
