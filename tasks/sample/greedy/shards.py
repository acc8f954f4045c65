"""Choose rows of a whole pool by their features: every block hands in its best, and the best of these are chosen.

Source: greedy over distributed parts (Mirzasoleiman et al. 2013, arXiv 1411.0541): each part chooses greedily for
itself, and the union of these choices is chosen from. A block hands in four times its share of the target, so the
union is bounded by the target; a pool no larger than that is chosen from as a whole.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.greedy.concave import ConcaveSums
from evenkeel.tasks.sample.greedy.engine import Chosen, lazy_greedy
from evenkeel.tasks.sample.greedy.features import Features, FeatureSpace
from evenkeel.tasks.sample.greedy.gains import FeatureGain
from evenkeel.tasks.sample.problem import SamplingProblem

CANDIDATES, AT_LEAST = 4, 16
SEED = 0x6772_6565


class Candidates(NamedTuple):
    """Rows that blocks handed in, with their features; evaluations: how many gains that took."""

    row_ids: UInt64Array
    identity: UInt64Array
    features: Features
    evaluations: int


@dataclass(frozen=True)
class ShardedGreedy:
    """Which set function of features is maximised. times: how often coverage counts a feature."""

    space: FeatureSpace
    gain: FeatureGain
    times: float
    seed: int

    def choose(self, found: Features, wanted: int) -> Chosen:
        """Return `wanted` of some rows."""
        scale = float(wanted) if self.gain == "entropy" else self.times
        return lazy_greedy(ConcaveSums(found, self.space.size, self.gain, scale), wanted)


def choose_rows(greedy: ShardedGreedy, problem: SamplingProblem) -> tuple[UInt64Array, dict[str, object]]:
    """Return the row ids of the target's rows in the order of choice, (target,) uint64, and facts about the choice."""
    rows = problem.rows
    offer = partial(_offer, rows=rows, greedy=greedy, share=CANDIDATES * problem.target / max(1, problem.tree.rows))
    found = problem.compute.reduce(offer, _joined, rows.blocks, work=rows.pool.rows * 100)
    if found is None:
        return np.empty(0, np.uint64), {}
    order = _by_hash(found.identity, greedy.seed)
    chosen = greedy.choose(found.features.take(order), problem.target)
    held = np.zeros(greedy.space.size)
    features = found.features.take(order[chosen.order])
    np.add.at(held, features.codes, features.masses)
    facts: dict[str, object] = {
        "value": chosen.value,
        "evaluations": found.evaluations + chosen.evaluations,
        "candidates": len(found.row_ids),
        "features": greedy.space.size,
        "features_held": int((held > 0).sum()),
        "entropy": _entropies(greedy.space, held),
    }
    return found.row_ids[order[chosen.order]], facts


def _entropies(space: FeatureSpace, held: np.ndarray) -> dict[str, float]:
    """Return the normalised entropy of what the chosen rows hold of the features of every column."""
    found = {}
    for column, first, last in zip(space.columns, space.first, space.first[1:], strict=False):
        mass = held[first:last][held[first:last] > 0]
        share = mass / max(mass.sum(), 1e-300)
        found[column] = round(float(-(share * np.log(share)).sum()) / math.log(max(last - first, 2)), 6)
    return found


def _by_hash(identity: UInt64Array, seed: int) -> Int64Array:
    """Return rows in the order of a hash, (n,) int64, so that ties do not go by where rows lie in the pool."""
    return np.argsort(uniform(seed + SEED, identity), kind="stable").astype(np.int64)


def _offer(block: str, rows: CandidateRows, greedy: ShardedGreedy, share: float) -> Candidates:
    table = rows.table(block, ["identity", *greedy.space.read])
    identity, row_id = table["identity"].to_numpy(), table["row_id"].to_numpy()
    features = greedy.space.features(table)
    limit = math.ceil(share * len(row_id)) + AT_LEAST
    if limit >= len(row_id):
        return Candidates(row_id, identity, features, 0)
    order = _by_hash(identity, greedy.seed)
    chosen = greedy.choose(features.take(order), limit)
    kept = np.sort(order[chosen.order])
    return Candidates(row_id[kept], identity[kept], features.take(kept), chosen.evaluations)


def _joined(one: Candidates, other: Candidates) -> Candidates:
    return Candidates(
        np.concatenate([one.row_ids, other.row_ids]),
        np.concatenate([one.identity, other.identity]),
        Features.joined([one.features, other.features]),
        one.evaluations + other.evaluations,
    )
