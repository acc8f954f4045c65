"""A reader that ends its process loses one shard, not the run, in this process and on workers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from evenkeel.infra.errors import InputError
from evenkeel.infra.isolation import Json, ProcessDied, call_isolated
from evenkeel.tasks.ingest.guarded import WrittenPack
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import ColumnPlan, ShardJob
from evenkeel.tasks.ingest.reasons import Reason
from tests.contributing.scratch import install

READER = """
import os, signal
import numpy as np
import pyarrow as pa
from evenkeel.tasks.ingest.reader import Batch, Reader, ShardSchema

class Deadly(Reader):
    name = "deadly"
    def inspect(self, stream, name):
        first = stream.read()
        if first.startswith(b"inspect"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return ShardSchema(pa.schema([("text", pa.string())]))
    def batches(self, shard):
        text = shard.path.read_text()
        yield Batch(np.arange(2), pa.table({"text": [f"{text} {row}" for row in (0, 1)]}))
        if text == "once" and not os.path.exists("tried"):
            open("tried", "w").close()
            os.kill(os.getpid(), signal.SIGSEGV)
        if text.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, text))
        yield Batch(np.array([2]), pa.table({"text": [f"{text} 2"]}))
"""

RUN = """
import json, sys
from pathlib import Path
from evenkeel.infra.compute import open_compute
from evenkeel.tasks.ingest import packs
from tests.ingest.pools import ingest

if __name__ == "__main__":
    folder, packs.PACKED = Path(sys.argv[1]), int(sys.argv[3])
    with open_compute(sys.argv[2], folder) as compute:
        compute.inline_below = 0
        pool = ingest(folder, compute, uri=str(folder / "pool"), format="deadly", max_quarantined=1.0, rows_per_block=2)
        assert (compute._client is not None) == (sys.argv[2] == "local")
    texts = [text for block in pool.blocks for text in pool.text(block).to_pylist()]
    files = sorted(path.stem for path in Path(pool.uri).glob("rows/*"))
    print(json.dumps([texts, [shard.reason for shard in pool.shards], files == [block.name for block in pool.blocks]]))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("compute", "packed"),
    [
        ("inline", 2),
        pytest.param("inline", 64, marks=pytest.mark.slow),
        pytest.param("local", 2, marks=pytest.mark.slow),
    ],
)
def test_a_crash_loses_one_shard(tmp_path: Path, compute: str, packed: int) -> None:
    (tmp_path / "pool").mkdir()
    for number, text in enumerate(["fine", "SIGSEGV", "once", "SIGKILL", "inspect", "last"]):
        (tmp_path / "pool" / f"{number}.deadly").write_text(text)
    (tmp_path / "deadly_reader.py").write_text(READER)
    install(tmp_path, "deadly-reader", "1.0", {"evenkeel.readers": {"deadly": "deadly_reader:Deadly"}})
    (tmp_path / "run.py").write_text(RUN)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "run.py", str(tmp_path), compute, str(packed)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "EVENKEEL_ISOLATE_READERS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    texts, reasons, tidy = json.loads(done.stdout)
    assert texts == [f"{text} {row}" for text in ("fine", "once", "last") for row in range(3)]
    named = ["", "SIGSEGV", "", "SIGKILL", "SIGSEGV", ""]
    assert [bool(reason) for reason in reasons] == [bool(name) for name in named]
    assert all(name in reason for name, reason in zip(named, reasons, strict=True))
    assert tidy, "blocks of a shard that was refused are left"


@pytest.mark.long
def test_calls_share_a_process_and_raise_what_the_function_raises() -> None:
    first, second = call_isolated(pid, {}), call_isolated(pid, {})
    assert first == second != pid({})
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        call_isolated(divide, {"by": 0})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        call_isolated(open_file, {"path": "/nowhere"})
    long = "x" * (1 << 20)
    with pytest.raises(InputError, match="nothing") as raised:
        call_isolated(refuse, {"what": long})
    assert raised.value.expected == long
    assert call_isolated(pid, {}) == first
    with pytest.raises(ProcessDied, match="SIGKILL"):
        call_isolated(die, {"by": signal.SIGKILL})
    assert call_isolated(pid, {}) != first


def test_a_job_travels_as_json() -> None:
    nested = pa.list_(pa.struct([("x", pa.decimal128(9, 2))]))
    types: dict[str, pa.DataType] = {"a b": nested, "": pa.uuid(), "n": pa.null()}
    refused: dict[int, tuple[Reason, str, int | None]] = {7: (Reason.TYPE_MISMATCH, "no vector", None)}
    plan = ColumnPlan(
        "id", groups=("g",), types=types, refused=refused, guessed=("vector",), partitions={"lang": pa.string()}
    )
    shard = ListedShard(number=7, uri="s3://a/b", name="b", format="parquet", bytes=3, fingerprint="f")
    job = ShardJob(7, shard, plan, "out", Path("scratch"), 10, 20, "gpu", 3, "registry")
    assert WrittenPack.model_validate_json(WrittenPack.of((job,)).model_dump_json()).jobs() == (job,)


def pid(_: Json) -> Json:
    return {"pid": os.getpid()}


def divide(asked: Json) -> Json:
    return {"by": 1 / asked["by"]}  # type: ignore[operator]


def open_file(asked: Json) -> Json:
    Path(str(asked["path"])).read_bytes()
    return {}


def refuse(asked: Json) -> Json:
    raise InputError("nothing", expected=str(asked["what"]))


def die(asked: Json) -> Json:
    os.kill(os.getpid(), int(str(asked["by"])))
    return {}
