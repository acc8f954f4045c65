"""The order that splits are cut from: by hash, by the value of a group and then by hash, or by time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import UInt64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities
from evenkeel.tasks.annotate.sorting import ascending
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.units import Units
from evenkeel.tasks.signal.groups import numbers_of


@dataclass(frozen=True)
class SplitKeys:
    """The order that splits are cut from: the value of `even`, then the hash of the id; or time, the latest first."""

    source: AnnotationSource
    columns: tuple[str, ...]
    time: str
    even: Units | None
    seed: int

    def __call__(self, block: str) -> tuple[UInt64Array, UInt64Array, UInt64Array]:
        """Return row ids, major and minor keys of the kept rows of a block."""
        table = self.source.kept(block, self.columns)
        minor = hash_identities(self.seed, table["identity"].to_numpy())
        if self.time:
            major = ~time_keys(table[self.time], self.time, self.source.where)
        elif self.even is not None:
            major = self.even.of(table).astype(np.uint64)
        else:
            return table["row_id"].to_numpy(), minor, np.zeros_like(minor)
        return table["row_id"].to_numpy(), major, minor


def time_keys(column: pa.ChunkedArray, name: str, where: str) -> UInt64Array:
    """Return keys that sort as times do, (n,) uint64; a row without one comes first.

    Times are numbers, dates, or texts as ISO 8601 writes them. Raises RecipeError for another column.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            column, kind = pc.cast(column, pa.timestamp("us")), pa.timestamp("us")
        except pa.ArrowInvalid as error:
            raise RecipeError(
                f"the column {name!r} holds texts that are no times",
                expected="numbers, dates, or texts such as 2024-05-01",
                found=str(error),
                where=where,
                remedy="name another column; a column of groups is written group.<name>",
            ) from error
    if pa.types.is_date(kind):
        column, kind = pc.cast(column, pa.timestamp("us")), pa.timestamp("us")
    if pa.types.is_timestamp(kind):
        numbers = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        numbers = numbers_of(column, name, where)
    keys = ascending(numbers)
    keys[np.isnan(numbers)] = 0
    return keys
