"""Entries matched in texts: CPU-seconds, memory, and equality with a regular expression.

`python -m tests.bench.bench_entries [--texts texts.parquet] [--entries 100000]` prints a table. The entries are the
most frequent words and pairs of words of every second text. Without --texts the texts are the docstrings of this
environment.
"""

import argparse
import random
import re
import resource
import time
from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.tasks.signal.entries.phrases import Phrases
from tests.bench.bench_dedup import _docstrings

CHECKED_ENTRIES, CHECKED_TEXTS = 300, 2000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", help="a Parquet file with a column text")
    parser.add_argument("--entries", type=int, default=100_000)
    asked = parser.parse_args()
    texts = pq.read_table(asked.texts, columns=["text"])["text"].to_pylist() if asked.texts else list(_docstrings())
    entries = frequent_entries(texts[::2], asked.entries)
    Phrases.of(pa.array(["compiled", "on first use"]))[0].find(pa.array(["compiled"]))
    column = pa.array(texts, pa.string())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    phrases, _ = Phrases.of(pa.array(entries))
    built = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    started = time.process_time()
    found = phrases.find(column)
    seconds = time.process_time() - started
    print(
        "| texts | MB | entries | built, CPU-s | driver grew, MB | found, CPU-s | MB/s | matches | differ from regex |"
    )
    print("| ---: " * 9 + "|")
    size = column.nbytes / 1e6
    wrong = differences(texts, entries, found.numbers.tolist(), found.offsets.tolist())
    print(
        f"| {len(texts):,} | {size:.0f} | {len(entries):,} | {built:.2f} | {grown:.0f} | {seconds:.2f} | "
        f"{size / seconds:.0f} | {len(found.numbers):,} | {wrong} of {CHECKED_ENTRIES * CHECKED_TEXTS:,} |"
    )


def frequent_entries(texts: list[str], wanted: int) -> list[str]:
    """Return the most frequent words and pairs of words."""
    counts: Counter[str] = Counter()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        counts.update(words)
        counts.update(" ".join(pair) for pair in pairwise(words))
        if len(counts) > 20 * wanted:
            break
    return [entry for entry, _ in counts.most_common(wanted)]


def differences(texts: list[str], entries: list[str], numbers: list[int], offsets: list[int]) -> int:
    """Return how many of some pairs of text and entry a regular expression with word borders tells otherwise."""
    draw = random.Random(0)
    chosen = {number: entries[number] for number in draw.sample(range(len(entries)), CHECKED_ENTRIES)}
    rules = {number: re.compile(_pattern(entry)) for number, entry in chosen.items()}
    wrong = 0
    for row in draw.sample(range(len(texts)), min(CHECKED_TEXTS, len(texts))):
        mine, text = set(numbers[offsets[row] : offsets[row + 1]]), texts[row].lower()
        wrong += sum((rule.search(text) is not None) != (number in mine) for number, rule in rules.items())
    return wrong


def _pattern(entry: str) -> str:
    return r"(?<!\w)" + r"\s+".join(map(re.escape, entry.split())) + r"(?!\w)"


if __name__ == "__main__":
    main()
