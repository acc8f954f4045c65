"""Labelled pools for the balance benchmark. The labels are hidden from everything but the evaluation."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.tasks.embed.embedders.auto import AutoEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.pool import Pool as IngestedPool
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.step import Run

ZIPF_SIGMA = 0.6


@dataclass(frozen=True)
class Pool:
    """A lopsided pool and a balanced held-out set with the same labels.

    x: (n, d) float32 vectors. y: (n,) int labels. test_x, test_y: the held-out set.
    """

    name: str
    about: str
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    target: int
    levels: list[int] | None = None


def zipf(labels: int, exponent: float = 1.0) -> np.ndarray:
    masses = 1.0 / np.arange(1, labels + 1) ** exponent
    return np.asarray(masses / masses.sum())


def labels_of(rows: int, masses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y = rng.choice(len(masses), rows, p=masses)
    y[: len(masses)] = np.arange(len(masses))
    return y


def isotropic() -> Pool:
    """The mixture of the bar: 1000 Gaussian components with Zipf(1) masses."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (1000, 128))
    y, test_y = labels_of(100_000, zipf(1000), rng), np.repeat(np.arange(1000), 5)
    x, test_x = (centres[part] + rng.normal(0, ZIPF_SIGMA, (len(part), 128)) for part in (y, test_y))
    about = "100,000 x 128, 1000 Gaussian components, Zipf(1) masses, sigma 0.6"
    return Pool("isotropic", about, x, y, test_x, test_y, 10_000, [3000, 300, 30])


def nested() -> Pool:
    """10 groups of 20 components each."""
    rng = np.random.default_rng(0)
    tops = rng.normal(0, 4, (10, 64))
    centres = (tops[:, None] + rng.normal(0, 1, (10, 20, 64))).reshape(-1, 64)
    y, test_y = labels_of(20_000, rng.permutation(zipf(200)), rng), np.repeat(np.arange(200), 20)
    x, test_x = (centres[part] + rng.normal(0, 0.3, (len(part), 64)) for part in (y, test_y))
    return Pool("nested", "20,000 x 64, 10 x 20 nested components, Zipf(1)", x, y, test_x, test_y, 2000)


def overlapping() -> Pool:
    """Few dimensions, so components overlap."""
    rng = np.random.default_rng(3)
    centres = rng.normal(0, 1, (50, 8))
    y, test_y = labels_of(20_000, zipf(50, 1.5), rng), np.repeat(np.arange(50), 40)
    x, test_x = (centres[part] + rng.normal(0, 0.25, (len(part), 8)) for part in (y, test_y))
    return Pool("overlapping", "20,000 x 8, 50 overlapping components, Zipf(1.5)", x, y, test_x, test_y, 2000)


