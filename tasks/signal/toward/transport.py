"""How much more weight on a row would lower the optimal transport to the target.

Source: GOT-D (Kang et al. 2024, arXiv 2405.02774): the gradient of the transport with respect to the weight of a row is
its dual potential, up to a constant, and the rows that lower the distance most are taken. Published, the gradient is
that of the pool, or of what a model has been trained on already (`target_set.seen`), so that what it lacks is taken.
It holds for a small step: where a hundredth of the pool is taken, all of it by the first gradient, rows crowd around
the places that the pool lacks most. So where it is known how many are taken, the potentials are those of the partial
transport of as many rows as serve the target best, which are below a threshold for just these. Rows outside the sample
get their potential from that of the target.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Array, Float32Array, Float64Array
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.toward.drawn import chunks, pool_sample, seen_sample, target_sample
from evenkeel.tasks.signal.toward.rule import Rule
from evenkeel.tasks.signal.toward.sinkhorn import potential, squared_distances, transport

if TYPE_CHECKING:
    from evenkeel.tasks.step import Run

TARGET_ROWS, POOL_ROWS = 512, 2048
MOST_POOL_ROWS, MOST_PAIRS = 16_384, 1 << 22


class TransportRule(Rule):
    """The gradient of the transport to the target, with its sign turned so that wanted rows are high."""

    def fit(self, source: SignalSource, target: TargetSet, folder: str, run: "Run") -> Mapping[str, object]:
        """Transport a sample of the pool to one of the target; write the target's rows and potential."""
        wanted, rows = target_sample(target, source.vectors, TARGET_ROWS, run)
        part = None if target.seen is not None else self._part(source.pool.rows)
        x = pool_sample(source, folder, POOL_ROWS if part is None else _enough(len(wanted)), run)
        if not len(x):
            return {"target_rows": rows}
        a, b = np.full(len(x), 1 / (len(x) * (part or 1.0))), np.full(len(wanted), 1 / len(wanted))
        seen_rows = 0
        if target.seen is not None:
            seen, seen_rows = seen_sample(source, target.seen, POOL_ROWS, run)
            share = target.seen.share
            x = np.concatenate([x, seen])
            a = np.concatenate([(1 - share) * a, np.full(len(seen), share / len(seen))])
        cost = squared_distances(x, wanted)
        found = transport(
            a, b, cost, self.options.epsilon, unbalanced=self.options.unbalanced, partial=part is not None
        )
        write_array(storage.join(folder, "wanted.npy"), wanted)
        write_array(storage.join(folder, "potential.npy"), found.g)
        about = {
            "target_rows": rows,
            "seen_rows": seen_rows,
            "transport": round(found.cost, 6),
            "error": round(found.error, 6),
            **({} if part is None else {"part": part}),
        }
        return {**about, "epsilon": found.epsilon}

    def _part(self, rows: int) -> float | None:
        """Return the share of the pool's rows that will be taken, None where it is not known."""
        if (take := self.options.take) is None:
            return None
        return min(1.0, take if take < 1 else take / max(rows, 1))

    def values(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the gradient of each row, (n,) float64."""
        wanted: Float32Array = _read(fit, "wanted").astype(np.float32, copy=False)
        g: Float64Array = _read(fit, "potential").astype(np.float64, copy=False)
        b = np.full(len(wanted), 1 / len(wanted))
        epsilon = fit.facts["epsilon"]
        assert isinstance(epsilon, float)
        if fit.backend == "gpu":
            from evenkeel.tasks.signal.toward.device_transport import potential_on_device

            return -potential_on_device(chunks(source, block), wanted, b, g, epsilon)
        parts = [-potential(x, wanted, b, g, epsilon) for x in chunks(source, block)]
        return np.concatenate([np.empty(0), *parts])


def _enough(wanted: int) -> int:
    """Return how many rows of the pool are sampled for a target of so many."""
    return min(MOST_POOL_ROWS, max(POOL_ROWS, MOST_PAIRS // wanted))


def _read(fit: Fit, name: str) -> Array:
    return np.asarray(map_array(storage.join(fit.folder, f"{name}.npy"), Path(fit.scratch)))
