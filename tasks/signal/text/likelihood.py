"""The model of languages, and what follows from the scores of a text: its likeliest language, and how sure that is."""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array, UInt32Array


class Model(NamedTuple):
    """An automaton over bytes that finds features, and the weights of languages.

    moves: (rows * 256,) the next state. rows: (states,) the row of moves of a state. features: (states,) what is found
    in a state, -1 for nothing. weights: (features, languages). prior: (languages,). same_as: (languages,) the first
    column of the same language.
    """

    moves: UInt32Array
    rows: Int64Array
    features: Int32Array
    weights: Float32Array
    prior: Float32Array
    same_as: Int64Array


@compiled
def choose_languages(
    scores: Float32Array,
    distinct: Int32Array,
    rows: Int64Array,
    offsets: Int64Array,
    model: Model,
    best: Int64Array,
    confidence: Float64Array,
) -> None:
    """Write what `identify` writes, of texts whose scores, (r, languages), and numbers of features, (r,), are known."""
    for place in range(len(rows)):
        text = rows[place]
        length = offsets[text + 1] - offsets[text]
        best[text], confidence[text] = likeliest(scores[place], distinct[place], length, model)


@compiled
def log_counts(most: int) -> Float32Array:
    """Return `log_count` of every count up to `most`, (most + 1,)."""
    found = np.empty(most + 1, np.float32)
    for count in range(most + 1):
        found[count] = log_count(count)
    return found


@compiled
def log_count(count: int) -> np.float32:
    """Return log(1 + n), as a feature that comes n times is weighed."""
    return np.float32(np.log1p(np.float32(count)))


@compiled
def likeliest(scores: Float32Array, distinct: int, length: int, model: Model) -> tuple[int, float]:
    """Return the number of the likeliest language and its probability; -1 and NaN of a text without features."""
    if distinct == 0:
        return -1, np.nan
    likely = np.exp((scores.astype(np.float64) - scores.max()) / np.sqrt(np.float64(length)))
    likely /= likely.sum()
    for language in range(len(likely)):
        first = model.same_as[language]
        if first != language:
            likely[first] += likely[language]
            likely[language] = 0
    best = int(np.argmax(likely))
    return best, float(likely[best])
