"""Importance weights by n-grams beside the published library, on the same texts: `python -m tests.bench.bench_dsir`.

Needs `data-selection` and `nltk` in the environment. Texts are docstrings of this Python environment, cut to words of
letters and digits, on which both tokenisers agree; 100 of them that speak of arrays are the target. With 262,144
buckets hardly any two n-grams collide, so that the weights must agree; with 10,000 the two hash functions let other
ones collide. Both are measured in CPU-seconds, in turn, on one thread.
"""

import re
import time

import numpy as np
import pyarrow as pa
from data_selection.hashed_ngram_dsir import get_ngram_counts
from scipy.stats import spearmanr

from evenkeel.tasks.signal.toward.ngrams import count_ngrams, log_ratios, weigh_texts
from tests.bench.bench_dedup import _real_texts

ROWS, TARGET_ROWS, PUBLISHED = 600, 100, 1e-8
MOST_TEXTS = 20_000
SIZES = (10_000, 1 << 18)


def main() -> None:
    """Print agreement and rows per CPU-second for both numbers of buckets."""
    texts = [" ".join(re.findall(r"[a-z0-9]+", text.lower())) for text in _real_texts()[:MOST_TEXTS]]
    texts = [text for text in texts if text.count(" ") >= 20]
    target = [text for text in texts if " array " in text][:TARGET_ROWS]
    texts = texts[:: max(1, len(texts) // ROWS)][:ROWS]
    ours(texts[:10], target[:10], SIZES[0])  # compiles
    for buckets in SIZES:
        started = time.process_time()
        published = theirs(texts, target, buckets)
        between = time.process_time()
        repeats = 20
        for _ in range(repeats):
            found = ours(texts, target, buckets)
        mine = (time.process_time() - between) / repeats
        rows = len(texts) + len(target)
        agreement = spearmanr(found, published).statistic
        print(
            f"{buckets:,} buckets: rank correlation {agreement:.4f}; "
            f"{rows / mine:,.0f} rows per CPU-second, data-selection {rows / (between - started):,.0f}, "
            f"{(between - started) / mine:.0f} times"
        )


def ours(texts: list[str], target: list[str], buckets: int) -> np.ndarray:
    """Return our log weights, (n,) float64."""
    pool, wanted = pa.chunked_array([pa.array(texts)]), pa.chunked_array([pa.array(target)])
    ratios = log_ratios(count_ngrams(wanted, buckets), count_ngrams(pool, buckets), PUBLISHED)
    return weigh_texts(pool, ratios, per_token=False)


def theirs(texts: list[str], target: list[str], buckets: int) -> np.ndarray:
    """Return the log weights of the library's features by its formula, (n,) float64; it reads texts twice."""
    counts = [np.zeros(buckets, int), np.zeros(buckets, int)]
    for part, total in zip((target, texts), counts, strict=True):
        for text in part:
            get_ngram_counts(text, num_buckets=buckets, counts=total)
    p, q = (total / total.sum() for total in counts)
    ratio = np.log(p + PUBLISHED) - np.log(q + PUBLISHED)
    features, found = np.zeros(buckets, int), np.empty(len(texts))
    for row, text in enumerate(texts):
        features[:] = 0
        found[row] = ratio @ get_ngram_counts(text, num_buckets=buckets, counts=features)
    return found


if __name__ == "__main__":
    main()
