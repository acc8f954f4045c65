"""Work gives the same answer wherever it runs, and a machine that is not there is an error."""

import json
import operator
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from functools import cache, partial
from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra.cluster_files import cluster_names, kubernetes_options, read_cluster, slurm_options
from evenkeel.infra.compute import Compute, _compute, gpu_count, open_compute
from evenkeel.infra.errors import RecipeError, ResourceError
from evenkeel.infra.reduction import results_here

double = partial(operator.mul, 2)


def test_map_keeps_order_here() -> None:
    told: list[int] = []
    assert Compute(threads=4).map(double, list(range(50)), on_done=told.append) == [2 * i for i in range(50)]
    assert told == list(range(1, 51))


def test_of_many_items_few_wait_at_a_time_and_a_failure_stops_the_rest() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            begun.append(item)
            yield item

    for done, found in enumerate(results_here(double, items(), threads=2, ahead=3)):
        assert found == 2 * done
        assert len(begun) <= done + 1 + 6
    assert len(begun) == 1000
    with pytest.raises(ZeroDivisionError):
        list(results_here(partial(operator.floordiv, 1), iter([1, 0, *range(1, 1000)]), threads=2, ahead=3))


def test_reduce_merges_neighbours_in_a_tree_of_fixed_shape() -> None:
    def shape(threads: int, items: int) -> str | None:
        return Compute(threads=threads).reduce(str, lambda left, right: f"({left}{right})", range(items))

    assert shape(1, 0) is None
    assert shape(1, 7) == shape(4, 7) == "(((01)(23))((45)6))"


@pytest.mark.long
def test_reduce_holds_few_results_at_a_time() -> None:
    """15,259 blocks whose results are 16 KiB each: 250 MB if they were gathered, below 2 MB as they are merged."""
    tracemalloc.start()
    merged = Compute(threads=2).reduce(sketch, operator.iadd, range(15_259))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert merged is not None
    assert merged[0] == 15_259 * 15_258 // 2
    assert peak < 2e6


def sketch(item: int) -> np.ndarray:
    return np.full(1 << 11, item, np.int64)


@pytest.mark.slow
def test_reduce_gives_on_workers_what_it_gives_here(tmp_path: Path) -> None:
    with open_compute("local", tmp_path) as compute:
        parts = [float(10.0 ** (item % 17)) for item in range(40)]
        there = compute.reduce(double, operator.add, parts)
        assert compute._client is not None
        assert there == Compute(threads=3).reduce(double, operator.add, parts)
        with pytest.raises(ZeroDivisionError):
            compute.reduce(partial(operator.truediv, 1), operator.add, [1, 0, 2])


@pytest.mark.long
def test_map_keeps_order_on_workers_and_runs_small_work_here(tmp_path: Path) -> None:
    with open_compute("local", tmp_path) as compute:
        assert compute.map(double, []) == []
        here = compute.map(lambda _: os.getpid(), [1, 2], work=10)
        assert set(here) == {os.getpid()}
        assert compute._client is None
        assert compute.map(double, list(range(20))) == [2 * i for i in range(20)]
        with pytest.raises(ZeroDivisionError):
            compute.map(partial(operator.truediv, 1), [1, 0])


class Counted:
    """A function that counts how often it is pickled."""

    pickled = 0

    def __getstate__(self) -> dict[str, object]:
        Counted.pickled += 1
        return {}

    def __call__(self, item: int) -> int:
        return 2 * item


@pytest.mark.slow
def test_what_a_function_holds_is_sent_once_and_not_with_every_item(tmp_path: Path) -> None:
    with open_compute("local", tmp_path) as compute:
        assert compute.map(Counted(), range(60)) == [2 * i for i in range(60)]
        assert compute.reduce(Counted(), operator.add, range(60)) == 60 * 59
        assert compute._client is not None
        assert Counted.pickled < 10


@pytest.mark.slow
def test_a_worker_that_takes_long_to_end_is_not_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_compute("local", tmp_path) as compute:
        compute.map(partial(end_slowly, tmp_path / "ended"), [1, 2, 3, 4])
    assert (tmp_path / "ended").exists()
    assert not [record for record in caplog.records if record.name.startswith("distributed")]


