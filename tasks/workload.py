"""How much work a pool is: what the cost of a step depends on besides its config.

A step says beside its function what it costs: CPU-seconds on a reference core. The formulas follow from the algorithms;
the constants were fitted on runs of 2,000 to 200,000 rows (2 cores of an AMD EPYC; the command is in
docs/PERFORMANCE.md). A probe of real rows replaces the constant of each step by a measured one, so that only the growth
is taken from there.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """A pool and what is made of it.

    rows: of the pool. dimension: of the vectors that are clustered; source_dimension: of the source's own, or 0.
    text_bytes, payload_bytes: of a row on average. levels: clusters per level, finest first. kept: rows to publish.
    vector_kept: the source's vectors are payload too, as a guessed column is.
    """

    rows: int
    dimension: int
    source_dimension: int
    text_bytes: float
    payload_bytes: float
    levels: tuple[int, ...]
    kept: int
    vector_kept: bool = False

    @property
    def text_megabytes(self) -> float:
        """The texts of all rows."""
        return self.rows * self.text_bytes / 1e6

    @property
    def leaves(self) -> int:
        """The clusters of the finest level."""
        return self.levels[0] if self.levels else 0
