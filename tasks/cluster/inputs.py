"""What the steps that cluster build on, and how later steps name their output."""

from dataclasses import dataclass
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, MadeBy

Clusters = Annotated[StepRef, MadeBy("cluster", "assign", "thin")]


@dataclass(frozen=True)
class ClusterInputs(Inputs):
    """The pool, its vectors and which rows are dropped."""

    ingest: StepRef
    embed: StepRef
    dedup: Dropped


@dataclass(frozen=True)
class AssignInputs(Inputs):
    """The pool as for clustering; `base`, the clusters that rows are assigned to, and the pool those were made from."""

    ingest: StepRef
    embed: StepRef
    dedup: Dropped
    base: Annotated[StepRef, MadeBy("cluster")]
    base_ingest: Annotated[StepRef, MadeBy("ingest")]
