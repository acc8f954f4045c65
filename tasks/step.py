"""What a step is: a pure function from a config and finished inputs to one finished, content-keyed folder.

The science of a step knows nothing of Prefect; `evenkeel.flows.curate` turns a `Step` into a Prefect task.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import StorageError
from evenkeel.infra.workspace import DONE, StepFolder, StepRef, claim, content_key


class Progress(Protocol):
    """Where a step says how far it is."""

    def __call__(self, done: float, message: str) -> None:
        """Report the share done in [0, 1] and one line of what is happening."""


def silent(done: float, message: str) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class Run:
    """Where and how a step runs. Nothing in here may change the rows that come out."""

    workspace: str
    dataset: str
    scratch: Path
    compute: Compute = field(default_factory=Compute)
    progress: Progress = silent


@dataclass(frozen=True)
class Outcome:
    """What a step function returns: counts (rows by fate and kind) and small JSON facts for people and later steps."""

    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


StepFunction = Callable[[Any, Mapping[str, StepRef], StepFolder, Run], Outcome]


@dataclass(frozen=True)
class Step:
    """A named, versioned step function.

    name: the folder under the dataset's workspace. version: raise it when the code changes what comes out.
    function: `(config, inputs by name, folder to write to, run) -> Outcome`. by_backend: the output depends on whether
    a CPU or a GPU computed it, so the backend is part of the key. retries: how often a failure is worth another try.
    intact: tells whether what a finished output points to, outside its own folder, is still there.
    """

    name: str
    version: int
    function: StepFunction
    by_backend: bool = False
    retries: int = 1
    timeout_seconds: float = 24 * 3600.0
    intact: Callable[[StepRef], bool] = lambda _: True

    def key(self, config: BaseModel, inputs: Mapping[str, StepRef], run: Run) -> str:
        """Return the content key of this step's output for this config and these inputs."""
        keys = {name: ref.key for name, ref in inputs.items()}
        if self.by_backend:
            keys["backend"] = run.compute.backend
        return content_key(self.name, self.version, config, keys)

    def folder(self, config: BaseModel, inputs: Mapping[str, StepRef], run: Run) -> StepFolder:
        """Return the folder of this step's output, finished or not."""
        return StepFolder(run.workspace, run.dataset, self.name, self.key(config, inputs, run))

    def finished(self, config: BaseModel, inputs: Mapping[str, StepRef], run: Run) -> StepRef | None:
        """Return the output that is already in the workspace and intact, or None."""
        ref = self.folder(config, inputs, run).done()
        return ref if ref is not None and self.intact(ref) else None

    def claim(self, config: BaseModel, inputs: Mapping[str, StepRef], run: Run) -> None:
        """Keep a prune from the inputs and the output while this step runs, and for days after it.

        Raises StorageError where a prune was faster than this run.
        """
        here = storage.join(run.workspace, run.dataset, "")
        for ref in inputs.values():
            if ref.uri.startswith(here):
                claim(ref.uri)
                if not storage.exists(storage.join(ref.uri, DONE)):
                    raise StorageError("an input was pruned before this run used it", where=ref.uri, remedy="run again")
        claim(self.folder(config, inputs, run).uri)

    def __call__(self, config: BaseModel, inputs: Mapping[str, StepRef], run: Run) -> StepRef:
        """Return the finished output: the one already in the workspace, or a new one."""
        self.claim(config, inputs, run)
        if (finished := self.finished(config, inputs, run)) is not None:
            return finished
        folder = self.folder(config, inputs, run)
        started = time.monotonic()
        outcome = self.function(config, inputs, folder, run)
        return folder.finish(outcome.counts, outcome.facts, round(time.monotonic() - started, 3))
