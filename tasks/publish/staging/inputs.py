"""What the stage step builds on."""

from dataclasses import dataclass, field

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.inputs import Annotations
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, Signals


@dataclass(frozen=True)
class StageInputs(Inputs):
    """The pool, the rows dropped, the clusters, what was selected, and the signals and annotations to publish."""

    ingest: StepRef
    dedup: Dropped
    cluster: Clusters
    sample: StepRef
    signals: Signals = field(default_factory=dict)
    annotations: Annotations = field(default_factory=dict)
