"""Where the work of a step runs: in this process, or on a Dask cluster chosen by name.

A cluster is a small YAML file in `infra/clusters/`; `open_compute("local")` reads `local.yaml`. An address such as
`tcp://scheduler:8786` (also spelled `dask://scheduler:8786`) joins a cluster that runs already.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from evenkeel.infra.cluster_files import ClusterConfig, Products, kubernetes_options, read_cluster, slurm_options
from evenkeel.infra.errors import ResourceError
from evenkeel.infra.gpu_worker import gpu_plugin
from evenkeel.infra.memory import Budget, Within, bytes_of_a_task, piece_bytes, rows_of_a_task, shard_bytes
from evenkeel.infra.patience import patient_nanny
from evenkeel.infra.reduction import map_on, reduce_here, reduce_on, results_here

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")
Backend = Literal["cpu", "gpu"]
AHEAD = 64  # items a thread that wait in a map of this process: enough that one slow item holds up no other thread


@dataclass
class Compute:
    """A place to run functions; the default Compute() is this process.

    backend: "cpu" (numpy, pandas) or "gpu" (cupy, cudf). threads: of this process; worker_threads: of a worker.
    memory_limit: bytes that one worker may take; driver_limit: that this process may. here: whether they share
    a machine.
    isolated: whether readers of shards run in processes of their own, so that a crash loses a shard and not the run.
    driver_device: whether this process has a CUDA device of its own, as workers of the backend "gpu" have.
    products: how exact matrix products are on a GPU; what comes out does not depend on it.
    start: makes the `distributed.Client` when the first large map asks for it; None keeps everything in this process.
    report: where Dask's performance report is written when a cluster that was started ends.
    """

    name: str = "inline"
    backend: Backend = "cpu"
    workers: int = 1
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    worker_threads: int = 1
    memory_limit: int = 2 << 30
    driver_limit: int = field(default_factory=lambda: Budget.of(0, here=True).driver)
    here: bool = True
    inline_below: int = 0
    isolated: bool = False
    driver_device: bool = False
    products: Products = "tf32"
    start: "Callable[[], Client] | None" = None
    report: Path | None = None
    _client: "Client | None" = field(default=None, repr=False)
    _reporting: AbstractContextManager[None] | None = field(default=None, repr=False)

    @property
    def kind_of_device(self) -> str:
        """What keeps outputs of different devices apart: "cpu", "cuda", or "cuda-workers" where the driver has none."""
        cuda = "cuda" if self.driver_device else "cuda-workers"
        return cuda if self.backend == "gpu" else self.backend

    @property
    def devices(self) -> int:
        """How many CUDA devices the workers have together: one each; 0 on the CPU."""
        return self.workers if self.backend == "gpu" else 0

    @property
    def alone(self) -> bool:
        """Tell whether this process does everything."""
        return self.start is None and self._client is None

    @property
    def client(self) -> "Client | None":
        """The `distributed.Client`, started on first use; None where everything runs in this process."""
        if self._client is None and self.start is not None:
            self._client = self.start()
            if self.report is not None:
                from distributed import performance_report

                self._reporting = performance_report(filename=str(self.report), mode="inline")
                self._reporting.__enter__()
        return self._client

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        work: int | None = None,
        each: float | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Result]:
        """Return `[function(item) for item in items]`, in order, computed on the workers.

        `function` is a module-level function or a functools.partial of one; items and results are small (paths, names,
        sums), never blocks of data. `work` is the number of bytes that the items name: below `inline_below` the map
        runs here, in threads. `each` is what one of them takes, else a few times what one names: no more run at a time
        in a process than its memory allows. `on_done` is called with the number of finished items. Failures are raised
        unchanged.
        """
        here = self._small(items, work) or self.client is None
        function = self._within(function, items, work, each, here=here)
        if here or self.client is None:
            return self._map_here(function, items, on_done)
        from distributed import as_completed

        futures = map_on(self.client, function, items)
        for count, future in enumerate(as_completed(futures), start=1):
            if (error := future.exception()) is not None:
                self.client.cancel(futures)
                raise error
            if on_done is not None:
                on_done(count)
        results: list[Result] = self.client.gather(futures)
        return results

    def reduce(
        self,
        function: Callable[[Item], Result],
        merge: Callable[[Result, Result], Result],
        items: Sequence[Item],
        *,
        work: int | None = None,
    ) -> Result | None:
        """Return the results of `function` for all items, merged in pairs on the workers; None without items.

        The driver receives the last result alone, so its memory is bounded. The tree of merges follows
        from the number of items, so that sums of floats do not depend on the workers. `function`, `merge` and `work` as
        in `map`; a result that is merged is not used again, so `merge` may change it. Failures are raised unchanged.
        """
        here = self._small(items, work) or self.client is None
        function = self._within(function, items, work, None, here=here)
        if here or self.client is None:
            return reduce_here(function, merge, items, self.threads)
        return reduce_on(self.client, function, merge, items)

    def piece_bytes(self, work: int) -> int:
        """Return how many bytes of rows a task of a map over so many may hold before it writes them."""
        return piece_bytes(*self._process(here=self.alone or work < self.inline_below))

    def shard_bytes(self, work: int) -> int:
        """Return how many bytes a shard may have that a task of a map over so many holds in memory for a device."""
        return shard_bytes(*self._process(here=self.alone or work < self.inline_below))

    def rows_of_a_task(self, work: int, each: float, most: int) -> int:
        """Return how many rows of `each` bytes a task of a map over `work` bytes may hold; at most `most`."""
        return rows_of_a_task(*self._process(here=self.alone or work < self.inline_below), each, most)

    def _process(self, *, here: bool) -> tuple[int, int]:
        """Return the bytes that this process or a worker may take, and its threads."""
        return (self.driver_limit, self.threads) if here else (self.memory_limit, self.worker_threads)

    def _within(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        work: int | None,
        each: float | None,
        *,
        here: bool,
    ) -> Callable[[Item], Result]:
        """Return a function that waits for the memory it takes, where several run at a time in a process."""
        budget, threads = self._process(here=here)
        size = bytes_of_a_task(work, len(items)) if each is None else each
        return Within(function, size, budget) if threads > 1 and size else function

    def _small(self, items: Sequence[Item], work: int | None) -> bool:
        """Tell whether work is done here: where it is little, and no CUDA device is missing here."""
        little = len(items) < 2 or (work is not None and work < self.inline_below)
        return little and not (self.backend == "gpu" and not self.driver_device)

    def _map_here(
        self, function: Callable[[Item], Result], items: Iterable[Item], on_done: Callable[[int], None] | None
    ) -> list[Result]:
        results: list[Result] = []
        for count, result in enumerate(results_here(function, items, self.threads, AHEAD), start=1):
            results.append(result)
            if on_done is not None:
                on_done(count)
        return results

    def close(self) -> None:
        """End the cluster if one was started."""
        client, self._client, self.start = self._client, None, None
        if self._reporting is not None:
            with suppress(Exception):  # a cluster that broke reports nothing, and must still be ended
                self._reporting.__exit__(None, None, None)
        if client is not None:
            cluster = client.cluster
            client.close()
            if cluster is not None:
                cluster.close()


@contextmanager
def open_compute(
    name: str, scratch: Path | None = None, report: Path | None = None, memory_gib: float | None = None
) -> Iterator[Compute]:
    """Yield the Compute called `name`; a cluster starts when first needed and ends with the block.

    memory_gib: what the driver and each worker may take; None = a share of the machine, and what the workers have.
    Raises RecipeError for an unknown name and ResourceError where the machine asked for is not there: `gpu` without a
    device is an error, never a quiet fallback to the CPU.
    """
    compute = _compute(name, read_cluster(name), scratch, memory_gib)
    compute.report = report
    try:
        yield compute
    finally:
        compute.close()


def gpu_count() -> int:
    """Return the number of CUDA devices that NVML reports; 0 without driver or device."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except Exception:  # NVML has one error class per cause, and none is importable without the library
        return 0


