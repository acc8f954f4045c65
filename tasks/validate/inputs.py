"""What the validate step builds on."""

from dataclasses import dataclass

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs


@dataclass(frozen=True)
class ValidateInputs(Inputs):
    """What was selected of the pool, and its profile; `previous`, the profile of the last version, turns drift on."""

    ingest: StepRef
    embed: StepRef
    dedup: Dropped
    cluster: Clusters
    sample: StepRef
    measure: StepRef
    previous: StepRef | None = None
