"""What a rule is that compares rows with a target set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenkeel.infra.dtypes import Float64Array
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
