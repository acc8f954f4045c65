"""Scan the version for what its gates state, and tell which rows, groups and cells break it."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.expectations.concerns.built_in import BuiltIn
from evenkeel.expectations.concerns.columns import Dependency, Typos, Uniques
from evenkeel.expectations.concerns.fairness import ByGroup, MetricByGroup, SelectionRate
from evenkeel.expectations.concerns.privacy import mask
from evenkeel.expectations.concerns.properties import Covers, Holds
from evenkeel.expectations.expectation import Expectation
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.expression.property import Property, parse_metric, parse_property
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.properties.answers import Answer, Counterexample
from evenkeel.tasks.properties.conditions import check_rows, scan_rows
from evenkeel.tasks.properties.dependencies import count_values, scan_dependency, scan_near_misses, scan_uniques
from evenkeel.tasks.properties.grid import measure_coverage
from evenkeel.tasks.properties.grouping import Grouping
from evenkeel.tasks.properties.groups import check_groups, scan_groups, shown_value
from evenkeel.tasks.properties.means import GroupMeans, mean_by_group, selection_by_group
from evenkeel.tasks.properties.version_rows import VersionRows
from evenkeel.tasks.signal.order import signals_among
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.examples import read_examples, shorten
from evenkeel.tasks.validate.locate import locate

WHERE = "gates"
VALUE_LENGTH = 60
COLUMNS = ["key", "unit", "checked", "broken", "counterexamples", "names", "rows", "means"]


class Scanned(NamedTuple):
    """What a scan found for one expectation.

    unit: what was checked. columns: shown of a row that breaks it. groups: means by group, where it compares them.
    """

    key: str
    unit: str
    answer: Answer
    columns: tuple[str, ...] = ()
    groups: GroupMeans | None = None


def columns_of(expectations: Iterable[Expectation]) -> tuple[str, ...]:
    """Return the names of the columns that stated properties read, in order."""
    found: list[str] = []
    for one in expectations:
        if isinstance(one, Holds):
            found += parse_property(one.property, WHERE).columns
        elif isinstance(one, Covers):
            found += one.over
        elif isinstance(one, ByGroup):
            found += one.columns
            if isinstance(one, MetricByGroup):
                found += parse_metric(one.metric, WHERE).columns
        elif isinstance(one, Dependency):
            found += [*one.left, one.right]
        elif isinstance(one, Uniques):
            found += one.columns
        elif isinstance(one, Typos):
            found.append(one.column)
        elif isinstance(one, BuiltIn):
            found += one.columns
    return tuple(dict.fromkeys(found))


def check_stated(expectations: Iterable[Expectation], pool: Pool, signals: Collection[str]) -> None:
    """Raise RecipeError where a gate states something of a column that is not there, or that its type has not.

    signals: names of those that are computed later; properties that read one are checked for the other names alone.
    """
    rows = VersionRows(pool, "", WHERE)
    for one in expectations:
        columns = columns_of([one])
        later = signals_among(columns, signals)
        rows.check(name for name in columns if not signals_among([name], later))
        if isinstance(one, Holds | MetricByGroup) and not later and pool.blocks:
            table = rows.columns(pool.blocks[0], columns).slice(0, 0)
            table = table.append_column("row_id", pa.array([], pa.uint64()))
            if isinstance(one, MetricByGroup):
                Grouping(one.columns, (parse_metric(one.metric, WHERE),)).part(table)
                continue
            stated = parse_property(one.property, WHERE)
            if not stated.of_groups:
                check_rows(stated, table)
            else:
                grouping = Grouping(stated.keys, stated.aggregates)
                check_groups(stated, grouping, grouping.part(table))


def measurable(expectations: Iterable[Expectation], rows: VersionRows) -> list[Expectation]:
    """Return the expectations whose columns are there: published rows may hold fewer than the source did."""

    def there(one: Expectation) -> bool:
        try:
            rows.check(columns_of([one]))
        except RecipeError:
            return False
        return True

    return [one for one in expectations if there(one)]


def measure_stated(
    expectations: Sequence[Expectation],
    rows: VersionRows,
    clustering: str | None,
    kept: int,
    folder: str,
    examples: bool,
    run: Run,
) -> pd.DataFrame:
    """Return the table `properties`: one row per stated property, with its counterexamples or the means by group.

    clustering: the folder of the clusters of the rows that sampling chose from, None where those are not here. kept:
    rows of the version. folder: for files on the way. examples: whether the texts of rows are shown.
    """
    scanned = list({one.key: one for one in _scan(expectations, rows, clustering, kept, folder, run)}.values())
    described = _Descriptions(scanned, rows, examples)
    lines = [
        {
            "key": one.key,
            "unit": one.unit,
            "checked": one.answer.checked,
            "broken": one.answer.broken,
            "counterexamples": [described(one, item) for item in one.answer.examples],
            "names": None if one.groups is None else one.groups.names,
            "rows": None if one.groups is None else one.groups.sums[:, 0, 0],
            "means": None if one.groups is None else one.groups.means(),
        }
        for one in scanned
    ]
    return pd.DataFrame(lines, columns=COLUMNS)


def _scan(
    expectations: Sequence[Expectation], rows: VersionRows, clustering: str | None, kept: int, folder: str, run: Run
) -> Iterable[Scanned]:
    stated = [parse_property(one.property, WHERE) for one in expectations if isinstance(one, Holds)]
    of_rows = [one for one in stated if not one.of_groups]
    if of_rows:
        answers = scan_rows(of_rows, rows, run.compute)
        yield from (Scanned(one.text, "row", answer, one.columns) for one, answer in zip(of_rows, answers, strict=True))
    for number, property_ in enumerate(stated):
        if property_.of_groups:
            answer = scan_groups(property_, rows, kept, storage.join(folder, f"groups-{number}"), run.compute)
            yield Scanned(property_.text, "group", answer, _shown(property_))
    for grid in expectations:
        if isinstance(grid, Covers):
            found = measure_coverage(grid.over, grid.of, grid.min_rows, rows, run.compute)
            yield Scanned(grid.key, "cell", Answer(found.cells, found.cells - found.covered, found.examples))
    for one in expectations:
        if isinstance(one, MetricByGroup):
            yield _compared(one, mean_by_group(parse_metric(one.metric, WHERE), one.columns, rows, run.compute))
        elif isinstance(one, SelectionRate) and clustering is not None:
            chosen = clustering if one.of == "sampling" else ""
            yield _compared(one, selection_by_group(one.columns, chosen, rows, run.compute))
    yield from _scan_columns(expectations, rows, kept, storage.join(folder, "columns"), run)


def _scan_columns(
    expectations: Sequence[Expectation], rows: VersionRows, kept: int, folder: str, run: Run
) -> Iterable[Scanned]:
    for one in expectations:
        if isinstance(one, Dependency):
            answer = scan_dependency(tuple(one.left), one.right, rows, kept, folder, run.compute)
            yield Scanned(one.key, "row", answer)
        elif isinstance(one, Uniques):
            yield Scanned(one.key, "row", scan_uniques(tuple(one.columns), rows, kept, folder, run.compute))
        elif isinstance(one, Typos):
            counts = count_values(one.column, rows, kept, folder, run.compute)
            yield Scanned(one.key, "row", scan_near_misses(one.column, one.ratio, counts))


def _compared(one: ByGroup, groups: GroupMeans) -> Scanned:
    return Scanned(one.key, "group", Answer(len(groups.names), 0), groups=groups)


def _shown(one: Property) -> tuple[str, ...]:
    """Return the columns of a group's example row that say more than its keys."""
    return tuple(name for name in one.columns if name not in one.keys)


