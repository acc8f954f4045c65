"""What the signal step builds on."""

from dataclasses import dataclass, field

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, Signals


@dataclass(frozen=True)
class SignalInputs(Inputs):
    """The pool, the signals that a signal reads, and where it needs them the vectors, or the clusters of kept rows."""

    ingest: StepRef
    embed: StepRef | None = None
    dedup: Dropped | None = None
    cluster: Clusters | None = None
    signals: Signals = field(default_factory=dict)
