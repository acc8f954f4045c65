"""End what a process started when it ends, however it ends: a small process watches it from outside.

A process that is killed with SIGKILL, or by the kernel for its memory, cannot tidy up. The watchdog is its child, so
the operating system tells it of the death: its parent is another process then, and its standard input is closed. It
ends what carries the process's mark in its environment, and the processes it was told of.
"""

import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

MARK = "EVENKEEL_OWNER"
EPHEMERAL = "PREFECT__SERVER_EPHEMERAL"
POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0

_watched: dict[int, int] = {}


def end_children_with_this_process(*, mark: bool = False) -> None:
    """Have the temporary Prefect servers that this process has started ended when it ends, even by SIGKILL.

    mark: also have everything ended that it starts from now on, with all descendants, by a variable in their
    environment. Called again in one process it does nothing.
    """
    if os.getpid() in _watched:
        return
    servers = [child for child in psutil.Process().children() if EPHEMERAL in _environment(child)]
    known = [f"{child.pid}:{child.create_time()}" for child in servers]
    owner = secrets.token_hex(16)
    theirs, ours = os.pipe()  # ours is closed by the system when this process ends, and by nobody before
    watchdog = subprocess.Popen(
        [sys.executable, "-m", __name__, str(os.getpid()), owner, *known],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C in the terminal is not for it
    )
    os.close(theirs)
    watchdog.returncode = 0  # it outlives this process, which need not wait for it
    _watched[os.getpid()] = ours
    if mark:
        os.environ[MARK] = owner


def watch(parent: int, owner: str, known: Iterable[tuple[int, float]]) -> None:
    """Wait until the process `parent` has ended, then end what it left: asked first, killed after five seconds."""
    while os.getppid() == parent:
        if select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
            break
    told = [process for pid, born in known if (process := _alive(pid, born)) is not None]
    for _ in range(3):  # what was being started at that moment shows its environment a little later
        left = [*told, *(one for one in psutil.process_iter() if _environment(one).get(MARK) == owner)]
        _end(left)
        told = []
        time.sleep(POLL_SECONDS)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    for process in alive:
        _signal(process, kill=True)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    with suppress(psutil.Error):
        process.kill() if kill else process.terminate()


def _alive(pid: int, born: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if process.create_time() == born else None
    except psutil.NoSuchProcess:
        return None


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


if __name__ == "__main__":
    parent, owner, *known = sys.argv[1:]
    watch(int(parent), owner, [(int(pid), float(born)) for pid, _, born in (one.partition(":") for one in known)])
