"""What the report step builds on."""

from dataclasses import dataclass

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.inputs import Inputs


@dataclass(frozen=True)
class ReportInputs(Inputs):
    """Every step of the run; `stage` says where the files will lie, `previous` what the last version was like."""

    ingest: StepRef
    embed: StepRef
    dedup: StepRef
    cluster: Clusters
    sample: StepRef
    measure: StepRef
    validate: StepRef
    stage: StepRef | None = None
    previous: StepRef | None = None
