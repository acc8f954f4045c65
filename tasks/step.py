"""What a step is: a pure function from a config and finished inputs to one finished, content-keyed folder.

The science of a step knows nothing of Prefect; `evenkeel.flows.perform` runs a `Step` as a Prefect task.
"""

import inspect
import time
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.allocator import give_back
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import StepError, StorageError
from evenkeel.infra.workspace import DONE, StepFolder, StepRef, claim, content_key
from evenkeel.tasks.inputs import Inputs
from evenkeel.tasks.workload import Workload

ConfigT = TypeVar("ConfigT", bound=BaseModel)
InputsT = TypeVar("InputsT", bound=Inputs)


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
    """What a step function returns: counts (rows by disposition and kind), and small facts as JSON for later steps."""

    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Step(Generic[ConfigT, InputsT]):
    """A named, versioned step function, called with its config and its inputs: `SAMPLE(config, inputs, run)`.

    name: the folder under the dataset's workspace. version: raise it when the code changes what comes out.
    function: `(config, inputs, folder to write to, run) -> Outcome`; its annotations say which config and which inputs
    the step takes. by_backend: the output depends on whether a CPU or a GPU computed it, so the backend is part of the
    key; a function tells for which configs. by_devices: it depends on how many CUDA devices there are, where there are
    several, so their number is part of the key. retries: how often a failure is worth another try. intact: tells
    whether what a finished output points to, outside its own folder, is still there. cost: `(config, workload) ->
    CPU-seconds` on a reference core. label: what the step is called where it runs with a config, for a step that runs
    several times; None = its name.
    """

    name: str
    version: int
    function: Callable[[ConfigT, InputsT, StepFolder, Run], Outcome]
    by_backend: bool | Callable[[ConfigT], bool] = False
    by_devices: bool = False
    retries: int = 1
    timeout_seconds: float = 24 * 3600.0
    intact: Callable[[StepRef], bool] = lambda _: True
    cost: Callable[[ConfigT, Workload], float] = lambda *_: 0.0
    label: Callable[[ConfigT], str] | None = None

    def called(self, config: ConfigT) -> str:
        """Return what the step is called where it runs with this config."""
        return self.name if self.label is None else self.label(config)

    @cached_property
    def takes(self) -> tuple[tuple[type, ...], tuple[type, ...]]:
        """Return the classes of config and the classes of inputs that the step function is annotated with."""
        hints = typing.get_type_hints(self.function)
        config, inputs, *_ = inspect.signature(self.function).parameters
        return _classes(hints[config]), _classes(hints[inputs])

    def check(self, config: ConfigT, inputs: InputsT) -> None:
        """Raise StepError where the config or the inputs are those of another step."""
        for what, given, wanted in zip(("config", "inputs"), (config, inputs), self.takes, strict=True):
            if not isinstance(given, wanted):
                raise StepError(
                    f"the step {self.name} cannot be called like this",
                    expected=f"{what} of type {' or '.join(one.__name__ for one in wanted)}",
                    found=type(given).__name__,
                )

    def key(self, config: ConfigT, inputs: InputsT, run: Run) -> str:
        """Return the content key of this step's output. Raises StepError as `check` does."""
        self.check(config, inputs)
        keys = {name: ref.key for name, ref in inputs.present().items()}
        if self.by_backend(config) if callable(self.by_backend) else self.by_backend:
            keys["backend"] = run.compute.kind_of_device
        if self.by_devices and run.compute.devices > 1:
            keys["devices"] = str(run.compute.devices)
        return content_key(self.name, self.version, config, keys)

    def folder(self, config: ConfigT, inputs: InputsT, run: Run) -> StepFolder:
        """Return the folder of this step's output, finished or not."""
        return StepFolder(run.workspace, run.dataset, self.name, self.key(config, inputs, run))

    def finished(self, config: ConfigT, inputs: InputsT, run: Run) -> StepRef | None:
        """Return the output that is already in the workspace and intact, or None."""
        ref = self.folder(config, inputs, run).done()
        return ref if ref is not None and self.intact(ref) else None

    def claim(self, config: ConfigT, inputs: InputsT, run: Run) -> None:
        """Keep a prune from the inputs and the output while this step runs, and for days after it.

        Raises StorageError where a prune was faster than this run, StepError as `check` does.
        """
        self.check(config, inputs)
        here = storage.join(run.workspace, run.dataset, "")
        for ref in inputs.present().values():
            if ref.uri.startswith(here):
                claim(ref.uri)
                if not storage.exists(storage.join(ref.uri, DONE)):
                    raise StorageError("an input was pruned before this run used it", where=ref.uri, remedy="run again")
        claim(self.folder(config, inputs, run).uri)

    def __call__(self, config: ConfigT, inputs: InputsT, run: Run) -> StepRef:
        """Return the finished output, from the workspace or made anew. Raises StepError as `check` does."""
        self.claim(config, inputs, run)
        return self.finished(config, inputs, run) or self.execute(config, inputs, run)

    def execute(self, config: ConfigT, inputs: InputsT, run: Run) -> StepRef:
        """Run the function and return what it made, whether or not that is in the workspace already."""
        folder = self.folder(config, inputs, run)
        started = time.monotonic()
        outcome = self.function(config, inputs, folder, run)
        give_back()
        return folder.finish(outcome.counts, outcome.facts, round(time.monotonic() - started, 3))


class RunStep(Protocol):
    """A way to run steps: as Prefect tasks, in this process, or by looking only where their outputs would lie."""

    def __call__(self, step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        """Return the reference to the step's output."""


@dataclass(frozen=True)
class InProcess:
    """Runs each step in this process, without Prefect."""

    run: Run

    def __call__(self, step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        """Return the reference to the step's finished output."""
        return step(config, inputs, self.run)


def _classes(hint: object) -> tuple[type, ...]:
    """Return the classes of an annotation: itself, or the members of a union."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(one for part in typing.get_args(hint) for one in _classes(part))
    return (hint,) if isinstance(hint, type) else (object,)
