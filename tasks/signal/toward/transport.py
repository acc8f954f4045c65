"""How much more weight on a row would lower the optimal transport to the target, from what has been seen.

Source: GOT-D (Kang et al. 2024, arXiv 2405.02774): the gradient of the transport with respect to the weight of a row is
its dual potential, up to a constant, and the rows that lower the distance most are taken. What is transported is what
a model has been trained on already (`target_set.seen`), so that what it lacks is taken; the pool itself where nothing
is named. Rows outside the sample get their potential from that of the target.
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


class TransportRule(Rule):
    """The gradient of the transport to the target, with its sign turned so that wanted rows are high."""

    def fit(self, source: SignalSource, target: TargetSet, folder: str, run: "Run") -> Mapping[str, object]:
        """Transport a sample of the pool to one of the target; write the target's rows and potential."""
        wanted, rows = target_sample(target, source.vectors, TARGET_ROWS, run)
        x = pool_sample(source, folder, POOL_ROWS, run)
        if not len(x):
            return {"target_rows": rows}
        a, b = np.full(len(x), 1 / len(x)), np.full(len(wanted), 1 / len(wanted))
        seen_rows = 0
        if target.seen is not None:
            seen, seen_rows = seen_sample(source, target.seen, POOL_ROWS, run)
            share = target.seen.share
            x = np.concatenate([x, seen])
            a = np.concatenate([(1 - share) * a, np.full(len(seen), share / len(seen))])
        cost = squared_distances(x, wanted)
        found = transport(a, b, cost, self.options.epsilon, unbalanced=self.options.unbalanced)
        write_array(storage.join(folder, "wanted.npy"), wanted)
        write_array(storage.join(folder, "potential.npy"), found.g)
        about = {
            "target_rows": rows,
            "seen_rows": seen_rows,
            "transport": round(found.cost, 6),
            "error": round(found.error, 6),
        }
        return {**about, "epsilon": found.epsilon}

    def values(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the gradient of each row, (n,) float64."""
        wanted: Float32Array = _part(fit, "wanted").astype(np.float32, copy=False)
        g: Float64Array = _part(fit, "potential").astype(np.float64, copy=False)
        b = np.full(len(wanted), 1 / len(wanted))
        epsilon = fit.facts["epsilon"]
        assert isinstance(epsilon, float)
        parts = [-potential(x, wanted, b, g, epsilon) for x in chunks(source, block)]
        return np.concatenate([np.empty(0), *parts])


def _part(fit: Fit, name: str) -> Array:
    return np.asarray(map_array(storage.join(fit.folder, f"{name}.npy"), Path(fit.scratch)))
