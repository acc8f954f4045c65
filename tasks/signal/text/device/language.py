"""The scores of languages on a CUDA device: the sums of `language.py`, in the same order and with the same roundings.

A thread walks through a text with the automaton and notes which features it finds, and how often; then a block adds up
the weights of a text's features, a thread a language. What follows from the scores is computed on the CPU.
"""

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.embed.device_texts import LONGEST, Part, for_each_part, kept
from evenkeel.tasks.kmeans.device.arrays import Arrays
from evenkeel.tasks.signal.text.characters import Bytes
from evenkeel.tasks.signal.text.likelihood import Model, choose_languages, log_counts

BYTES_EACH = 20  # of the device's memory for a byte of text
THREADS = 160
SOURCE = r"""
// Features of a text in the order in which they first come, to seen, and how often they come, to times; both where the
// text's bytes are. slots: zeros, twice as many.
extern "C" __global__ void walk(
    const unsigned char* data, const long long* offsets, const int* texts, const unsigned* moves, const long long* rows,
    const int* features, int* seen, int* times, int* slots, int* distinct, long long count) {
  long long one = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (one >= count) return;
  long long begin = offsets[texts[one]], end = offsets[texts[one] + 1];
  unsigned size = (unsigned)(2 * (end - begin)), state = 0;
  int found = 0;
  seen += begin;
  times += begin;
  slots += 2 * begin;
  for (long long at = begin; at < end; at++) {
    state = moves[rows[state] * 256 + data[at]];
    int feature = features[state];
    if (feature < 0) continue;
    unsigned slot = (unsigned)((unsigned long long)(feature * 2654435761u) * size >> 32);
    while (slots[slot] && seen[slots[slot] - 1] != feature) slot = slot + 1 == size ? 0 : slot + 1;
    if (!slots[slot]) {
      slots[slot] = ++found;
      seen[found - 1] = feature;
      times[found - 1] = 0;
    }
    times[slots[slot] - 1]++;
  }
  distinct[one] = found;
}

// A block a text, a thread a language. logs: log(1 + n) of a number of times. scores: (count, languages).
extern "C" __global__ void add_up(
    const unsigned char* data, const long long* offsets, const int* texts, const int* seen, const int* times,
    const int* distinct, const float* logs, const float* weights, const float* prior, int languages, float* scores,
    long long count) {
  long long begin = offsets[texts[blockIdx.x]];
  for (int language = threadIdx.x; language < languages; language += blockDim.x) {
    float score = prior[language];
    for (int place = 0; place < distinct[blockIdx.x]; place++) {
      float weight = weights[(long long)seen[begin + place] * languages + language];
      score = __fadd_rn(score, __fmul_rn(logs[times[begin + place]], weight));
    }
    scores[(long long)blockIdx.x * languages + language] = score;
  }
}
"""


def identify_on_device(
    data: Bytes, offsets: Int64Array, model: Model, best: Int64Array, confidence: Float64Array
) -> Int64Array:
    """Write what `identify` writes with these arguments; return which texts are left to it: those above 64 KiB."""
    lengths = np.diff(offsets)
    best[:], confidence[:] = -1, np.nan
    scored = list[tuple[Float32Array, Int32Array, Int64Array]]()

    def work(part: Part) -> None:
        arrays, count, total = part.arrays, len(part.rows), len(part.data)
        xp = arrays.xp
        automaton, sums = kept(arrays, "languages", lambda: _model_there(arrays, model))
        seen, times, distinct = (xp.empty(size, np.int32) for size in (total, total, count))
        found = (seen, times, xp.zeros(2 * total, np.int32), distinct)
        part.launch(SOURCE, "walk", count, part.rows, *automaton, *found)
        languages = len(model.prior)
        scores = xp.empty((count, languages), np.float32)
        about = (seen, times, distinct, *sums, np.int32(languages), scores)
        part.launch(SOURCE, "add_up", count, part.rows, *about, threads=THREADS)
        rows = arrays.get(part.rows).astype(np.int64) + part.first
        scored.append((arrays.get(scores), arrays.get(distinct), rows))

    for_each_part(data, offsets, (lengths > 0) & (lengths <= LONGEST), BYTES_EACH, work)
    for scores, distinct, rows in scored:  # when another thread may have the device
        choose_languages(scores, distinct, rows, offsets, model, best, confidence)
    return np.flatnonzero(lengths > LONGEST)


def _model_there(arrays: Arrays, model: Model) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return the automaton, and logarithms, weights and prior, on the device: 100 MB."""
    automaton: tuple[Array, ...] = (model.moves, model.rows, model.features)
    sums: tuple[Array, ...] = (log_counts(LONGEST), model.weights, model.prior)
    return tuple(map(arrays.put, automaton)), tuple(map(arrays.put, sums))
