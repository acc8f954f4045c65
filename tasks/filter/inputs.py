"""What the filter step builds on."""

from dataclasses import dataclass, field

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs, Signals


@dataclass(frozen=True)
class FilterInputs(Inputs):
    """The pool, the signals that the rules name, and where filters come after deduplication, what that dropped."""

    ingest: StepRef
    dedup: StepRef | None = None
    signals: Signals = field(default_factory=dict)
