"""Example rows of clusters and groups: the start of their text, and a small picture where they have one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.expectations.concerns.privacy import mask
from evenkeel.expectations.wording import printable
from evenkeel.infra import storage
from evenkeel.infra.tables import read_batches
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.validate.locate import locate
from evenkeel.tasks.validate.thumbnails import thumbnail

LENGTH = 280
BATCH = 1 << 18
PICTURE_COLUMNS = 4


@dataclass(frozen=True)
class Example:
    """One row as pages show it: the user's id, the start of its text, and a small picture where it has one.

    E-mail addresses, phone numbers and secrets are masked in both texts. thumbnail: a data URI, or "".
    """

    row_id: int
    id: str
    text: str
    thumbnail: str = ""


def rows_of_leaves(sample: StepRef, labels: npt.NDArray[np.int32], wanted: int) -> dict[int, list[int]]:
    """Return up to `wanted` kept row ids for every label, lowest ids first.

    labels: (leaves,) int32, the label of each leaf, -1 for leaves not asked for. Reads the selection in bounded
    batches and stops as soon as every label has its rows.
    """
    found: dict[int, list[int]] = {int(label): [] for label in np.unique(labels) if label >= 0}
    missing = set(found)
    for batch in read_batches(storage.join(sample.uri, "selection.parquet"), BATCH, ["row_id", "leaf"]):
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
    """Return example rows by row id, without those that the pool does not have; only their shards are read."""
    text, shown = pool.info.text, _columns_of_text(pool)
    examples: dict[int, Example] = {}
    for block, here, places in locate(pool, _distinct(row_ids)):
        payload = pool.payload(block, shown).take(pa.array(places)).to_pylist()
        ids = pool.table(block, ["id"])["id"].take(pa.array(places)).to_pylist()
        for row_id, user_id, values in zip(here.tolist(), ids, payload, strict=True):
            words = values[text] if text else ", ".join(f"{name}={value}" for name, value in values.items())
            examples[row_id] = Example(row_id, shorten(mask(str(user_id))), shorten(mask(str(words)[: 8 * LENGTH])))
    return examples


def read_thumbnails(pool: Pool, row_ids: Sequence[int]) -> dict[int, str]:
    """Return small pictures by row id, as data URIs, of the rows that hold one in a column of bytes.

    A column of bytes is binary, or a struct with a binary field `bytes`, as image features of `datasets` are stored.
    """
    columns = [name for name, kind in pool.info.payload.items() if _may_hold_pictures(kind)][:PICTURE_COLUMNS]
    found: dict[int, str] = {}
    for block, here, places in locate(pool, _distinct(row_ids)) if columns else ():
        payload = pool.payload(block, columns).take(pa.array(places)).to_pylist()
        for row_id, values in zip(here.tolist(), payload, strict=True):
            held = (value.get("bytes") if isinstance(value, dict) else value for value in values.values())
            small = next(filter(None, (thumbnail(value) for value in held if value)), "")
            if small:
                found[row_id] = small
    return found


def rows_of_groups(
    pool: Pool, column: str, values: Sequence[str], kept: npt.NDArray[np.uint64], wanted: int, blocks: int = 64
) -> dict[str, list[int]]:
    """Return up to `wanted` row ids for every value of a group column: rows of the version, else of the pool.

    kept: (n,) uint64, the rows of the version, ascending. Reads the first `blocks` blocks.
    """
    found: dict[str, list[int]] = {value: [] for value in values}
    others: dict[str, list[int]] = {value: [] for value in values}
    for block in pool.blocks[:blocks]:
        table = pool.table(block, ["row_id", f"group.{column}"])
        names = np.asarray(table[f"group.{column}"].to_numpy(zero_copy_only=False), dtype=object)
        row_ids = table["row_id"].to_numpy()
        is_kept = np.isin(row_ids, kept, assume_unique=True)
        for value in values:
            if len(found[value]) < wanted:
                here = names == value
                found[value] += row_ids[here & is_kept][: wanted - len(found[value])].tolist()
                others[value] += row_ids[here & ~is_kept][: wanted - len(others[value])].tolist()
        if all(len(rows) >= wanted for rows in found.values()):
            break
    return {value: (rows + others[value])[:wanted] for value, rows in found.items()}


def _distinct(row_ids: Sequence[int]) -> npt.NDArray[np.uint64]:
    return np.unique(np.array(row_ids, dtype=np.uint64))


def _columns_of_text(pool: Pool) -> list[str]:
    """Return the text column, or the first four columns that are not binary."""
    if pool.info.text is not None:
        return [pool.info.text]
    return [name for name, kind in pool.info.payload.items() if "binary" not in kind][:4]


def _may_hold_pictures(kind: str) -> bool:
    """Tell whether an Arrow type, by its name, is binary or a struct with a binary field `bytes`."""
    plain = ("binary", "large_binary", "binary_view")
    return kind in plain or (kind.startswith("struct<") and any(f"bytes: {one}" in kind for one in plain))


def shorten(words: str, length: int = LENGTH) -> str:
    """Return words on one line, control characters replaced, cut at `length` characters."""
    line = " ".join(printable(words[: 8 * length]).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
