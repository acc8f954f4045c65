"""A centroid index in files: written once, mapped by every worker that labels a block."""

from pathlib import Path
from typing import cast

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Array
from evenkeel.tasks.kmeans.index import CentroidIndex, IndexArrays
from evenkeel.tasks.kmeans.options import Metric


def write_index(folder: str, index: CentroidIndex) -> None:
    """Write an index to `folder`, one .npy file for each of its arrays."""
    for name, array in index.arrays().items():
        write_array(storage.join(folder, f"{name}.npy"), cast(Array, array))


def open_index(folder: str, metric: Metric, scratch: Path) -> CentroidIndex:
    """Return the index in `folder`, its arrays memory-mapped."""
    arrays = {name: map_array(storage.join(folder, f"{name}.npy"), scratch) for name in IndexArrays.__annotations__}
    return CentroidIndex.from_arrays(metric, cast(IndexArrays, arrays))


def forget_index(folder: str, scratch: Path) -> None:
    """Remove the local copies of an index of a remote store that nothing opens any more."""
    for name in IndexArrays.__annotations__:
        storage.forget_copy(storage.join(folder, f"{name}.npy"), scratch)
