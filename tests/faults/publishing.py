"""A publisher in a process of its own, told to die at any moment."""

from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from evenkeel.infra.errors import PublishConflict
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.step import Run
from tests.faults.killing import Call
from tests.publish import small_steps

STRIDE = 1000
TRIES = 3


@dataclass(frozen=True)
class Job:
    """What to publish and where.

    die_at: the operation on a store or the catalog before which to be killed, from 1. rounds: how many pools to publish
    one after another, of seeds that are `STRIDE` apart.
    """

    folder: Path
    config: DestinationConfig
    seed: int
    workspace: str
    die_at: int = 0
    largest_file: int = 0
    rounds: int = 1
    environment: dict[str, str] = field(default_factory=dict)

    def run(self) -> PublishResult:
        """Stage and publish a pool of two blocks in this process."""
        steps = self.folder / f"steps-{self.seed}"
        small = small_steps.make(steps, rows=120, shards=1, rows_per_block=60, seed=self.seed)
        run = Run(workspace=self.workspace, dataset="demo", scratch=self.folder / "scratch")
        ref = STAGE(self.config.staging(), StageInputs.of(small.refs), run)
        return publish(self.config, "demo", ref, {"card.html": b"<card>"}, {}, self.workspace)

    def start(self) -> BaseProcess:
        """Do it for every round in a process of its own; its exit code is 0, -SIGKILL, or 1 with an `error`."""
        return Call(self.run_rounds, self.note, self.die_at, self.largest_file, self.environment).start()

    def run_rounds(self) -> None:
        """Publish one pool after another; where others kept committing for two minutes, again, as a run's task does."""
        for number in range(self.rounds):
            one = replace(self, seed=self.seed + number * STRIDE)
            Retrying(retry=retry_if_exception_type(PublishConflict), stop=stop_after_attempt(TRIES), reraise=True)(
                one.run
            )

    @property
    def note(self) -> Path:
        """The file that holds what the process said when it failed."""
        return self.folder / f"error-{self.seed}"

    @property
    def error(self) -> str:
        """What the process said when it failed."""
        return self.note.read_text()
