"""What the sample step and what is found before it build on."""

from dataclasses import dataclass

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.inputs import Inputs


@dataclass(frozen=True)
class SampleInputs(Inputs):
    """The clustered pool."""

    ingest: StepRef
    embed: StepRef
    dedup: StepRef
    cluster: Clusters


@dataclass(frozen=True)
class PartitionInputs(Inputs):
    """The clustered pool, with its vectors."""

    ingest: StepRef
    embed: StepRef
    cluster: Clusters


@dataclass(frozen=True)
class KernelDensityInputs(Inputs):
    """The clusters alone."""

    cluster: Clusters
