"""What the dedup step builds on."""

from dataclasses import dataclass

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs


@dataclass(frozen=True)
class DedupInputs(Inputs):
    """The pool and its vectors."""

    ingest: StepRef
    embed: StepRef
