"""What the signal step builds on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.inputs import Inputs, MadeBy

Signals = Annotated[Mapping[str, StepRef], MadeBy("signal")]


@dataclass(frozen=True)
class SignalInputs(Inputs):
    """The pool, the signals that a signal reads, and where it needs them the vectors, or the clusters of kept rows."""

    ingest: StepRef
    embed: StepRef | None = None
    dedup: StepRef | None = None
    cluster: Clusters | None = None
    signals: Signals = field(default_factory=dict)
