"""What the sample step, and the steps before it that a strategy may read, build on."""

from dataclasses import dataclass, field
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, MadeBy, Signals


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


@dataclass(frozen=True)
class TagCountsInputs(Inputs):
    """The clustered pool, and the signals whose tags are counted."""

    ingest: StepRef
    embed: StepRef
    cluster: Clusters
    signals: Signals = field(default_factory=dict)


@dataclass(frozen=True)
class SharedRowsInputs(Inputs):
    """The clustered pool, and the signals that become columns."""

    ingest: StepRef
    embed: StepRef
    cluster: Clusters
    signals: Signals = field(default_factory=dict)


@dataclass(frozen=True)
class SampleInputs(Inputs):
    """The clustered pool, and where sampling reads them its partitions, kernel density, counts of tags and signals.

    must_keep: rows that are drawn in any case. shared_rows: columns that are mapped where many draws read them.
    """

    ingest: StepRef
    embed: StepRef
    dedup: Dropped
    cluster: Clusters
    partition: StepRef | None = None
    kernel_density: Annotated[StepRef, MadeBy("kernel-density")] | None = None
    tag_counts: Annotated[StepRef, MadeBy("tag-counts")] | None = None
    signals: Signals = field(default_factory=dict)
    must_keep: Annotated[StepRef, MadeBy("must-keep")] | None = None
    shared_rows: Annotated[StepRef, MadeBy("shared-rows")] | None = None
