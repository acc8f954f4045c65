"""Which rows of a version a reader takes, and how often: by copies, stage, split, weights, a fresh subset an epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra.errors import InputError
from evenkeel.infra.hashing import uniform

COPIES, SPLIT, STAGE, IDENTITY, WEIGHTS = "ek_copies", "ek_split", "ek_stage_", "ek_identity", "ek_weight_"
ROUNDING = 0x57E1_6875

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """What is taken. scale: what the weights are divided by, so that they are 1 on average; 0 before it is known.

    stage: as often as that stage says, in place of `ek_copies`. split: its rows alone. fresh: in each epoch the rows
    whose hash of (seed + epoch, id) is below this share (RS2, arXiv 2305.18424). weights: a column of weights; a row
    comes as often as its weight says on average, rounded by a hash that changes with the epoch.
    """

    copies: bool = True
    stage: str | None = None
    split: str | None = None
    fresh: float | None = None
    weights: str | None = None
    seed: int = 0
    scale: float = 0.0

    def check(self, columns: Sequence[str], where: str) -> None:
        """Raise InputError where the version has no column of what is asked, naming what it has."""
        if self.fresh is not None and not 0 < self.fresh <= 1:
            raise InputError("fresh is a share of the rows", expected="above 0, at most 1", found=str(self.fresh))
        asked = {
            f"stage {self.stage!r}": (self.stage, f"{STAGE}{self.stage}", STAGE),
            f"split {self.split!r}": (self.split, SPLIT, SPLIT),
            f"weights {self.weights!r}": (self.weights, self.weight_column(columns), WEIGHTS),
        }
        for what, (given, column, prefix) in asked.items():
            if given is not None and column not in columns:
                known = [name.removeprefix(prefix) or name for name in columns if name.startswith(prefix)]
                raise InputError(
                    f"this version has no {what}",
                    expected=f"one of {', '.join(known)}" if known else f"a column {column}",
                    where=where,
                    remedy="add it to the recipe: stages, splits or weights",
                )

    def weight_column(self, columns: Sequence[str]) -> str:
        """Return the column of the weights: `ek_weight_<weights>`, or the column of that very name."""
        return str(self.weights) if self.weights in columns else f"{WEIGHTS}{self.weights}"

    def needs(self, columns: Sequence[str]) -> list[str]:
        """Return the columns that decide how often a row comes."""
        often = [f"{STAGE}{self.stage}"] if self.stage is not None else [COPIES] if self.copies else []
        often += [SPLIT] if self.split is not None else []
        often += [self.weight_column(columns)] if self.weights is not None else []
        return often + ([IDENTITY] if self.fresh is not None or self.weights is not None else [])

    @property
    def changes(self) -> bool:
        """Whether it differs from epoch to epoch."""
        return self.fresh is not None or self.weights is not None

    def counts(self, table: pa.Table, epoch: int) -> Counts:
        """Return how often each row of a table that has the needed columns comes in an epoch, (n,) int64."""
        counts: Counts
        if self.stage is not None:
            counts = table[f"{STAGE}{self.stage}"].to_numpy().astype(np.int64)
            counts = counts if self.copies else np.minimum(counts, 1)
        else:
            counts = table[COPIES].to_numpy().astype(np.int64) if self.copies else np.ones(table.num_rows, np.int64)
        if self.split is not None:
            counts = counts * (table[SPLIT].to_numpy(zero_copy_only=False) == self.split)
        if self.changes:
            identity = table[IDENTITY].to_numpy().view(np.uint64)
            if self.fresh is not None:
                counts = counts * (uniform(self.seed + epoch, identity) < self.fresh)
            if self.weights is not None:
                weight = table[self.weight_column(table.column_names)].to_numpy().astype(np.float64)
                expected = counts * np.nan_to_num(weight) / (self.scale or 1.0)
                counts = np.floor(expected + uniform(self.seed + epoch + ROUNDING, identity)).astype(np.int64)
        return counts

    def bounds(self) -> list[tuple[str, object]]:
        """Return columns and the values that a row group must reach, by its statistics, to have a row that is taken."""
        stage = [(f"{STAGE}{self.stage}", 1)] if self.stage is not None else []
        return [*stage, *([(SPLIT, self.split)] if self.split is not None else [])]
