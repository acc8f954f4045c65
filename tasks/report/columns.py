"""What the profile of columns says on the card: what determines what, what tells rows apart, likely typing errors."""

from collections.abc import Iterable
from dataclasses import dataclass

from evenkeel.expectations.concerns.privacy import mask
from evenkeel.expectations.wording import percent
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.validate.examples import shorten

SHOWN, LENGTH = 20, 60


@dataclass(frozen=True)
class ColumnFacts:
    """The profile of columns as lines of three lists: (what, how far it holds). title: a sentence. note: what it is."""

    title: str
    note: str
    lists: list[tuple[str, list[tuple[str, str]]]]


def column_facts(profile: Profile) -> ColumnFacts | None:
    """Return what the card says of columns, None where the recipe asks for no profile of them."""
    there = profile.files()
    lists = []
    if "dependencies.parquet" in there:
        lines = [(_rule(row["left"], row["right"]), _holds(row["error"])) for row in profile.records("dependencies")]
        lists.append(("What determines what", lines))
    if "uniques.parquet" in there:
        lines = [(_names(row["columns"]), _repeats(row["repeated"])) for row in profile.records("uniques")]
        lists.append(("What tells rows apart", lines))
    if "near_misses.parquet" in there:
        lists.append(("Values one edit from a common one", [_near(row) for row in profile.records("near_misses")]))
    if not lists:
        return None
    count = {name: len(lines) for name, lines in lists}
    words = [
        f"{number:,} {_NOUNS[name][number != 1]}" for name, number in count.items() if number or len(count) == 1
    ] or ["no dependency, no key and no near-miss"]
    title = f"{_listed(words)} among the columns"
    note = (
        "Found in the rows of the version. A dependency or a key may be what the data means, or a leak of the answer."
    )
    return ColumnFacts(title[:1].upper() + title[1:], note, [(name, lines[:SHOWN]) for name, lines in lists])


_NOUNS = {
    "What determines what": ("dependency", "dependencies"),
    "What tells rows apart": ("key", "keys"),
    "Values one edit from a common one": ("likely typing error", "likely typing errors"),
}


def _rule(left: object, right: object) -> str:
    columns = _names(left)
    return f"{columns} → {right}" if columns else f"{right} has one value"


def _names(columns: object) -> str:
    return " + ".join(str(one) for one in columns) if isinstance(columns, Iterable) else ""


def _holds(error: object) -> str:
    return "all rows" if not error else f"all but {percent(float(str(error)))} of the rows"


def _repeats(repeated: object) -> str:
    return "all rows" if not repeated else f"{int(str(repeated)):,} rows repeat another"


def _rows(count: object) -> str:
    return "1 row" if count == 1 else f"{int(str(count)):,} rows"


def _near(row: dict[str, object]) -> tuple[str, str]:
    value, near = (shorten(mask(str(row[name])), LENGTH) for name in ("value", "near"))
    return f"{row['column']}: {value}", f"{_rows(row['rows'])}; {near} has {int(str(row['near_rows'])):,}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
