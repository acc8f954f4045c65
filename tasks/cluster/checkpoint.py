"""Where a level of clustering is saved while it is being made, so that a killed run goes on from there."""

import time
from collections.abc import Mapping
from typing import TypedDict, cast

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.tasks.kmeans.options import FitState


class _SavedState(TypedDict):
    """What `state.json` holds: the round, and a state of its fit less its arrays."""

    round: int
    iterations: int
    inertia: float
    misassigned: float
    random: Mapping[str, object]


class Checkpoint:
    """The state of one level: after its last finished round, and after some iterations of the present one.

    pause: seconds between two states within a round, so that a level that is done sooner writes none.
    """

    pause = 10.0

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Tell whether a state within a round is to be saved by now."""
        return time.monotonic() >= self.saved + self.pause

    def save_state(self, turn: int, state: FitState) -> None:
        """Save the state of the fit of round `turn`, where it is time; it counts once `state.json` names it."""
        if not self.due():
            return
        last = self._last_state()
        write_array(self._state_array("centroids", turn, state.iterations), state.centroids)
        write_array(self._state_array("labels", turn, state.iterations), state.labels)
        found: _SavedState = {
            "round": turn,
            "iterations": state.iterations,
            "inertia": state.inertia,
            "misassigned": state.misassigned,
            "random": state.random,
        }
        storage.write_json(storage.join(self.folder, "state.json"), found)
        if last is not None:
            for name in ("centroids", "labels"):
                storage.remove(self._state_array(name, last["round"], last["iterations"]))
        self.saved = time.monotonic()

    def load_state(self, turn: int) -> FitState | None:
        """Return the state of the fit of round `turn` as saved last, or None."""
        last = self._last_state()
        if last is None or last["round"] != turn:
            return None
        ran = last["iterations"]
        centroids, labels = (read_array(self._state_array(name, turn, ran)) for name in ("centroids", "labels"))
        return FitState(ran, centroids, labels, last["inertia"], last["misassigned"], last["random"])

    def save_round(self, turn: int, centroids: Float32Array, labels: Int32Array) -> None:
        """Save what round `turn` ended with; it counts once `round.json` names it."""
        write_array(self._round_array("centroids", turn), centroids)
        write_array(self._round_array("labels", turn), labels)
        storage.write_json(storage.join(self.folder, "round.json"), turn)
        for name in ("centroids", "labels"):
            storage.remove(self._round_array(name, turn - 1))

    def load_round(self) -> tuple[int, Float32Array, Int32Array] | None:
        """Return the last finished round and its centroids and labels, or None."""
        try:
            turn = int(storage.read_json(storage.join(self.folder, "round.json")))
        except FileNotFoundError:
            return None
        return turn, read_array(self._round_array("centroids", turn)), read_array(self._round_array("labels", turn))

    def _last_state(self) -> _SavedState | None:
        try:
            return cast(_SavedState, storage.read_json(storage.join(self.folder, "state.json")))
        except FileNotFoundError:
            return None

    def _state_array(self, name: str, turn: int, iterations: int) -> str:
        return storage.join(self.folder, f"state-{name}-{turn}-{iterations}.npy")

    def _round_array(self, name: str, turn: int) -> str:
        return storage.join(self.folder, f"{name}-{turn}.npy")
