"""A pool of vectors with those of a guide, and what its negatives are worth."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepRef
from tests.sample.pools import write_pool

GUARD = {"guide": "guide", "positive": "answer", "margin": 0.05}


def guided_pool(
    folder: Path, vectors: np.ndarray, query: np.ndarray, positive: np.ndarray, block_rows: int, cut: int = 0
) -> dict[str, StepRef]:
    """Write a pool of two leaves whose payload holds a guide's vectors; cut: dimensions that one row lacks."""
    rows = len(vectors)
    done = write_pool(folder, vectors, levels=[np.arange(rows) % 2], texts=["x"] * rows, block_rows=block_rows)
    uri = done["ingest"].uri
    info = storage.read_json(f"{uri}/pool.json")
    storage.write_json(f"{uri}/pool.json", {**info, "payload": {"text": "string", "guide": "list", "answer": "list"}})
    for start in range(0, rows, block_rows):
        name = f"{uri}/payload/s00000-b{start // block_rows:04d}.parquet"
        part = slice(start, start + block_rows)
        answers = positive[part].tolist()
        if cut:
            answers[0] = answers[0][:-cut]
        write_table(
            name, pa.table({"text": read_table(name)["text"], "guide": query[part].tolist(), "answer": answers})
        )
    return done


def false_shares(
    vectors: np.ndarray, of: np.ndarray, negatives: np.ndarray, rows: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Return the share of negatives (n, k) that are of their row's own group, and their mean cosine with it.

    Before these, the share of unguarded ones that are as near on average: the nearest after so many. rows: whose
    negatives they are, in place of all.
    """
    rows = np.arange(len(vectors)) if rows is None else rows
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    cosine = cosine[rows]
    similar = float(np.take_along_axis(cosine, negatives, 1).mean())
    ranked, count = np.argsort(-cosine, axis=1, kind="stable"), negatives.shape[1]
    at = range(min(400, ranked.shape[1] - count))
    means = [float(np.take_along_axis(cosine, ranked[:, one : one + count], 1).mean()) for one in at]
    alike = ranked[:, int(np.abs(np.array(means) - similar).argmin()) :][:, :count]
    shares = [float((of[chosen] == of[rows, None]).mean()) for chosen in (alike, negatives)]
    return shares[0], shares[1], similar
