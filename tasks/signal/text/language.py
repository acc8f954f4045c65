"""The language of texts, by the model of py3langid (Lui and Baldwin 2012; BSD licence, 140 languages, 4.6 MB).

The model is naive Bayes over byte n-grams that an automaton finds. Automaton and weights are the library's; the walk
and the sums are compiled here, because the library takes one step of Python for each byte.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array, UInt32Array
from evenkeel.tasks.signal.text.characters import Bytes
from evenkeel.tasks.signal.text.measure import text_buffers


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


class Languages(NamedTuple):
    """The languages of n texts.

    codes: ISO 639, by number. found: (n,) the number of a text's language, -1 for none. confidence: (n,), 0 to 1.
    """

    codes: list[str]
    found: Int64Array
    confidence: Float64Array


def languages_of(texts: pa.Array | pa.ChunkedArray, max_characters: int) -> Languages:
    """Return the language of each text, by its first `max_characters`.

    A null, and a text in which no feature is found, has none; its confidence is NaN.
    """
    codes, model = load_model()
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    found, confidence = [np.empty(0, np.int64)], [np.empty(0)]
    for chunk in chunks:
        data, offsets, _ = text_buffers(_normalised(chunk, max_characters))
        best, sure = np.empty(len(chunk), np.int64), np.empty(len(chunk))
        _identify(data, offsets, model, best, sure)
        found.append(best)
        confidence.append(sure)
    return Languages(codes, np.concatenate(found), np.concatenate(confidence))


@lru_cache(maxsize=1)
def load_model() -> tuple[list[str], Model]:
    """Return the codes of the languages, by column, and the model, once for each process: 100 MB, half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    library = LanguageIdentifier.from_model_file(MODEL_FILE)
    codes = list(library.nb_classes)
    model = Model(
        np.array(library.tk_nextmove, np.uint32),
        np.array(library.tk_row, np.int64),
        np.array(library.tk_output, np.int32),
        np.ascontiguousarray(library.nb_ptc, np.float32),
        np.ascontiguousarray(library.nb_pc, np.float32),
        np.array([codes.index(code) for code in codes], np.int64),
    )
    return codes, model


def _normalised(texts: pa.Array, max_characters: int) -> pa.Array:
    """Return texts as the model was trained on them: cut, in NFC form, capitals alone in lower case; none is null."""
    texts = pc.utf8_slice_codeunits(pc.fill_null(texts.cast(pa.large_string()), ""), 0, max_characters)
    capitals = pc.utf8_is_upper(texts)
    if pc.any(capitals).as_py():
        texts = pc.if_else(capitals, pc.utf8_lower(texts), texts)
    if pc.all(pc.string_is_ascii(texts)).as_py():
        return texts
    return pc.utf8_normalize(texts, form="NFC")


@compiled
def _identify(data: Bytes, offsets: Int64Array, model: Model, best: Int64Array, confidence: Float64Array) -> None:
    """Write the number of the likeliest language of each text and its probability, softened by its length."""
    languages = len(model.prior)
    counts = np.zeros(len(model.weights), np.int32)
    seen = np.empty(len(model.weights), np.int32)
    scores = np.empty(languages, np.float32)
    for text in range(len(offsets) - 1):
        state, distinct = 0, 0
        for at in range(offsets[text], offsets[text + 1]):
            state = model.moves[model.rows[state] * 256 + data[at]]
            feature = model.features[state]
            if feature >= 0:
                if counts[feature] == 0:
                    seen[distinct] = feature
                    distinct += 1
                counts[feature] += 1
        best[text], confidence[text] = -1, np.nan
        if distinct == 0:
            continue
        scores[:] = model.prior
        for place in range(distinct):
            weight = np.float32(np.log1p(np.float32(counts[seen[place]])))
            weights = model.weights[seen[place]]
            counts[seen[place]] = 0
            for language in range(languages):
                scores[language] += weight * weights[language]
        softness = np.sqrt(np.float64(offsets[text + 1] - offsets[text]))
        likely = np.exp((scores.astype(np.float64) - scores.max()) / softness)
        likely /= likely.sum()
        for language in range(languages):
            first = model.same_as[language]
            if first != language:
                likely[first] += likely[language]
                likely[language] = 0
        best[text] = np.argmax(likely)
        confidence[text] = likely[best[text]]
