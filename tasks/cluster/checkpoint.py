"""Where a level of clustering is kept while it is being made, so that a killed run goes on from there."""

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.infra import arrays as npy
from evenkeel.infra import storage
from evenkeel.tasks.kmeans.lloyd import State

PIECE = 4096


def write_array(uri: str, array: npt.NDArray[Any]) -> None:
    """Write an array as .npy, whole or not at all."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    storage.write_bytes(uri, stream.getvalue())


def stream_rows(uri: str, x: npt.NDArray[Any], order: npt.NDArray[np.int64]) -> None:
    """Write rows x[order] of a (n, d) matrix as .npy, a few at a time; a crash may leave part of a file."""
    with storage.open_write(uri) as stream:
        header = {
            "descr": np.lib.format.dtype_to_descr(x.dtype),
            "fortran_order": False,
            "shape": (len(order), x.shape[1]),
        }
        np.lib.format.write_array_header_2_0(stream, header)
        for first in range(0, len(order), PIECE):
            stream.write(np.ascontiguousarray(x[order[first : first + PIECE]]).tobytes())


def read_array(uri: str) -> npt.NDArray[Any]:
    """Return the array in a .npy file."""
    array: npt.NDArray[Any] = np.load(io.BytesIO(storage.read_bytes(uri)), allow_pickle=False)
    return array


def map_array(uri: str, scratch: Path) -> npt.NDArray[Any]:
    """Return the array in a .npy file as a memory map; a remote file is copied to `scratch` first."""
    path = storage.local_copy(uri, scratch)
    try:
        array: npt.NDArray[Any] = npy.map_array(path)
    except ValueError:  # an array of no elements cannot be mapped
        array = np.load(path, allow_pickle=False)
    return array


class Checkpoint:
    """The state of one level: after its last finished round, and after a batch of iterations within the present one.

    pause: seconds between two states within a round, so that a level that is done sooner writes none.
    """

    pause = 10.0

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.saved = time.monotonic()

    def keep(self, turn: int, state: State) -> None:
        """Keep the state of a fit within round `turn`; it counts once `fit.json` names it."""
        if time.monotonic() < self.saved + self.pause:
            return
        last = self._fit()
        name = f"{turn}-{state.ran}"
        write_array(storage.join(self.folder, f"fit-centroids-{name}.npy"), state.centroids)
        write_array(storage.join(self.folder, f"fit-labels-{name}.npy"), state.labels)
        found = {"turn": turn, "ran": state.ran, "inertia": state.inertia, "astray": state.astray}
        storage.write_json(storage.join(self.folder, "fit.json"), found | {"random": state.random})
        if last is not None:
            for part in ("centroids", "labels"):
                storage.remove(storage.join(self.folder, f"fit-{part}-{last['turn']}-{last['ran']}.npy"))
        self.saved = time.monotonic()

    def state(self, turn: int) -> State | None:
        """Return the state of the fit within round `turn` as kept last, or None."""
        last = self._fit()
        if last is None or last["turn"] != turn:
            return None
        centroids, labels = (
            read_array(storage.join(self.folder, f"fit-{part}-{turn}-{last['ran']}.npy"))
            for part in ("centroids", "labels")
        )
        return State(last["ran"], centroids, labels, last["inertia"], last["astray"], last["random"])

    def _fit(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = storage.read_json(storage.join(self.folder, "fit.json"))
        except FileNotFoundError:
            return None
        return found

    def save(self, turn: int, centroids: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> None:
        """Keep the state after round `turn`; it counts once `turn.json` names it."""
        write_array(storage.join(self.folder, f"centroids-{turn}.npy"), centroids)
        write_array(storage.join(self.folder, f"labels-{turn}.npy"), labels)
        storage.write_json(storage.join(self.folder, "turn.json"), turn)
        for name in ("centroids", "labels"):
            storage.remove(storage.join(self.folder, f"{name}-{turn - 1}.npy"))

    def load(self) -> tuple[int, npt.NDArray[np.float32], npt.NDArray[np.int32]] | None:
        """Return (round, centroids, labels) as saved last, or None."""
        try:
            turn = int(storage.read_json(storage.join(self.folder, "turn.json")))
        except FileNotFoundError:
            return None
        centroids, labels = (
            read_array(storage.join(self.folder, f"{name}-{turn}.npy")) for name in ("centroids", "labels")
        )
        return turn, centroids, labels
