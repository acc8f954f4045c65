"""Statistics and quality rules of texts, beside datatrove's filters on the same texts, in turn, on one thread.

    EVENKEEL_BENCH_DATA=/path python -m tests.bench.bench_text_signals

Writes its section of docs/PERFORMANCE.md. EVENKEEL_BENCH_ROUNDS: how often both take turns (3).
EVENKEEL_BENCH_MEGABYTES: how much text (10). EVENKEEL_BENCH_DATA is a folder with `debian.parquet` (column `text`);
without it the texts are docstrings of this Python environment, those of at least 50 words. datatrove gets a tokeniser
that splits words at white space and sentences as we do: its own, by spaCy, is slower and reads other words.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.tasks.signal.kinds.c4 import C4
from evenkeel.tasks.signal.kinds.fineweb import FineWeb
from evenkeel.tasks.signal.kinds.gopher_quality import GopherQuality
from evenkeel.tasks.signal.kinds.gopher_repetition import GopherRepetition
from evenkeel.tasks.signal.text.measure import text_statistics
from evenkeel.tasks.signal.text.signals import RuleSignal, failed_rules
from evenkeel.tasks.signal.text.statistics import STATISTICS
from tests.bench.bench_dedup import _real_texts
from tests.bench.performance_page import write_section
from tests.signal.text.reference import sentence_ends

ROUNDS = int(os.environ.get("EVENKEEL_BENCH_ROUNDS", "3"))
MEGABYTES = float(os.environ.get("EVENKEEL_BENCH_MEGABYTES", "10"))
PRESETS: dict[str, RuleSignal] = {
    "gopher-quality": GopherQuality(name="x"),
    "gopher-repetition": GopherRepetition(name="x"),
    "c4": C4(name="x"),
    "fineweb": FineWeb(name="x"),
}
BAR = ("gopher-quality", "gopher-repetition", "c4")


def main() -> None:
    """Measure both and write the section; fail where a decision differs."""
    texts = list(_enough(_real_texts()))
    array, megabytes = pa.array(texts), sum(len(text.encode()) for text in texts) / 1e6
    filters = _datatrove()
    peers: dict[tuple[str, str], Callable[[], object]] = {}
    for name, preset in PRESETS.items():
        peers["ours", name] = partial(failed_rules, preset, array)
        peers["theirs", name] = partial(_kept, filters[name], texts)
    peers["ours", "all statistics"] = partial(text_statistics, array, STATISTICS)
    text_statistics(array.slice(0, 1), STATISTICS)  # compiles
    seconds = _in_turn(peers)
    lines = ["| | ours, MB/s | datatrove, MB/s | ratio | kept | decisions that differ |", "|---|---|---|---|---|---|"]
    different = 0
    for name, preset in PRESETS.items():
        kept = failed_rules(preset, array) == 0
        wrong = int((kept != np.array(_kept(filters[name], texts))).sum())
        different += wrong
        mine, peer = megabytes / seconds["ours", name], megabytes / seconds["theirs", name]
        lines.append(f"| `{name}` | {mine:.0f} | {peer:.2f} | {mine / peer:.0f} | {kept.mean():.1%} | {wrong} |")
    together = sum(seconds["theirs", name] for name in BAR)
    every = megabytes / seconds["ours", "all statistics"]
    label = f"all {len(STATISTICS)} statistics; of datatrove the first three filters"
    lines.append(f"| {label} | {every:.0f} | {megabytes / together:.2f} | {every * together / megabytes:.0f} | | |")
    note = (
        f"{len(texts):,} texts of at least 50 words, {megabytes:.1f} MB, one thread, CPU-seconds, the median of\n"
        f"{ROUNDS} round(s) in which both take turns. datatrove's words are split at white space, its\n"
        f"sentences as ours; {os.getloadavg()[0]:.0f} processes wanted the cores."
    )
    print("\n".join([note, *lines]))
    write_section("Text statistics", "make bench-text", "\n".join([note, "", *lines]))
    if different:
        raise SystemExit(f"{different} decisions differ")


def _kept(keep: Callable[[str], bool], texts: list[str]) -> list[bool]:
    return [keep(text) for text in texts]


def _enough(texts: Iterable[str]) -> Iterable[str]:
    read = 0
    for text in texts:
        if len(text.split()) >= 50:
            yield text
            read += len(text.encode())
            if read > MEGABYTES * 1e6:
                return


def _in_turn(peers: dict[tuple[str, str], Callable[[], object]]) -> dict[tuple[str, str], float]:
    """Return the median CPU-seconds of each over rounds in which all take their turn."""
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, peer in peers.items():
            started = time.process_time()
            peer()
            seconds[name].append(time.process_time() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def _datatrove() -> dict[str, Callable[[str], bool]]:
    """Return datatrove's filters by the name of ours, with words and sentences as we read them."""
    os.environ.setdefault("LOGURU_LEVEL", "ERROR")
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.utils import word_tokenizers

    class BySpace(word_tokenizers.WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, end) for end in sentence_ends(text)]

    word_tokenizers.load_word_tokenizer = lambda _: BySpace()
    filters = (GopherQualityFilter(), GopherRepetitionFilter(), C4QualityFilter(), FineWebQualityFilter())

    def keeping(one: object) -> Callable[[str], bool]:
        return lambda text: one.filter(Document(text=text, id="")) is True  # type: ignore[attr-defined]

    return {name: keeping(one) for name, one in zip(PRESETS, filters, strict=True)}


if __name__ == "__main__":
    main()
