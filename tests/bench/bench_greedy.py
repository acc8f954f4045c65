"""Greedy choice on docstrings: lazily against plainly, and against random rows.

`python -m tests.bench.bench_greedy [--rows 5000] [--target 250]` prints for every set function the value against plain
greedy and random, and the gains that were computed against those of plain greedy.
"""

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from evenkeel.tasks.sample.greedy.concave import ConcaveSums
from evenkeel.tasks.sample.greedy.engine import Chosen, SetFunction, lazy_greedy
from evenkeel.tasks.sample.greedy.features import Features
from evenkeel.tasks.sample.greedy.vectors import FacilityLocation, LogDeterminant, cosine_similarity
from tests.bench.bench_dedup import _docstrings

WORD = re.compile(r"[a-z]{4,}")


def plain_greedy(function: SetFunction, wanted: int) -> Chosen:
    """Compute every gain in every round: what lazy greedy has to equal."""
    order, gains, left, evaluations = [], [], np.ones(len(function.gains()), bool), 0
    for _ in range(wanted):
        found = np.where(left, function.gains(), -np.inf)
        evaluations += int(left.sum())
        row = int(found.argmax())
        function.add(row)
        left[row] = False
        order.append(row)
        gains.append(found[row])
    return Chosen(np.array(order), np.array(gains), evaluations)


def value_of(function: SetFunction, rows: np.ndarray) -> float:
    """Return the value of a set of rows."""
    total = 0.0
    for row in rows.tolist():
        total += function.gain(row)
        function.add(row)
    return total


def set_functions(rows: int, wanted: int, seed: int = 0) -> dict[str, Callable[[], SetFunction]]:
    """Return set functions over docstrings: words as tags, and vectors of their meaning."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = list(_docstrings())
    texts = [texts[place] for place in np.random.default_rng(seed).permutation(len(texts))[:rows]]
    words = [sorted(set(WORD.findall(text.lower()))) for text in texts]
    common = [word for word, _ in Counter(word for row in words for word in row).most_common(3000)]
    code = {word: place for place, word in enumerate(common)}
    of_rows = [[code[word] for word in row if word in code] for row in words]
    offsets = np.cumsum([0, *map(len, of_rows)])
    codes = np.array([one for row in of_rows for one in row], np.int32)
    one = Features(codes, np.ones(len(codes)), offsets)
    share = Features(codes, np.repeat(1 / np.maximum(np.diff(offsets), 1), np.diff(offsets)), offsets)
    vectors = TruncatedSVD(64, random_state=0).fit_transform(TfidfVectorizer(max_features=20000).fit_transform(texts))
    vectors = vectors.astype(np.float32)
    similarity, quality = cosine_similarity(vectors), np.ones(rows)
    return {
        "information": lambda: ConcaveSums(share, len(common), "information"),
        "entropy": lambda: ConcaveSums(share, len(common), "entropy", wanted),
        "coverage": lambda: ConcaveSums(one, len(common), "coverage", 2),
        "facility": lambda: FacilityLocation(similarity),
        "determinant": lambda: LogDeterminant(vectors, quality, wanted),
    }


def against(value: float, chance: float, rows: int) -> str:
    """Return both and their ratio; of logs of determinants of so many rows, that of the roots."""
    ratio = np.exp((value - chance) / rows) if rows else value / chance
    return f"{value:.1f} / {chance:.1f} = {ratio:.2f}"


def main() -> None:
    """Print a row for every set function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--target", type=int, default=250)
    asked = parser.parse_args()
    functions = set_functions(asked.rows, asked.target)
    random = np.random.default_rng(1).permutation(asked.rows)[: asked.target]
    print("| gain | value / plain greedy | evaluations / plain greedy | value / random | lazy, CPU-s | plain, CPU-s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, make in functions.items():
        lazy_greedy(make(), 2)
        begun = time.process_time()
        lazy = lazy_greedy(make(), asked.target)
        middle = time.process_time()
        plain = plain_greedy(make(), asked.target)
        ended = time.process_time()
        chance = value_of(make(), random)
        print(
            f"| {name} | {lazy.value / plain.value:.4f} | 1/{plain.evaluations / lazy.evaluations:.0f} "
            f"| {against(lazy.value, chance, asked.target if name == 'determinant' else 0)} "
            f"| {middle - begun:.2f} | {ended - middle:.2f} |"
        )


if __name__ == "__main__":
    main()
