"""Where the work of a step runs: in this process, or on a Dask cluster chosen by name.

A cluster is a small YAML file in `infra/clusters/`; `open_compute("local")` reads `local.yaml`. An address such as
`tcp://scheduler:8786` (also spelled `dask://scheduler:8786`) joins a cluster that runs already.
"""

import logging
import os
import resource
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import psutil
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evenkeel.infra.errors import RecipeError, ResourceError
from evenkeel.infra.gpu_worker import gpu_plugin
from evenkeel.infra.patience import patient_nanny
from evenkeel.infra.reduction import map_on, reduce_here, reduce_on, results_here

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")
Backend = Literal["cpu", "gpu"]
Products = Literal["float32", "tf32", "tf32x3"]
CLUSTERS = Path(__file__).parent / "clusters"
CONTROL_GROUP = Path("/sys/fs/cgroup")
MEMORY_LIMITS = (
    "memory/memory.limit_in_bytes",
    "memory/memory.soft_limit_in_bytes",
    "memory.max",
    "memory.high",
    "memory.low",
)
AHEAD = 64  # items a thread that wait in a map of this process: enough that one slow item holds up no other thread


class ClusterConfig(BaseModel):
    """Describes one named cluster: what to start, and below how many bytes a job runs in the calling process."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["inline", "local", "gpu", "address", "kubernetes", "slurm"]
    description: str = ""
    workers: int = Field(0, ge=0, description="number of workers; 0 = one per core (local) or per device (gpu)")
    threads: int = Field(1, ge=1, description="threads per worker; kind: gpu has at least its share of the cores")
    memory: str = Field("auto", description="memory limit of one worker, such as 4GiB; auto = an equal share")
    inline_below: str = Field("512MiB", description="a map over less data than this runs in the calling process")
    address: str = Field("", description="scheduler address, for kind: address")
    gpus: int = Field(0, ge=0, le=1, description="CUDA devices of each worker, for kind: kubernetes or slurm")
    products: Products = Field("tf32", description="how exact products on a GPU are; results do not depend on it")
    options: dict[str, object] = Field(default_factory=dict, description="passed on to the cluster class")


@dataclass
class Compute:
    """A place to run functions; the default Compute() is this process.

    backend: "cpu" (numpy, pandas) or "gpu" (cupy, cudf). memory_limit: bytes that one worker may use.
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
    memory_limit: int = 2 << 30
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
        on_done: Callable[[int], None] | None = None,
    ) -> list[Result]:
        """Return `[function(item) for item in items]`, in order, computed on the workers.

        `function` is a module-level function or a functools.partial of one; items and results are small (paths, names,
        sums), never blocks of data. `work` is the number of bytes that the items name: below `inline_below` the map
        runs here, in threads. `on_done` is called with the number of finished items. Failures are raised unchanged.
        """
        if self._small(items, work) or self.client is None:
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
        if self._small(items, work) or self.client is None:
            return reduce_here(function, merge, items, self.threads)
        return reduce_on(self.client, function, merge, items)

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


def cluster_names() -> list[str]:
    """Return the names that `open_compute` knows, sorted."""
    return sorted(path.stem for path in CLUSTERS.glob("*.yaml"))


def read_cluster(name: str) -> ClusterConfig:
    """Return the config of a named cluster, or of an address. Raises RecipeError for an unknown name."""
    if "://" in name:
        return ClusterConfig(kind="address", address=name.replace("dask://", "tcp://"))
    path = Path(name) if name.endswith(".yaml") else CLUSTERS / f"{name}.yaml"
    if not path.is_file():
        raise RecipeError(
            f"unknown compute {name!r}",
            expected=f"one of {', '.join(cluster_names())}, the path of a cluster YAML, or tcp://host:port",
            where="compute",
        )
    try:
        return ClusterConfig.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise RecipeError(f"{path} is not a cluster file", found=str(error), where="compute") from error


@contextmanager
def open_compute(name: str, scratch: Path | None = None, report: Path | None = None) -> Iterator[Compute]:
    """Yield the Compute called `name`; a cluster starts when first needed and ends with the block.

    Raises RecipeError for an unknown name and ResourceError where the machine asked for is not there: `gpu` without a
    device is an error, never a quiet fallback to the CPU.
    """
    compute = _compute(name, read_cluster(name), scratch)
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


def _compute(name: str, config: ClusterConfig, scratch: Path | None) -> Compute:
    from dask.utils import parse_bytes

    cores, memory = os.cpu_count() or 1, machine_memory()
    inline_below = int(parse_bytes(config.inline_below))
    if config.kind == "inline":
        return Compute(name=name, threads=cores, memory_limit=memory // 2, isolated=isolates())
    if config.kind == "gpu" and gpu_count() == 0:
        raise ResourceError(
            "compute: gpu asked for, but this machine has no CUDA device",
            found="NVML reports no device",
            remedy="run on a machine with a GPU, or set compute: local",
        )
    on_gpu = config.kind == "gpu" or config.gpus > 0
    workers = config.workers or (gpu_count() if config.kind == "gpu" else cores)
    limit = int(memory * 0.8) // workers if config.memory == "auto" else int(parse_bytes(config.memory))
    return Compute(
        name=name,
        backend="gpu" if on_gpu else "cpu",
        workers=workers,
        threads=config.threads if config.kind not in ("local", "gpu") else cores,
        memory_limit=limit,
        inline_below=inline_below,
        isolated=isolates(),
        driver_device=config.kind == "gpu",
        products=config.products,
        start=lambda: _start(config, workers, limit, scratch),
    )


def isolates() -> bool:
    """Return whether readers run in processes of their own: unless EVENKEEL_ISOLATE_READERS=0, for a debugger."""
    return os.environ.get("EVENKEEL_ISOLATE_READERS") != "0"


def machine_memory() -> int:
    """Return the bytes of memory this process may use, as `distributed` reckons it, without the second to import that.

    The least of the machine's memory, the limits of its control group, and the limit on the process.
    """
    limits = [int(psutil.virtual_memory().total), resource.getrlimit(resource.RLIMIT_RSS)[1]]
    for name in MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int((CONTROL_GROUP / name).read_text()))
    return min(limit for limit in limits if limit > 0)


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


def kubernetes_options(config: ClusterConfig) -> dict[str, Any]:
    """Return what `KubeCluster` is made with: the image of this commit; with a GPU, the limit that asks for it.

    EVENKEEL_REGISTRY, such as registry.example.com/team, is where the image is pulled from.
    """
    registry = os.environ.get("EVENKEEL_REGISTRY", "").strip("/")
    commit = os.environ.get("EVENKEEL_COMMIT", "latest")
    image = str(config.options["image"]).format(commit=commit, registry=f"{registry}/" if registry else "")
    options: dict[str, Any] = {**config.options, "image": image}
    if config.gpus:
        resources: Any = options.get("resources", {})
        limits = {**resources.get("limits", {}), "nvidia.com/gpu": str(config.gpus)}
        options["resources"] = {**resources, "limits": limits}
    return options


def slurm_options(config: ClusterConfig) -> dict[str, Any]:
    """Return what `SLURMCluster` is made with; with a GPU, the directive that asks for it."""
    options: dict[str, Any] = {"cores": config.threads, "memory": config.memory, **config.options}
    if config.gpus:
        given: Any = options.get("job_extra_directives", [])
        options["job_extra_directives"] = [*given, f"--gres=gpu:{config.gpus}"]
    return options


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
