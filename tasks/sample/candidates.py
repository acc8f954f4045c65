"""Read the rows that sampling chooses from: every row left by deduplication, with leaf, distance and columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.mapped_rows import MappedRows

Columns = dict[str, NDArray[Any]]
ID = "row_id"
OF_CLUSTERING = (ID, "leaf", "distance")


@dataclass(frozen=True)
class CandidateRows:
    """Read access to the rows of a clustered pool, block by block; small to send to a worker.

    mapped: columns that were decoded before, which are read in place of the pool's.
    """

    pool: Pool
    clustering: str
    embedding: str
    blocks: tuple[str, ...]
    mapped: MappedRows | None = None

    @classmethod
    def open(
        cls,
        ingest: StepRef,
        embed: StepRef,
        cluster: StepRef,
        scratch: str | None = None,
        signals: Mapping[str, StepRef] | None = None,
        shared: StepRef | None = None,
    ) -> "CandidateRows":
        """Open the rows of finished ingest, embed and cluster steps, with signals as columns.

        shared: a finished `shared-rows` step of the same rows.
        """
        pool = Pool.open(ingest, scratch, signals)
        mapped = MappedRows.of(shared, pool.scratch)
        return cls(pool, cluster.uri, embed.uri, tuple(block.name for block in pool.blocks), mapped)

    def table(self, block: str, columns: Sequence[str] = (), places: NDArray[np.int64] | None = None) -> pa.Table:
        """Return row_id, leaf, distance and the asked columns of the pool's row table for the kept rows of a block.

        places: only those at these places of `ids`. Raises RecipeError for a column that the pool does not have.
        """
        if self.mapped is None:
            table = read_table(self._clustered(block))
            table = table if places is None else table.take(places)
        else:
            table = self.mapped.table(block, [*OF_CLUSTERING, *columns], places)
        if wanted := [name for name in dict.fromkeys(columns) if name not in table.column_names]:
            self.check(wanted)
            source = self.pool.table(block, ["row_id", *wanted])
            place = np.searchsorted(source["row_id"].to_numpy(), table["row_id"].to_numpy())
            for name in wanted:
                table = table.append_column(name, source[name].take(place))
        return table

    def ids(self, block: str) -> NDArray[np.uint64]:
        """Return the row ids of the kept rows of a block, (n,) uint64, ascending."""
        table = read_table(self._clustered(block), [ID]) if self.mapped is None else self.mapped.table(block, [ID])
        found: NDArray[np.uint64] = table[ID].to_numpy()
        return found

    def _clustered(self, block: str) -> str:
        return storage.join(self.clustering, "rows", f"{block}.parquet")

    def check(self, columns: Sequence[str]) -> None:
        """Raise RecipeError for a group or score column that the pool does not have."""
        for column in columns:
            kind, _, name = column.partition(".")
            known = {"group": self.pool.groups, "score": self.pool.scores, "tags": self.pool.tags}.get(kind)
            if known is not None and name not in known:
                raise RecipeError(
                    f"sampling asks for the {kind} column {name!r}, which the pool does not have",
                    expected=f"one of {', '.join(known)}" if known else f"a column listed in {_LISTED[kind]}",
                    where="sampling",
                    remedy=f"add it to {_LISTED[kind]}, or correct the name",
                )

    def vectors(self, block: str, row_ids: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Return the vectors of some rows of a block, (n, d) float32."""
        place = np.searchsorted(self.pool.table(block, ["row_id"])["row_id"].to_numpy(), row_ids)
        picked: NDArray[np.float32] = (
            Vectors.open(self.embedding, self.pool.scratch).block(block)[place].astype(np.float32)
        )
        return picked


_LISTED = {"group": "source.groups", "score": "source.scores, or a signal", "tags": "signals"}


def score_of(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return the scores of a table's rows, (n,) float64. Raises RecipeError where one is missing or not finite."""
    scores: NDArray[np.float64] = table[f"score.{name}"].to_numpy().astype(np.float64)
    wrong = ~np.isfinite(scores)
    if wrong.any():
        row = int(table["row_id"][int(np.argmax(wrong))].as_py())
        raise RecipeError(
            f"the score {name!r} of {int(wrong.sum()):,} row(s) of a block is missing or not finite",
            found=f"{scores[np.argmax(wrong)]} at row_id {row}",
            where=f"score.{name}",
            remedy=f'leave those rows out by a filter, drop: "{name} is null", or give them a value by a signal, '
            f"of: coalesce({name}, 0)",
        )
    return scores
