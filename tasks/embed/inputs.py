"""What the embed step builds on."""

from dataclasses import dataclass
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs, MadeBy


@dataclass(frozen=True)
class EmbedInputs(Inputs):
    """The pool, and `base` where the map that an earlier embed step fitted is to be used."""

    ingest: StepRef
    base: Annotated[StepRef, MadeBy("embed")] | None = None
