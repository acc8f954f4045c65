"""The domains of a pool, a group column or the clusters of a level, and what a rule of mixtures weighs them by."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.mixture.config import TARGET, DomainWeights
from evenkeel.tasks.mixture.rules.match import Match

if TYPE_CHECKING:
    import pyarrow as pa

    from evenkeel.infra.dtypes import Float64Array, Int64Array
    from evenkeel.tasks.dedup.target_set import TargetSet
    from evenkeel.tasks.mixture.evidence import Geometry
    from evenkeel.tasks.sample.candidates import CandidateRows
    from evenkeel.tasks.sample.problem import SamplingProblem
    from evenkeel.tasks.sample.strata.count import Strata
    from evenkeel.tasks.signal.signal import Signal

PRIOR = 1e-6
MAX_TRIED = 1000


@dataclass(frozen=True)
class Domains:
    """The domains of a pool.

    names: of each; a cluster's is its number. sizes: (k,) int64 rows. columns: of the row table that `of` reads.
    """

    names: tuple[str, ...]
    sizes: "Int64Array"
    columns: Sequence[str]
    strata: "Strata | None" = None
    cluster_of: "Int64Array | None" = None

    @property
    def natural(self) -> "Float64Array":
        """Return the share of the pool that each domain is, (k,)."""
        shares: Float64Array = self.sizes / max(int(self.sizes.sum()), 1)
        return shares

    def of(self, table: "pa.Table", block: str = "") -> "Int64Array":
        """Return the domain of every row of a table, (n,) int64."""
        if self.strata is not None:
            return self.strata.of(table, block)
        assert self.cluster_of is not None
        found: Int64Array = self.cluster_of[table["leaf"].to_numpy()]
        return found


def find_domains(wanted: DomainWeights, problem: "SamplingProblem") -> Domains:
    """Return the domains that a mixture names. Raises RecipeError for a column or a level that the pool has not."""
    from evenkeel.tasks.sample.strata.count import find_strata

    if wanted.group:
        strata = find_strata(problem.rows, [wanted.group], problem.compute)
        names = tuple(str(value) for value in strata.coding.dictionaries[0].to_pylist())
        return Domains(names, strata.sizes, strata.columns, strata=strata)
    tree = problem.tree
    if wanted.level > tree.depth:
        raise RecipeError(
            "the clustering has no such level",
            expected=f"level-1 to level-{tree.depth}",
            found=wanted.domains,
            where="mixture.domains",
            remedy="lower the level, or add levels to clustering",
        )
    sizes = tree.lift(tree.sizes, wanted.level)
    return Domains(tuple(map(str, range(len(sizes)))), sizes, [], cluster_of=tree.ancestors(wanted.level))


def geometry_of(wanted: DomainWeights, domains: Domains, problem: "SamplingProblem") -> "Geometry":
    """Return what the rule of a mixture reads of the domains, and no more."""
    import numpy as np

    from evenkeel.tasks.mixture.evidence import Geometry
    from evenkeel.tasks.sample.strata.bounds import Crossing, count_crossed

    reads, tree, count = wanted.rule.reads, problem.tree, len(domains.names)
    plain = Geometry(domains.names, domains.natural)
    if not reads:
        return plain
    known, rows = count_crossed(Crossing(domains, 1, tree.leaves, None), domains.columns, problem)
    domain, leaf = known // tree.leaves, known % tree.leaves
    if "means" in reads:
        assert tree.centroids is not None
        means = np.zeros((count, tree.centroids.shape[1]))
        np.add.at(means, domain, rows[:, None] * tree.centroids[leaf])
        return Geometry(domains.names, domains.natural, means=means / np.maximum(domains.sizes, 1)[:, None])
    level = wanted.rule.level if isinstance(wanted.rule, Match) else 1
    if level > tree.depth:
        raise RecipeError(
            "the clustering has no such level",
            expected=f"a level from 1 to {tree.depth}",
            found=f"level: {level}",
            where="mixture.level",
            remedy="lower the level, or add levels to clustering",
        )
    ancestors, clusters = tree.ancestors(level), tree.widths[level - 1]
    histograms = np.zeros((clusters, count))
    np.add.at(histograms, (ancestors[leaf], domain), rows)
    histograms /= np.maximum(domains.sizes, 1)
    pool = tree.lift(tree.sizes, level) / max(tree.rows, 1)
    found = problem.compute.reduce(
        partial(_largest, rows=problem.rows, ancestors=ancestors, clusters=clusters),
        np.fmax,
        problem.rows.blocks,
        work=problem.rows.pool.rows * 10,
    )
    logs = np.full(clusters, np.nan) if found is None else found
    target = pool * np.exp(np.where(np.isfinite(logs), logs, -np.inf))
    return Geometry(domains.names, domains.natural, histograms, target / max(float(target.sum()), 1e-300))


class Survey(NamedTuple):
    """What is known of domains before anything is tried: see `survey`."""

    domains: Domains
    uniform: "Float64Array"
    given: "Float64Array | None"


def survey(wanted: DomainWeights, problem: "SamplingProblem") -> Survey:
    """Return the domains, the weights by which every leaf counts the same, (k,), and those of a rule without training.

    Raises RecipeError where there are more than a thousand domains, because no loop of trials learns so many weights,
    and where no weights of them keep floor and cap.
    """
    import numpy as np

    from evenkeel.tasks.mixture.simplex import limited
    from evenkeel.tasks.sample.strata.bounds import Crossing, count_crossed

    domains, leaves = find_domains(wanted, problem), problem.tree.leaves
    if not 1 < len(domains.names) <= MAX_TRIED:
        raise RecipeError(
            "a mixture is learned of two to a thousand domains",
            found=f"{len(domains.names):,} in {wanted.domains}",
            where="mixture.domains",
            remedy="choose a group column or a level with fewer values",
        )
    wanted.require_room(len(domains.names))
    known, rows = count_crossed(Crossing(domains, 1, leaves, None), domains.columns, problem)
    shares = rows / np.maximum(problem.tree.sizes, 1)[known % leaves]
    uniform = np.bincount(known // leaves, shares, len(domains.names)).astype(np.float64)
    given = None
    if not wanted.rule.trains:
        given = limited(wanted.rule.weigh(geometry_of(wanted, domains, problem)), wanted.floor, wanted.cap)
    return Survey(domains, uniform / max(float(uniform.sum()), 1e-300), given)


def _largest(block: str, rows: "CandidateRows", ancestors: "Int64Array", clusters: int) -> "Float64Array":
    """Return the value of the target's signal in every cluster of a block, (clusters,) float64; NaN without rows."""
    import numpy as np

    table = rows.table(block, [f"score.{TARGET}"])
    found = np.full(clusters, np.nan)
    found[ancestors[table["leaf"].to_numpy()]] = table[f"score.{TARGET}"].to_numpy()
    return found


def signals_of(mixture: DomainWeights | None, target: "TargetSet | None") -> "list[Signal]":
    """Return the signals that a mixture brings itself. Raises ValueError where its rule needs a target and none is."""
    if mixture is None or not isinstance(mixture.rule, Match):
        return []
    if target is None:
        raise ValueError("mixture: rule: match needs target_set: the rows that the version should resemble")
    from evenkeel.tasks.signal.kinds.toward import TowardSignal

    return [TowardSignal(name=TARGET, by="clusters", level=mixture.rule.level, prior=PRIOR, target=target)]
