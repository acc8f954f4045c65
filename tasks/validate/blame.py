"""Put example rows beside the clusters and groups that a failed expectation blames."""

from collections.abc import Mapping

import numpy as np

from expectations.engine import Result
from infra.workspace import StepRef
from tasks.cluster.hierarchy import Hierarchy
from tasks.ingest.pool import Pool
from tasks.validate.examples import read_examples, rows_of_groups, rows_of_leaves, shorten

LENGTH = 160


def name_rows(results: list[Result], pool: Pool, inputs: Mapping[str, StepRef], examples: int) -> list[Result]:
    """Return the results with up to `examples` rows ("id: start of the text") for every cluster and group blamed."""
    blamed = {(item.scope, item.name) for one in results for item in one.blame}
    if not blamed or not examples or "sample" not in inputs:
        return results
    rows: dict[tuple[str, str], list[int]] = {}
    for scope in sorted({scope for scope, _ in blamed}):
        names = sorted(name for where, name in blamed if where == scope)
        if scope.startswith("level-") and "cluster" in inputs:
            rows |= _of_clusters(scope, names, inputs, examples)
        elif scope.startswith("group."):
            found = rows_of_groups(pool, scope.removeprefix("group."), names, examples)
            rows |= {(scope, name): ids for name, ids in found.items()}
    texts = read_examples(pool, [row for ids in rows.values() for row in ids])
    words = {row: f"{text.id}: {shorten(text.text, LENGTH)}" for row, text in texts.items()}

    def told(one: Result) -> Result:
        blame = tuple(
            item.model_copy(
                update={"examples": tuple(words[row] for row in rows[item.scope, item.name] if row in words)}
            )
            if (item.scope, item.name) in rows
            else item
            for item in one.blame
        )
        return one.model_copy(update={"blame": blame})

    return [told(one) for one in results]


def _of_clusters(
    scope: str, names: list[str], inputs: Mapping[str, StepRef], examples: int
) -> dict[tuple[str, str], list[int]]:
    level = int(scope.removeprefix("level-"))
    hierarchy = Hierarchy.open(inputs["cluster"])
    if level > len(hierarchy.levels):
        return {}
    wanted = [int(name) for name in names if name.isdigit()]
    ancestors = hierarchy.ancestors(level)
    labels = np.where(np.isin(ancestors, wanted), ancestors, -1).astype(np.int32)
    return {(scope, str(cluster)): ids for cluster, ids in rows_of_leaves(inputs["sample"], labels, examples).items()}
