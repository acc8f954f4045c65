"""On which device a run works on vectors: in the driver's process, and in those of its workers."""

from evenkeel.infra.compute import Compute
from evenkeel.tasks.kmeans.options import Device


def driver_device(compute: Compute) -> Device:
    """Return where the driver works: on a CUDA device where it has one itself, with all cores beside it."""
    return Device(compute.threads, compute.backend == "gpu" and compute.driver_device, compute.products)


def worker_device(compute: Compute) -> Device:
    """Return where a worker works: one thread, and its CUDA device if it has one."""
    return Device(1, compute.backend == "gpu", compute.products)
