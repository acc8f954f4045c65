"""Blend scores to one quality, and rank it, by domain, in a sample of the pool."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.tasks.sample.candidates import score_of

POINTS = 1025


@dataclass(frozen=True)
class Blend:
    """A weighted sum of scores, each brought to [0, 1] between its 1st and 99th percentile in the pool.

    A weight below zero turns its score round, so the blend lies in [0, 1] too.
    """

    low: Mapping[str, float]
    high: Mapping[str, float]

    @classmethod
    def fit(cls, sampled: pa.Table, names: list[str]) -> "Blend":
        """Return the blend whose percentiles are those of a sample."""
        columns = {name: sampled[f"score.{name}"].to_numpy() for name in names}
        low, high = (
            {name: float(np.quantile(column, place)) if len(column) else 0.0 for name, column in columns.items()}
            for place in (0.01, 0.99)
        )
        return cls(low, high)

    def of(self, table: pa.Table, scores: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the quality of every row of a table in [0, 1] by the weights of some scores, (n,) float64."""
        total = np.zeros(table.num_rows)
        for name, weight in scores.items():
            span = max(self.high[name] - self.low[name], 1e-12)
            normal = np.clip((score_of(table, name) - self.low[name]) / span, 0.0, 1.0)
            total += weight * normal if weight >= 0 else -weight * (1.0 - normal)
        blended: NDArray[np.float64] = total / sum(abs(weight) for weight in scores.values())
        return blended


@dataclass(frozen=True)
class RankCurve:
    """The quality at equal steps of token-weighted rank, best first, (POINTS,) float64."""

    quality: NDArray[np.float64]

    @classmethod
    def fit(cls, quality: NDArray[np.float64], tokens: NDArray[np.int32]) -> "RankCurve":
        """Return the curve of some rows."""
        order = np.argsort(-quality, kind="stable")
        weight = np.cumsum(np.maximum(tokens[order], 1).astype(np.float64))
        return cls(np.interp(np.linspace(0.0, 1.0, POINTS), weight / weight[-1], quality[order]))

    def rank(self, quality: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of tokens in better rows, 0 for the best, (n,) float64."""
        return 1.0 - np.interp(quality, self.quality[::-1], np.linspace(0.0, 1.0, POINTS))
