"""Split texts into words and hash each to 64 bits; n-grams, shingles and decontamination are built from these.

A word is a run of letters and digits of the text in NFKC form and lower case. Scripts that put no spaces between words
(Chinese, Japanese, Thai, ...) give one word per character. The same text gives the same hashes on every machine.
"""

from collections.abc import Iterator

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]
SLICE_BYTES = 16 << 20

_SEPARATOR, _LETTER, _ALONE = 0, 1, 2


def slices(texts: pa.ChunkedArray | pa.Array, max_characters: int) -> Iterator[tuple[int, Bytes, Offsets]]:
    """Yield `(first row, bytes, offsets)` of slices of normalised texts, at most `max_characters` of each text.

    bytes: uint8, UTF-8 in NFKC form and lower case; offsets: (rows + 1,) int64. Null texts are empty.
    """
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    start = 0
    for chunk in chunks:
        lengths = np.minimum(
            pc.fill_null(pc.binary_length(chunk), 0).to_numpy(zero_copy_only=False), 4 * max_characters
        )
        ends = np.cumsum(lengths, dtype=np.int64)
        row = 0
        while row < len(chunk):
            before = int(ends[row - 1]) if row else 0
            stop = max(row + 1, int(np.searchsorted(ends, before + SLICE_BYTES, side="right")))
            data, offsets = _buffers(_normalised(chunk.slice(row, stop - row), max_characters))
            yield start + row, data, offsets
            row = stop
        start += len(chunk)


def word_hashes(texts: pa.ChunkedArray | pa.Array, max_characters: int) -> tuple[Hashes, Offsets]:
    """Return the hashes of the words of every text: (words,) uint64 and offsets (n + 1,) int64."""
    hashes: list[Hashes] = []
    counts: list[Offsets] = [np.zeros(1, np.int64)]
    for _, data, offsets in slices(texts, max_characters):
        room = np.empty((len(data) + 1) // 2 + len(offsets), np.uint64)
        ends = np.empty(len(offsets), np.int64)
        used = _words(data, offsets, room, ends)
        hashes.append(room[:used].copy())
        counts.append(np.diff(ends))
    flat = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
    return flat, np.cumsum(np.concatenate(counts), dtype=np.int64)


def _normalised(texts: pa.Array, max_characters: int) -> pa.Array:
    """Return texts cut to `max_characters`, in NFKC form and lower case."""
    texts = pc.fill_null(texts.cast(pa.large_string()), "")
    if pc.any(pc.greater(pc.binary_length(texts), max_characters)).as_py():
        texts = pc.utf8_slice_codeunits(texts, 0, max_characters)
    if pc.all(pc.string_is_ascii(texts)).as_py():
        return texts  # the kernels fold the case of ASCII
    return pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))


