"""Negatives of each kept row for contrastive training: near rows that a guide lets pass, and random ones.

Sources: a guide that keeps false negatives out (GISTEmbed, arXiv 2402.16829); static hard negatives mixed with random
ones (STAR, arXiv 2104.08051).
"""

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from evenkeel.tasks.annotate.annotation import Annotation, near_rows_cost
from evenkeel.tasks.annotate.column import Column, Foreseen
from evenkeel.tasks.annotate.guide import dimensions
from evenkeel.tasks.annotate.seen import Seen
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload

NEGATIVES = "ek_negatives"


class GuideGuard(BaseModel):
    """Which near rows are no negatives, because a guide holds them as near as the positive."""

    model_config = ConfigDict(extra="forbid", title="guard")

    guide: str = Field(min_length=1, description="Column with the guide's vector of each row's query.")
    positive: str = Field("", description="Column with the guide's vector of its positive; empty = the same column.")
    negative: str = Field(
        "", description="Column with the guide's vector of a row as another's negative; empty = that of its positive."
    )
    margin: float = Field(
        0.25, ge=-1, le=1, description="A negative's cosine with the query is at most the positive's, less this."
    )


class Pairs(Annotation):
    """The negatives of each row: the ids of other kept rows whose positives are to be told from its own."""

    kind: Literal["pairs"] = "pairs"
    negatives: int = Field(8, ge=1, le=1000, description="How many each row has.")
    random: int = Field(0, ge=0, le=1000, description="How many of these are random rows of the version.")
    guard: GuideGuard | None = Field(None, description="Keeps false negatives out by the vectors of another model.")

    @model_validator(mode="after")
    def _some_are_near(self) -> Self:
        if self.random > self.negatives:
            raise ValueError(f"pairs: {self.random} of {self.negatives} negatives cannot be random")
        return self

    def writes(self) -> list[Column]:
        """Return the column of the negatives."""
        return [Column(NEGATIVES, "list<int64>", "ek_row_id of its negatives: the nearest first, then random ones")]

    def columns(self) -> tuple[str, ...]:
        """Return the columns of the guide."""
        guard = self.guard
        named = [] if guard is None else [guard.guide, guard.positive, guard.negative]
        return tuple(name for name in dict.fromkeys(named) if name)

    def reads_vectors(self) -> bool:
        """Return that near rows are found by vectors."""
        return True

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of kept rows that are compared with those of nine leaves, at most 1,024 of each."""
        return near_rows_cost(work)

    def foresee_values(self, seen: Seen, kept: int) -> list[Foreseen]:
        """Return why the guide's vectors are none, or not of one dimension, in the rows that are at hand."""
        if self.guard is None:
            return []
        sizes, found = dict[str, int](), []
        for name in self.columns():
            if (column := seen.some(name)) is None or not len(column):
                continue
            there = dimensions(column)
            if there is None:
                found.append(Foreseen(f"the column {name!r} holds no vectors", "name the one with the guide's vectors"))
            elif there[0] != there[1] or not there[0]:
                why = f"the vectors of the guide in {name!r} have {there[0]} to {there[1]} dimensions"
                found.append(Foreseen(why, "embed all rows with one model, or leave out those without a vector"))
            else:
                sizes[name] = there[0]
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{size} in {name!r}" for name, size in sizes.items())
            found.append(Foreseen(f"the guide's vectors differ in dimension: {told}", "embed both with the same guide"))
        return found

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Search the negatives, leaf by leaf; return how many were found, and how many the guard turned away."""
        from evenkeel.tasks.annotate.mining import Guard, mine

        one = self.guard
        positive = "" if one is None else one.positive or one.guide
        guard = None if one is None else Guard(one.guide, positive, one.negative or positive, one.margin)
        return mine(source, self.negatives - self.random, self.random, guard, folder, self.seed, run)

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return the negatives of each row; fewer where there are not so many."""
        from evenkeel.tasks.annotate.mining import negatives_of

        found = negatives_of(source, block, self.negatives, fit.folder, int(str(fit.facts["files"])))
        there = found >= 0
        offsets = np.concatenate([np.zeros(1, np.int32), there.sum(axis=1).cumsum().astype(np.int32)])
        return {NEGATIVES: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(found[there]))}
