"""Crowding: how many leaves lie within reach of every leaf. Found once for a clustering."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.sample.balanced.structure import distances
from evenkeel.tasks.sample.inputs import CrowdingInputs, SampleInputs
from evenkeel.tasks.sample.quotas.tree import ClusterTree, tree_of
from evenkeel.tasks.step import Outcome, Run, Step

MOST_NODES = 12_000
REACHES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
Crowds = Mapping[float, NDArray[np.float32]]


class CrowdingConfig(BaseModel):
    """What crowding depends on besides the clustering."""

    seed: int = 0


def find_crowding(config: CrowdingConfig, inputs: CrowdingInputs, out: StepFolder, run: Run) -> Outcome:
    """Measure the crowding of the leaves and write it."""
    crowds = crowding(tree_of(Hierarchy.open(inputs.cluster)), config.seed)
    write_array(out.path("crowds.npy"), np.array(list(crowds.values()), np.float32))
    return Outcome({"reaches": len(crowds)}, {"reaches": list(crowds)})


CROWDING = Step("crowding", 1, find_crowding)


def crowds_of(inputs: SampleInputs, run: Run) -> Crowds:
    """Return `crowding` of a clustered pool, from the workspace where it is there."""
    ref = CROWDING(CrowdingConfig(), CrowdingInputs(inputs.cluster), run)
    return dict(zip(ref.facts["reaches"], read_array(storage.join(ref.uri, "crowds.npy")), strict=True))


def crowding(tree: ClusterTree, seed: int) -> Crowds:
    """Return by reach the effective number of leaves within reach of every leaf, (k1,) float32 >= 1.

    A reach is a quantile of the distances between leaves. Beyond 12,000 leaves a leaf is compared with as many others,
    drawn at random. {} where there are no three leaves apart.
    """
    if tree.centroids is None or tree.leaves < 3:
        return {}
    centroids = tree.centroids - tree.centroids.mean(axis=0)
    rng = np.random.default_rng(seed)
    marks = np.sort(rng.permutation(tree.leaves)[:MOST_NODES])
    some = distances(centroids[rng.permutation(tree.leaves)[:500]], centroids[marks])
    if not (some > 1e-6).any():
        return {}
    lengths = np.quantile(some[some > 1e-6], REACHES)
    crowds = np.zeros((len(REACHES), tree.leaves), np.float32)
    stands_for = tree.leaves / len(marks)
    for start in range(0, tree.leaves, 2048):
        part = distances(centroids[start : start + 2048], centroids[marks])
        part *= part
        for place, length in enumerate(lengths):
            crowds[place, start : start + 2048] = np.exp(part / np.float32(-2 * length * length)).sum(axis=1)
    return dict(zip(REACHES, np.maximum(1, stands_for * crowds), strict=True))
