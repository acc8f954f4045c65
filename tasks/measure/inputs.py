"""What the measure step builds on."""

from dataclasses import dataclass

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.inputs import Inputs


@dataclass(frozen=True)
class MeasureInputs(Inputs):
    """The clustered pool and what was selected of it; `previous`: the profile of the last published version."""

    ingest: StepRef
    embed: StepRef
    dedup: StepRef
    cluster: Clusters
    sample: StepRef
    previous: StepRef | None = None