def _buffers(texts: pa.Array) -> tuple[Bytes, Offsets]:
    _, where, content = texts.buffers()
    offsets = np.frombuffer(where, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(content, np.uint8)[first:last] if content is not None else np.empty(0, np.uint8)
    return data, offsets - first


@numba.njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def kind_at(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the class of the character at `at` (0 separator, 1 letter or digit, 2 a word alone) and its bytes."""
    lead = data[at]
    if lead < 0x80:
        letter = (0x30 <= lead <= 0x39) or (0x41 <= lead <= 0x5A) or (0x61 <= lead <= 0x7A)
        return (_LETTER if letter else _SEPARATOR), 1
    width = 2 if lead < 0xE0 else (3 if lead < 0xF0 else 4)
    if at + width > end:
        return _SEPARATOR, end - at
    if width == 2:
        return (_SEPARATOR if lead == 0xC2 else _LETTER), 2  # U+0080..00BF: controls and signs
    point = np.int64(lead & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6 | np.int64(data[at + 2] & 0x3F)
    if width == 4:
        return (_ALONE if lead == 0xF0 else _LETTER), 4  # planes 1-3: emoji, rare ideographs
    if 0x2000 <= point <= 0x2BFF or 0x3000 <= point <= 0x303F or 0xFE00 <= point <= 0xFE6F:
        return _SEPARATOR, 3  # punctuation, arrows, boxes, CJK punctuation
    if 0x2E80 <= point <= 0x9FFF or 0xF900 <= point <= 0xFAFF or 0x0E00 <= point <= 0x0EFF or 0x1780 <= point <= 0x17FF:
        return _ALONE, 3  # CJK, kana, Thai, Lao, Khmer
    return _LETTER, 3


@numba.njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def mix(value: np.uint64) -> np.uint64:
    """Return a well-mixed 64-bit value (the finaliser of MurmurHash3)."""
    value = np.uint64(value)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _words(data: Bytes, offsets: Offsets, hashes: Hashes, ends: Offsets) -> int:
    """Write the hash of every word and return how many there are. ends[i]: the words before text i."""
    used = 0
    ends[0] = 0
    for text in range(len(offsets) - 1):
        at, end = offsets[text], offsets[text + 1]
        state = np.uint64(0xCBF29CE484222325)
        inside = False
        while at < end:
            kind, width = kind_at(data, at, end)
            if inside and kind != _LETTER:
                hashes[used] = mix(state)
                used += 1
                state, inside = np.uint64(0xCBF29CE484222325), False
            if kind != _SEPARATOR:
                for place in range(at, at + width):
                    byte = data[place]
                    if 0x41 <= byte <= 0x5A:
                        byte |= np.uint8(0x20)
                    state = (state ^ np.uint64(byte)) * np.uint64(0x100000001B3)
                inside = True
                if kind == _ALONE:
                    hashes[used] = mix(state)
                    used += 1
                    state, inside = np.uint64(0xCBF29CE484222325), False
            at += width
        if inside:
            hashes[used] = mix(state)
            used += 1
        ends[text + 1] = used
    return used


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def ngram_buckets(
    data: Bytes,
    offsets: Offsets,
    buckets: np.uint64,
    characters_from: int,
    found: npt.NDArray[np.int32],
    ends: Offsets,
) -> int:
    """Write the bucket of every word, word bigram and 4-gram of a word's bytes with its edges; return how many.

    Buckets of words and bigrams begin at 0, those of 4-grams at `characters_from` (below 0: none).
    """
    used = 0
    ends[0] = 0
    for text in range(len(offsets) - 1):
        at, end = offsets[text], offsets[text + 1]
        state, previous = np.uint64(0xCBF29CE484222325), np.uint64(0)
        window, inside = np.uint32(0), 0
        while at <= end:
            kind, width = (0, 1) if at == end else kind_at(data, at, end)
            if kind != 0:
                if inside == 0:
                    window = np.uint32(0x5F)  # the edge of a word
                for place in range(at, at + width):
                    byte = data[place]
                    if 0x41 <= byte <= 0x5A:
                        byte |= np.uint8(0x20)
                    state = (state ^ np.uint64(byte)) * np.uint64(0x100000001B3)
                    window = np.uint32(window << np.uint32(8)) | np.uint32(byte)
                    inside += 1
                    if characters_from >= 0 and inside >= 3:
                        four = mix(np.uint64(window) | np.uint64(0x7) << np.uint64(40)) % buckets
                        found[used] = characters_from + np.int64(four)
                        used += 1
            if inside and kind != 1:
                if characters_from >= 0 and inside >= 3:
                    window = np.uint32(window << np.uint32(8)) | np.uint32(0x5F)
                    four = mix(np.uint64(window) | np.uint64(0x7) << np.uint64(40)) % buckets
                    found[used] = characters_from + np.int64(four)
                    used += 1
                word = mix(state)
                found[used] = word % buckets
                used += 1
                if previous != 0:
                    found[used] = mix(word + np.uint64(3) * previous) % buckets
                    used += 1
                previous, state, inside = word, np.uint64(0xCBF29CE484222325), 0
            at += width
        ends[text + 1] = used
    return used
