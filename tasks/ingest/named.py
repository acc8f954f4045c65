"""Columns by the name that a recipe gives them: a score or signal, a group, tags, a count of ours, the source's own."""

import difflib
from collections.abc import Iterable
from typing import Literal, NamedTuple

import pyarrow as pa

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.ingest.pool import Block, Pool

OWN = ("tokens", "id", "shard", "row")


class NamedColumn(NamedTuple):
    """Where a column is: in the row table or in the payload, and what it is called there."""

    part: Literal["rows", "payload"]
    column: str


def find_column(pool: Pool, name: str, where: str) -> NamedColumn:
    """Return the column that a recipe calls `name`.

    A score or signal, a group and tags come before a column of the source of the same name; `score.x`, `group.x` and
    `tags.x` say which. Raises RecipeError where there is none; `where` is the field of the recipe.
    """
    ours = [(kind, one) for kind in ("score", "group", "tags") for one in getattr(pool, _LISTS[kind])]
    for kind, one in ours:
        if name in (one, f"{kind}.{one}"):
            return NamedColumn("rows", f"{kind}.{one}")
    if name in pool.info.payload:
        return NamedColumn("payload", name)
    if name in OWN:
        return NamedColumn("rows", name)
    raise unknown_column(name, [*(one for _, one in ours), *pool.info.payload, *OWN], where)


def unknown_column(name: str, known: Iterable[str], where: str) -> RecipeError:
    """Return the error of a column that is none of the known ones; `where` is the field of the recipe."""
    known = [*dict.fromkeys(known)]
    close = difflib.get_close_matches(name, known, n=1)
    return RecipeError(
        f"there is no column {name!r}",
        expected=f"a signal, a score, a group or a column of the source: {', '.join(known)}",
        where=where,
        remedy=f"did you mean {close[0]}?" if close else "correct the name, or add the signal",
    )


def read_named(pool: Pool, block: Block | str, names: Iterable[str], where: str) -> pa.Table:
    """Return the columns of a block that a recipe calls by these names, under these names, rows in pool order."""
    found = {name: find_column(pool, name, where) for name in dict.fromkeys(names)}
    tables = {}
    for part, read in (("rows", pool.table), ("payload", pool.payload)):
        if wanted := [*dict.fromkeys(one.column for one in found.values() if one.part == part)]:
            tables[part] = read(block, wanted)
    return pa.table({name: tables[one.part][one.column] for name, one in found.items()})


_LISTS = {"score": "scores", "group": "groups", "tags": "tags"}
