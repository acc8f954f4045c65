"""Arrays as .npy files on any store: written whole or not at all, memory-mapped to be read, never pickled."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array


def write_array(uri: str, array: npt.NDArray[Any]) -> None:
    """Write an array to `uri` so that readers see all of it or nothing."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    storage.write_bytes(uri, buffer.getvalue())


def read_array(uri: str, scratch: Path) -> npt.NDArray[Any]:
    """Return the array at `uri`, memory-mapped; one on a remote store is copied to `scratch` first."""
    return map_array(storage.local_copy(uri, scratch))
