"""The row groups of a version's data files, without those that their statistics say have no row to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import read_footer

if TYPE_CHECKING:
    import pyarrow.parquet as pq

RANK = "ek_rank"


class Group(NamedTuple):
    """A row group: its file, its number there, its rows, and its first and last rank (-1 where there is none)."""

    uri: str
    number: int
    rows: int
    first: int = -1
    last: int = -1


@dataclass(frozen=True)
class Groups:
    """The row groups of a folder in published order, and the columns that all of them have. rows: of all its files."""

    groups: list[Group]
    columns: list[str]
    rows: int


def list_groups(data: str) -> tuple[Groups, list["pq.FileMetaData"]]:
    """Return the row groups of a `data` folder and the footers of its files. Raises InputError where there is none."""
    groups: list[Group] = []
    footers: list[pq.FileMetaData] = []
    rows = 0
    for uri in storage.list_files(data):
        if uri.endswith(".parquet"):
            footer = read_footer(uri)
            footers.append(footer)
            groups += _of_file(uri, footer)
            rows += footer.num_rows
    if not groups:
        raise InputError("no Parquet files to read", where=data, remedy="give the `data` folder of a version")
    return Groups(groups, footers[0].schema.to_arrow_schema().names, rows), footers


def reaching(found: Groups, footers: Sequence["pq.FileMetaData"], bounds: Sequence[tuple[str, object]]) -> list[Group]:
    """Return the row groups whose statistics allow each column to have a value: a number at least, a text exactly."""
    kept, at = [], 0
    for footer in footers:
        places = {footer.schema.column(number).path: number for number in range(len(footer.schema))}
        for number in range(footer.num_row_groups):
            if all(_may_have(footer, number, places[column], value) for column, value in bounds):
                kept.append(found.groups[at])
            at += 1
    return kept


def sorted_by_rank(groups: Sequence[Group]) -> bool:
    """Return whether row groups follow each other by rank."""
    return all(one.first >= 0 for one in groups) and all(one.last < other.first for one, other in pairwise(groups))


def _of_file(uri: str, footer: "pq.FileMetaData") -> list[Group]:
    names = [footer.schema.column(number).path for number in range(len(footer.schema))]
    rank = names.index(RANK) if RANK in names else -1
    found = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        bounds = group.column(rank).statistics if rank >= 0 else None
        first, last = (bounds.min, bounds.max) if bounds is not None and bounds.has_min_max else (-1, -1)
        found.append(Group(uri, number, group.num_rows, first, last))
    return found


def _may_have(footer: "pq.FileMetaData", group: int, column: int, value: object) -> bool:
    bounds = footer.row_group(group).column(column).statistics
    if bounds is None or not bounds.has_min_max:
        return True
    return bool(bounds.max >= value if isinstance(value, int) else bounds.min <= value <= bounds.max)
