"""Model how the CPU-seconds of each step grow with the pool, on a reference core; a probe scales them.

The formulas follow from the algorithms; the constants were fitted on runs of 2,000 to 200,000 rows (2 cores of an AMD
EPYC; the command is in docs/PERFORMANCE.md). A probe of real rows replaces the constant of each step by a measured one,
so that only the growth is taken from here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from evenkeel.tasks.dedup.config import DedupConfig

START = 12.0  # Prefect's temporary server, imports, shutting down
PROBE_ROWS = 8192  # that the rules of `balanced` are measured on
SCAN_ROWS = 100_000
MAX_DRAWN = 20_000  # clusters of the card's charts


@dataclass(frozen=True)
class Work:
    """The amount of work of a run, as far as its cost depends on it.

    rows: of the pool. dimension: of the vectors that are clustered; source_dimension: of the source's own, or 0.
    fitted: rows that a text embedding's map is fitted on, 0 where vectors are the source's own. text_bytes,
    payload_bytes: of a row on average. levels: clusters per level, finest first. rounds: k-means fits per level, in
    units of one over all rows. kept: rows to publish. balanced: whether rules are measured to choose one.
    """

    rows: int
    dimension: int
    source_dimension: int
    fitted: int
    text_bytes: float
    payload_bytes: float
    levels: tuple[int, ...]
    rounds: float
    kept: int
    dedup: DedupConfig
    balanced: bool


def _megabytes(work: Work) -> float:
    return work.rows * work.text_bytes / 1e6


def _ingest(work: Work) -> float:
    return (
        0.04 + 3e-6 * work.rows + 0.02 * work.rows * work.payload_bytes / 1e6 + 4e-8 * work.rows * work.source_dimension
    )


def _embed(work: Work) -> float:
    if not work.fitted:
        return 0.01 + 1e-9 * work.rows * work.dimension
    fitted = min(work.rows, work.fitted) * work.text_bytes / 1e6
    return 0.25 * _megabytes(work) + 0.4 * fitted


def _k_means(rows: float, clusters: float, dimension: int, rounds: float) -> float:
    return float(1.46e-7 * rows**0.98 * max(1.0, clusters) ** 0.45 * dimension**0.57 * rounds)


def _dedup(work: Work) -> float:
    seconds = 0.015 + 1.1e-6 * work.rows
    if work.dedup.near is not None:
        seconds += 0.05 * _megabytes(work)
    if work.dedup.semantic is not None:
        cells = work.dedup.semantic.clusters or work.rows**0.5
        one = _k_means(work.rows, cells, work.dimension, 1.0)
        seconds += work.dedup.semantic.passes * (one + 4e-11 * work.rows * work.rows / cells * work.dimension)
    return seconds


def _cluster(work: Work) -> float:
    below = (work.rows, *work.levels)
    return 0.25 + sum(
        _k_means(rows, clusters, work.dimension, work.rounds)
        for rows, clusters in zip(below, work.levels, strict=False)
    )


def _assign(work: Work) -> float:
    return 1.5e-6 * work.rows


def _sample(work: Work) -> float:
    probe = min(work.rows, PROBE_ROWS)
    partition = 1.4e-8 * probe * probe if work.balanced else 0.0
    return 0.1 + partition + 1.75e-5 * work.rows


def _stage(work: Work) -> float:
    return 0.04 + 3e-6 * work.rows + 0.01 * work.kept * (work.payload_bytes + 4 * work.dimension) / 1e6


def _measure(work: Work) -> float:
    return 0.035 + 2.7e-6 * work.rows


def _validate(work: Work) -> float:
    return 1.3 + 6e-5 * min(work.kept, SCAN_ROWS)


def _report(work: Work) -> float:
    return 1.5 + 4e-4 * min(work.levels[0] if work.levels else 0, MAX_DRAWN)


SECONDS: dict[str, Callable[[Work], float]] = {
    "ingest": _ingest,
    "embed": _embed,
    "dedup": _dedup,
    "cluster": _cluster,
    "assign": _assign,
    "sample": _sample,
    "stage": _stage,
    "measure": _measure,
    "validate": _validate,
    "report": _report,
}