def _compute(name: str, config: ClusterConfig, scratch: Path | None, memory_gib: float | None = None) -> Compute:
    from dask.utils import parse_bytes

    cores = os.cpu_count() or 1
    inline_below = int(parse_bytes(config.inline_below))
    if config.kind == "inline":
        budget = Budget.of(0, here=True, asked=memory_gib)
        return Compute(
            name=name,
            threads=cores,
            memory_limit=budget.worker,
            driver_limit=budget.driver,
            isolated=isolates(),
        )
    if config.kind == "gpu" and gpu_count() == 0:
        raise ResourceError(
            "compute: gpu asked for, but this machine has no CUDA device",
            found="NVML reports no device",
            remedy="run on a machine with a GPU, or set compute: local",
        )
    on_gpu = config.kind == "gpu" or config.gpus > 0
    workers = config.workers or (gpu_count() if config.kind == "gpu" else cores)
    here = config.kind in ("local", "gpu")
    own = None if config.memory == "auto" else int(parse_bytes(config.memory))
    budget = Budget.of(workers, here=here, own=own, asked=memory_gib)
    return Compute(
        name=name,
        backend="gpu" if on_gpu else "cpu",
        workers=workers,
        threads=cores if here else config.threads,
        worker_threads=max(config.threads, cores // workers) if config.kind == "gpu" else config.threads,
        memory_limit=budget.worker,
        driver_limit=budget.driver,
        here=here,
        inline_below=inline_below,
        isolated=isolates(),
        driver_device=config.kind == "gpu",
        products=config.products,
        start=lambda: _start(config, workers, budget.worker, scratch),
    )


def isolates() -> bool:
    """Return whether readers run in processes of their own: unless EVENKEEL_ISOLATE_READERS=0, for a debugger."""
    return os.environ.get("EVENKEEL_ISOLATE_READERS") != "0"


def _silence() -> None:
    """Have Dask log nothing below a warning, here and in processes started from here."""
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")
    import distributed

    logger = logging.getLogger(distributed.__name__)
    logger.setLevel(max(logger.level, logging.WARNING))


def _start(config: ClusterConfig, workers: int, limit: int, scratch: Path | None) -> "Client":
    """Start the cluster of `config` (or join it) and return a connected client."""
    from distributed import Client, LocalCluster

    _silence()
    spill = str(scratch / "dask") if scratch is not None else None
    if config.kind == "address":
        try:
            return Client(config.address, timeout="30s")
        except OSError as error:
            raise ResourceError(
                f"no Dask scheduler answers at {config.address}",
                found=str(error),
                where="compute",
                remedy="start the scheduler, or correct the address",
            ) from error
    if config.kind == "local":
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=config.threads,
            memory_limit=limit,
            processes=True,
            dashboard_address=":0",
            local_directory=spill,
            silence_logs=logging.ERROR,
            worker_class=patient_nanny(),
            **config.options,
        )
    elif config.kind == "gpu":
        return _start_on_gpus(config, workers, limit, spill)
    elif config.kind == "kubernetes":
        from dask_kubernetes.operator import KubeCluster

        cluster = KubeCluster(n_workers=workers, **kubernetes_options(config))
    else:
        if shutil.which("sbatch") is None:
            raise ResourceError("compute: slurm asked for, but there is no sbatch here", remedy="run on a login node")
        from dask_jobqueue import SLURMCluster

        cluster = SLURMCluster(**slurm_options(config))
        cluster.scale(workers)
    client = Client(cluster)
    if config.gpus:
        client.register_plugin(gpu_plugin())
    return client


def _start_on_gpus(config: ClusterConfig, workers: int, limit: int, spill: str | None) -> "Client":
    """Start one worker a device. A single one lies in this process, so that it shares the memory pool of the driver.

    Its threads share the cores: most of what a map does beside the device is work for them.
    """
    from distributed import Client, LocalCluster

    threads = max(config.threads, (os.cpu_count() or 1) // workers)
    if workers == 1:
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=threads,
            memory_limit=limit,
            processes=False,
            dashboard_address=":0",
            local_directory=spill,
            silence_logs=logging.ERROR,
            **config.options,
        )
    else:
        from dask_cuda import LocalCUDACluster

        cluster = LocalCUDACluster(
            n_workers=workers,
            threads_per_worker=threads,
            local_directory=spill,
            silence_logs=logging.ERROR,
            **config.options,
        )
    client = Client(cluster)
    client.register_plugin(gpu_plugin())
    return client
