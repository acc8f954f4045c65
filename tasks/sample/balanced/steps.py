"""The steps `partition` and `kernel-density`: what `balanced` measures on, found once for a clustering."""

import numpy as np
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.sample.balanced.kernel_density import kernel_densities
from evenkeel.tasks.sample.balanced.partition import Partition, Probe, StablePartitions, find_partitions
from evenkeel.tasks.sample.balanced.probe import draw_probe
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.inputs import KernelDensityInputs, PartitionInputs, SampleInputs
from evenkeel.tasks.sample.problem import KernelDensities
from evenkeel.tasks.sample.quotas.tree import tree_of
from evenkeel.tasks.step import Outcome, Run, Step


class PartitionConfig(BaseModel):
    """What the partitions of a pool depend on besides its clustering. rows: of the probe."""

    rows: int = 8192
    seed: int = 0


class KernelDensityConfig(BaseModel):
    """What the kernel densities depend on besides the clustering."""

    seed: int = 0


def partition(config: PartitionConfig, inputs: PartitionInputs, out: StepFolder, run: Run) -> Outcome:
    """Draw a probe of a clustered pool, find its stable partitions, and write both without the vectors."""
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch))
    probe = draw_probe(rows, tree_of(Hierarchy.open(inputs.cluster)), config.rows, config.seed, run.compute)
    found = find_partitions(probe, config.seed)
    cells = np.array([one.cells for one in found], np.int32).reshape(len(found), 2, len(probe.leaf))
    for name, array in (("leaf", probe.leaf), ("weight", probe.weight), ("half", probe.half), ("cells", cells)):
        write_array(out.path(f"{name}.npy"), array)
    summary = [{"scale": one.scale, "agreement": one.agreement} for one in found]
    storage.write_json(out.path("partitions.json"), summary)
    return Outcome({"rows": len(probe.leaf), "partitions": len(found)}, {"partitions": summary})


def kernel_density(config: KernelDensityConfig, inputs: KernelDensityInputs, out: StepFolder, run: Run) -> Outcome:
    """Estimate the density of leaves around every leaf and write it."""
    densities = kernel_densities(tree_of(Hierarchy.open(inputs.cluster)), config.seed)
    write_array(out.path("densities.npy"), np.array(list(densities.values()), np.float32))
    return Outcome({"bandwidths": len(densities)}, {"bandwidths": list(densities)})


PARTITION = Step("partition", 1, partition)
KERNEL_DENSITY = Step("kernel-density", 1, kernel_density)


def stable_partitions(probe_rows: int, inputs: SampleInputs, run: Run) -> StablePartitions | None:
    """Return the stable partitions of a clustered pool, from the workspace where they are there; None without any."""
    needed = PartitionInputs(inputs.ingest, inputs.embed, inputs.cluster)
    ref = PARTITION(PartitionConfig(rows=probe_rows), needed, run)
    leaf, weight, half, cells = (
        read_array(storage.join(ref.uri, f"{name}.npy")) for name in ("leaf", "weight", "half", "cells")
    )
    found = [
        Partition(about["scale"], (pair[0], pair[1]), about["agreement"])
        for about, pair in zip(storage.read_json(storage.join(ref.uri, "partitions.json")), cells, strict=True)
    ]
    probe = Probe(np.empty((len(leaf), 0), np.float32), leaf, weight, half)
    return StablePartitions(probe, found) if found else None


def densities_of(inputs: SampleInputs, run: Run) -> KernelDensities:
    """Return the kernel densities of a clustered pool, from the workspace where they are there."""
    ref = KERNEL_DENSITY(KernelDensityConfig(), KernelDensityInputs(inputs.cluster), run)
    return dict(zip(ref.facts["bandwidths"], read_array(storage.join(ref.uri, "densities.npy")), strict=True))
