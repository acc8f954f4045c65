"""What the stage step builds on."""

from dataclasses import dataclass, field

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, Signals


@dataclass(frozen=True)
class StageInputs(Inputs):
    """The pool, which rows are dropped, the clusters, what was selected, and the signals that become columns."""

    ingest: StepRef
    dedup: Dropped
    cluster: Clusters
    sample: StepRef
    signals: Signals = field(default_factory=dict)
