"""A publisher in a process of its own, told to die at any moment; forked from a server that has it imported."""

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, BinaryIO

from evenkeel.infra import storage
from evenkeel.infra.catalog import WholeOutputFile
from evenkeel.infra.whole import WholeStream
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.step import Run
from tests.publish import small_steps

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.faults.publishing"])


STRIDE = 1000


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
        """Do the same in a process of its own; its exit code is 0, -SIGKILL, or 1 with the error in `error-<seed>`."""
        process = processes.Process(target=_work, args=(self,))
        process.start()
        return process

    @property
    def error(self) -> str:
        """What the process said when it failed."""
        return (self.folder / f"error-{self.seed}").read_text()


def _work(job: Job) -> None:
    os.environ.update(job.environment)
    if job.largest_file:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    if job.die_at:
        _arm(job.die_at)
    try:
        for number in range(job.rounds):
            replace(job, seed=job.seed + number * STRIDE).run()
    except Exception as error:
        if job.largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
        (job.folder / f"error-{job.seed}").write_text(f"{type(error).__name__}: {error}")
        sys.exit(1)


def _arm(die_at: int) -> None:
    """Count every write, removal and commit, and kill this process just before number `die_at`."""
    from pyiceberg.catalog.sql import SqlCatalog

    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            tick()
            return real(*args, **options)

        setattr(owner, name, wrapped)

    def counted_open(name: str) -> None:
        real = getattr(storage, name)

        @contextmanager
        def wrapped(uri: str) -> Iterator[BinaryIO]:
            tick()
            with real(uri) as stream:
                yield stream
                tick()

        setattr(storage, name, wrapped)

    counted_open("open_write")
    counted_open("open_replace")
    for owner, name in [
        (storage, "write_bytes"),
        (storage, "remove"),
        (WholeOutputFile, "create"),
        (WholeStream, "__exit__"),
        (WholeStream, "close"),
        (SqlCatalog, "create_table"),
        (SqlCatalog, "commit_table"),
    ]:
        counted(owner, name)
