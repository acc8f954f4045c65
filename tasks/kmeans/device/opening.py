"""Which arrays the device loop runs on: CuPy's. Tests put NumPy's in their place here."""

from functools import cache

from evenkeel.tasks.kmeans.device.arrays import Arrays


@cache
def open_arrays() -> Arrays:
    """Return CuPy's namespace and our kernels, compiled for the device of this process."""
    from evenkeel.tasks.kmeans.device.cupy_arrays import CupyArrays

    return CupyArrays()
