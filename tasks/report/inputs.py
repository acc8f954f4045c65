"""What the report step builds on."""

from dataclasses import dataclass, field
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.inputs import Annotations
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, MadeBy


@dataclass(frozen=True, kw_only=True)
class ReportInputs(Inputs):
    """Every step of the run, in its order.

    previous: the profile of the last published version. sources: the signal that keeps the table of sources.
    """

    ingest: StepRef
    embed: StepRef
    dedup: Dropped
    cluster: Clusters
    partition: StepRef | None = None
    kernel_density: Annotated[StepRef, MadeBy("kernel-density")] | None = None
    sample: StepRef
    annotations: Annotations = field(default_factory=dict)
    stage: StepRef | None = None
    measure: StepRef
    validate: StepRef
    previous: StepRef | None = None
    sources: Annotated[StepRef, MadeBy("signal")] | None = None
