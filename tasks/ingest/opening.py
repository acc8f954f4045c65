"""Bring a shard to this machine: into memory, for a device to decode it there, or onto the disk."""

import logging
import posixpath
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, StorageError
from evenkeel.infra.page_locked import page_locked
from evenkeel.tasks.ingest.fingerprints import fingerprint_of
from evenkeel.tasks.ingest.on_device import is_held
from evenkeel.tasks.ingest.plan import ShardJob
from evenkeel.tasks.ingest.reader import LocalShard

LOG = logging.getLogger(__name__)


class OpenShard(NamedTuple):
    """A shard on this machine: the SHA-256 of its bytes, and what a reader is given."""

    digest: str
    local: LocalShard


@contextmanager
def opened(job: ShardJob) -> Iterator[OpenShard]:
    """Yield a shard, brought here from its store. Raises InputError where it has changed or is gone."""
    folder = scratch_of(job)
    try:
        yield _here(job, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_of(job: ShardJob) -> Path:
    """Return the folder for the local copy of a shard."""
    return job.scratch / "shards" / f"{job.number:06d}"


def _here(job: ShardJob, folder: Path) -> OpenShard:
    try:
        _require_unchanged(job)
        held = _into_memory(job)
        if held is None:
            content, path = None, storage.local_copy(job.shard.uri, folder)
            digest = storage.sha256(str(path))
        else:
            (digest, content), path = held, folder / posixpath.basename(job.shard.uri)
        ids = None if job.shard.ids is None else storage.local_copy(job.shard.ids, folder)
    except FileNotFoundError as error:
        raise InputError(
            "a shard is gone since the source was listed",
            found=str(error),
            where=job.shard.uri,
            remedy="run again: what the store lists then is read",
        ) from error
    return OpenShard(digest, LocalShard(path, job.rows_per_block, job.plan.vector, ids, job.backend, content))


def _into_memory(job: ShardJob) -> tuple[str, memoryview] | None:
    """Read a shard into page-locked memory and return its SHA-256 and bytes; None where it is to be copied."""
    if not is_held(job.shard, job.held) or (memory := page_locked(job.held)) is None:
        return None
    memory = memory[: job.shard.bytes]
    try:
        digest = storage.read_into(job.shard.uri, memory)
    except StorageError:  # which a range is that begins beyond the end of a shard that became shorter
        _require_unchanged(job, anew=True)
        raise
    _require_unchanged(job, anew=True)  # else ranges may be those of several contents
    if digest is None:
        LOG.debug("the store of %s gives other ranges than are asked for", job.shard.uri)
        return None
    return digest, memory


def _require_unchanged(job: ShardJob, *, anew: bool = False) -> None:
    """Raise InputError where the store has another size or fingerprint for a shard than when it was listed."""
    if fingerprint_of(job.shard.uri, anew=anew) != (job.shard.bytes, job.shard.fingerprint):
        raise InputError(
            "a shard changed while the run was reading the source",
            where=job.shard.uri,
            remedy="run again when nobody writes to the source; write new shards under new names",
        )
