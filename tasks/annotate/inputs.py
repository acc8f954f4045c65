"""What the annotate step builds on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, MadeBy, Signals

Annotations = Annotated[Mapping[str, StepRef], MadeBy("annotate")]


@dataclass(frozen=True, kw_only=True)
class AnnotateInputs(Inputs):
    """The sampled pool, the signals and annotations that one reads, and what its strategies measure."""

    ingest: StepRef
    embed: StepRef
    dedup: Dropped
    cluster: Clusters
    sample: StepRef
    partition: StepRef | None = None
    kernel_density: Annotated[StepRef, MadeBy("kernel-density")] | None = None
    tag_counts: Annotated[StepRef, MadeBy("tag-counts")] | None = None
    signals: Signals = field(default_factory=dict)
    annotations: Annotations = field(default_factory=dict)
