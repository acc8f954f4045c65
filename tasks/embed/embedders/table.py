"""The embedder `table`: makes a vector of the numbers and categories of a row, every column counting the same.

Distances are those of mixed data (Gower 1971, A General Coefficient of Similarity and Some of Its Properties): a column
of numbers gives one dimension of unit variance, a column of categories one for each value, 0 or 1. Two rows with
different values are as far apart in it, squared distance 2, as two rows are on average in a column of numbers. The
fitted map is one file, `columns.json`: for each column its kind, and its quantiles or its values.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict, Field

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.tasks.embed.embedder import Embedder, Matrix, Place
from evenkeel.tasks.embed.fit_sample import Positions, sample_rows
from evenkeel.tasks.ingest.pool import Block, Pool

if TYPE_CHECKING:
    from evenkeel.tasks.workload import Workload

MAP = "columns.json"
QUANTILES = 1001
FARTHEST_RANK = 3.0  # standard deviations that the greatest of a column's ranks comes to
FARTHEST = 1e4  # standard deviations that any number may come to
# The first number of a row that is in the middle in every column: a zero vector would say nothing is known.
MIDDLE = 1e-6
WIDTH = 32  # of columns that are not named, for an estimate


class TableEmbedding(Embedder):
    """The numbers and categories of a row, each column brought to the same scale; no model, no GPU."""

    model_config = ConfigDict(extra="forbid", title="table")

    map_files: ClassVar[tuple[str, ...]] = (MAP,)

    method: Literal["table"] = "table"
    columns: list[str] | None = Field(
        None,
        min_length=1,
        description="columns of numbers, times, truth values and categories. Default: all but id, groups, scores and "
        "text; those of texts only where they have at most `max_values` values",
    )
    numbers: Literal["standard", "ranks"] = Field(
        "standard",
        description="`standard`: less the mean of a sample, in its standard deviations; `ranks`: as ranks in the "
        "sample, made normal, so that a long tail does not outweigh the rest",
    )
    max_values: int = Field(
        32, ge=1, le=4096, description="values of a category that get a dimension each, the commonest first"
    )

    def check(self, pool: Pool) -> None:
        """Raise InputError where a column that is named is not there, or is neither a number nor a category."""
        for place, name in enumerate(self.columns or ()):
            if name not in pool.info.payload:
                raise InputError(
                    f"there is no column {name!r}",
                    expected=f"one of {', '.join(pool.info.payload)}",
                    where=f"embedding.columns.{place}",
                )

    def fit(self, pool: Pool, place: Place) -> Mapping[str, object]:
        """Learn what each column holds from a seeded sample, write it to `place.map` and return facts about it.

        Raises InputError where no column can be used.
        """
        parts = [
            pool.payload(block, list(pool.info.payload)).take(pa.array(positions))
            for block, positions in sample_rows(pool.blocks, self.sample, self.seed)
        ]
        table = pa.concat_tables(parts) if parts else pa.table({name: pa.nulls(0) for name in pool.info.payload})
        info = pool.info
        aside = {info.id, info.text, *info.groups, *info.scores}
        found: list[dict[str, Any]] = []
        left_out: dict[str, str] = {}
        for name in self.columns or [name for name in table.column_names if name not in aside]:
            column = _column(table[name], self)
            if isinstance(column, str):
                left_out[name] = column
            else:
                found.append({"name": name, **column})
        if left_out and self.columns:
            name, why = next(iter(left_out.items()))
            raise InputError(f"column {name!r} cannot be part of a vector: {why}", where="embedding.columns")
        if not found:
            raise InputError(
                "no column has numbers or categories to make vectors of",
                found="; ".join(f"{name}: {why}" for name, why in left_out.items()) or "no column",
                where="embedding",
                remedy="name the columns: embedding.columns",
            )
        storage.write_json(storage.join(place.map, MAP), found)
        used = {one["name"]: one["kind"] for one in found}
        return {"fitted_on": len(table), "columns": used, "left_out": left_out}

    def embed(self, pool: Pool, block: Block, positions: Positions | None, place: Place) -> Matrix:
        """Return raw vectors of a block, or of the rows at `positions`: (rows, d) float32."""
        columns = _load(storage.join(place.map, MAP))
        table = pool.payload(block, [one["name"] for one in columns])
        if positions is not None:
            table = table.take(pa.array(positions))
        vectors = np.concatenate([_vectors(table[one["name"]], one) for one in columns], axis=1)
        known = np.any([table[one["name"]].is_valid().to_numpy() for one in columns], axis=0)
        vectors[known & ~vectors.any(axis=1), 0] = MIDDLE
        return vectors

    def raw_dimension(self, source: int | None, place: Place) -> int:
        """Return about how many dimensions there will be: as many as columns; the values are not known before."""
        return len(self.columns) if self.columns else WIDTH

    def cost(self, work: "Workload") -> float:
        """Return the CPU-seconds of all columns."""
        return 0.05 + 1e-7 * work.rows * work.dimension


def _column(values: pa.ChunkedArray, config: TableEmbedding) -> dict[str, Any] | str:
    """Return what the map keeps of a column of the sample, or why it has no place in a vector."""
    kind = _plain(values.type)
    if pa.types.is_boolean(kind):
        return {"kind": "category", "values": [False, True]}
    if _is_number(kind):
        numbers = _numbers(values)
        missing = bool(np.isnan(numbers).any())
        numbers = numbers[~np.isnan(numbers)]
        if not len(numbers) or numbers.min() == numbers.max():
            return "it holds one value" if len(numbers) else "it is empty"
        found: dict[str, Any] = {"kind": "number", "missing": missing}
        if config.numbers == "standard":
            greatest = float(np.abs(numbers).max())  # whose square may be more than a float can hold
            parts = numbers / greatest
            return found | {"mean": greatest * float(parts.mean()), "deviation": greatest * float(parts.std())}
        shares = np.linspace(0, 1, QUANTILES)
        return found | {"quantiles": np.quantile(numbers, shares).tolist()}
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return f"it holds {kind}"
    counts = values.cast(pa.string()).drop_null().value_counts()
    known = sorted(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True), key=_often)
    if len(known) > config.max_values and config.columns is None:
        return f"it holds more than {config.max_values} texts (embedding.max_values)"
    if len(known) < 2:
        return "it holds one value" if known else "it is empty"
    return {"kind": "category", "values": sorted(value for value, _ in known[: config.max_values])}


def _often(one: tuple[str, int]) -> tuple[int, str]:
    return -one[1], one[0]


def _vectors(values: pa.ChunkedArray, column: Mapping[str, Any]) -> Matrix:
    """Return the dimensions of a column, (rows, d) float32.

    A missing number lies in the middle, and one dimension more tells it where the sample has some. A missing category,
    or one that has no dimension, is zero in all.
    """
    if column["kind"] == "category":
        known = column["values"]
        kind = pa.bool_() if isinstance(known[0], bool) else pa.string()
        place = values.cast(kind).combine_chunks()
        found = pc.index_in(place, pa.array(known, kind)).fill_null(-1).to_numpy(zero_copy_only=False)
        ones: Matrix = (found[:, None] == np.arange(len(known))).astype(np.float32)
        return ones
    numbers = _numbers(values)
    absent = np.isnan(numbers)
    if "quantiles" in column:
        scaled = _normal(numbers, np.asarray(column["quantiles"]))
    else:
        scaled = np.clip(numbers / column["deviation"] - column["mean"] / column["deviation"], -FARTHEST, FARTHEST)
    scaled[absent] = 0
    parts = [scaled, absent] if column["missing"] else [scaled]
    return np.stack(parts, axis=1).astype(np.float32)


def _normal(numbers: npt.NDArray[np.float64], quantiles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the normal scores of numbers by their ranks among quantiles; equal numbers get their middle rank."""
    from scipy.special import ndtr, ndtri

    shares = np.linspace(0, 1, len(quantiles))
    low = np.interp(numbers, quantiles, shares)
    high = 1 - np.interp(-numbers, -quantiles[::-1], shares)
    edge = ndtr(-FARTHEST_RANK)
    scores: npt.NDArray[np.float64] = ndtri(np.clip((low + high) / 2, edge, 1 - edge))
    return scores


def _numbers(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Return numbers and times as float64, NaN where they are missing or not finite."""
    kind = _plain(values.type)
    values = values.cast(kind) if kind != values.type else values
    if pa.types.is_temporal(kind):
        values = values.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    numbers: npt.NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_date, pa.types.is_timestamp)
    return any(test(kind) for test in tests)


@lru_cache(maxsize=4)
def _load(uri: str) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = storage.read_json(uri)
    return columns
