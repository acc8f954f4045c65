"""What the dedup step builds on, and how later steps name the rows that have left."""

from dataclasses import dataclass, field
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs, MadeBy, Signals

Dropped = Annotated[StepRef, MadeBy("dedup", "filter")]


@dataclass(frozen=True)
class DedupInputs(Inputs):
    """The pool and its vectors; what filters removed before, and the signal that ranks duplicates, if any.

    must_keep: rows that stay, whatever they are duplicates of.
    """

    ingest: StepRef
    embed: StepRef
    filter: StepRef | None = None
    must_keep: Annotated[StepRef, MadeBy("must-keep")] | None = None
    signals: Signals = field(default_factory=dict)
