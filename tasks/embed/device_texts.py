"""Texts on a CUDA device: their bytes go there in parts that fit, and kernels of one thread a text read them.

A thread walks through its text byte by byte, so a text that is much longer than the others would keep the device
waiting for one thread. Callers leave such texts to the CPU, which computes the same.
"""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Array, BoolArray, Int64Array
from evenkeel.tasks.embed.words import Bytes, slices
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.arrays import Arrays
from evenkeel.tasks.kmeans.device.batches import REMEDY, in_batches

LONGEST = 1 << 16  # bytes of a text that one thread walks through
PART_BYTES = 256 << 20
SHARE = 0.5  # of the free memory
THREADS = 128

Made = TypeVar("Made")

_one_at_a_time = threading.Lock()
_kept: WeakKeyDictionary[Arrays, dict[str, Any]] = WeakKeyDictionary()


class Part(NamedTuple):
    """Texts first..last and what of them is on the device: bytes, uint8, and where each begins, (m + 1,) int64.

    rows: (r,) int32, those of them that are worked on, from 0, on the device; the longest come first, so that threads
    side by side have about as much to do.
    """

    arrays: Arrays
    first: int
    last: int
    data: Array
    offsets: Array
    rows: Array

    def launch(self, source: str, name: str, count: int, *arguments: Any, threads: int = 1) -> None:
        """Run the kernel `name` of a source for each of `count` texts, by so many threads a text.

        Its arguments are the bytes and where texts begin, what is given here, and how many there are, a long long.
        """
        xp = self.arrays.xp
        module = kept(self.arrays, source, lambda: xp.RawModule(code=source, options=("--std=c++17",)))
        blocks = -(-count // THREADS) if threads == 1 else count
        given = (self.data, self.offsets, *arguments, np.int64(count))
        module.get_function(name)((blocks,), (THREADS if threads == 1 else threads,), given)


def for_each_part(data: Bytes, offsets: Int64Array, chosen: Array, each: int, work: Callable[[Part], None]) -> None:
    """Call work(part) for consecutive parts of the texts data[offsets[i]:offsets[i + 1]], one thread after the other.

    chosen: (n,) bool, which texts are worked on; the bytes of others stay here. each: about how many bytes of the
    device's memory a byte of text takes. A part may be worked on twice, where memory did not suffice. Raises
    ResourceError where it never does.
    """
    arrays = opening.open_arrays()
    lengths = np.diff(offsets)

    def put(first: int, last: int) -> None:
        rows = np.flatnonzero(chosen[first:last])
        if len(rows):
            rows = rows[np.argsort(-lengths[first:last][rows], kind="stable")].astype(np.int32)
            content, begins = _chosen_bytes(data, offsets[first : last + 1], chosen[first:last])
            work(Part(arrays, first, last, arrays.put(content), arrays.put(begins), arrays.put(rows)))

    with _one_at_a_time:
        most = min(PART_BYTES, int(arrays.free_bytes() * SHARE) // each)
        texts = len(lengths) * most // max(int(lengths[chosen].sum()), 1)
        in_batches(arrays, len(lengths), max(1, texts), put, "to read texts", "what is found in them", REMEDY)


def _chosen_bytes(data: Bytes, offsets: Int64Array, chosen: Array) -> tuple[Bytes, Int64Array]:
    """Return the bytes of the chosen texts, one after the other, and where all texts begin there; the others are empty.

    data, offsets: as for `for_each_part`, of fewer texts.
    """
    lengths = np.diff(offsets)
    if not lengths[~chosen].any():
        return np.ascontiguousarray(data[offsets[0] : offsets[-1]]), offsets - offsets[0]
    begins = np.concatenate(([0], np.cumsum(np.where(chosen, lengths, 0))))
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(np.ascontiguousarray(data))]
    texts = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(chosen), buffers).filter(pa.array(chosen))
    return np.frombuffer(texts.buffers()[2] or b"", np.uint8, begins[-1]), begins


def for_each_normal_part(
    texts: pa.ChunkedArray | pa.Array,
    max_characters: int,
    each: int,
    work: Callable[[Part, Int64Array, Int64Array], None],
) -> Int64Array:
    """Call work(part, rows, mine) for parts of texts in their normal form, as `words.slices` has it.

    rows: (r,), which of all texts are worked on; mine: the same, counted from the first of the part. each: as above.
    Returns which texts are left out, those of more than 64 KiB.
    """
    left = [np.empty(0, np.int64)]
    for start, data, offsets in slices(texts, max_characters):
        chosen = np.diff(offsets) <= LONGEST
        left.append(start + np.flatnonzero(~chosen))

        def of_slice(part: Part, start: int = start, chosen: BoolArray = chosen) -> None:
            mine = np.flatnonzero(chosen[part.first : part.last])
            work(part, mine + start + part.first, mine)

        for_each_part(data, offsets, chosen, each, of_slice)
    return np.concatenate(left)


def kept(arrays: Arrays, name: str, make: Callable[[], Made]) -> Made:
    """Return what `make` makes for a device, made when a process first asks for what is called so."""
    mine = _kept.setdefault(arrays, {})
    if name not in mine:
        mine[name] = make()
    made: Made = mine[name]
    return made
