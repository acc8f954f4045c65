"""What an annotation is, and all the kinds of annotations there are."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evenkeel.infra.registry import Registry
from evenkeel.tasks.annotate.column import Column, Foreseen
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    import pyarrow as pa

    from evenkeel.tasks.annotate.seen import Seen
    from evenkeel.tasks.annotate.source import AnnotationSource
    from evenkeel.tasks.dedup.target_set import TargetSet
    from evenkeel.tasks.sample.strategy import Strategy
    from evenkeel.tasks.step import Run


class Annotation(BaseModel):
    """Columns of the kept rows that a trainer follows. Its options are the fields, the rule is `compute`.

    It is sent to workers, and must give the same values on each of them. version: raise it when the values change.
    of_draw: whether it tells what the strategy knows of its draw, and comes with that strategy alone.
    """

    model_config = ConfigDict(extra="forbid")

    version: ClassVar[int] = 1
    of_draw: ClassVar[bool] = False

    kind: str
    seed: int = Field(0, ge=0, lt=2**63, description="The same seed gives the same columns where the rows allow it.")

    @classmethod
    def from_section(cls, written: object) -> list[object]:
        """Return the annotations that the section of this kind in a recipe writes out, as plain documents.

        A section that is a list holds several, such as several columns of weights.
        """
        return list(written) if isinstance(written, list) else [written]

    @property
    def label(self) -> str:
        """What it is called among the annotations of a recipe, of which no two have one name."""
        return self.kind

    def writes(self) -> list[Column]:
        """Return the columns that it writes, all beginning with `ek_`; none where readers follow the recipe alone."""
        return []

    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns it reads: signals, scores, groups or the source's own columns."""
        return ()

    def follows(self) -> tuple[str, ...]:
        """Return the kinds of annotations whose columns it reads where the recipe has them."""
        return ()

    def strategies(self) -> "list[Strategy]":
        """Return the sampling strategies that it applies to the kept rows, so that what they measure is there."""
        return []

    def reads(self) -> tuple[str, ...]:
        """Return the names of the columns that it and its strategies read."""
        return (*self.columns(), *(name for strategy in self.strategies() for name in strategy.reads()))

    def reads_vectors(self) -> bool:
        """Return whether it reads the vectors of the rows."""
        return False

    def current(self) -> Self:
        """Return it with the fingerprints of files that it reads from elsewhere, as they are now."""
        return self

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with each path of a file that it reads from elsewhere made absolute."""
        return self

    def with_target(self, target: "TargetSet | None") -> Self:
        """Return it with the recipe's target set, if it reads one. Raises ValueError where there is none."""
        return self

    def check(self, source: "AnnotationSource") -> None:
        """Raise RecipeError or InputError where the pool lacks what it reads; `columns` are checked for it."""

    def foresee(self, kept: int, clusters: Sequence[int]) -> list[Foreseen]:
        """Return what cannot be met with so many kept rows and clusters per level, finest first."""
        return []

    def foresee_values(self, seen: "Seen", kept: int) -> list[Foreseen]:
        """Return what cannot be met with such values of columns and so many kept rows; block = that is certain."""
        return []

    def fit(self, source: "AnnotationSource", folder: str, run: "Run") -> Mapping[str, object]:
        """Fit what `compute` needs, once; write files to `folder` and return small facts as JSON, for the card.

        Work over blocks goes through `run.compute`, with results whose size does not grow with a block. The folder is
        removed when the columns are written, but for tables in `beside/`, which a version holds as `made/`.
        """
        return {}

    def compute(self, source: "AnnotationSource", block: str, fit: Fit) -> "Mapping[str, pa.Array | pa.ChunkedArray]":
        """Return the columns of the kept rows of a block, in order of row id."""
        raise NotImplementedError

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds on a reference core."""
        return 0.02 + 2e-7 * work.rows + 2e-6 * work.kept


def near_rows_cost(work: Workload) -> float:
    """Return the CPU-seconds of comparing kept rows with those of nine leaves, at most 1,024 of each."""
    compared = min(float(work.kept), 9.0 * min(1024.0, work.kept / max(work.leaves, 1)))
    return 0.5 + 4e-5 * work.rows + work.kept * compared * (4e-11 * work.dimension + 4e-9)


ANNOTATIONS: Registry[Annotation] = Registry(
    "annotation", Annotation, tag="kind", folder="evenkeel.tasks.annotate.kinds", group="evenkeel.annotations"
)
