"""What the stage step builds on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.inputs import Annotations
from evenkeel.tasks.cluster.inputs import Clusters
from evenkeel.tasks.dedup.inputs import Dropped
from evenkeel.tasks.inputs import Inputs, MadeBy, Signals


@dataclass(frozen=True)
class ExcerptInputs(Inputs):
    """The pool, the rows dropped, several selections by name, and the signals that they are published with."""

    ingest: StepRef
    dedup: Dropped
    samples: Annotated[Mapping[str, StepRef], MadeBy("sample")] = field(default_factory=dict)
    signals: Signals = field(default_factory=dict)


@dataclass(frozen=True)
class StageInputs(Inputs):
    """The pool, the rows dropped, the clusters, what was selected, and the signals and annotations to publish.

    excerpt: rows of the pool with those selected among them, which are read in its place.
    """

    ingest: StepRef
    dedup: Dropped
    cluster: Clusters
    sample: StepRef
    signals: Signals = field(default_factory=dict)
    annotations: Annotations = field(default_factory=dict)
    excerpt: StepRef | None = None
