"""Split large classes into sub-classes of about the size of the smallest class, and balance over sub-classes.

Source: SBCL (subclass-balancing contrastive learning, arXiv 2306.15925): a class of n rows has n // max(n_min, 10)
sub-clusters, found by k-means inside the class with a bound on their size.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AliasChoices, Field

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.kmeans.capacity import assign_with_offsets, capacity_offsets
from evenkeel.tasks.kmeans.fit import kmeans
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.pool_sample import sample_at, vectors_of
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strata.count import Strata, find_strata
from evenkeel.tasks.sample.strategy import Strategy

SAMPLE_BYTES = 256 << 20
MAX_SUBCLASSES = 1 << 17
SEED = 0x7375_6263
SAMPLED_MARGIN = 0.9


@dataclass(frozen=True)
class Parts:
    """The sub-classes of a class. centroids: (k, d) float32. offsets: (k,) float64, of their squared distances."""

    centroids: NDArray[np.float32]
    offsets: NDArray[np.float64]


@dataclass(frozen=True)
class SubclassCells:
    """The sub-class of a row. first: (strata,) int64, the first of each. parts: of the strata that are split."""

    rows: CandidateRows
    strata: Strata
    first: NDArray[np.int64]
    parts: dict[int, Parts]

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.int64]:
        """Return the sub-class of every row of a table, (n,) int64."""
        stratum = self.strata.of(table)
        cells, row_ids = self.first[stratum], table["row_id"].to_numpy()
        for number in np.unique(stratum).tolist():
            if number in self.parts:
                here = np.flatnonzero(stratum == number)
                parts = self.parts[number]
                cells[here] += assign_with_offsets(
                    self.rows.vectors(block, row_ids[here]), parts.centroids, parts.offsets
                )
        return cells


class Subclass(Strategy):
    """Split large group values into sub-classes about the size of the smallest value; the same quota for each."""

    name: Literal["subclass"] = "subclass"
    group: str = Field(min_length=1, description="The group column that holds the class.")
    min_rows: int = Field(
        10, ge=1, validation_alias=AliasChoices("min_rows", "least"), description="Rows of a sub-class at least."
    )

    def reads(self) -> tuple[str, ...]:
        """Return the group columns."""
        return tuple(f"group.{name}" for name in [self.group])

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return equal quotas over the sub-classes. Raises RecipeError where there are more than 131,072."""
        rows = problem.rows
        strata = find_strata(rows, [self.group], problem.compute)
        aim = max(int(strata.sizes.min(initial=problem.tree.rows)), self.min_rows)
        wanted = np.maximum(1, strata.sizes // aim)
        if wanted.sum() > MAX_SUBCLASSES:
            raise RecipeError(
                f"the classes of {self.group} would be split into too many sub-classes",
                expected=f"at most {MAX_SUBCLASSES:,}",
                found=f"{int(wanted.sum()):,} of about {aim:,} rows",
                where="sampling.strategy.min_rows",
                remedy="raise min_rows",
            )
        parts = split_classes(problem, strata, wanted, aim)
        made = np.array([len(parts[number].offsets) if number in parts else 1 for number in range(len(strata))])
        cells_of = SubclassCells(rows, strata, (np.cumsum(made) - made).astype(np.int64), parts)
        count = partial(_count, rows=rows, cells_of=cells_of, cells=int(made.sum()))
        sizes = problem.compute.reduce(count, np.add, rows.blocks, work=rows.pool.rows * 400)
        sizes = np.zeros(int(made.sum()), np.int64) if sizes is None else sizes
        facts = {"subclasses": len(sizes), "aim": aim, "largest": int(sizes.max(initial=0))}
        return DrawPlan(problem.fill(sizes=sizes), sizes, cells_of=cells_of, columns=strata.columns, facts=facts)


def split_classes(problem: SamplingProblem, strata: Strata, wanted: NDArray[np.int64], aim: int) -> dict[int, Parts]:
    """Return the sub-classes of every class that is to have more than one: k-means inside it, none above 2 x aim rows.

    Fitted on all rows of these classes where they fit 256 MiB, else on a sample with bounds a tenth lower.
    """
    heads = np.flatnonzero(wanted > 1)
    dimension = 1 if problem.tree.centroids is None else problem.tree.centroids.shape[1]
    budget = SAMPLE_BYTES // (4 * dimension)
    rates = np.zeros(len(strata))
    whole = strata.sizes[heads].sum() <= budget
    rates[heads] = 1.0 if whole else budget * wanted[heads] / wanted[heads].sum() / strata.sizes[heads]
    found = sample_at(
        problem.rows, strata.columns, partial(_rates, strata=strata, rates=rates), SEED + problem.seed, problem.compute
    )
    parts: dict[int, Parts] = {}
    if found is None:
        return parts
    member, vectors = strata.of(found), vectors_of(found)
    for number in heads.tolist():
        x = vectors[member == number]
        if not len(x):
            continue
        model = kmeans(x, int(wanted[number]), seed=problem.seed, threads=problem.compute.threads)
        share = len(x) / int(strata.sizes[number])
        max_rows = 2 * aim if share == 1 else int(2 * aim * share * SAMPLED_MARGIN)
        max_rows = max(max_rows, -(-len(x) // len(model.centroids)))
        parts[number] = Parts(model.centroids, capacity_offsets(x, model.centroids, max_rows))
    return parts


def _rates(table: pa.Table, strata: Strata, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return rates[strata.of(table)]


def _count(block: str, rows: CandidateRows, cells_of: SubclassCells, cells: int) -> NDArray[np.int64]:
    return np.bincount(cells_of(rows.table(block, cells_of.strata.columns), block), minlength=cells)
