"""What a signal is, and all the kinds of signals there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from evenkeel.infra.registry import Registry
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    import pyarrow as pa

    from evenkeel.infra.compute import Backend
    from evenkeel.tasks.dedup.target_set import TargetSet
    from evenkeel.tasks.signal.source import SignalSource
    from evenkeel.tasks.step import Run

Part = Literal["text", "vectors", "clusters"]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """What `fit` left for the workers. folder: the URI of its files. facts: what it returned. scratch: local space.

    backend: whether workers have a CUDA device, which `compute` may use where the values are the same.
    """

    folder: str
    scratch: str
    facts: Mapping[str, object] = field(default_factory=dict)
    backend: "Backend" = "cpu"


class Signal(BaseModel):
    """One number, or list of tags, per row. Its options are the fields, the rule is `compute`.

    It is sent to workers, and must give the same values on each of them. version: raise it when the values change.
    tags: `compute` returns lists of strings, which are read as `tags.<name>`. makes_group: it returns strings, which
    are read as the group column `group.<name>`. Else it returns numbers, read as `score.<name>`.
    """

    model_config = ConfigDict(extra="forbid")

    version: ClassVar[int] = 1
    tags: ClassVar[bool] = False
    makes_group: ClassVar[bool] = False

    kind: str
    name: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        max_length=64,
        description="Name of the signal, by which filters, strategies, order and gates find it.",
    )

    def needs(self) -> frozenset[Part]:
        """Return what it reads besides columns of rows: text, vectors (after embedding), clusters (of kept rows)."""
        return frozenset()

    def by_backend(self) -> bool:
        """Return whether the values are others on a device, in the last bits."""
        return False

    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns it reads: other signals, scores, groups or the source's own columns."""
        return ()

    def current(self) -> Self:
        """Return it with the fingerprints of files that it reads from elsewhere, as they are now."""
        return self

    def pinned(self, facts: Mapping[str, object]) -> Self:
        """Return the signal that makes a choice of an earlier version again, given the facts that it left there."""
        return self

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with each path of a file that it reads from elsewhere made absolute."""
        return self

    def with_target(self, target: "TargetSet | None") -> Self:
        """Return it with the recipe's target set, if it reads one. Raises ValueError where there is none."""
        return self

    def check(self, source: "SignalSource") -> None:
        """Raise RecipeError or InputError where the pool lacks what it reads; `columns` are checked for it."""

    def fit(self, source: "SignalSource", folder: str, run: "Run") -> Mapping[str, object]:
        """Fit what `compute` needs, once; write files to `folder` and return small facts as JSON.

        Work over blocks goes through `run.compute.map`, with results whose size does not grow with a block.
        """
        return {}

    def compute(self, source: "SignalSource", block: str, fit: Fit) -> "Numbers | pa.Array | pa.ChunkedArray":
        """Return the values of the rows of a block, in order.

        Numbers are (n,) float64, NaN where a row has no value, never infinite; tags are a list<string> array, groups a
        string array, null where a row has none.
        """
        raise NotImplementedError

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool on a reference core."""
        return 0.01 + 2e-7 * work.rows


SIGNALS: Registry[Signal] = Registry(
    "signal", Signal, tag="kind", folder="evenkeel.tasks.signal.kinds", group="evenkeel.signals"
)
