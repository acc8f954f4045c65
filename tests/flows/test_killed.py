"""What a process started ends with it, however it ends; what it did not mark lives on."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

Found = TypeVar("Found")
OWNER = """
    import os, subprocess, sys, time
    from evenkeel.infra.watchdog import MARK, end_children_with_this_process

    nap = "import time; time.sleep(600)"
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); " + nap
    server = subprocess.Popen([sys.executable, "-c", nap], env={**os.environ, "PREFECT__SERVER_EPHEMERAL": "1"})
    stranger = subprocess.Popen([sys.executable, "-c", nap], start_new_session=True)
    end_children_with_this_process(mark=True)
    end_children_with_this_process(mark=True)
    family = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', %r], start_new_session=True).wait()" % nap
    child = subprocess.Popen([sys.executable, "-c", family])
    deaf = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
    deaf.stdout.readline()
    print(server.pid, stranger.pid, child.pid, deaf.pid, flush=True)
    {end}
"""


@pytest.mark.long
@pytest.mark.parametrize("end", ["killed", pytest.param("returned", marks=pytest.mark.slow)])
def test_children_end_with_their_parent(end: str) -> None:
    code = textwrap.dedent(OWNER).replace("{end}", "time.sleep(600)" if end == "killed" else "os._exit(0)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        server, stranger, child, deaf = (psutil.Process(int(pid)) for pid in owner.stdout.readline().split())
        marked = [server, child, deaf]
        if end == "killed":
            marked += until(child.children)
            owner.kill()
        owner.wait()
    try:
        until(lambda: not [one for one in marked if alive(one)])
        until(lambda: not [one for one in psutil.process_iter() if watches(one, owner.pid)])
        assert alive(stranger)
    finally:
        for one in (stranger, *marked):
            if alive(one):
                one.kill()


@pytest.mark.slow
@pytest.mark.server
def test_a_killed_run_leaves_neither_server_nor_workers(recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("kind: local\nworkers: 1\nmemory: 1GiB\ninline_below: 1B\n")
    options = ["--set", f"compute={tmp_path / 'one.yaml'}"]
    command = [sys.executable, "-m", "evenkeel.flows.cli.main", "run", str(recipe_file), *options]
    with (tmp_path / "log").open("wb") as log:
        own = os.environ | {"PREFECT_HOME": str(tmp_path / "prefect")}
        run = subprocess.Popen(command, stdout=log, stderr=log, env=own)
    family: list[psutil.Process] = []

    def began() -> bool:
        assert run.poll() is None, (tmp_path / "log").read_text()
        family[:] = psutil.Process(run.pid).children(recursive=True)
        names = [" ".join(one.cmdline()) for one in family if alive(one)]
        return any("own_server_process" in name for name in names) and any("spawn_main" in name for name in names)

    until(began, 240)
    run.kill()
    run.wait()
    until(lambda: not [one for one in family if alive(one)])


def until(found: Callable[[], Found], seconds: float = 60) -> Found:
    """Return what `found` finds as soon as it finds anything."""
    deadline = time.monotonic() + seconds
    while not (thing := found()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return thing


def alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def watches(process: psutil.Process, pid: int) -> bool:
    try:
        return list(process.cmdline()[1:4]) == ["-m", "evenkeel.infra.watchdog", str(pid)]
    except psutil.Error:
        return False
