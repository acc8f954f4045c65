"""Give every domain its weight of a version; inside a domain the strategy decides, as it would without a mixture."""

from dataclasses import replace

import numpy as np

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.mixture.config import DomainWeights
from evenkeel.tasks.mixture.simplex import limited
from evenkeel.tasks.sample.domains import Domains, find_domains, geometry_of
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import Allocation, split, water_fill
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.strata.bounds import CrossedCells, Crossing, count_crossed

MAX_LISTED = 1000


def mix_plan(plan: DrawPlan, wanted: DomainWeights, problem: SamplingProblem, repeats: int) -> DrawPlan:
    """Return a plan whose rows come from the domains by their weights, and inside each as the plan has it.

    A domain with fewer rows than its weight asks for gives all of them, `repeats` times at most; the others share the
    rest by their weights. Raises RecipeError where the weights are not possible, or the plan weighs rows cell by cell.
    """
    domains = find_domains(wanted, problem)
    weights = _weights(wanted, domains, problem)
    target = int(plan.allocation.quotas.sum())
    rooms = domains.sizes * (repeats if plan.copies is None else plan.copies)
    top = water_fill(rooms, target, weights=weights, seed=problem.seed)
    facts = {**plan.facts, "mixture": _facts(wanted, domains, weights, top)}
    if plan.weights_of is not None:
        if len(plan.sizes) > 1:
            raise RecipeError(
                "a mixture needs a strategy that weighs rows over the whole pool, or one with quotas",
                where="sampling.strategy",
                remedy="choose random, balanced or flat, or weighted with within: pool",
            )
        columns = tuple(dict.fromkeys([*plan.columns, *domains.columns]))
        return replace(plan, allocation=top, sizes=domains.sizes, cells_of=domains.of, columns=columns, facts=facts)
    crossing = Crossing(domains, 1, len(plan.sizes), plan.cells_of)
    columns = tuple(dict.fromkeys([*plan.columns, *domains.columns]))
    if len(plan.sizes) == 1:
        known = np.flatnonzero(domains.sizes)
        counts = domains.sizes[known]
    else:
        known, counts = count_crossed(crossing, columns, problem)
    cell, domain = known % len(plan.sizes), known // len(plan.sizes)
    inside = plan.allocation.shares[cell] * counts / np.maximum(1, plan.sizes[cell]) + 1e-9 * counts
    tree = ClusterTree(counts, (domain.astype(np.int32),))
    allocation = split(tree, counts * repeats, target, weights=[inside, None], seed=problem.seed, top=top)
    return replace(
        plan,
        allocation=allocation,
        sizes=counts,
        cells_of=CrossedCells(crossing, known),
        columns=columns,
        facts=facts,
    )


def _weights(wanted: DomainWeights, domains: Domains, problem: SamplingProblem) -> np.ndarray:
    wanted.require_room(len(domains.names))
    weights = wanted.rule.weigh(geometry_of(wanted, domains, problem))
    try:
        return limited(weights, wanted.floor, wanted.cap)
    except ValueError as error:
        raise RecipeError(str(error), where="mixture", remedy="the rule gave no usable weights") from error


def _facts(wanted: DomainWeights, domains: Domains, weights: np.ndarray, top: Allocation) -> dict[str, object]:
    """Return names, weights and rows of the domains, the thousand largest of them, as JSON."""
    largest = np.sort(np.argsort(-weights, kind="stable")[:MAX_LISTED]).tolist()
    return {
        "domains": wanted.domains,
        "rule": wanted.rule.name,
        "of": len(domains.names),
        "weights": {domains.names[one]: float(weights[one]) for one in largest},
        "rows": {domains.names[one]: int(top.quotas[one]) for one in largest},
        "pool": {domains.names[one]: int(domains.sizes[one]) for one in largest},
    }
