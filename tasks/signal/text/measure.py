"""Statistics of texts: one column of numbers for each, from the bytes of Arrow's buffers."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from evenkeel.tasks.signal.text.characters import Bytes, character_classes
from evenkeel.tasks.signal.text.kernel import measure, room_for
from evenkeel.tasks.signal.text.scan import hash_word
from evenkeel.tasks.signal.text.statistics import CLEANED, COUNTED, NGRAMS, REPEATED, STATISTICS, Measures

GROUPS = (COUNTED, REPEATED, NGRAMS, CLEANED)


def text_statistics(
    texts: pa.Array | pa.ChunkedArray,
    names: Iterable[str],
    measures: Measures | None = None,
    backend: Backend = "cpu",
) -> dict[str, Float64Array]:
    """Return statistics of texts by name, each (n,) float64; NaN where the text is null.

    texts: strings of any Arrow type of text, n rows. Nothing is copied but the offsets. Of an empty text every
    statistic is 0. Either backend gives the same numbers.
    """
    wanted = list(names)
    measures = measures or Measures()
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    columns = {name: place for place, name in enumerate(STATISTICS)}
    parts = [_measure(chunk, {name: columns[name] for name in wanted}, measures, backend) for chunk in chunks]
    return {name: np.concatenate([np.empty(0), *(part[columns[name]] for part in parts)]) for name in wanted}


def _measure(texts: pa.Array, columns: dict[str, int], measures: Measures, backend: Backend) -> Float64Array:
    """Return the statistics of the groups that some columns are of, (statistics, n); on a device only theirs."""
    data, offsets, valid = text_buffers(texts)
    out = np.zeros((len(texts), len(STATISTICS)))
    limits = np.array([measures.short_line, measures.min_words_per_line, measures.max_word_length])
    asked = np.array([any(name in group for name in columns) for group in GROUPS])
    about = (_stop_word_hashes(measures.stop_words), limits, asked)
    rows = np.arange(len(texts))
    if backend == "gpu":
        from evenkeel.tasks.signal.text.device.measure import measure_on_device

        rows = measure_on_device(data, offsets, valid, *about, list(columns.values()), out)
    measure(data, offsets, valid, rows, character_classes(), *about, room_for(data, offsets, rows), out)
    return np.ascontiguousarray(out.T)


def text_buffers(texts: pa.Array) -> tuple[Bytes, Int64Array, BoolArray]:
    """Return the bytes of texts, uint8, where each begins, (n + 1,) int64, and which are not null, (n,)."""
    texts = texts.cast(pa.large_string())
    _, where, content = texts.buffers()
    offsets = np.zeros(1, np.int64)
    if where is not None and where.size:
        offsets = np.frombuffer(where, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.empty(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
    return (
        _read_only(data),
        _read_only(offsets),
        np.asarray(pc.is_valid(texts).to_numpy(zero_copy_only=False), np.bool_),
    )


def _read_only(array: Array) -> Array:
    """Return a view that numba sees as one type, whoever owns the memory: so the kernel is compiled once."""
    view = array.view()
    view.flags.writeable = False
    return view


@lru_cache
def _stop_word_hashes(stop_words: tuple[str, ...]) -> UInt64Array:
    encoded = [np.frombuffer(word.encode(), np.uint8) for word in stop_words]
    return np.array([hash_word(word, 0, len(word)) for word in encoded], np.uint64)
