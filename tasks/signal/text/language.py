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
from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.tasks.signal.text.characters import Bytes
from evenkeel.tasks.signal.text.likelihood import Model, likeliest, log_count
from evenkeel.tasks.signal.text.measure import text_buffers


class Languages(NamedTuple):
    """The languages of n texts.

    codes: ISO 639, by number. found: (n,) the number of a text's language, -1 for none. confidence: (n,), 0 to 1.
    """

    codes: list[str]
    found: Int64Array
    confidence: Float64Array


def languages_of(texts: pa.Array | pa.ChunkedArray, max_characters: int, backend: Backend = "cpu") -> Languages:
    """Return the language of each text, by its first `max_characters`.

    A null, and a text in which no feature is found, has none; its confidence is NaN. Either backend gives the same.
    """
    codes, model = load_model()
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    found, confidence = [np.empty(0, np.int64)], [np.empty(0)]
    for chunk in chunks:
        data, offsets, _ = text_buffers(_normalised(chunk, max_characters))
        best, sure = np.empty(len(chunk), np.int64), np.empty(len(chunk))
        rows = np.arange(len(chunk))
        if backend == "gpu":
            from evenkeel.tasks.signal.text.device.language import identify_on_device

            rows = identify_on_device(data, offsets, model, best, sure)
        identify(data, offsets, rows, model, best, sure)
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
def identify(
    data: Bytes, offsets: Int64Array, rows: Int64Array, model: Model, best: Int64Array, confidence: Float64Array
) -> None:
    """Write the number of the likeliest language of some texts and its probability, softened by the text's length."""
    languages = len(model.prior)
    counts = np.zeros(len(model.weights), np.int32)
    seen = np.empty(len(model.weights), np.int32)
    scores = np.empty(languages, np.float32)
    for text in rows:
        state, distinct = 0, 0
        for at in range(offsets[text], offsets[text + 1]):
            state = model.moves[model.rows[state] * 256 + data[at]]
            feature = model.features[state]
            if feature >= 0:
                if counts[feature] == 0:
                    seen[distinct] = feature
                    distinct += 1
                counts[feature] += 1
        scores[:] = model.prior
        for place in range(distinct):
            weight = log_count(counts[seen[place]])
            weights = model.weights[seen[place]]
            counts[seen[place]] = 0
            for language in range(languages):
                scores[language] += weight * weights[language]
        best[text], confidence[text] = likeliest(scores, distinct, offsets[text + 1] - offsets[text], model)
