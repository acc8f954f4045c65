"""What the measure step builds on."""

from dataclasses import dataclass, field

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, Signals


@dataclass(frozen=True)
class MeasureInputs(Inputs):
    """The clustered pool and what was selected of it; `previous`: the profile of the last published version."""

    ingest: StepRef
    embed: StepRef
    dedup: Dropped
    cluster: Clusters
    sample: StepRef
    previous: StepRef | None = None
    signals: Signals = field(default_factory=dict)
