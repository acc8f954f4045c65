"""What the validate step builds on."""

from dataclasses import dataclass, field

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, Signals


@dataclass(frozen=True)
class ValidateInputs(Inputs):
    """What was selected of the pool, and its profile; `previous`, the profile of the last version, turns drift on.

    signals: those that stated properties name, and those that are groups, for rows of the groups that a gate names.
    """

    ingest: StepRef
    embed: StepRef
    dedup: Dropped
    cluster: Clusters
    sample: StepRef
    measure: StepRef
    previous: StepRef | None = None
    signals: Signals = field(default_factory=dict)
