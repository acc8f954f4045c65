"""Where a level of clustering is kept while it is being made, so that a killed run goes on from there."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.tasks.kmeans.lloyd import State


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
