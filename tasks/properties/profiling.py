"""Profile the columns of a version: dependencies, unique sets of columns and near-misses of values.

Dependencies and unique sets are found among a sample of rows, by the hash of their identity, as numbers; what is found
is then checked on all rows, a grouped scan each, and has the error of all rows. A dependency that holds of all rows
holds of every sample, so none without exceptions is missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.properties.config import ProfileConfig
from evenkeel.tasks.properties.dependencies import count_values, find_near_misses, scan_dependency, scan_uniques
from evenkeel.tasks.properties.grouping import key_of
from evenkeel.tasks.properties.lattice import Dependency, Discovered, discover
from evenkeel.tasks.properties.version_rows import VersionRows

SEED, MOST_COLUMNS, MOST_FOUND = 0xC0, 24, 50
DEPENDENCIES = pa.schema([("left", pa.list_(pa.string())), ("right", pa.string()), ("error", pa.float64())])
UNIQUES = pa.schema([("columns", pa.list_(pa.string())), ("repeated", pa.int64())])
NEAR_MISSES = pa.schema(
    [
        ("column", pa.string()),
        ("value", pa.string()),
        ("rows", pa.int64()),
        ("near", pa.string()),
        ("near_rows", pa.int64()),
    ]
)


def profile_columns(
    config: ProfileConfig, rows: VersionRows, kept: int, folder: str, compute: Compute
) -> Iterator[tuple[str, pa.Table]]:
    """Yield the profile's tables by name: `dependencies`, `uniques` and `near_misses`, those that are asked for.

    kept: rows of the version. folder: for files on the way. Raises RecipeError where a column is not there.
    """
    columns = tuple(config.columns) or plain_columns(rows.pool)
    rows.check(columns)
    codes = _sample(columns, config.sample_rows, kept, rows, compute)
    most = max(1, config.dependencies)
    found = discover(codes, most, config.max_error) if columns else Discovered([], [])
    scans = _Scans(columns, rows, kept, storage.join(folder, "scans"), compute)
    if config.dependencies:
        checked = [(one, scans.error(one)) for one in found.dependencies[:MOST_FOUND]]
        lines = [
            {"left": [columns[at] for at in one.left], "right": columns[one.right], "error": error}
            for one, error in checked
            if error <= config.max_error
        ]
        yield "dependencies", pa.Table.from_pylist(lines, DEPENDENCIES)
    if config.uniques:
        yield "uniques", pa.Table.from_pylist([scans.unique(one) for one in found.uniques[:MOST_FOUND]], UNIQUES)
    if config.typos:
        misses = [line for place, one in enumerate(columns) for line in scans.misses(one, codes[place], config.ratio)]
        yield "near_misses", pa.Table.from_pylist(misses, NEAR_MISSES)


def plain_columns(pool: Pool) -> tuple[str, ...]:
    """Return the first 24 columns of the source that hold numbers, texts, truths or times, the texts' own left out."""
    nested = ("list", "struct", "map", "binary", "large_binary", "fixed_size", "extension")
    plain = [name for name, kind in pool.info.payload.items() if not any(part in kind for part in nested)]
    return tuple(name for name in plain if name != pool.info.text)[:MOST_COLUMNS]


@dataclass(frozen=True)
class _Scans:
    columns: tuple[str, ...]
    rows: VersionRows
    kept: int
    folder: str
    compute: Compute

    def error(self, one: Dependency) -> float:
        """Return the share of all rows that must go for a dependency to hold."""
        left, right = tuple(self.columns[at] for at in one.left), self.columns[one.right]
        found = scan_dependency(left, right, self.rows, self.kept, self.folder, self.compute)
        return found.broken / max(1, found.checked)

    def unique(self, one: tuple[int, ...]) -> dict[str, object]:
        columns = tuple(self.columns[at] for at in one)
        found = scan_uniques(columns, self.rows, self.kept, self.folder, self.compute)
        return {"columns": list(columns), "repeated": found.broken}

    def misses(self, column: str, codes: Int64Array, ratio: float) -> list[dict[str, object]]:
        """Return the near-misses of a column of texts that repeat, none for others."""
        texts = ("string", "large_string", "string_view", "dictionary")
        kind = self.rows.pool.info.payload.get(column, "string")
        if not kind.startswith(texts) or not len(codes) or int(codes.max()) + 1 > len(codes) / 2:
            return []
        counts = count_values(column, self.rows, self.kept, self.folder, self.compute)
        found = find_near_misses(counts, ratio)[:MOST_FOUND]
        return [{"column": column, **one._asdict()} for one in found]


def _sample(columns: tuple[str, ...], wanted: int, kept: int, rows: VersionRows, compute: Compute) -> list[Int64Array]:
    """Return codes of a sample of the rows of the version for every column, (n,) each."""
    share = min(1.0, wanted / max(1, kept))
    work = rows.pool.rows * 16 * len(columns)
    parts = compute.map(_Sampled(columns, share, rows), rows.pool.blocks, work=work)
    hashes = np.concatenate([np.empty((0, len(columns)), np.uint64), *parts])
    return [np.unique(column, return_inverse=True)[1].astype(np.int64) for column in hashes.T]


@dataclass(frozen=True)
class _Sampled:
    """Hashes the values of the sampled rows of a block, (n, columns) uint64."""

    columns: tuple[str, ...]
    share: float
    rows: VersionRows

    def __call__(self, block: Block) -> UInt64Array:
        from pandas.util import hash_array

        table = self.rows.table(block, self.columns)
        of_pool = self.rows.pool.table(block, ["row_id", "identity"])
        place = np.searchsorted(of_pool["row_id"].to_numpy(), table["row_id"].to_numpy())
        chosen = uniform(SEED, of_pool["identity"].to_numpy()[place]) <= self.share
        table = table.filter(pa.array(chosen))
        found = np.empty((table.num_rows, len(self.columns)), np.uint64)
        for number, name in enumerate(self.columns):
            column = key_of(table[name])
            found[:, number] = hash_array(column.to_pandas().to_numpy(dtype=object), categorize=False)
            found[column.is_null().to_numpy(zero_copy_only=False), number] = 0
        return found
