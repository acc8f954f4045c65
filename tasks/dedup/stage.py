"""What a stage of deduplication works on."""

from dataclasses import dataclass

from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool


@dataclass(frozen=True)
class Stage:
    """What a stage works on; small enough to send to a worker.

    best: the score whose highest row of a group is kept. before: what earlier stages dropped; those rows take no part.
    folder: where the stage writes.
    """

    pool: Pool
    vectors: Vectors
    best: str | None
    before: Duplicates
    folder: str
