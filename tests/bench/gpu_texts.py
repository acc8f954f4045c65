"""Texts on a CUDA device and on one core of the same machine: megabytes a second of what is found in them."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.infra.compute import Backend
from evenkeel.tasks.dedup.config import NearConfig
from evenkeel.tasks.dedup.minhash import band_hashes, choose_bands
from evenkeel.tasks.dedup.ngrams import listed_ngrams, listed_ngrams_of
from evenkeel.tasks.embed.words import word_hashes
from evenkeel.tasks.signal.text.language import languages_of
from evenkeel.tasks.signal.text.measure import text_statistics
from evenkeel.tasks.signal.text.personal import count_personal
from evenkeel.tasks.signal.text.statistics import CLEANED, COUNTED, NGRAMS, REPEATED
from evenkeel.tasks.signal.toward.ngrams import count_ngrams, weigh_texts
from tests.bench.bench_dedup import _real_texts

MEGABYTES = {"gpu": 128, "cpu": 4}  # a block of a pool, and what a core reads in half a second
CHARACTERS = 262_144
GROUPS = {"words and lines": COUNTED, "repeated lines": REPEATED, "repeated n-grams": NGRAMS, "C4": CLEANED}


def text_rates(backend: Backend, megabytes: float | None = None) -> dict[str, float]:
    """Return megabytes a second by what is found; of one caller, the better of two calls after one that compiles."""
    texts = texts_of(MEGABYTES[backend] if megabytes is None else megabytes)
    size = sum(chunk.nbytes for chunk in texts.chunks) / 1e6
    return {name: size / seconds(work) for name, work in works(texts, backend).items()}


def texts_of(megabytes: float) -> pa.ChunkedArray:
    """Return real texts in an order drawn at random, repeated until they are so many bytes."""
    real = pa.array([text for text in _real_texts() if text])
    times = -(-int(megabytes * 1e6) // real.nbytes)
    order = np.concatenate([np.random.default_rng(seed).permutation(len(real)) for seed in range(times)])
    texts = real.cast(pa.large_string()).take(pa.array(order))
    rows = max(1, int(len(texts) * megabytes * 1e6 / texts.nbytes))
    return pa.chunked_array([texts.slice(0, rows)])


def works(texts: pa.ChunkedArray, backend: Backend) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    near = NearConfig()
    bands = choose_bands(near.threshold, near.recall)
    listed = listed_ngrams(*word_hashes(texts.slice(0, 2000), CHARACTERS), length=13, min_words=8)
    ratios = np.random.default_rng(0).normal(size=10_000)
    found: dict[str, Callable[[], object]] = {
        name: partial(text_statistics, texts, list(group)[:1], backend=backend) for name, group in GROUPS.items()
    }
    return found | {
        "languages": lambda: languages_of(texts, 2000, backend),
        "card and account numbers": lambda: count_personal(texts, ["card", "iban"], backend=backend),
        "buckets of near-duplicates": lambda: band_hashes(texts, near, bands, backend),
        "13-grams of a list": lambda: listed_ngrams_of(texts, CHARACTERS, listed, backend),
        "n-grams of a target, counts": lambda: count_ngrams(texts, len(ratios), backend),
        "n-grams of a target, weights": lambda: weigh_texts(texts, ratios, False, backend),
    }


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds of the faster of two calls; what they return has come home."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def lines_of(device: object, core: object) -> list[str]:
    """Return the table of the page; either side may be missing, or say why it failed."""
    sides = [one if isinstance(one, dict) else {} for one in (core, device)]
    names = dict.fromkeys(name for side in sides for name in side) or {"every one": None}
    cells = [[f"{side[name]:,.0f}" if name in side else "not measured" for side in sides] for name in names]
    return [
        "Texts, megabytes a second, from Arrow's buffers to Arrow's or NumPy's and copies included:",
        "",
        "| | one core | device, one caller |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {' | '.join(row)} |" for name, row in zip(names, cells, strict=True)),
    ]
