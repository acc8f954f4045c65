"""The table of sources: which shards come from where and under which licence, one line per pattern of shard names.

The attributes are those by which the Data Provenance Initiative audits collections (Longpre et al. 2023, arXiv
2310.16787).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from evenkeel.infra.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

WHAT = "the table of sources"
Attribute = Literal["source", "licence", "creator", "terms", "url"]
ATTRIBUTES: tuple[Attribute, ...] = ("source", "licence", "creator", "terms", "url")
SPELLINGS = {"license": "licence"}
WILDCARDS = "*?["
SOURCES = "sources.parquet"
SHOWN = 5


class NamedShard(Protocol):
    """A shard as it is listed or as it was read."""

    @property
    def number(self) -> int:
        """What its row ids begin with."""

    @property
    def name(self) -> str:
        """Its path below the fixed part of the source."""

    @property
    def uri(self) -> str:
        """Where it lies."""


class SourceLine(BaseModel):
    """One line of the table. place: file and line, for messages. source: its name, by default the pattern."""

    model_config = ConfigDict(frozen=True)

    place: str
    pattern: str
    source: str
    licence: str = ""
    creator: str = ""
    terms: str = ""
    url: str = ""

    def matches(self, shard: NamedShard) -> bool:
        """Tell whether the pattern is that of a shard, by its name or its URI; `*` matches slashes too."""
        return fnmatchcase(shard.name, self.pattern) or fnmatchcase(shard.uri, self.pattern)

    def says(self) -> tuple[str, ...]:
        """Return what the line says of its shards, in the order of ATTRIBUTES."""
        return tuple(getattr(self, name) for name in ATTRIBUTES)


@dataclass(frozen=True)
class SourceOfShards:
    """The line that each shard follows, by its number; shards that no line matches are left out.

    unused: the lines whose pattern is that of no shard.
    """

    lines: dict[int, SourceLine]
    unused: list[SourceLine]


def read_source_table(uri: str) -> list[SourceLine]:
    """Return the lines of a table: CSV, JSONL or Parquet with `pattern`, `licence` and further attributes.

    Raises InputError where it is not there, has no pattern or no licence column, a blank pattern, or says two things of
    one source.
    """
    import tempfile
    from pathlib import Path

    from evenkeel.infra import storage
    from evenkeel.tasks.ingest.lists import find_files, read_tables

    lines: list[SourceLine] = []
    with tempfile.TemporaryDirectory(prefix="evenkeel-sources-") as scratch:
        for file in find_files(uri):
            for table, _ in read_tables(file, storage.local_copy(file.uri, Path(scratch)), None, WHAT):
                lines += _lines(table, file.uri, len(lines))
    if not lines:
        raise InputError(f"{WHAT} has no line", where=uri, remedy="write a line per pattern: pattern,licence,creator")
    by_name: dict[str, SourceLine] = {}
    for line in lines:
        first = by_name.setdefault(line.source, line)
        if first.says() != line.says():
            raise InputError(
                f"{WHAT} says two things of the source {line.source!r}",
                found=f"{first.place}: {', '.join(first.says()[1:])}; {line.place}: {', '.join(line.says()[1:])}",
                where=uri,
                remedy="give the lines different names (source), or the same licence, creator, terms and url",
            )
    return lines


def _lines(table: "pa.Table", uri: str, before: int) -> Iterator[SourceLine]:
    from evenkeel.tasks.ingest.columns import as_text

    known = {SPELLINGS.get(name.strip().lower(), name.strip().lower()): name for name in table.column_names}
    for needed in ("pattern", "licence"):
        if needed not in known:
            raise InputError(
                f"{WHAT} has no column {needed!r}",
                expected=f"pattern and licence, and where known {', '.join(set(ATTRIBUTES) - {'licence'})}",
                found=", ".join(table.column_names),
                where=uri,
                remedy="add it to the first line of the file",
            )
    names = [name for name in ("pattern", *ATTRIBUTES) if name in known]
    columns = [as_text(table[known[name]]).to_pylist() for name in names]
    for number, values in enumerate(zip(*columns, strict=True), start=before + 1):
        line = {name: (value or "").strip() for name, value in zip(names, values, strict=True)}
        place = f"{uri}, row {number:,}"
        if not line["pattern"]:
            raise InputError(f"{WHAT} has a row without a pattern", where=place, remedy="write `*` for all shards")
        yield SourceLine(place=place, **{**line, "source": line.get("source") or line["pattern"]})


def sources_of_shards(
    lines: Sequence[SourceLine],
    shards: Iterable[NamedShard],
    unmatched: Literal["fail", "none"] = "fail",
    several: Literal["fail", "first"] = "fail",
) -> SourceOfShards:
    """Return the line of each shard.

    A shard that no line matches has no licence that is known: unmatched says whether that stops the run or the shard
    goes without. One that lines of two sources match: several says whether that stops the run or the first line counts.
    Raises InputError naming shards and lines. Costs one look at each line of the same literal prefix.
    """
    by_prefix: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        by_prefix[_literal(line.pattern)].append(number)
    lengths = sorted({len(prefix) for prefix in by_prefix})
    found: dict[int, SourceLine] = {}
    used: set[int] = set()
    without: list[str] = []
    double: list[str] = []
    for shard in shards:
        near = {one for text in (shard.name, shard.uri) for size in lengths for one in by_prefix.get(text[:size], ())}
        mine = sorted(one for one in near if lines[one].matches(shard))
        used.update(mine)
        if not mine:
            without.append(shard.name)
        elif several == "fail" and len({lines[one].source for one in mine}) > 1:
            double.append(f"{shard.name}: " + " and ".join(f"{lines[one].pattern!r}" for one in mine[:2]))
        if mine:
            found[shard.number] = lines[mine[0]]
    if double:
        raise InputError(
            f"{len(double):,} shards match lines of two sources",
            found=_some(double),
            where=lines[0].place.rpartition(", row")[0],
            remedy="narrow one of the patterns, or set provenance.several: first, by which the first line counts",
        )
    if without and unmatched == "fail":
        raise InputError(
            f"{len(without):,} shards match no line of {WHAT}",
            found=_some(without),
            where=lines[0].place.rpartition(", row")[0],
            remedy="add a line for them, or set provenance.unmatched: none, by which their licence is unknown",
        )
    return SourceOfShards(found, [line for number, line in enumerate(lines) if number not in used])


def _literal(pattern: str) -> str:
    """Return the part of a pattern before its first wildcard."""
    return pattern[: next((at for at, one in enumerate(pattern) if one in WILDCARDS), len(pattern))]


def _some(names: list[str]) -> str:
    return "; ".join(names[:SHOWN]) + (f"; and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
