"""A call in a process of its own, killed before any of its operations; forked from a server that has it imported."""

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, BinaryIO

from evenkeel.infra import storage
from evenkeel.infra.catalog import WholeOutputFile
from evenkeel.infra.whole import WholeStream

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.faults.publishing", "tests.faults.killing"])


@dataclass(frozen=True)
class Call:
    """What to do, and when to be killed.

    what: must be picklable. die_at: the operation on a store or the catalog before which to be killed, from 1; 0 for
    never. note: the file that holds the error where it fails. largest_file: that can be written, in bytes.
    """

    what: Callable[[], object]
    note: Path
    die_at: int = 0
    largest_file: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> BaseProcess:
        """Start it; the exit code is 0, -SIGKILL, or 1 with the error in `note`."""
        process = processes.Process(target=_work, args=(self,))
        process.start()
        return process

    def ends(self) -> bool:
        """Do it, and return whether it came to its end rather than being killed."""
        process = self.start()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), self.note.read_text()
        return process.exitcode == 0


def _work(call: Call) -> None:
    os.environ.update(call.environment)
    if call.largest_file:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _limit(call.largest_file)
    if call.die_at:
        _arm(call.die_at)
    try:
        call.what()
    except Exception as error:
        if call.largest_file:
            _limit(call.largest_file)
        call.note.write_text(f"{type(error).__name__}: {error}")
        sys.exit(1)


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


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
    for owner, names in {
        storage: ("write_bytes", "create_bytes", "share", "remove", "remove_files"),
        WholeOutputFile: ("create",),
        WholeStream: ("__exit__", "close"),
        SqlCatalog: ("create_table", "commit_table", "register_table", "drop_table", "create_namespace"),
    }.items():
        for name in names:
            counted(owner, name)
