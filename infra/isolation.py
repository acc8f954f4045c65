"""Call a function in a process of its own, so that a native crash or an out-of-memory kill costs one call alone.

The process is started once and used again by later calls; it ends with this one, or after a minute without a call. It
is a plain child with two pipes, so that it can also be started where `multiprocessing` may not: in a Dask worker.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import cast

from evenkeel.infra import errors
from evenkeel.infra.errors import EvenkeelError

Json = dict[str, object]
TRIES = 2
IDLE_SECONDS = 60.0
OOM_SCORE = "500"
"""Added to the score of the child, so that the kernel ends it and not the run where memory is short."""


class ProcessDied(Exception):
    """The process ended in the middle of a call, `TRIES` times. reason: the signal or exit code, in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class _Child:
    """A process that waits for calls. place: the path, folder and environment that it was started with."""

    process: "subprocess.Popen[bytes]"
    calls: Connection
    answers: Connection
    place: int

    def end(self, *, kill: bool = False) -> int:
        """End the process and return its exit code, negative for a signal."""
        if kill:
            self.process.kill()
        self.calls.close()
        self.answers.close()
        return self.process.wait()


_idle: list[_Child] = []
_lock = threading.Lock()


def call_isolated(function: Callable[[Json], Json], argument: Json) -> Json:
    """Return `function(argument)`, computed in another process of this machine; threads may call at the same time.

    `function` is a module-level function from JSON to JSON: it travels by its name, and nothing is unpickled. What it
    raises is raised here, errors on purpose and of the system as what they are, others as RuntimeError. Where the
    process dies, the call is tried once more in a new one, so the function may run twice.
    Raises ProcessDied where that one dies, too.
    """
    call = json.dumps([function.__module__, function.__name__, argument]).encode()
    died = 0
    while True:
        child = _take()
        try:
            child.calls.send_bytes(call)
            answer = json.loads(child.answers.recv_bytes())
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = child.end()
            if code == 0:  # it had waited for a minute and ended just now
                continue
            died += 1
            if died == TRIES:
                raise ProcessDied(_in_words(code)) from None
            continue
        except BaseException:
            child.end(kill=True)
            raise
        with _lock:
            _idle.append(child)
        if "error" in answer:
            raise _error(answer)
        return cast(Json, answer["result"])


def _take() -> _Child:
    """Return a process that waits, in the environment of this one as it is now, or start one."""
    place = hash((os.getpid(), os.getcwd(), tuple(sys.path), tuple(sorted(os.environ.items()))))
    with _lock:
        stale = [child for child in _idle if child.place != place or child.process.poll() is not None]
        _idle[:] = [child for child in _idle if child not in stale]
        waiting = _idle.pop() if _idle else None
    for child in stale:
        child.end()
    if waiting is not None:
        return waiting
    theirs, calls = os.pipe()
    answers, ours = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=theirs,
        stdout=ours,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    os.close(theirs)
    os.close(ours)
    return _Child(process, Connection(calls, readable=False), Connection(answers, writable=False), place)


def _in_words(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}, twice"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", as the kernel does where memory is short" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{memory}, twice"


@atexit.register
def _end_idle() -> None:
    with _lock:
        left, _idle[:] = list(_idle), []
    for child in left:
        child.end()


def serve() -> None:
    """Answer calls from standard input until it ends, or until none has come for a minute."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is for the parent
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(OOM_SCORE)
    calls, answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # what a library prints is no answer
    while calls.poll(IDLE_SECONDS):
        try:
            module, name, argument = json.loads(calls.recv_bytes())
        except EOFError:
            return
        answer: Json
        try:
            answer = {"result": getattr(import_module(module), name)(argument)}
        except Exception as error:
            answer = _about(error)
        answers.send_bytes(json.dumps(answer).encode())


def _about(error: Exception) -> Json:
    """Return an error as JSON."""
    if isinstance(error, EvenkeelError):
        parts = {part: getattr(error, part) for part in ("expected", "found", "where", "remedy")}
        return {"error": type(error).__name__, "message": error.message, "parts": parts}
    if isinstance(error, OSError) and error.errno is not None:
        return {"error": "OSError", "message": [error.errno, error.strerror, error.filename and str(error.filename)]}
    return {"error": "RuntimeError", "message": f"{type(error).__name__}: {error}"}


def _error(answer: Json) -> Exception:
    """Return the error that `_about` describes."""
    kind, message = str(answer["error"]), answer["message"]
    if kind == "OSError" and isinstance(message, list):
        return OSError(*message)
    parts = answer.get("parts")
    found = getattr(errors, kind, None)
    if isinstance(parts, dict) and isinstance(found, type) and issubclass(found, EvenkeelError):
        return found(str(message), **parts)
    return RuntimeError(message)


if __name__ == "__main__":
    serve()
