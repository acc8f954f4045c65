"""Two pools with hidden classes, clustered once: docstrings by package, and digits by what they show."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import ClusteredPool, cluster_pool
from evenkeel.flows.recipe import parse
from evenkeel.infra.compute import Compute
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import InProcess, Run

TARGET_ROWS = 100
CLASS_ROWS = 1000
CLASSES = 8


@dataclass(frozen=True)
class LabelledPool:
    """A clustered pool whose rows have a class that no rule sees. column: the group column that holds it."""

    name: str
    steps: ClusteredPool
    run_step: InProcess
    column: str
    texts: bool

    @property
    def pool(self) -> Pool:
        """The rows."""
        return Pool.open(self.steps.ingest)

    @cached_property
    def kept(self) -> np.ndarray:
        """Whether deduplication kept each row, (n,) bool."""
        hierarchy = Hierarchy.open(self.steps.cluster)
        held = [hierarchy.table(block.name)["row_id"].to_numpy() for block in self.pool.blocks]
        return np.isin(self.pool.row_ids(), np.concatenate(held))

    @cached_property
    def classes(self) -> np.ndarray:
        """The class of each row, (n,) str."""
        return np.asarray(self.pool.column(f"group.{self.column}"), str)

    @cached_property
    def vectors(self) -> np.ndarray:
        """The vectors, (n, d) float32."""
        stored = Vectors.open(self.steps.embed)
        return np.concatenate([np.asarray(stored.block(block.name), np.float32) for block in self.pool.blocks])

    @cached_property
    def contents(self) -> np.ndarray:
        """The texts, (n,) object."""
        parts = [self.pool.text(block.name).to_pylist() for block in self.pool.blocks]
        return np.array([text for part in parts for text in part], object)

    def aims(self, seeds: int) -> Iterator[tuple[str, np.ndarray]]:
        """Yield a class and the positions of rows of it that are its target, for eight classes and every seed.

        The classes are those whose size is nearest to 1,000 rows, so that the lifts they allow are alike.
        """
        known, counts = np.unique(self.classes[self.kept], return_counts=True)
        nearest = np.argsort(np.abs(counts - CLASS_ROWS), kind="stable")[:CLASSES]
        chosen = np.sort(known[nearest])
        for seed in range(seeds):
            for one in chosen:
                rows = np.flatnonzero(self.kept & (self.classes == one))
                yield str(one), np.sort(np.random.default_rng([seed, len(rows)]).permutation(rows)[:TARGET_ROWS])

    def write_target(self, rows: np.ndarray, folder: Path) -> Path:
        """Write rows as a target set, texts as JSONL and vectors as .npy."""
        folder.mkdir(parents=True, exist_ok=True)
        if not self.texts:
            np.save(folder / "target.npy", self.vectors[rows])
            return folder / "target.npy"
        (folder / "target.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in self.contents[rows]))
        return folder / "target.jsonl"


def docstrings_pool(folder: Path) -> LabelledPool:
    """Return the docstrings of this Python environment in 3,000 leaves."""
    document = {
        "dataset": "docstrings",
        "source": {"uri": "docstrings://", "id": "id", "text": "text", "groups": ["package"]},
        "embedding": {"method": "tfidf-svd", "dimension": 384},
        "clustering": {"levels": [3000, 60]},
    }
    return _clustered("docstrings", document, folder, "package", True)


def digits_pool(folder: Path) -> LabelledPool:
    """Return the digits of scikit-learn, 64 pixels each, in 100 leaves."""
    found = load_digits()
    folder.mkdir(parents=True, exist_ok=True)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(found.data.ravel().astype(np.float32)), found.data.shape[1])
    pq.write_table(pa.table({"vector": vectors, "digit": found.target.astype(str)}), folder / "digits.parquet")
    document = {
        "dataset": "digits",
        "source": {"uri": str(folder / "digits.parquet"), "vector": "vector", "groups": ["digit"]},
        "clustering": {"levels": [100, 10]},
    }
    return _clustered("digits", document, folder, "digit", False)


def _clustered(name: str, document: Mapping[str, object], folder: Path, column: str, texts: bool) -> LabelledPool:
    rest = {
        "sampling": {"strategy": "random", "target": 10},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
    }
    recipe = parse({**document, **rest})
    run = Run(workspace=recipe.workspace, dataset=name, scratch=folder / "scratch", compute=Compute(threads=1))
    run_step = InProcess(run)
    steps = cluster_pool(recipe, resolve_lineage(recipe, recipe.workspace), run_step)
    return LabelledPool(name, steps, run_step, column, texts)
