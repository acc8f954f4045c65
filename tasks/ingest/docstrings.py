"""Harvest the docstrings of the installed Python environment: a real pool that every machine has.

The standard library and site-packages are parsed with `ast`, never imported or executed. Left out: tests
(folders `test`, `tests`, `testing`; files `test_*.py`, `*_test.py`, `conftest.py`), functions in functions, files over
4 MB. Kept: private names, vendored copies, overloads - real pools are like that. Files that do not parse are counted.
"""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepFolder, StepRef, claim
from evenkeel.tasks.ingest.fingerprints import fingerprint_of
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.step import Run

VERSION = 1
_SHARD_BYTES = 24 << 20
_LARGEST = 4 << 20
_TESTS = {"test", "tests", "testing"}
_NOT_LIBRARY = {"site-packages", "dist-packages", "__pycache__", "node_modules", "idle_test", "lib2to3"}


@dataclass(frozen=True)
class SourceFile:
    """A Python file: its root, its path below it, size in bytes and time of change in nanoseconds."""

    root: str
    path: str
    bytes: int
    changed: int

    @property
    def module(self) -> str:
        """Return the dotted name under which the file is imported."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def environment_files() -> list[SourceFile]:
    """Return the Python files of the standard library and site-packages, in the order of their roots and paths."""
    roots = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    files: list[SourceFile] = []
    for root in dict.fromkeys(os.path.realpath(root) for root in roots):
        if os.path.isdir(root):
            files += sorted(_files_below(root, ""), key=lambda file: file.path)
    return files


def environment_fingerprint() -> tuple[int, str]:
    """Return the size of all files in bytes, and a hash of their paths, sizes and times of change."""
    files = environment_files()
    return sum(file.bytes for file in files), _fingerprint(files)


def harvest_shards(environment: ListedShard, run: Run) -> tuple[list[ListedShard], dict[str, int]]:
    """Write the docstrings to Parquet shards, once per state of the environment; return the shards and the counts.

    Columns, all string: id (module.qualname, with #2, #3 where one occurs again), text, package (the top-level name),
    kind (module, class, function), path below its root. Raises InputError where the environment changed meanwhile.
    """
    files = environment_files()
    if _fingerprint(files) != environment.fingerprint:
        raise InputError(
            "the Python environment changed while the run began", remedy="run again when nothing is being installed"
        )
    folder = StepFolder(run.workspace, run.dataset, "docstrings", environment.fingerprint[:20])
    claim(folder.uri)
    finished = folder.done() or _harvest(files, folder, run)
    shards = []
    for number in range(finished.counts["shards"]):
        uri = folder.path(_shard_name(number))
        size, changed = fingerprint_of(uri)
        name = _shard_name(number)
        shards.append(ListedShard(uri=uri, name=name, format="parquet", bytes=size, fingerprint=changed, number=number))
    return shards, finished.counts


def _harvest(files: Sequence[SourceFile], folder: StepFolder, run: Run) -> StepRef:
    """Parse all files in as many processes as there are cores, and write one shard per 24 MB of source."""
    jobs = [(folder.path(_shard_name(number)), chunk) for number, chunk in enumerate(_chunks(files))]
    totals = {"files": 0, "unparsable": 0, "docstrings": 0}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for done, counts in enumerate(pool.map(_harvest_apart, jobs), start=1):
            totals = {name: totals[name] + counts[name] for name in totals}
            message = f"{totals['docstrings']:,} docstrings from {totals['files']:,} of {len(files):,} files"
            run.progress(0.5 * done / len(jobs), message)
    return folder.finish({**totals, "shards": len(jobs)}, {}, 0.0)


def _harvest_apart(job: tuple[str, list[tuple[str, str, str]]]) -> dict[str, int]:
    """Run one harvest in its own interpreter: the parser holds the lock of this one."""
    uri, files = job
    done = subprocess.run(
        [sys.executable, "-m", "evenkeel.tasks.ingest.harvest"],
        input=json.dumps({"uri": uri, "files": files}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError("the docstrings could not be harvested", found=done.stderr[-2000:], where=uri)
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def _chunks(files: Sequence[SourceFile]) -> Iterator[list[tuple[str, str, str]]]:
    """Cut the files, in order, into lists of (place, path, module) of about 24 MB; modules that occur again get @2."""
    times: Counter[str] = Counter()
    chunk: list[tuple[str, str, str]] = []
    size = 0
    for file in files:
        times[file.module] += 1
        module = file.module if times[file.module] == 1 else f"{file.module}@{times[file.module]}"
        chunk.append((os.path.join(file.root, file.path), file.path, module))
        size += file.bytes
        if size >= _SHARD_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _files_below(root: str, folder: str) -> Iterator[SourceFile]:
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _TESTS | _NOT_LIBRARY and not entry.name.startswith("."):
                    yield from _files_below(root, path)
            elif entry.name.endswith(".py") and not _is_test(entry.name) and entry.is_file():
                status = entry.stat()
                if status.st_size <= _LARGEST:
                    yield SourceFile(root, path, status.st_size, status.st_mtime_ns)


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"


def _shard_name(number: int) -> str:
    return f"docstrings-{number:03d}.parquet"


def _fingerprint(files: Sequence[SourceFile]) -> str:
    digest = hashlib.sha256(f"{VERSION} {sys.version_info[:3]}".encode())
    for file in files:
        digest.update(f"\0{file.path}\0{file.bytes}\0{file.changed}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
