"""The pools that `bench_rates` measures: vectors of a nested mixture, and texts of about 2 kB, or both in one row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Columns = Literal["vectors", "texts", "both"]
LastStep = Literal["embed", "dedup", "cluster", "publish"]

ROWS_PER_SHARD = 10_000
ROWS_PER_BLOCK = 5_000  # so that both sizes have many blocks, and what waits in memory is the same
KEPT = 0.1  # of the rows
ROWS_PER_LEAF = 100  # as a billion rows have: their leaves are bounded at 10 million
REPEATED, ALTERED = 0.03, 0.05  # shares of rows that repeat another, and that do so but for a few words
WORDS, VOCABULARY, TOPICS = 320, 40_000, 200
MIXTURE = ((50, 1.0), (20, 0.6), (20, 0.4))  # children of every component, and how far they lie from it
NOISE = 0.5


@dataclass(frozen=True)
class Asked:
    """A pool and how far its recipe takes it.

    words: of a text. until: the last step. memory_gib: of one k-means, so that clustering takes groups of that size;
    None for the default. workers: on two Dask workers that every map goes to, else all in one process.
    """

    rows: int
    dimension: int
    columns: Columns
    words: int = WORDS
    until: LastStep = "publish"
    memory_gib: float | None = None
    workers: bool = False


class Mixture:
    """A nested mixture of Pareto masses, from which rows are drawn with their vectors and texts."""

    def __init__(self, dimension: int, words: int = WORDS) -> None:
        self.length = words
        rng = np.random.default_rng(7)
        centres = np.zeros((1, dimension), np.float32)
        for children, scale in MIXTURE:
            spread = rng.standard_normal((len(centres), children, dimension), dtype=np.float32)
            centres = (centres[:, None] + np.float32(scale) * spread).reshape(-1, dimension)
        masses = rng.pareto(1.2, size=len(centres)) + 0.1
        self.centres, self.ends = centres, np.cumsum(masses / masses.sum())
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        lengths = rng.integers(3, 9, VOCABULARY)
        self.words = pa.array(["".join(rng.choice(letters, one)) for one in lengths])
        common = 1 / np.arange(1, VOCABULARY + 1)
        self.common = np.cumsum(common / common.sum())

    def table(self, shard: int, rows: int, columns: Columns) -> pa.Table:
        """Return the rows of one shard: an id, a group, a score, and what is asked for."""
        rng = np.random.default_rng([11, shard])
        component = np.minimum(np.searchsorted(self.ends, rng.random(rows)), len(self.centres) - 1)
        copy_of = np.arange(rows)
        kind = rng.random(rows)
        copies = np.flatnonzero(kind < REPEATED + ALTERED)
        copy_of[copies] = rng.integers(0, rows, len(copies))
        altered = kind[copies] >= REPEATED
        table = {
            "id": pa.array([f"{shard}-{row}" for row in range(rows)]),
            "topic": pa.array([f"topic-{one}" for one in component % 50]),
            "loss": pa.array(rng.random(rows, dtype=np.float32)),
        }
        if columns != "texts":
            x = self.centres[component] + np.float32(NOISE) * rng.standard_normal(
                (rows, self.centres.shape[1]), dtype=np.float32
            )
            x = x[copy_of]
            x[copies[altered]] += np.float32(0.02) * rng.standard_normal((altered.sum(), x.shape[1]), dtype=np.float32)
            table["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
        if columns != "vectors":
            table["text"] = self._texts(rng, component, copy_of, copies[altered])
        return pa.table(table)

    def _texts(self, rng: np.random.Generator, component: Any, copy_of: Any, altered: Any) -> pa.Array:
        """Return texts of common words and of words of their topic; altered: rows of which a few words are others.

        Of a short text it is the last word alone, so that a copy is as similar as that of a long one (0.91).
        """
        rows, length = len(component), self.length
        word = np.minimum(np.searchsorted(self.common, rng.random((rows, length))), VOCABULARY - 1)
        own = (component[:, None] % TOPICS) * (VOCABULARY // TOPICS) + word % (VOCABULARY // TOPICS)
        word = np.where(rng.random((rows, length)) < 0.3, own, word)[copy_of]
        some = rng.integers(0, length, (len(altered), 5)) if length == WORDS else np.full((len(altered), 1), length - 1)
        word[altered[:, None], some] = rng.integers(0, VOCABULARY, some.shape)
        starts = np.arange(0, rows * length + 1, length, dtype=np.int32)
        lists = pa.ListArray.from_arrays(pa.array(starts), self.words.take(pa.array(word.ravel())))
        return pc.binary_join(lists, " ")


def write_pool(folder: Path, asked: Asked) -> int:
    """Write a pool as Parquet shards of 10,000 rows below a folder; return its bytes."""
    folder.mkdir(parents=True)
    mixture = Mixture(asked.dimension, asked.words)
    for shard, first in enumerate(range(0, asked.rows, ROWS_PER_SHARD)):
        table = mixture.table(shard, min(ROWS_PER_SHARD, asked.rows - first), asked.columns)
        pq.write_table(table, folder / f"shard-{shard:05}.parquet")
    return sum(file.stat().st_size for file in folder.iterdir())


def recipe_over(pool: Path, home: Path, asked: Asked) -> dict[str, Any]:
    """Return a recipe that takes every kind of step over such a pool, up to the last, and publishes into `home`."""
    leaves, columns = asked.rows // ROWS_PER_LEAF, asked.columns
    source = {"uri": str(pool), "id": "id", "groups": ["topic"], "scores": ["loss"], "rows_per_block": ROWS_PER_BLOCK}
    text = [
        {"name": "words", "kind": "text-statistics", "of": "words"},
        {"name": "repetition", "kind": "gopher-repetition"},
        {"name": "personal", "kind": "personal-data"},
    ]
    vector = [
        {"name": "leverage", "kind": "leverage"},
        {"name": "isolation", "kind": "isolation-forest"},
    ]
    always = [
        {"name": "place", "kind": "rank", "of": "loss", "by": "topic"},
        {"name": "far", "kind": "neighbour-distance", "k": 5, "cells": "clusters"},
    ]
    whole = asked.until == "publish"
    filters = [{"drop": "loss > 0.98"}, {"drop": "far above quantile 0.99"}]
    embedding = {"embedding": {"method": "tfidf-svd", "dimension": asked.dimension}} if columns == "texts" else {}
    memory = {} if asked.memory_gib is None else {"memory_gib": asked.memory_gib}
    return {
        "dataset": "rates",
        "source": source | ({} if columns == "vectors" else {"text": "text"}),
        "signals": [
            *(text if columns != "vectors" and asked.until != "cluster" else []),
            *(vector if columns != "texts" and whole else []),
            *(always if whole else []),
        ],
        "filters": filters if whole else [],
        "dedup": {"semantic": {"epsilon": 0.05}} if whole else {},
        "clustering": {"levels": [leaves, max(leaves // 10, 1), max(leaves // 100, 1)], **memory},
        "sampling": {"target": f"{KEPT:.0%}"},
        "splits": {"test": "5%"},
        "order": {"by": "loss"},
        "gates": {"suite": "first-version"},
        "destination": {"uri": str(home / "published")},
        "workspace": str(home / "workspace"),
        "compute": _two_workers(home) if asked.workers else "inline",
        **embedding,
    }


def _two_workers(home: Path) -> str:
    """Write what makes two Dask workers that every map goes to, and return its path."""
    path = home / "local.yaml"
    path.write_text("kind: local\nworkers: 2\nthreads: 1\nmemory: 2GiB\ninline_below: 0MiB\n")
    return str(path)
