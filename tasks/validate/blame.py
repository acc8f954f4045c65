"""Put example rows beside the clusters and groups that a failed expectation blames."""

from collections.abc import Mapping, Sequence

import numpy as np

from evenkeel.expectations.expectation import Blame, Witness
from evenkeel.expectations.result import Result
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.validate.examples import read_examples, read_thumbnails, rows_of_groups, rows_of_leaves, shorten
from evenkeel.tasks.validate.inputs import ValidateInputs

LENGTH = 160
PICTURED_ROWS, PICTURE_BYTES = 150, 300_000
LOUDEST = {"failed": 0, "warned": 1}


def name_rows(results: list[Result], pool: Pool, inputs: ValidateInputs, examples: int) -> list[Result]:
    """Return the results with up to `examples` rows ("id: start of the text") for every cluster and group blamed.

    Rows with a picture show it small: at most 300 kB of pictures in all, failures first, then text alone.
    """
    blamed = {(item.scope, item.name) for one in results for item in one.blame}
    if not blamed or not examples:
        return results
    rows: dict[tuple[str, str], list[int]] = {}
    kept = Selection.open(inputs.sample).row_ids()
    for scope in sorted({scope for scope, _ in blamed}):
        names = sorted(name for where, name in blamed if where == scope)
        if scope.startswith("level-"):
            rows |= _of_clusters(scope, names, inputs, examples)
        elif scope.startswith("group."):
            found = rows_of_groups(pool, scope.removeprefix("group."), names, kept, examples)
            rows |= {(scope, name): ids for name, ids in found.items()}
    loudest = sorted(range(len(results)), key=lambda number: LOUDEST.get(results[number].status, 2))
    witnesses = _Witnesses(pool, rows, [item for number in loudest for item in results[number].blame])
    told = {number: _told(results[number], witnesses) for number in loudest}
    return [told[number] for number in range(len(results))]


class _Witnesses:
    """The rows of culprits as witnesses; room for pictures is spent in the order in which culprits are asked for."""

    def __init__(self, pool: Pool, rows: Mapping[tuple[str, str], list[int]], blamed: Sequence[Blame]) -> None:
        self.rows, self.room = rows, PICTURE_BYTES
        self.examples = read_examples(pool, [row for ids in rows.values() for row in ids])
        asked = dict.fromkeys(row for item in blamed for row in rows.get((item.scope, item.name), ()))
        self.thumbnails = read_thumbnails(pool, list(asked)[:PICTURED_ROWS])

    def of(self, item: Blame) -> tuple[Witness, ...] | None:
        """Return the witnesses of a culprit, None where it is no cluster or group."""
        ids = self.rows.get((item.scope, item.name))
        return None if ids is None else tuple(self._witness(row) for row in ids if row in self.examples)

    def _witness(self, row: int) -> Witness:
        picture = self.thumbnails.get(row, "")
        if len(picture) > self.room:
            picture = ""
        self.room -= len(picture)
        example = self.examples[row]
        return Witness(text=f"{example.id}: {shorten(example.text, LENGTH)}", thumbnail=picture)


def _told(one: Result, witnesses: _Witnesses) -> Result:
    found = [(item, witnesses.of(item)) for item in one.blame]
    blame = tuple(item if rows is None else item.model_copy(update={"examples": rows}) for item, rows in found)
    return one.model_copy(update={"blame": blame})


def _of_clusters(
    scope: str, names: list[str], inputs: ValidateInputs, examples: int
) -> dict[tuple[str, str], list[int]]:
    level = int(scope.removeprefix("level-"))
    hierarchy = Hierarchy.open(inputs.cluster)
    if level > len(hierarchy.levels):
        return {}
    wanted = [int(name) for name in names if name.isdigit()]
    ancestors = hierarchy.ancestors(level)
    labels = np.where(np.isin(ancestors, wanted), ancestors, -1).astype(np.int32)
    return {(scope, str(cluster)): ids for cluster, ids in rows_of_leaves(inputs.sample, labels, examples).items()}
