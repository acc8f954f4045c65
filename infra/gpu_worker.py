"""What a Dask worker with a CUDA device does first."""

from evenkeel.infra.gpu import share_pool


def gpu_plugin() -> object:
    """Return what makes every Dask worker ready when it starts: its pool, and cuDF spilling idle frames to the host."""
    from distributed import WorkerPlugin

    return type("GpuWorker", (WorkerPlugin,), {"name": "gpu", "setup": staticmethod(make_ready)})()


def make_ready(worker: object) -> None:
    """Make the memory pool of the process, and have cuDF spill."""
    share_pool()
    import cudf

    cudf.set_option("spill", True)
