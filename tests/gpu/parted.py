"""Places of a k-means in one process, each with NumPy's arrays in the place of a device's, and what travels to them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.part import Place, Request
from tests.gpu.standin import StandIn

PARTS = frozenset({"exact.py", "part.py", "parts.py", "parts_engine.py", "parts_moves.py", "parts_seeding.py"})


class Here:
    """Places in this process, as `parts.Places` asks; `cuts` is where the rows are parted.

    sent, received: bytes of the arrays that went to places and came from them.
    """

    def __init__(
        self, x: np.ndarray, cuts: Sequence[int], monkeypatch: pytest.MonkeyPatch, memory: int = 1 << 34
    ) -> None:
        pieces = [piece for piece in np.split(x, list(cuts)) if len(piece)]
        self.sizes, self.devices, self.places = [len(piece) for piece in pieces], list[StandIn](), list[Place]()
        self.sent = self.received = 0
        for piece in pieces:
            self.devices.append(StandIn(memory))
            monkeypatch.setattr(opening, "open_arrays", lambda: self.devices[-1])
            self.places.append(Place(piece))

    def each(self, requests: Sequence[Request | None], shared: tuple[Any, ...]) -> list[Any]:
        found = []
        for place, request in zip(self.places, requests, strict=True):
            if request is not None:
                self.sent += bytes_of((*request.arguments, *shared))
                found.append(place.do(request, shared))
        self.received += bytes_of(found)
        return found

    def add(self, requests: Sequence[Request | None], shared: tuple[Any, ...]) -> list[Any]:
        return [sum(arrays) for arrays in zip(*self.each(requests, shared), strict=True)]


def bytes_of(values: Any) -> int:
    """Return the bytes of the arrays among some values, and 8 for each number."""
    if isinstance(values, list | tuple):
        return sum(map(bytes_of, values))
    return values.nbytes if isinstance(values, np.ndarray) else 8
