"""The tables of a profile: clusters, groups, balance and totals."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.expectations.measures import balance
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.survey import STAGES, Survey
from evenkeel.tasks.sample.quotas.tree import ClusterTree

Stages = Mapping[str, NDArray[np.int64]]  # rows of every leaf, by stage
GROUPS = pa.schema(
    [
        ("group", pa.string()),
        ("value", pa.string()),
        ("before", pa.int64()),
        ("after", pa.int64()),
        ("share_before", pa.float64()),
        ("share_after", pa.float64()),
    ]
)


def cluster_table(hierarchy: Hierarchy, tree: ClusterTree, level: int, stages: Stages, found: Survey) -> pa.Table:
    """Return one row per cluster of a level."""
    duplicates = np.zeros(tree.leaves, np.int64)
    duplicates[list(found.duplicates)] = list(found.duplicates.values())
    before, after, copies = (tree.lift(part, level) for part in (stages["before"], stages["after"], duplicates))
    clusters = len(before)
    return pa.table(
        {
            "level": np.full(clusters, level, np.int32),
            "cluster": np.arange(clusters, dtype=np.int32),
            "parent": hierarchy.levels[level - 1].parents.astype(np.int32),
            "before": before,
            "after": after,
            "share_before": before / max(1, before.sum()),
            "share_after": after / max(1, after.sum()),
            "radius": hierarchy.levels[level - 1].radii.astype(np.float32),
            "near_duplicate_rate": copies / np.maximum(1, before + copies),
        }
    )


def group_table(found: Survey) -> pa.Table:
    """Return one row per group column and value."""
    columns: dict[str, list[object]] = {name: [] for name in GROUPS.names}
    for group, values in sorted(found.groups.items()):
        before, after = (max(1, sum(int(counts[stage]) for counts in values.values())) for stage in (0, 1))
        for value, counts in sorted(values.items()):
            cells = (group, value, int(counts[0]), int(counts[1]), counts[0] / before, counts[1] / after)
            for name, cell in zip(columns, cells, strict=True):
                columns[name].append(cell)
    return pa.table(columns, schema=GROUPS)


def balance_table(tree: ClusterTree, stages: Stages, found: Survey, previous: Profile | None) -> pa.Table:
    """Return one row per scope and stage."""
    lines = []
    for level in range(1, tree.depth + 1):
        lifted = {stage: tree.lift(counts, level) for stage, counts in stages.items()}
        for stage, counts in lifted.items():
            lines.append({"scope": f"level-{level}", "stage": stage, **balance(counts, lifted["before"] > 0)})
    for group, values in sorted(found.groups.items()):
        counts = np.stack(list(values.values()))
        for place, stage in enumerate(STAGES):
            lines.append({"scope": f"group.{group}", "stage": stage, **balance(counts[:, place], counts[:, 0] > 0)})
    if previous is not None:
        before = previous.balance
        for line in before[before["stage"] == "after"].to_dict("records"):
            lines.append({**{str(name): value for name, value in line.items()}, "stage": "previous"})
    return pa.Table.from_pylist(lines)


def total_row(found: Survey, copies: int, balances: pa.Table) -> dict[str, int | float]:
    """Return rows by disposition, tokens, and the balance of the finest level before and after."""
    rows = found.dispositions
    measures = {
        f"{name}_{stage}": float(line[name])
        for line in balances.to_pylist()
        if line["scope"] == "level-1" and (stage := line["stage"]) in ("before", "after")
        for name in ("entropy", "kl_uniform", "gini", "coverage")
    }
    return {
        "read": rows.read,
        "kept": rows.kept,
        "copies": copies,
        "deduplicated": rows.deduplicated,
        "filtered": rows.filtered,
        "not_sampled": rows.not_sampled,
        "quarantined": rows.quarantined,
        "tokens_before": found.tokens_before,
        "tokens_after": found.tokens_after,
        **measures,
    }
