"""What the filter step builds on."""

from dataclasses import dataclass, field
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs, MadeBy, Signals


@dataclass(frozen=True)
class FilterInputs(Inputs):
    """The pool, the signals that the rules name, and where filters come after deduplication, what that dropped.

    must_keep: rows that no rule removes.
    """

    ingest: StepRef
    dedup: StepRef | None = None
    must_keep: Annotated[StepRef, MadeBy("must-keep")] | None = None
    signals: Signals = field(default_factory=dict)