def rings() -> Pool:
    """Eight equal rings apart from one another."""

    def points(part: np.ndarray) -> np.ndarray:
        turn = rng.uniform(0, 2 * np.pi, len(part))
        places = np.stack([part % 4 * 2.5, part // 4 * 2.5], axis=1)
        return np.asarray(places + np.stack([np.cos(turn), np.sin(turn)], axis=1) + rng.normal(0, 0.06, (len(part), 2)))

    rng = np.random.default_rng(0)
    y, test_y = labels_of(20_000, rng.permutation(zipf(8)), rng), np.repeat(np.arange(8), 100)
    return Pool("rings", "20,000 x 2, 8 equal rings, Zipf(1)", points(y), y, points(test_y), test_y, 2000)


def concentric() -> Pool:
    """Eight rings around one centre: a hard case, since an outer ring really spans more space than an inner one."""

    def points(part: np.ndarray) -> np.ndarray:
        turn, radius = rng.uniform(0, 2 * np.pi, len(part)), 1.0 + part
        return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1) + rng.normal(0, 0.08, (len(part), 2))

    rng = np.random.default_rng(0)
    y, test_y = labels_of(20_000, rng.permutation(zipf(8)), rng), np.repeat(np.arange(8), 100)
    return Pool("concentric", "20,000 x 2, 8 concentric rings, Zipf(1)", points(y), y, points(test_y), test_y, 2000)


def digits() -> Pool:
    """scikit-learn's digits resampled to a Zipf tail, with pixel noise so that no two rows are equal."""
    from sklearn.datasets import load_digits

    images, numbers = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows, held_out = [], []
    for share, number in zip(zipf(10), rng.permutation(10), strict=True):
        places = rng.permutation(np.flatnonzero(numbers == number))
        held_out.append(places[:40])
        rows.append(rng.choice(places[40:], int(6000 * share)))
    order = rng.permutation(np.concatenate(rows))
    test = np.concatenate(held_out)
    x = images[order] + rng.normal(0, 1.5, (len(order), 64))
    about = "scikit-learn digits, 6,000 x 64, resampled to a Zipf(1) tail, pixel noise 1.5 of 16"
    return Pool("digits", about, x, numbers[order], images[test], numbers[test], len(order) // 10)


def digits_once() -> Pool:
    """scikit-learn's digits thinned to a Zipf tail: every image at most once, a few hundred rows."""
    from sklearn.datasets import load_digits

    images, numbers = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows, held_out = [], []
    for rank, number in enumerate(rng.permutation(10), start=1):
        places = rng.permutation(np.flatnonzero(numbers == number))
        held_out.append(places[:40])
        rows.append(places[40:][: 134 // rank])
    order = rng.permutation(np.concatenate(rows))
    test = np.concatenate(held_out)
    about = f"scikit-learn digits, {len(order)} x 64, thinned to a Zipf(1) tail, no row twice"
    return Pool("digits-once", about, images[order], numbers[order], images[test], numbers[test], len(order) // 10)


def held_out(name: str, about: str, x: np.ndarray, y: np.ndarray, most: int = 40) -> Pool:
    """Part a labelled set into a pool and a held-out set of up to `most` rows (a quarter at most) of every label."""
    rng = np.random.default_rng(0)
    kept = []
    for label in np.unique(y):
        places = rng.permutation(np.flatnonzero(y == label))
        kept.append(places[: max(1, min(most, len(places) // 4))])
    test = np.concatenate(kept)
    rest = rng.permutation(np.setdiff1d(np.arange(len(y)), test))
    return Pool(name, f"{len(rest):,} x {x.shape[1]}, {about}", x[rest], y[rest], x[test], y[test], len(rest) // 10)


def debian() -> Pool | None:
    """Sentence embeddings of package descriptions, labelled by section, where EVENKEEL_BENCH_DATA points to them."""
    folder = os.environ.get("EVENKEEL_BENCH_DATA")
    if not folder or not (Path(folder) / "debian.parquet").exists():
        return None
    section = pq.read_table(Path(folder) / "debian.parquet")["section"].combine_chunks().dictionary_encode()
    x = np.load(Path(folder) / "debian_minilm_f16.npy").astype(np.float32)
    return held_out("debian", "sentence embeddings of package descriptions, 58 sections", x, section.indices.to_numpy())


def docstrings() -> Pool:
    """Docstrings of the installed packages as the product ingests and embeds them, labelled by package."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(workspace=folder, dataset="docstrings", scratch=Path(folder) / "scratch")
        source = SourceConfig(uri="docstrings://", format="docstrings", id="id", text="text", groups=["package"])
        ingested = INGEST(ingest_request(source), NoInputs(), run)
        vectors = Vectors.open(EMBED(AutoEmbedding(), EmbedInputs(ingest=ingested), run))
        texts = IngestedPool.open(ingested)
        x = np.concatenate([np.asarray(vectors.block(block), np.float32) for block in texts.blocks])
        column = pa.concat_tables([texts.table(block, ["group.package"]) for block in texts.blocks])["group.package"]
        y = column.combine_chunks().dictionary_encode().indices.to_numpy()
    often = np.bincount(y) >= 40
    keep = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(often[y]))[:30_000])
    labels = np.unique(y[keep], return_inverse=True)[1]
    return held_out("docstrings", f"docstrings of {labels.max() + 1} packages, tf-idf and SVD", x[keep], labels)


POOLS: dict[str, Callable[[], Pool | None]] = {
    "isotropic": isotropic,
    "nested": nested,
    "overlapping": overlapping,
    "rings": rings,
    "concentric": concentric,
    "digits": digits,
    "digits-once": digits_once,
    "docstrings": docstrings,
    "debian": debian,
}


def write(pool: Pool, folder: Path) -> str:
    """Write a pool as one Parquet shard of ids and vectors, no labels; return its path."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(pool.x, np.float32).ravel()), pool.x.shape[1])
    table = pa.table({"id": pa.array([f"{pool.name}-{row}" for row in range(len(pool.x))]), "vector": vectors})
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "pool.parquet", row_group_size=20_000)
    return str(folder / "pool.parquet")
