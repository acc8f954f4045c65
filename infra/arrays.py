"""Opening .npy files from many threads."""

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

_ONE_AT_A_TIME = Lock()


def map_array(path: str | Path) -> npt.NDArray[Any]:
    """Return the array in a local .npy file, memory-mapped, never unpickled.

    Files are opened one at a time: numpy parses the header as Python, and CPython 3.11 may raise SystemError where two
    threads parse at once.
    """
    with _ONE_AT_A_TIME:
        mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
