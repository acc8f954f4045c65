"""A small lopsided pool on disk, and recipes over it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DIMENSION, TOPICS = 16, 12


def lopsided(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, 16) float32 vectors around 12 centres with Zipf masses, and the centre of each row."""
    rng = np.random.default_rng(seed)
    masses = 1 / np.arange(1, TOPICS + 1)
    topic = rng.choice(TOPICS, rows, p=masses / masses.sum())
    centres = np.random.default_rng(99).normal(size=(TOPICS, DIMENSION))
    vectors = centres[topic] + 0.15 * rng.normal(size=(rows, DIMENSION))
    return vectors.astype(np.float32), topic


def write_shards(folder: Path, rows: int = 1200, shards: int = 3, seed: int = 0) -> Path:
    """Write a pool with ids, topics, texts and vectors as Parquet shards and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors, topic = lopsided(rows, seed)
    for number, part in enumerate(np.array_split(np.arange(rows), shards)):
        table = pa.table(
            {
                "id": [f"row-{seed}-{row}" for row in part],
                "topic": [f"topic-{topic[row]}" for row in part],
                "text": [f"note {seed}-{row} about {topic[row]}" for row in part],
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors[part].ravel()), DIMENSION),
            }
        )
        pq.write_table(table, folder / f"shard-{number}.parquet")
    return folder


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    """A recipe over 1,200 rows of 12 topics, as plain data."""
    return document_in(tmp_path)


def document_in(folder: Path) -> dict[str, Any]:
    """Write a pool of 1,200 rows of 12 topics in a folder, and return a recipe over it."""
    return {
        "dataset": "notes",
        "source": {"uri": str(write_shards(folder / "pool")), "groups": ["topic"]},
        "dedup": {"near": None},
        "clustering": {"levels": [40, 8], "iterations": 5, "resampling": 2},
        "sampling": {"target": 240},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
        "compute": "inline",
    }


@pytest.fixture
def recipe_file(tmp_path: Path, document: dict[str, Any]) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(document))
    return path
