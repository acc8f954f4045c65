"""Clusters without the rows that a filter removed after clustering: same centroids, other counts."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.workspace import StepFolder, StepRef
from evenkeel.tasks.cluster.assign import recount
from evenkeel.tasks.cluster.hierarchy import Hierarchy, HierarchyInfo, LevelInfo, read_rows, write_level, write_rows
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.inputs import Inputs, MadeBy
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

Counted = tuple[Int64Array, Float64Array]


class ThinConfig(BaseModel):
    """Nothing is set: the rows that left are those that a filter says."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class ThinInputs(Inputs):
    """What a filter left, and the clusters as they were before it."""

    filter: StepRef
    cluster: Annotated[StepRef, MadeBy("cluster", "assign")]


def thin(config: ThinConfig, inputs: ThinInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the clusters without the rows that left, in the layout of the cluster step; leaves may be empty."""
    base, duplicates = Hierarchy.open(inputs.cluster), Duplicates.open(inputs.filter)
    work = partial(thin_block, duplicates, base.uri, out.uri, base.leaves)
    counted = run.compute.reduce(work, _add, base.blocks, work=inputs.cluster.counts.get("rows", 0) * 16)
    counts, squared = counted if counted is not None else (np.zeros(base.leaves, np.int64), np.zeros(base.leaves))
    levels = recount(base, counts, squared)
    for number, level in enumerate(levels, start=1):
        write_level(out.path(f"level-{number}"), level)
    about: list[LevelInfo] = [
        {**entry, "inertia": level.inertia} for entry, level in zip(base.info["levels"], levels, strict=True)
    ]
    info: HierarchyInfo = {**base.info, "levels": about}
    storage.write_json(out.path("levels.json"), info)
    return Outcome({**inputs.cluster.counts, "rows": int(counts.sum())}, {**inputs.cluster.facts, "levels": about})


def thin_block(duplicates: Duplicates, base: str, out: str, leaves: int, block: str) -> Counted:
    """Write the rows of a block that are left; return rows and summed squared distances of every leaf, (k,)."""
    rows = read_rows(base, block)
    row_id, leaf, distance = (rows[name].to_numpy() for name in ("row_id", "leaf", "distance"))
    kept = duplicates.kept(row_id)
    write_rows(out, block, row_id[kept], leaf[kept], distance[kept])
    squared = np.bincount(leaf[kept], distance[kept].astype(np.float64) ** 2, leaves)
    return np.bincount(leaf[kept], minlength=leaves).astype(np.int64), squared.astype(np.float64)


def _add(one: Counted, other: Counted) -> Counted:
    return one[0] + other[0], one[1] + other[1]


def cost(config: ThinConfig, work: Workload) -> float:
    """Return the CPU-seconds of leaving rows out."""
    return 0.02 + 1e-7 * work.rows


THIN = Step("thin", 1, thin, cost=cost)
