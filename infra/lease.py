"""One holder of a name at a time, on a local disk or on a store; what a dead holder held is free again.

On a local disk it is an OS lock on a file, which the system lets go with the process, at once. On a store it is a small
object: created where there is none, renewed every 20 s, and taken over by a conditional write when it is 90 s old by
the store's clock. Who is paused for longer than that loses it; so a lease keeps runs from doing work twice, and what
must never happen twice is decided by the catalog's commits.
"""

import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from evenkeel.infra import storage
from evenkeel.infra.errors import DatasetBusy, StorageError
from evenkeel.infra.listing import store_time, touched
from evenkeel.infra.writable import is_s3

RENEW_SECONDS = 20.0
EXPIRE_SECONDS = 90.0
POLL_SECONDS = 1.0
CARD_BYTES = 512
LOG = logging.getLogger(__name__)


@contextmanager
def held(uri: str, what: str, *, wait: bool = True, tell: Callable[[str], None] = LOG.info) -> Iterator[None]:
    """Hold the lease at `uri` while the block lasts, after whoever holds it now.

    what: is held, for messages. wait: False raises DatasetBusy, which says who holds it, instead of waiting. tell: is
    called with one sentence before each wait for another holder.
    """
    lease = _FileLease(Path(storage.filesystem(uri)[1])) if storage.is_local(uri) else _StoreLease(uri)
    told = ""
    while not lease.take():
        holder = lease.holder()
        if not wait:
            raise DatasetBusy(
                f"another run of {what} is going on", found=holder, where=uri, remedy="run again when it has ended"
            )
        if holder != told:
            tell(f"waits for another run of {what}: {holder}")
            told = holder
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lease.give_back()


def _card(owner: str) -> bytes:
    """Return what a lease says of its holder."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"owner": owner, "process": os.getpid(), "machine": socket.gethostname(), "since": now}
    return json.dumps(document).encode()


def _words(card: bytes) -> str:
    try:
        found = json.loads(card)
        return f"process {found['process']} on {found['machine']}, since {found['since']}"
    except (ValueError, KeyError):
        return "it has just begun"


@dataclass
class _FileLease:
    """An OS lock on a file; the file stays and says who held it last."""

    path: Path
    _descriptor: int = -1

    def take(self) -> bool:
        """Take the lock if it is free."""
        with storage.store_errors("write", str(self.path)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.pwrite(descriptor, _card(secrets.token_hex(8)).ljust(CARD_BYTES), 0)  # in one piece: others read it any time
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        """Say who holds the lock."""
        return _words(self.path.read_bytes())

    def give_back(self) -> None:
        """Let the lock go."""
        os.close(self._descriptor)


@dataclass
class _StoreLease:
    """An object that is renewed while it is held."""

    uri: str
    owner: str = field(default_factory=lambda: secrets.token_hex(16))
    _tag: str = ""
    _over: threading.Event = field(default_factory=threading.Event)
    _renewer: threading.Thread | None = None

    def take(self) -> bool:
        """Create the object where there is none, or take it over where it has expired."""
        if not storage.create_bytes(self.uri, _card(self.owner)):
            try:
                age, tag = self._seen()
            except FileNotFoundError:
                return False
            if age < EXPIRE_SECONDS or not self._replace(tag):
                return False
        elif not self._tag:
            self._tag = self._seen()[1]
        self._renewer = threading.Thread(target=self._renew, daemon=True, name="evenkeel-lease")
        self._renewer.start()
        return True

    def holder(self) -> str:
        """Say who holds the object."""
        with suppress(FileNotFoundError):
            return _words(storage.read_bytes(self.uri))
        return "it has just ended"

    def give_back(self) -> None:
        """Remove the object, if it is still ours."""
        self._over.set()
        assert self._renewer is not None
        self._renewer.join()
        with suppress(FileNotFoundError, StorageError):  # where the store is away, the lease expires
            if self._is_ours():
                storage.remove(self.uri)

    def _renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            try:
                if not self._replace(self._tag):
                    LOG.warning("the lease was taken over: this process was silent for too long (%s)", self.uri)
                    return
            except (OSError, StorageError) as error:
                LOG.warning("the lease could not be renewed: %s", error)

    def _replace(self, tag: str) -> bool:
        """Write the object anew if it is still the one with this tag; return whether it was."""
        fs, path = storage.filesystem(self.uri)
        card = _card(self.owner)
        if not is_s3(fs):
            if tag == self._tag and not self._is_ours():
                return False
            storage.write_bytes(self.uri, card)
            return self._is_ours()
        bucket, key, _ = fs.split_path(path)
        try:
            answer = fs.call_s3("put_object", Bucket=bucket, Key=key, Body=card, IfMatch=tag)
        except (OSError, FileNotFoundError) as error:
            if isinstance(error, FileNotFoundError) or any(sign in str(error) for sign in CHANGED):
                return False
            raise
        self._tag = str(answer["ETag"])
        return True

    def _seen(self) -> tuple[float, str]:
        """Return how old the object is in seconds, by the store's clock, and its tag."""
        fs, path = storage.filesystem(self.uri)
        fs.invalidate_cache()
        info = fs.info(path)
        now = store_time(self.uri.rpartition("/")[0])
        return (now - touched(info)).total_seconds(), str(info.get("ETag", ""))

    def _is_ours(self) -> bool:
        return self.owner.encode() in storage.read_bytes(self.uri)


CHANGED = ("PreconditionFailed", "pre-conditions", "ConditionalRequestConflict")