class _Descriptions:
    """Tells of counterexamples what pages show: ids, values of columns and the start of texts, secrets masked."""

    def __init__(self, scanned: Sequence[Scanned], rows: VersionRows, examples: bool) -> None:
        self.with_texts = examples
        wanted = sorted({item.row for one in scanned for item in one.answer.examples if item.row is not None})
        self.examples = read_examples(rows.pool, wanted)
        columns = tuple(dict.fromkeys(name for one in scanned for name in one.columns))
        self.values = _read(rows, wanted, columns)

    def __call__(self, one: Scanned, item: Counterexample) -> dict[str, object]:
        """Return an offender as a document."""
        example = None if item.row is None else self.examples.get(item.row)
        texts = (f"{example.id}: {example.text}",) if self.with_texts and example is not None else ()
        why, name = item.why, item.name
        if item.scope == "row" and item.row is not None:
            name = example.id if example is not None else str(item.row)
            held = self.values.get(item.row, {})
            values = "; ".join(f"{column} = {_plain(held.get(column))}" for column in one.columns)
            why = f"{item.why or values} (row_id {item.row})"
        elif example is not None:
            why = f"{item.why}; for one, {example.id}"
        return {"scope": item.scope, "name": shorten(mask(name), VALUE_LENGTH), "why": why, "examples": texts}


def _read(rows: VersionRows, wanted: Sequence[int], columns: Sequence[str]) -> dict[int, dict[str, object]]:
    """Return the values of some columns by row id."""
    found: dict[int, dict[str, object]] = {}
    if not columns:
        return found
    for block, here, places in locate(rows.pool, np.array(wanted, np.uint64)):
        lines = rows.columns(block, columns).take(pa.array(places)).to_pylist()
        found |= dict(zip(here.tolist(), lines, strict=True))
    return found


def _plain(value: object) -> str:
    return shorten(mask(shown_value(value)), VALUE_LENGTH)
