"""What the stage step builds on."""

from dataclasses import dataclass

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs


@dataclass(frozen=True)
class StageInputs(Inputs):
    """The pool, which rows are dropped, the clusters, and what was selected."""

    ingest: StepRef
    dedup: Dropped
    cluster: Clusters
    sample: StepRef
