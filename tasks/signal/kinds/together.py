"""Tags that occur together in a row: every pair of them is a tag of its own.

Source: one of the perspectives of ADR (arXiv 2503.12821), co-occurrence of objects.
"""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.entries.tag_lists import TagLists
from evenkeel.tasks.signal.signal import Fit, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.workload import Workload


class TogetherSignal(Signal):
    """Pairs of tags that a row has together, as tags: `bicycle & street`."""

    tags: ClassVar[bool] = True

    kind: Literal["together"] = "together"
    of: str = Field(min_length=1, description="A signal of tags, such as entries or the tags of a list column.")
    together: Literal[True] = True
    max_tags: int = Field(50, ge=2, le=1000, description="Tags of a row that are paired at most: its first ones.")

    def columns(self) -> tuple[str, ...]:
        """Return the tags that are paired."""
        return (f"tags.{self.of.removeprefix('tags.')}",)

    def check(self, source: SignalSource) -> None:
        """Raise RecipeError where the column is no signal of tags."""
        for block in source.blocks[:1]:
            (column,) = source.columns(block, self.columns()).columns
            if not pa.types.is_list(column.type):
                raise RecipeError(f"{self.of!r} are no tags", found=str(column.type), where=f"signals, {self.name}")

    def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
        """Return the pairs of each row."""
        (column,) = source.columns(block, self.columns()).columns
        return TagLists.of(column).pairs(self.max_tags, " & ").array()

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool on a reference core."""
        return 0.1 + 1e-5 * work.rows
