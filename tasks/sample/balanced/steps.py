"""The steps `partition` and `kernel-density`, for the strategies that read them; done once for a clustering."""

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.workspace import StepFolder, StepRef
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.embed.device import driver_device
from evenkeel.tasks.sample.balanced.config import KernelDensityConfig, PartitionConfig
from evenkeel.tasks.sample.balanced.hedging import AGREED
from evenkeel.tasks.sample.balanced.kernel_density import MAX_LEAVES, kernel_densities
from evenkeel.tasks.sample.balanced.partition import (
    Partition,
    Probe,
    StablePartitions,
    best_agreement,
    find_partitions,
    stable,
)
from evenkeel.tasks.sample.balanced.probe import draw_probe
from evenkeel.tasks.sample.balanced.reference import CLOUDS, reference_agreement
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.inputs import KernelDensityInputs, PartitionInputs
from evenkeel.tasks.sample.problem import KernelDensities
from evenkeel.tasks.sample.quotas.tree import tree_of
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload


def partition(config: PartitionConfig, inputs: PartitionInputs, out: StepFolder, run: Run) -> Outcome:
    """Draw a probe of a clustered pool, find its stable partitions, and write both without the vectors."""
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch))
    probe = draw_probe(rows, tree_of(Hierarchy.open(inputs.cluster)), config.rows, config.seed, run.compute)
    tried = find_partitions(probe, config.seed)
    found, agreement = stable(tried), best_agreement(tried)
    reference = reference_agreement(probe, config.seed) if found and agreement < AGREED else None
    cells = np.array([one.cells for one in found], np.int32).reshape(len(found), 2, len(probe.leaf))
    for name, array in (("leaf", probe.leaf), ("weight", probe.weight), ("half", probe.half), ("cells", cells)):
        write_array(out.path(f"{name}.npy"), array)
    summary = [{"scale": one.scale, "agreement": one.agreement} for one in found]
    storage.write_json(out.path("partitions.json"), summary)
    run.progress(1.0, f"{len(found)} stable partitions by {len(probe.leaf):,} rows")
    facts = {"partitions": summary, "agreement": round(agreement, 4) if tried else None, "reference": reference}
    return Outcome({"rows": len(probe.leaf), "partitions": len(found)}, facts)


def kernel_density(config: KernelDensityConfig, inputs: KernelDensityInputs, out: StepFolder, run: Run) -> Outcome:
    """Estimate the density of leaves around every leaf and write it."""
    densities = kernel_densities(tree_of(Hierarchy.open(inputs.cluster)), config.seed, driver_device(run.compute))
    write_array(out.path("densities.npy"), np.array(list(densities.values()), np.float32))
    return Outcome({"bandwidths": len(densities)}, {"bandwidths": list(densities)})


def read_partitions(ref: StepRef) -> StablePartitions | None:
    """Return the stable partitions that a step left; None where there are none."""
    leaf, weight, half, cells = (
        read_array(storage.join(ref.uri, f"{name}.npy")) for name in ("leaf", "weight", "half", "cells")
    )
    found = [
        Partition(about["scale"], (pair[0], pair[1]), about["agreement"])
        for about, pair in zip(storage.read_json(storage.join(ref.uri, "partitions.json")), cells, strict=True)
    ]
    probe = Probe(np.empty((len(leaf), 0), np.float32), leaf, weight, half)
    return StablePartitions(probe, found) if found else None


def read_densities(ref: StepRef) -> KernelDensities:
    """Return the kernel densities that a step left, by bandwidth."""
    return dict(zip(ref.facts["bandwidths"], read_array(storage.join(ref.uri, "densities.npy")), strict=True))


def partition_cost(config: PartitionConfig, work: Workload) -> float:
    """Return the CPU-seconds of partitioning: every row of the probe is compared with every other.

    In a pool whose halves agree little that is done for clouds without clusters too; half of the pools are taken to be.
    """
    probe = min(work.rows, config.rows)
    return 0.02 + 1e-6 * work.rows + 1.4e-8 * probe * probe * (1 + CLOUDS / 2)


def kernel_density_cost(config: KernelDensityConfig, work: Workload) -> float:
    """Return the CPU-seconds of the kernel density: every leaf is compared with up to 12,000 others."""
    return 0.02 + 5e-8 * work.leaves * min(work.leaves, MAX_LEAVES)


PARTITION = Step("partition", 3, partition, cost=partition_cost)
KERNEL_DENSITY = Step("kernel-density", 1, kernel_density, by_backend=True, cost=kernel_density_cost)
