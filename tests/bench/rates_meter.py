"""What steps take: CPU-seconds of the driver and of what it sends to workers, bytes, operations on files, memory."""

import functools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from evenkeel.infra import arrays, storage
from evenkeel.infra.compute import Compute
from evenkeel.tasks.cluster import split
from evenkeel.tasks.dedup import step as dedup_step
from evenkeel.tasks.step import Step
from tests.bench.bench_blocks import REST, cpu_seconds, most_memory

PARTS_OF_CLUSTERING = {"split_run": "cluster sort", "fit_group": "cluster groups", "label_block": "cluster label"}


@dataclass
class Taken:
    """What one step took.

    cpu: seconds, of everything. maps: of it, by function, what workers would do. read, written: bytes, through system
    calls and of files that are mapped, each counted once. operations: how often a file or folder was asked for, those
    that wrote a file among them. writes: files written. driver, worker: the most bytes that a process held.
    """

    cpu: float = 0.0
    maps: dict[str, float] = field(default_factory=dict)
    read: int = 0
    written: int = 0
    operations: int = 0
    writes: int = 0
    driver: int = 0
    worker: int = 0


@dataclass
class RateMeter:
    """Watches the steps of this process, and the stages of deduplication and parts of clustering as steps of their own.

    Of clustering that is split: `cluster sort` is the fit of the groups and sorting rows into them, `cluster groups`
    their k-means, `cluster label` finding the nearest leaf; `cluster` what the driver does around these.
    """

    steps: dict[str, Taken] = field(default_factory=dict)
    name: str = REST
    mapped: set[str] = field(default_factory=set)

    @property
    def now(self) -> Taken:
        """What the step that runs now has taken."""
        return self.steps.setdefault(self.name, Taken())

    def watch(self) -> None:
        """Count from here on."""
        meter, execute, run_map, run_reduce = self, Step.execute, Compute.map, Compute.reduce
        filesystem, local_copy, replaced = storage.filesystem, storage.local_copy, storage.open_replace
        self.used, self.before = cpu_seconds(), traffic()

        def watched(step: Any, config: Any, inputs: Any, run: Any) -> Any:
            meter.turn(step.called(config))
            try:
                return execute(step, config, inputs, run)
            finally:
                meter.turn(REST)

        def mapped(compute: Compute, function: Callable[..., Any], items: Sequence[Any], **how: Any) -> list[Any]:
            def taken() -> list[Any]:
                results: list[Any] = meter.of_workers(function, lambda: run_map(compute, function, items, **how))
                return results

            part = PARTS_OF_CLUSTERING.get(name_of(function))
            return taken() if part is None else meter.under(part, taken)

        def reduced(compute: Compute, function: Any, merge: Any, items: Sequence[Any], **how: Any) -> Any:
            return meter.of_workers(function, lambda: run_reduce(compute, function, merge, items, **how))

        def counted(uri: str) -> Any:
            meter.now.operations += 1
            return filesystem(uri)

        def written(uri: str) -> Any:
            meter.now.writes += 1
            return replaced(uri)

        def copied(uri: str, scratch: Path) -> Path:
            path = local_copy(uri, scratch)
            if str(path) not in meter.mapped and (size := path.stat().st_size) > arrays.SMALL:
                meter.mapped.add(str(path))
                meter.now.read += size
            return path

        Step.execute = watched  # type: ignore[method-assign, assignment]
        Compute.map = mapped  # type: ignore[method-assign, assignment]
        Compute.reduce = reduced  # type: ignore[method-assign, assignment]
        storage.filesystem, storage.local_copy, storage.open_replace = counted, copied, written
        for stage in ("exact", "near", "semantic"):
            self._apart(dedup_step, f"{stage}_duplicates", f"dedup {stage}")
        self._apart(split, "_fit_groups", "cluster sort")

    def _apart(self, module: Any, function: str, name: str) -> None:
        """Count what a function of a module takes under a name of its own."""
        run = getattr(module, function)

        @functools.wraps(run)
        def apart(*given: Any) -> Any:
            return self.under(name, lambda: run(*given))

        setattr(module, function, apart)

    def under(self, name: str, run: Callable[[], Any]) -> Any:
        """Count what a call takes under a name of its own."""
        around = self.name
        self.turn(name)
        try:
            return run()
        finally:
            self.turn(around)

    def of_workers(self, function: Any, run: Callable[[], Any]) -> Any:
        """Count what a map or a reduction takes, by the name of its function."""
        name, begun = name_of(function), cpu_seconds()
        try:
            return run()
        finally:
            self.now.maps[name] = self.now.maps.get(name, 0.0) + cpu_seconds() - begun

    def turn(self, name: str) -> None:
        """End what ran until now and begin something else."""
        used, (read, written) = cpu_seconds(), traffic()
        now = self.now
        now.cpu += used - self.used
        now.read += read - self.before[0]
        now.written += written - self.before[1]
        now.driver = max(now.driver, most_memory())
        now.worker = max(now.worker, *(most_of(child) for child in psutil.Process().children(recursive=True)), 0)
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {used - self.used:.1f} CPU-s", flush=True)
        self.used, self.before, self.name = used, (read, written), name
        self.mapped.clear()


def name_of(function: Any) -> str:
    """Return the name of a function, or of that which a partial calls."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", "?"))


def traffic() -> tuple[int, int]:
    """Return the bytes that this process and its children, those that ended included, have read and written."""
    read = written = 0
    here = psutil.Process()
    for process in [here, *here.children(recursive=True)]:
        try:
            io = process.io_counters()
        except psutil.Error:
            continue
        read, written = read + io.read_chars, written + io.write_chars
    return read, written


def most_of(process: psutil.Process) -> int:
    """Return the most bytes that a child held since the last call, and count anew; 0 where it has ended."""
    place = Path("/proc", str(process.pid))
    try:
        held = next((line for line in (place / "status").read_text().splitlines() if line.startswith("VmHWM")), "0 0")
        os.write(descriptor := os.open(place / "clear_refs", os.O_WRONLY), b"5")
        os.close(descriptor)
    except OSError:
        return 0
    return int(held.split()[1]) * 1024
