"""The measure step: one pass over the pool, four small tables."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.expectations.measures import balance
from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.measure.churn import retained, smallest
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.fates import Fates
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.survey import BASELINES, STAGES, Survey, Surveyor
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.quotas.tree import ClusterTree, tree_of
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

Counts = NDArray[np.int64]


def measure(config: MeasureConfig, inputs: MeasureInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the profile of a selection and return its totals.

    Raises AccountingError where the four fates do not add up to the rows read.
    """
    hierarchy, selection = Hierarchy.open(inputs.cluster), Selection.open(inputs.sample)
    previous = Profile.open(inputs.previous) if inputs.previous is not None else None
    tree = tree_of(hierarchy)
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch))
    surveyor = Surveyor(rows, inputs.dedup, inputs.sample, out.path("sketches"), config.sketch_rows)
    total = max(1, len(rows.blocks))
    surveys = run.compute.map(
        surveyor,
        rows.pool.blocks,
        work=rows.pool.rows * 60,
        on_done=lambda done: run.progress(0.9 * done / total, f"counting rows: block {done} of {total}"),
    )
    found = Survey(fates=Fates(quarantined=inputs.ingest.counts["quarantined"]))
    for survey in surveys:
        found.add(survey)
    found.fates.check(inputs.ingest.counts["read"])
    hashes = _sketch(surveyor, config.sketch_rows)
    write_array(out.path("sketch.npy"), hashes)
    quotas = selection.quotas()
    leaf = selection.table().select(["leaf", "copies"])
    stages = {
        "before": tree.sizes,
        "after": np.bincount(leaf["leaf"], leaf["copies"], tree.leaves).astype(np.int64),
        **{name: quotas[name].to_numpy() for name in BASELINES},
    }
    clusters = pa.concat_tables(
        [cluster_table(hierarchy, tree, level, stages, found) for level in range(1, tree.depth + 1)]
    )
    spread = balance_table(tree, stages, found, previous)
    totals = total_row(found, int(stages["after"].sum()), spread)
    totals["retained"] = retained(previous.sketch(), hashes, config.sketch_rows) if previous else float("nan")
    totals["churn"] = 1.0 - totals["retained"]
    write_table(out.path("clusters.parquet"), clusters)
    write_table(out.path("groups.parquet"), group_table(found))
    write_table(out.path("balance.parquet"), spread)
    write_table(out.path("totals.parquet"), pa.Table.from_pylist([totals]))
    facts = {name: value for name, value in totals.items() if isinstance(value, float) and np.isfinite(value)}
    return Outcome({name: value for name, value in totals.items() if isinstance(value, int)}, facts)


def cluster_table(
    hierarchy: Hierarchy, tree: ClusterTree, level: int, stages: Mapping[str, Counts], found: Survey
) -> pa.Table:
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


def balance_table(tree: ClusterTree, stages: Mapping[str, Counts], found: Survey, previous: Profile | None) -> pa.Table:
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


def total_row(found: Survey, copies: int, spread: pa.Table) -> dict[str, int | float]:
    """Return rows by fate, tokens, and the balance of the finest level before and after."""
    fates = found.fates
    measures = {
        f"{name}_{stage}": float(line[name])
        for line in spread.to_pylist()
        if line["scope"] == "level-1" and (stage := line["stage"]) in ("before", "after")
        for name in ("entropy", "kl_uniform", "gini", "coverage")
    }
    return {
        "read": fates.kept + fates.deduplicated + fates.not_sampled + fates.quarantined,
        "kept": fates.kept,
        "copies": copies,
        "deduplicated": fates.deduplicated,
        "not_sampled": fates.not_sampled,
        "quarantined": fates.quarantined,
        "tokens_before": found.tokens_before,
        "tokens_after": found.tokens_after,
        **measures,
    }


def _sketch(surveyor: Surveyor, size: int) -> NDArray[np.uint64]:
    hashes = np.empty(0, np.uint64)
    for uri in storage.list_files(surveyor.folder):
        hashes = smallest(np.concatenate([hashes, read_table(uri)["hash"].to_numpy()]), size)
    storage.remove(surveyor.folder)
    return hashes


def cost(config: MeasureConfig, work: Workload) -> float:
    """Return the CPU-seconds of measuring a selection."""
    return 0.035 + 2.7e-6 * work.rows


MEASURE = Step("measure", 1, measure, cost=cost)
