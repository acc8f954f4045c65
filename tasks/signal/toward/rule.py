"""What a rule is that compares rows with a target set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.toward.options import TowardOptions

if TYPE_CHECKING:
    from evenkeel.tasks.step import Run


@dataclass(frozen=True)
class Rule:
    """Compares the rows of a pool with a target set."""

    options: TowardOptions

    def fit(self, source: SignalSource, target: TargetSet, folder: str, run: "Run") -> Mapping[str, object]:
        """Read the target, write what `values` needs to a folder, and return facts as JSON."""
        raise NotImplementedError

    def values(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return how much each row of a block belongs to the target, (n,) float64, NaN where a row has no value."""
        raise NotImplementedError


def require_level(source: SignalSource, level: int, most: int | None = None) -> None:
    """Raise RecipeError where the clustering has no such level, or more clusters there than `most`."""
    sizes = [one.clusters for one in source.hierarchy.levels]
    if level <= len(sizes) and (most is None or sizes[level - 1] <= most):
        return
    raise RecipeError(
        "the clustering has no such level" if level > len(sizes) else "the clusters of that level cannot be ordered",
        expected=f"a level from 1 to {len(sizes)}" + (f" with at most {most:,} clusters" if most is not None else ""),
        found=f"level: {level}; the levels have {', '.join(f'{size:,}' for size in sizes)} clusters",
        where=source.where,
        remedy="choose another level, or add levels to clustering",
    )
