"""Importance weights by n-grams beside the published library, on the same texts: `python -m tests.bench.bench_dsir`.

Needs `data-selection` (extra `bench`). Texts are docstrings of this environment; those that speak of arrays are the
target. The library's hash (SHA-256) can be reproduced, so its own buckets, of its own tokens, are fed to our formula:
then the weights must agree. With our tokens and our hash they agree as far as the library agrees with itself once its
hash is salted, since 10,000 buckets let other n-grams collide; with 262,144 hardly any do. CPU-seconds are of one
thread, in turn, ours with our tokens and hash.
"""

import re
import sysconfig
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from data_selection.hashed_ngram_dsir import get_ngram_counts, hash_buckets, wpt
from scipy.stats import spearmanr

from evenkeel.tasks.ingest.harvest import docstrings
from evenkeel.tasks.signal.toward.ngrams import count_ngrams, log_ratios, sum_ratios, weigh_texts

ROWS, TARGET_ROWS, PUBLISHED, REPEATS = 600, 100, 1e-8, 20
PACKAGES = ("pandas", "numpy", "dask", "prefect")
SIZES = (10_000, 1 << 18)


def main() -> None:
    """Print agreement and rows per CPU-second for both numbers of buckets."""
    target, texts = read_texts()
    cut, aim = plain(texts), plain(target)
    ours(texts[:10], target[:10], SIZES[0])  # compiles
    started = time.process_time()
    published = theirs(texts, target, SIZES[0])
    dear = time.process_time() - started
    fed = spearmanr(by_their_buckets(texts, target, SIZES[0]), published).statistic
    print(f"{len(texts):,} texts, {len(target)} of the target; {SIZES[0]:,} buckets")
    print(f"its tokens and its hash, our formula: rank correlation {fed:.6f}")
    print(f"our tokens and our hash: {spearmanr(ours(texts, target, SIZES[0]), published).statistic:.4f}")
    salted = theirs(texts, target, SIZES[0], "salt ")
    print(f"its tokens and its hash with a salt: {spearmanr(salted, published).statistic:.4f}")
    same = spearmanr(ours(cut, aim, SIZES[1]), theirs(cut, aim, SIZES[1])).statistic
    print(f"texts cut to words, on which both tokenisers agree, {SIZES[1]:,} buckets: {same:.4f}")
    started = time.process_time()
    for _ in range(REPEATS):
        ours(texts, target, SIZES[0])
    cheap = (time.process_time() - started) / REPEATS
    rows = len(texts) + len(target)
    print(f"rows per CPU-second: {rows / cheap:,.0f}; data-selection {rows / dear:,.0f}: {dear / cheap:.0f} times")


def read_texts() -> tuple[list[str], list[str]]:
    """Return the texts of the target and of the pool, docstrings of at least 20 words."""
    folder, found = Path(sysconfig.get_path("purelib")), []
    for package in PACKAGES:
        for file in sorted((folder / package).rglob("*.py"))[:150]:
            found += [text for _, text, _ in docstrings(file.read_bytes(), file.stem) if len(text.split()) >= 20]
    target = [text for text in found if " array " in text][:TARGET_ROWS]
    rest = [text for text in found if text not in set(target)]
    return target, rest[:: max(1, len(rest) // ROWS)][:ROWS]


def plain(texts: list[str]) -> list[str]:
    """Return texts cut to words of letters and digits."""
    return [" ".join(re.findall(r"[a-z0-9]+", text.lower())) for text in texts]


def ours(texts: list[str], target: list[str], buckets: int) -> np.ndarray:
    """Return our log weights, (n,) float64."""
    pool, wanted = pa.chunked_array([pa.array(texts)]), pa.chunked_array([pa.array(target)])
    ratios = log_ratios(count_ngrams(wanted, buckets), count_ngrams(pool, buckets), PUBLISHED)
    return weigh_texts(pool, ratios, per_token=False)


def by_their_buckets(texts: list[str], target: list[str], buckets: int) -> np.ndarray:
    """Return the log weights of our formula and kernel over the buckets that the library puts its tokens in."""

    def hashed(text: str) -> list[int]:
        words = wpt.tokenize(text.lower())
        pairs = [f"{one} {other}" for one, other in pairwise(words)]
        return [hash_buckets(gram, buckets) for gram in (*words, *pairs)]

    found, wanted = [hashed(text) for text in texts], [bucket for text in target for bucket in hashed(text)]
    flat, ends = np.concatenate(found).astype(np.int32), np.cumsum([0, *map(len, found)])
    raw = np.bincount(flat, minlength=buckets)
    assert (raw == counted(texts, buckets)).all(), "the buckets of the library are not those that were fed"
    sums = np.empty(len(texts))
    sum_ratios(log_ratios(np.bincount(wanted, minlength=buckets), raw, PUBLISHED), flat, ends, sums)
    return sums


def counted(texts: list[str], buckets: int, tokenizer: Callable[[str], list[str]] = wpt.tokenize) -> np.ndarray:
    """Return the library's counts of all texts, (buckets,) int."""
    total = np.zeros(buckets, int)
    for text in texts:
        get_ngram_counts(text, num_buckets=buckets, counts=total, tokenizer=tokenizer)
    return total


def theirs(texts: list[str], target: list[str], buckets: int, salt: str = "") -> np.ndarray:
    """Return the log weights of the library's features by its formula, (n,) float64; it reads texts twice."""

    def salted(text: str) -> list[str]:
        return [salt + word for word in wpt.tokenize(text)]

    p, q = (total / total.sum() for total in (counted(part, buckets, salted) for part in (target, texts)))
    ratio = np.log(p + PUBLISHED) - np.log(q + PUBLISHED)
    return np.array([ratio @ counted([text], buckets, salted) for text in texts])


if __name__ == "__main__":
    main()
