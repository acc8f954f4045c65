"""A process takes no more than its budget, which follows from the machine and the recipe: tasks wait for memory."""

import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from evenkeel.infra import memory
from evenkeel.infra.cluster_files import read_cluster
from evenkeel.infra.compute import Compute, _compute
from evenkeel.infra.memory import GIB, TASKS, Budget, machine_memory, piece_bytes, usable_memory


def test_memory_is_reckoned_as_dask_does_or_less() -> None:
    from distributed.system import memory_limit

    assert machine_memory() <= memory_limit()


@pytest.mark.parametrize(
    ("group", "limits", "least"),
    [
        ("0::/slurm/job-7/step", {"memory.max": 9 * GIB, "slurm/job-7/memory.max": 3 * GIB}, 3),
        ("0::/slurm/job-7", {"memory.max": 2 * GIB, "slurm/job-7/memory.max": 5 * GIB}, 2),
        ("0::/a", {"a/memory.max": "max", "a/memory.high": GIB}, 1),
        ("4:memory:/a/b", {"memory/a/memory.limit_in_bytes": 2 * GIB, "a/b/memory.max": GIB}, 2),
        ("0::/a", {"b/memory.max": GIB}, None),
    ],
)
def test_the_least_limit_of_the_control_groups_above_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, limits: dict[str, object], least: int | None
) -> None:
    for name, limit in limits.items():
        place = tmp_path / "fs" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{limit}\n")
    (tmp_path / "own").write_text(f"1:cpu:/elsewhere\n{group}\n")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path / "fs")
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=10 * GIB))
    assert machine_memory() == (10 if least is None else least) * GIB


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 100 GiB, of which a run uses 80."""
    monkeypatch.setattr(memory, "machine_memory", lambda: 100 * GIB)


@pytest.mark.usefixtures("machine")
def test_the_processes_of_a_machine_share_it() -> None:
    assert Budget.of(0, here=True) == Budget(80 * GIB, 80 * GIB)
    three = Budget.of(3, here=True)
    assert (three.driver, three.worker) == (20 * GIB, 20 * GIB)
    many = Budget.of(60, here=True)
    assert (many.driver, many.worker) == (20 * GIB, GIB), "a driver is not starved by many workers"
    assert Budget.of(4, here=True, own=10 * GIB) == Budget(40 * GIB, 10 * GIB)
    assert Budget.of(8, here=False, own=16 * GIB) == Budget(80 * GIB, 16 * GIB)
    assert Budget.of(3, here=True, asked=4) == Budget(4 * GIB, 4 * GIB)
    assert Budget.of(8, here=False, own=16 * GIB, asked=32) == Budget(32 * GIB, 16 * GIB)
    for workers in range(1, 200):
        found = Budget.of(workers, here=True)
        assert found.driver + workers * found.worker <= usable_memory()


@pytest.mark.usefixtures("machine")
def test_a_cluster_has_the_budget_of_the_recipe() -> None:
    inline = _compute("inline", read_cluster("inline"), None, 3)
    assert (inline.alone, inline.driver_limit) == (True, 3 * GIB)
    local = _compute("local", read_cluster("local"), None, 3)
    assert (local.alone, local.driver_limit, local.memory_limit) == (False, 3 * GIB, 3 * GIB)
    pods = _compute("kubernetes", read_cluster("kubernetes"), None)
    assert (pods.driver_limit, pods.memory_limit, pods.worker_threads) == (80 * GIB, 16 * GIB, 4)


@pytest.mark.parametrize("budget", [1, 2, 4])
def test_no_more_tasks_run_at_a_time_than_the_budget_holds(budget: int) -> None:
    """Four threads; each task takes 100 bytes, and waits until as many are in it as may be."""
    together, lock, inside, most = threading.Barrier(budget), threading.Lock(), [0], [0]

    def task(item: int) -> int:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        together.wait(timeout=60)
        with lock:
            inside[0] -= 1
        return item

    compute = Compute(threads=4, driver_limit=int(budget * 100 / TASKS))
    assert compute.map(task, range(4 * budget), each=100) == list(range(4 * budget))
    assert most == [budget]


def test_a_task_that_passes_the_budget_runs_alone_and_one_that_fails_frees_its_memory() -> None:
    def fails_on_three(item: int) -> int:
        if item == 3:
            raise ZeroDivisionError
        return item

    compute = Compute(threads=4, driver_limit=10)
    assert compute.map(fails_on_three, [1, 2], each=1e9) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        compute.map(fails_on_three, [1, 2, 3, 4], each=1e9)
    assert memory._tasks._taken == 0
    assert compute.reduce(fails_on_three, int.__add__, [1, 2, 4], work=10**9) == 7


def test_what_a_task_takes_follows_from_the_data_it_names() -> None:
    assert memory.bytes_of_a_task(None, 3) == 0
    assert memory.bytes_of_a_task(3000, 3) == memory.COPIES * 1000
    assert memory.bytes_of_a_task(10**15, 3) == memory.COPIES * memory.BLOCK_BYTES, "no task holds more than a block"
    assert piece_bytes(8 * GIB, 2) == GIB // 2
    ranges = [Compute(threads=2, driver_limit=limit * GIB).rows_of_a_task(0, 100, 1 << 24) for limit in (1, 2, 100)]
    assert ranges == [int(TASKS * GIB / 200), int(TASKS * GIB / 100), 1 << 24]
