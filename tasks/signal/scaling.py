"""Bring columns to a common scale, over all rows or inside each group, and add them up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Float64Array, Int32Array
from evenkeel.tasks.signal.groups import count_groups, numbers_of, read_groups
from evenkeel.tasks.signal.moments import Moments, fit_moments
from evenkeel.tasks.signal.quantiles import Ranks, read_ranks
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

Normalise = Literal["rank", "zscore", "minmax"]


def fit_scales(
    source: SignalSource, columns: tuple[str, ...], normalise: Normalise, by: str, folder: str, run: Run
) -> Mapping[str, object]:
    """Write what each column is normalised by, one folder for each in the order of their names; return facts."""
    count_groups(source, by, folder, run)
    error = 0.0
    for place, column in enumerate(columns):
        part = storage.join(folder, f"column-{place}")
        if normalise == "rank":
            error = max(error, Ranks.fit(source, column, folder, part, run).error())
        else:
            write_array(storage.join(part, "moments.npy"), np.stack(fit_moments(source, column, folder, run)))
    return {"rank_error": error} if normalise == "rank" else {}


def mixture_of_block(
    source: SignalSource, weights: Mapping[str, float], normalise: Normalise, folder: str, scratch: str, block: str
) -> Float64Array:
    """Return the weighted sums of the normalised columns of a block, (n,) float64."""
    groups = read_groups(folder)
    table = source.columns(block, [*weights, *groups.columns])
    codes, total = groups.codes(table), np.zeros(table.num_rows)
    for place, (column, weight) in enumerate(weights.items()):
        numbers = numbers_of(table[column], column, source.where)
        part = storage.join(folder, f"column-{place}")
        if normalise == "rank":
            total += weight * read_ranks(part, scratch).of(numbers, codes)
        else:
            total += weight * scaled(
                numbers, codes, Moments(*map_array(f"{part}/moments.npy", Path(scratch))), normalise
            )
    return total


def scaled(
    numbers: Float64Array, codes: Int32Array, moments: Moments, normalise: Literal["zscore", "minmax"]
) -> Float64Array:
    """Return numbers as z-scores of their group, or in [0, 1] between its least and its greatest, (n,) float64.

    A group whose numbers are all equal has 0 everywhere.
    """
    if normalise == "zscore":
        start, width = moments.mean, moments.deviation()
    else:
        start, width = moments.least, moments.greatest - moments.least
    wide = width[codes] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(numbers), np.nan, np.where(wide, (numbers - start[codes]) / width[codes], 0.0))
