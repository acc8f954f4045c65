"""Where a row comes from, as a group column: source, licence, creator, terms or url of its shard, from a table.

Source: the Data Provenance Initiative (Longpre et al. 2023, arXiv 2310.16787) carries licence and creators with the
rows like this.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.ingest.lists import fingerprint
from evenkeel.tasks.ingest.source_table import (
    ATTRIBUTES,
    SOURCES,
    Attribute,
    SourceLine,
    SourceOfShards,
    read_source_table,
    sources_of_shards,
)
from evenkeel.tasks.signal.signal import Fit, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload

OF_SHARDS = "shards.parquet"


class SourceTableSignal(Signal):
    """An attribute of the source that a row's shard comes from, by a table with a line per pattern of shards."""

    makes_group: ClassVar[bool] = True

    kind: Literal["source-table"] = "source-table"
    uri: str = Field(min_length=1, description="The table: CSV, JSONL or Parquet with `pattern` and `licence`.")
    column: Attribute = Field("licence", description="Which attribute of the source.")
    unmatched: Literal["fail", "none"] = Field(
        "fail", description="What a shard that no line matches does: stop the run, or go without."
    )
    several: Literal["fail", "first"] = Field(
        "fail", description="What a shard does that lines of two sources match: stop the run, or follow the first."
    )
    fingerprint: str = Field("", description="Of the file, found when a run begins; leave it out.")

    def current(self) -> Self:
        """Return it with the fingerprint of its file. Raises InputError where there is none."""
        return self.model_copy(update={"fingerprint": fingerprint(self.uri)})

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the path of its file made absolute."""
        return self.model_copy(update={"uri": absolute(self.uri)})

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Match shards and lines; write the attribute of every shard, and the table with its shards and rows."""
        if self.fingerprint not in ("", fingerprint(self.uri)):
            raise InputError("the table of sources has changed since the run began", where=self.uri, remedy="run again")
        lines = read_source_table(self.uri)
        found = sources_of_shards(lines, source.pool.shards, self.unmatched, self.several)
        values = {number: getattr(line, self.column) or None for number, line in found.lines.items()}
        shards = [shard.number for shard in source.pool.shards]
        columns = {"shard": pa.array(shards, pa.int32()), "value": pa.array(map(values.get, shards), pa.string())}
        write_table(storage.join(folder, OF_SHARDS), pa.table(columns))
        write_table(storage.join(folder, SOURCES), _counted(lines, found, source))
        unused = [line.pattern for line in found.unused]
        return {"sources": len({line.source for line in lines}), "unused": unused[:20], "lines": len(lines)}

    def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
        """Return the attribute of each row, which is that of its shard."""
        shards, rows = np.unique(source.pool.table(block, ["shard"])["shard"].to_numpy(), return_inverse=True)
        known = _of_shards(fit.folder)
        return pa.array([known[shard] for shard in shards.tolist()], pa.string()).take(pa.array(rows))

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool on a reference core."""
        return 0.05 + 5e-8 * work.rows


def _counted(lines: list[SourceLine], found: SourceOfShards, source: SignalSource) -> pa.Table:
    """Return one row per source: its attributes, its first pattern, the numbers of its shards, and their rows."""
    named = {line.source: line for line in reversed(lines)}
    shards: dict[str, list[int]] = {name: [] for name in named}
    rows = dict.fromkeys(named, 0)
    for shard in source.pool.shards:
        if shard.number in found.lines:
            shards[found.lines[shard.number].source].append(shard.number)
            rows[found.lines[shard.number].source] += shard.rows
    order = sorted(named)
    said = (pa.array([getattr(named[one], name) for one in order], pa.string()) for name in ATTRIBUTES)
    columns: dict[str, pa.Array] = dict(zip(ATTRIBUTES, said, strict=True))
    columns["pattern"] = pa.array([named[one].pattern for one in order], pa.string())
    columns["shards"] = pa.array([shards[one] for one in order], pa.list_(pa.int32()))
    columns["rows"] = pa.array([rows[one] for one in order], pa.int64())
    return pa.table(columns)


@lru_cache(maxsize=16)
def _of_shards(folder: str) -> dict[int, str | None]:
    """Return the attribute of every shard by its number; the folder is that of one content."""
    table = read_table(storage.join(folder, OF_SHARDS))
    return dict(zip(table["shard"].to_pylist(), table["value"].to_pylist(), strict=True))
