"""The measure step: one pass over the pool, four small tables; others where the recipe has signals, or a gate asks."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.distance.rows import MOST_ROWS
from evenkeel.tasks.measure.churn import retained, smallest
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.dispositions import DispositionCounts
from evenkeel.tasks.measure.distances import measure_distances
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.joint import measure_joint
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.signal_use import measure_signals
from evenkeel.tasks.measure.survey import BASELINES, Survey, Surveyor
from evenkeel.tasks.measure.tables import balance_table, cluster_table, group_table, total_row
from evenkeel.tasks.measure.tags import measure_tags
from evenkeel.tasks.properties.profiling import profile_columns
from evenkeel.tasks.properties.version_rows import VersionRows
from evenkeel.tasks.sample.blocks import SharedArray
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.quotas.tree import ClusterTree, tree_of
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

SPREAD = 6.0  # standard deviations by which the bound of hashes is wider than the sketch takes


def measure(config: MeasureConfig, inputs: MeasureInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the profile of a selection and return its totals.

    Raises AccountingError where the rows by disposition do not add up to the rows read.
    """
    hierarchy = Hierarchy.open(inputs.cluster)
    tree = tree_of(hierarchy)
    previous = Profile.open(inputs.previous) if inputs.previous is not None else None
    found, hashes = _survey(config, inputs, out, run)
    stages = _stages(Selection.open(inputs.sample), tree)
    levels = range(1, tree.depth + 1)
    balances = balance_table(tree, stages, found, previous)
    totals = total_row(found, int(stages["after"].sum()), balances)
    totals["retained"] = retained(previous.sketch(), hashes, config.sketch_rows) if previous else float("nan")
    totals["churn"] = 1.0 - totals["retained"]
    if config.made is not None:
        totals["made"] = config.made
    clusters = pa.concat_tables([cluster_table(hierarchy, tree, level, stages, found) for level in levels])
    write_array(out.path("sketch.npy"), hashes)
    write_table(out.path("clusters.parquet"), clusters)
    write_table(out.path("groups.parquet"), group_table(found))
    write_table(out.path("balance.parquet"), balances)
    write_table(out.path("totals.parquet"), pa.Table.from_pylist([totals]))
    rows = _candidates(inputs, run)
    if config.joint:
        write_table(out.path("joint.parquet"), measure_joint(rows, inputs.sample, config.joint, run.compute))
    run.progress(0.92, "measuring distances")
    distances, sums = measure_distances(config, inputs, hashes, out.path("distances"), run)
    write_table(out.path("distances.parquet"), distances)
    write_table(out.path("sums.parquet"), sums)
    if rows.pool.scores:
        run.progress(0.94, "summing up signals")
        for name, table in measure_signals(rows, inputs.sample, inputs.signals, config.signals, run.compute).items():
            write_table(out.path(f"{name}.parquet"), table)
    if config.columns is not None:
        run.progress(0.94, "profiling columns")
        version = VersionRows(rows.pool, inputs.sample.uri, "profile")
        kept = Selection.open(inputs.sample).rows
        for name, table in profile_columns(config.columns, version, kept, out.path("columns"), run.compute):
            write_table(out.path(f"{name}.parquet"), table)
    if rows.pool.tags:
        run.progress(0.95, "counting tags")
        tags, tag_totals = measure_tags(rows, inputs.sample, inputs.signals, run.compute)
        write_table(out.path("tags.parquet"), tags)
        write_table(out.path("tag_totals.parquet"), tag_totals)
    facts = {name: value for name, value in totals.items() if isinstance(value, float) and np.isfinite(value)}
    return Outcome({name: value for name, value in totals.items() if isinstance(value, int)}, facts)


def _survey(
    config: MeasureConfig, inputs: MeasureInputs, out: StepFolder, run: Run
) -> tuple[Survey, NDArray[np.uint64]]:
    """Return the counts of all rows, and the sketch of the kept ones. Raises AccountingError.

    Blocks hand in the hashes below a bound that leaves hardly more than the sketch takes; should it leave fewer, which
    chance hardly allows, all are handed in.
    """
    rows, size, folder = _candidates(inputs, run), config.sketch_rows, out.path("rates")
    quotas = Selection.open(inputs.sample).quotas()
    sizes = np.maximum(quotas["size"].to_numpy(), 1)
    rates = np.stack([quotas[name].to_numpy() / sizes for name in BASELINES])
    shared = SharedArray.of(rates, folder, str(run.scratch))
    run.progress(0.1, f"counting rows of {len(rows.blocks):,} blocks")
    for share in (min(1.0, (size + SPREAD * size**0.5) / max(inputs.sample.counts["kept"], 1)), 1.0):
        surveyor = Surveyor(rows, inputs.dedup, inputs.sample, shared, min(int(share * 2.0**64), 2**64 - 1))
        survey = run.compute.reduce(surveyor, Survey.add, rows.pool.blocks, work=rows.pool.rows * 60)
        found = Survey() if survey is None else survey
        hashes = smallest(found.hashes, size)
        if share == 1 or len(hashes) == size:
            break
    storage.remove(folder)
    found.dispositions += DispositionCounts(quarantined=inputs.ingest.counts["quarantined"])
    found.dispositions.check(inputs.ingest.counts["read"])
    return found, hashes


def _candidates(inputs: MeasureInputs, run: Run) -> CandidateRows:
    return CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch), inputs.signals)


def _stages(selection: Selection, tree: ClusterTree) -> dict[str, NDArray[np.int64]]:
    """Return the rows of every leaf, (leaves,) int64, of the pool, of the version and of the baselines."""
    quotas = selection.quotas()
    kept = selection.table().select(["leaf", "copies"])
    return {
        "before": tree.sizes,
        "after": np.bincount(kept["leaf"], kept["copies"], tree.leaves).astype(np.int64),
        **{name: quotas[name].to_numpy() for name in BASELINES},
    }


def cost(config: MeasureConfig, work: Workload) -> float:
    """Return the CPU-seconds of measuring a selection."""
    looked_at = min(work.rows, 4 * MOST_ROWS)
    return 0.05 + 2.7e-6 * work.rows + looked_at * (5e-6 + 2e-8 * work.dimension)


MEASURE = Step("measure", 4, measure, cost=cost)
