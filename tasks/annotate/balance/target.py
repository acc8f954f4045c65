"""How the rows of a target set spread over the clusters of a level."""

import numpy as np

from evenkeel.infra import storage
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.units import ancestors
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.signal.toward.clusters import count_leaves
from evenkeel.tasks.step import Run


def target_shares(source: AnnotationSource, level: int, target: TargetSet, folder: str, run: Run) -> dict[str, float]:
    """Return the share of the target's rows in every cluster of a level that has one, by its number.

    Raises InputError where the target is empty or of another dimension, RecipeError without such a level.
    """
    cluster, hierarchy = ancestors(source, level), source.hierarchy()
    vectors = Vectors.open(source.inputs.embed, source.pool.scratch)
    counts = count_leaves(target.vectors(vectors, run), hierarchy, storage.join(folder, "index"), run)
    held = np.bincount(cluster, counts)
    return {str(one): float(held[one] / held.sum()) for one in np.flatnonzero(held)}
