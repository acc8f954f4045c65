"""Attempts to stage: each notes its folder before it writes there, so that the next clears what a killed one left."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from evenkeel.infra import storage
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.publish.layout import MANIFEST


@contextmanager
def attempt(out: StepFolder, folder: str) -> Iterator[None]:
    """Note that this process writes into `folder`; where it fails, the folder and the note are removed again."""
    note = out.path("attempts", f"{folder.rpartition('/')[2]}.json")
    storage.write_json(note, {"folder": folder, "host": socket.gethostname(), "pid": os.getpid()})
    try:
        yield
    except Exception:
        storage.remove(folder)
        storage.remove(note)
        raise


def clear_killed(out: StepFolder) -> None:
    """Remove what killed attempts of this very step on this machine left; a prune removes what other machines left.

    A folder with a manifest may be a version by now, and is left alone.
    """
    for uri in storage.list_files(out.path("attempts")):
        if not uri.endswith(".json"):  # a draft of one that is being written, or was when its process was killed
            continue
        note = storage.read_json(uri)
        if note["host"] == socket.gethostname() and not _is_alive(note["pid"]):
            if not storage.exists(storage.join(note["folder"], MANIFEST)):
                storage.remove(note["folder"])
            storage.remove(uri)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