def end_slowly(place: Path, _: int) -> None:
    """Have the process of the worker take six seconds to end, more than Dask gives it."""
    take_long_to_end(place)


@cache
def take_long_to_end(place: Path) -> None:
    Finalize(None, place.touch, exitpriority=1)
    Finalize(None, time.sleep, args=(6,), exitpriority=2)


def test_every_named_cluster_is_readable() -> None:
    assert {read_cluster(name).kind for name in cluster_names()} == {"inline", "local", "gpu", "kubernetes", "slurm"}
    assert read_cluster("dask://host:8786").address == "tcp://host:8786"


def test_unknown_compute_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="inline, kubernetes, kubernetes-gpu, local, slurm"):
        read_cluster("cloud")


@pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU")
def test_gpu_without_a_device_is_an_error() -> None:
    with pytest.raises(ResourceError, match="no CUDA device"), open_compute("gpu"):
        pass


def test_slurm_without_sbatch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with open_compute("slurm") as compute, pytest.raises(ResourceError, match="sbatch"):
        compute.map(double, [1, 2])


@pytest.mark.long
def test_a_single_gpu_worker_shares_the_memory_pool_of_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One device: the worker is a thread of this process. Ready = what it does first, here a note of the process."""
    ready = tmp_path / "ready"
    monkeypatch.setattr("evenkeel.infra.compute.gpu_count", lambda: 1)
    monkeypatch.setattr("evenkeel.infra.gpu_worker.make_ready", lambda worker: ready.write_text(str(os.getpid())))
    with open_compute("gpu", tmp_path) as compute:
        assert (compute.backend, compute.driver_device, compute.kind_of_device) == ("gpu", True, "cuda")
        assert set(compute.map(lambda _: os.getpid(), [1, 2, 3])) == {os.getpid()}
        assert compute._client is not None
        assert ready.read_text() == str(os.getpid())
        assert list(compute._client.nthreads().values()) == [os.cpu_count()], "cores beside the device are not idle"


def test_pods_pull_the_image_of_the_commit_from_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENKEEL_COMMIT", "abc1234")
    monkeypatch.delenv("EVENKEEL_REGISTRY", raising=False)
    assert kubernetes_options(read_cluster("kubernetes"))["image"] == "evenkeel:abc1234"
    monkeypatch.setenv("EVENKEEL_REGISTRY", "registry.example.com/team/")
    found = [kubernetes_options(read_cluster(name))["image"] for name in ("kubernetes", "kubernetes-gpu")]
    assert found == [f"registry.example.com/team/evenkeel:abc1234{end}" for end in ("", "-gpu")]


@pytest.mark.parametrize("name", ["kubernetes-gpu", "slurm-gpu"])
def test_workers_with_gpus_ask_for_them_and_keep_their_work(name: str) -> None:
    config = read_cluster(name)
    asked = {"kubernetes": kubernetes_options, "slurm": slurm_options}[config.kind](config)
    assert '"nvidia.com/gpu": "1"' in json.dumps(asked) or "--gres=gpu:1" in asked["job_extra_directives"]
    assert "gpu" not in json.dumps([kubernetes_options(read_cluster("kubernetes"))["resources"]])
    assert "job_extra_directives" not in slurm_options(read_cluster("slurm"))
    compute = _compute(name, config, None)
    assert (compute.backend, compute.kind_of_device) == ("gpu", "cuda-workers")
    assert not compute._small([1], 1), "what needs a device does not run in a driver that has none"
    assert Compute(inline_below=2)._small([1, 2], 1)


QUIET = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from evenkeel.infra.compute import open_compute
from pathlib import Path
if __name__ == "__main__":
    with open_compute(sys.argv[1], Path(sys.argv[2])) as compute:
        print(compute.map(str, [1, 2, 3]))
"""


@pytest.mark.slow
def test_dask_says_nothing_below_a_warning(tmp_path: Path) -> None:
    """Also in a program of somebody who logs everything, and has not set our defaults."""
    (tmp_path / "quiet.py").write_text(QUIET)
    (tmp_path / "two.yaml").write_text("{kind: local, workers: 2}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DASK_")}
    command = [sys.executable, "quiet.py", "two.yaml", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "['1', '2', '3']\n"
    assert "distributed" not in done.stderr
