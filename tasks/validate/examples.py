"""Rows to look at: a few texts of the clusters and groups that someone wants to understand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.privacy import mask
from expectations.wording import printable
from infra import storage
from infra.workspace import StepRef
from tasks.ingest.pool import Block, Pool

LENGTH = 280
IMAGE_BYTES = 64 << 10
BATCH = 1 << 18
MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class Example:
    """One row as people see it: the user's id, the start of its text, and a small picture where it has one.

    E-mail addresses, phone numbers and secrets are masked in both.
    """

    row_id: int
    id: str
    text: str
    image: bytes | None = None

    @property
    def image_type(self) -> str:
        """Media type of `image`, "" where there is none."""
        return next((kind for magic, kind in MAGIC.items() if (self.image or b"").startswith(magic)), "")


def rows_of_leaves(sample: StepRef, labels: npt.NDArray[np.int32], wanted: int) -> dict[int, list[int]]:
    """Return up to `wanted` kept row ids for every label, lowest ids first.

    labels: (leaves,) int32, the label of each leaf, -1 for leaves nobody asks about. Reads the selection in bounded
    batches and stops as soon as every label has its rows.
    """
    found: dict[int, list[int]] = {int(label): [] for label in np.unique(labels) if label >= 0}
    missing = set(found)
    with storage.open_read(storage.join(sample.uri, "selection.parquet")) as stream:
        for batch in pq.ParquetFile(stream).iter_batches(BATCH, columns=["row_id", "leaf"]):
            label = labels[batch["leaf"].to_numpy()]
            for index in np.flatnonzero(np.isin(label, list(missing))) if missing else ():
                rows = found[int(label[index])]
                if len(rows) < wanted:
                    rows.append(int(batch["row_id"][int(index)].as_py()))
            missing = {one for one in missing if len(found[one]) < wanted}
            if not missing:
                break
    return found


def read_examples(pool: Pool, row_ids: Sequence[int]) -> dict[int, Example]:
    """Return the rows by row id; one that the pool does not have is not there. Reads only the blocks that hold them."""
    wanted = np.unique(np.array(row_ids, dtype=np.uint64))
    examples: dict[int, Example] = {}
    for block, here, places in _located(pool, wanted):
        columns = _shown(pool)
        payload = pool.payload(block, columns).take(pa.array(places))
        ids = pool.table(block, ["id"])["id"].take(pa.array(places)).to_pylist()
        for position, (row_id, user_id) in enumerate(zip(here, ids, strict=True)):
            values = {name: payload[name][position].as_py() for name in columns}
            examples[int(row_id)] = _example(int(row_id), str(user_id), values, pool.info.text)
    return examples


def rows_of_groups(
    pool: Pool, column: str, values: Sequence[str], wanted: int, blocks: int = 64
) -> dict[str, list[int]]:
    """Return up to `wanted` pool row ids for every value of a group column, looking at the first `blocks` blocks."""
    found: dict[str, list[int]] = {value: [] for value in values}
    for block in pool.blocks[:blocks]:
        table = pool.table(block, ["row_id", f"group.{column}"])
        names = np.asarray(table[f"group.{column}"].to_numpy(zero_copy_only=False), dtype=object)
        for value, rows in found.items():
            if len(rows) < wanted:
                here = np.flatnonzero(names == value)[: wanted - len(rows)]
                rows += [int(row_id) for row_id in table["row_id"].to_numpy()[here]]
        if all(len(rows) >= wanted for rows in found.values()):
            break
    return found


def _located(
    pool: Pool, wanted: npt.NDArray[np.uint64]
) -> Iterator[tuple[Block, npt.NDArray[np.uint64], npt.NDArray[np.int64]]]:
    """Yield (block, row ids, places in the block) for the blocks that hold any of the sorted row ids."""
    shards = (wanted >> np.uint64(40)).astype(np.int64)
    for block in pool.blocks:
        asked = wanted[shards == block.shard]
        if len(asked):
            held = pool.table(block, ["row_id"])["row_id"].to_numpy()
            places = np.searchsorted(held, asked)
            hit = held[np.minimum(places, len(held) - 1)] == asked
            if hit.any():
                yield block, asked[hit], places[hit]


def _shown(pool: Pool) -> list[str]:
    if pool.info.text is not None:
        pictures = [name for name, kind in pool.info.payload.items() if kind in ("binary", "large_binary")]
        return [pool.info.text, *pictures[:1]]
    return list(pool.info.payload)[:4]


def _example(row_id: int, user_id: str, values: Mapping[str, object], text: str | None) -> Example:
    image = next((value for value in values.values() if isinstance(value, bytes) and _is_picture(value)), None)
    words = (
        str(values[text])
        if text is not None
        else ", ".join(f"{name}={value}" for name, value in values.items() if not isinstance(value, bytes))
    )
    return Example(row_id, shorten(mask(user_id)), shorten(mask(words[: 8 * LENGTH])), image)


def shorten(words: str, length: int = LENGTH) -> str:
    """Return words on one line, control characters replaced, cut at `length` characters."""
    line = " ".join(printable(words[: 8 * length]).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def _is_picture(value: bytes) -> bool:
    return len(value) <= IMAGE_BYTES and value.startswith(tuple(MAGIC))
