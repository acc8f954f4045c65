"""Add example rows to the clusters and groups that a failed expectation names."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from evenkeel.expectations.expectation import ExampleRow, Offender
from evenkeel.expectations.result import STATUSES, Result
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.validate.examples import read_examples, read_thumbnails, rows_of_groups, rows_of_leaves, shorten
from evenkeel.tasks.validate.inputs import ValidateInputs

LENGTH = 160
PICTURED_ROWS, PICTURE_BYTES = 150, 300_000
Place = tuple[str, str]  # scope and name of an offender


def add_examples(results: list[Result], pool: Pool, inputs: ValidateInputs, examples: int) -> list[Result]:
    """Return the results with up to `examples` rows ("id: start of the text") for every cluster and group they name.

    Rows with a picture show it small: at most 300 kB of pictures in all, failures first, then text alone.
    """
    places = {(item.scope, item.name) for one in results for item in one.offenders}
    if not places or not examples:
        return results
    rows = _rows_of(places, pool, inputs, examples)
    by_seriousness = sorted(range(len(results)), key=lambda number: STATUSES.index(results[number].status))
    reader = _ExampleReader(pool, rows, [item for number in by_seriousness for item in results[number].offenders])
    done = {number: reader.illustrate(results[number]) for number in by_seriousness}
    return [done[number] for number in range(len(results))]


def _rows_of(places: set[Place], pool: Pool, inputs: ValidateInputs, examples: int) -> dict[Place, list[int]]:
    """Return up to `examples` row ids for every cluster and every value of a group column among some offenders."""
    rows: dict[Place, list[int]] = {}
    kept = Selection.open(inputs.sample).row_ids()
    for scope in sorted({scope for scope, _ in places}):
        names = sorted(name for where, name in places if where == scope)
        if scope.startswith("level-"):
            rows |= _rows_of_clusters(scope, names, inputs, examples)
        elif scope.startswith("group."):
            found = rows_of_groups(pool, scope.removeprefix("group."), names, kept, examples)
            rows |= {(scope, name): ids for name, ids in found.items()}
    return rows


def _rows_of_clusters(
    scope: str, names: Iterable[str], inputs: ValidateInputs, examples: int
) -> dict[Place, list[int]]:
    level = int(scope.removeprefix("level-"))
    hierarchy = Hierarchy.open(inputs.cluster)
    if level > len(hierarchy.levels):
        return {}
    wanted = [int(name) for name in names if name.isdigit()]
    ancestors = hierarchy.ancestors(level)
    labels = np.where(np.isin(ancestors, wanted), ancestors, -1).astype(np.int32)
    return {(scope, str(cluster)): ids for cluster, ids in rows_of_leaves(inputs.sample, labels, examples).items()}


class _ExampleReader:
    """The example rows of offenders. The bytes for pictures go to the offenders that are asked for first."""

    def __init__(self, pool: Pool, rows: Mapping[Place, list[int]], offenders: Sequence[Offender]) -> None:
        self.rows, self.bytes_left = rows, PICTURE_BYTES
        self.examples = read_examples(pool, [row for ids in rows.values() for row in ids])
        asked = dict.fromkeys(row for item in offenders for row in rows.get((item.scope, item.name), ()))
        self.thumbnails = read_thumbnails(pool, list(asked)[:PICTURED_ROWS])

    def illustrate(self, one: Result) -> Result:
        """Return a result with example rows for its offenders."""
        return one.model_copy(update={"offenders": tuple(map(self._with_examples, one.offenders))})

    def _with_examples(self, item: Offender) -> Offender:
        """Return an offender with its example rows; one that is no cluster or group stays as it is."""
        ids = self.rows.get((item.scope, item.name))
        if ids is None:
            return item
        return item.model_copy(update={"examples": tuple(self._row(row) for row in ids if row in self.examples)})

    def _row(self, row: int) -> ExampleRow:
        picture = self.thumbnails.get(row, "")
        if len(picture) > self.bytes_left:
            picture = ""
        self.bytes_left -= len(picture)
        example = self.examples[row]
        return ExampleRow(text=f"{example.id}: {shorten(example.text, LENGTH)}", thumbnail=picture)
