"""Find the entries of a list in texts: whole words only, many at once, in one pass over the text.

All beginnings of all entries, token by token, are the nodes of a trie, which is kept as one open-addressing table from
the hash of a beginning to its entry. A text is walked down the trie from each of its tokens. Matching at word borders
is that of MetaCLIP (arXiv 2309.16671); the trie is over words, where Aho and Corasick (1975) have characters. Hashes
are 64 bits long: among 10^6 beginnings a wrong match is expected once in 10^13 words.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.compiled import compiled, inlined
from evenkeel.infra.dtypes import Int32Array, Int64Array, UInt64Array
from evenkeel.tasks.embed.words import mix, slices
from evenkeel.tasks.signal.entries.tokens import AFTER_BLANK, OTHER, WORD, character_classes, cut

Bytes = npt.NDArray[np.uint8]
WHOLE = (1 << 29) - 1  # characters: more than a block holds
_BLANK = 0x9E3779B97F4A7C15


class Matches(NamedTuple):
    """The entries of every text, each once, in the order in which they first end: numbers, and offsets (n + 1,)."""

    numbers: Int32Array
    offsets: Int64Array


@dataclass(frozen=True)
class Phrases:
    """The trie of some entries, as a table with open addressing.

    keys: (slots,) uint64, the hash of a beginning of an entry, 0 = free; slots is a power of two. entry: (slots,)
    int32, the number of the entry that ends there, -1 = none. goes_on: (slots,) uint8, whether a longer entry begins
    so. entries: how many there are, repeated ones among them.
    """

    keys: UInt64Array
    entry: Int32Array
    goes_on: Bytes
    entries: int

    @classmethod
    def of(cls, texts: pa.Array | pa.ChunkedArray) -> tuple[Self, Int32Array]:
        """Return the trie of entries, and the number under which each is found, (n,) int32.

        That is its own, or that of the first entry that is the same but for case, form of its characters and amount of
        white space; -1 where it has nothing but white space.
        """
        parts = list(slices(texts, WHOLE))
        most = sum(len(data) for _, data, _ in parts)
        tokens, kinds = np.empty(most, np.uint64), np.empty(most, np.uint8)
        ends = np.zeros(len(texts) + 1, np.int64)
        for first, data, offsets in parts:
            _cut_all(data, offsets, character_classes(), tokens, kinds, ends[first : first + len(offsets)])
        slots = 1 << max(4, int(2 * ends[-1]).bit_length())
        keys, entry = np.zeros(slots, np.uint64), np.full(slots, -1, np.int32)
        goes_on = np.zeros(slots, np.uint8)
        found = _grow(tokens, kinds, ends, keys, entry, goes_on)
        return cls(keys, entry, goes_on, len(texts)), found

    def find(self, texts: pa.ChunkedArray | pa.Array) -> Matches:
        """Return the entries in every text; a null text has none."""
        numbers, lengths = [np.empty(0, np.int32)], [np.zeros(1, np.int64)]
        last_seen = np.full(self.entries, -1, np.int64)
        for first, data, offsets in slices(texts, WHOLE):
            ends = np.empty(len(offsets), np.int64)
            longest = int(np.diff(offsets).max(initial=0))
            tokens, kinds = np.empty(longest, np.uint64), np.empty(longest, np.uint8)
            numbers.append(
                _find(
                    data,
                    offsets,
                    first,
                    character_classes(),
                    (np.asarray(self.keys), np.asarray(self.entry), np.asarray(self.goes_on)),
                    last_seen,
                    tokens,
                    kinds,
                    ends,
                )
            )
            lengths.append(np.diff(ends))
        return Matches(np.concatenate(numbers), np.cumsum(np.concatenate(lengths)))

    def write(self, folder: str) -> None:
        """Write the table as arrays, for workers to map."""
        for name in ("keys", "entry", "goes_on"):
            write_array(storage.join(folder, f"{name}.npy"), getattr(self, name))

    @classmethod
    def open(cls, folder: str, entries: int, scratch: Path) -> Self:
        """Return the trie in a folder, its table memory-mapped."""
        mapped = [map_array(storage.join(folder, f"{name}.npy"), scratch) for name in ("keys", "entry", "goes_on")]
        return cls(mapped[0], mapped[1], mapped[2], entries)


@compiled
def _cut_all(
    data: Bytes, offsets: Int64Array, classes: Bytes, tokens: UInt64Array, kinds: Bytes, ends: Int64Array
) -> None:
    """Append the tokens of some texts. ends[i]: the tokens before text i; ends[0] is given."""
    for text in range(len(offsets) - 1):
        used = ends[text]
        ends[text + 1] = used + cut(data, offsets[text], offsets[text + 1], classes, tokens[used:], kinds[used:])


@inlined
def _extend(state: np.uint64, token: np.uint64, kind: np.uint8, first: bool) -> np.uint64:
    """Return the hash of a beginning that is longer by one token."""
    blank = np.uint64(_BLANK) if kind >= AFTER_BLANK and not first else np.uint64(0)
    longer = np.uint64(mix(state * np.uint64(3) + token + blank))
    return longer if longer != np.uint64(0) else np.uint64(1)


@inlined
def _slot(keys: UInt64Array, key: np.uint64) -> np.int64:
    """Return the slot of a key, or the free one where it belongs."""
    mask = np.uint64(len(keys) - 1)
    at = key & mask
    while keys[at] != np.uint64(0) and keys[at] != key:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@compiled
def _grow(
    tokens: UInt64Array, kinds: Bytes, ends: Int64Array, keys: UInt64Array, entry: Int32Array, goes_on: Bytes
) -> Int32Array:
    found = np.full(len(ends) - 1, -1, np.int32)
    for number in range(len(ends) - 1):
        state = np.uint64(0)
        for place in range(ends[number], ends[number + 1]):
            state = _extend(state, tokens[place], kinds[place], place == ends[number])
            slot = _slot(keys, state)
            keys[slot] = state
            if place + 1 < ends[number + 1]:
                goes_on[slot] = 1
            else:
                if entry[slot] < 0:
                    entry[slot] = number
                found[number] = entry[slot]
    return found


@compiled
def _find(
    data: Bytes,
    offsets: Int64Array,
    first: int,
    classes: Bytes,
    table: tuple[UInt64Array, Int32Array, Bytes],
    last_seen: Int64Array,
    tokens: UInt64Array,
    kinds: Bytes,
    ends: Int64Array,
) -> Int32Array:
    """Return the entries in some texts. ends[i]: the matches before text i. last_seen: the last text of each entry."""
    keys, entry, goes_on = table
    found, used = np.empty(1024, np.int32), 0
    ends[0] = 0
    for text in range(len(offsets) - 1):
        count = cut(data, offsets[text], offsets[text + 1], classes, tokens, kinds)
        for start in range(count):
            if kinds[start] == OTHER and start > 0 and (kinds[start - 1] & np.uint8(3)) == WORD:
                continue  # the entry would begin behind a letter
            state = np.uint64(0)
            for place in range(start, count):
                state = _extend(state, tokens[place], kinds[place], place == start)
                slot = _slot(keys, state)
                if keys[slot] == np.uint64(0):
                    break
                number = entry[slot]
                if number >= 0 and last_seen[number] != first + text:
                    cuts_word = place + 1 < count and kinds[place + 1] == WORD
                    if not (cuts_word and (kinds[place] & np.uint8(3)) == OTHER):
                        last_seen[number] = first + text
                        if used == len(found):
                            larger = np.empty(2 * used, np.int32)
                            larger[:used] = found
                            found = larger
                        found[used] = number
                        used += 1
                if goes_on[slot] == 0:
                    break
        ends[text + 1] = used
    return found[:used].copy()
