"""What each part of `balanced` contributes: label KL that follows from quotas alone, with one part left out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from evenkeel.expectations.measures import balance
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.sample.balanced.blending import blend_evenly, blend_greedily
from evenkeel.tasks.sample.balanced.evenness import Guard, level_scopes
from evenkeel.tasks.sample.balanced.hedging import doubt, hedged
from evenkeel.tasks.sample.balanced.rules import rules
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.step import open_problem
from evenkeel.tasks.step import Run
from tests.bench.balance_pools import Pool
from tests.sample.pools import inputs_of

Keep = Callable[[str], bool]
PARTS: dict[str, Keep] = {
    "all": lambda name: True,
    "density": lambda name: not name.startswith("spread-"),
    "radius": lambda name: not name.startswith("radius-") and (not name.startswith("spread-") or name.endswith("-0")),
    "density and radius": lambda name: not name.startswith(("spread-", "radius-")),
    "tree": lambda name: not name.startswith(("top-down", "cut-", "degree-")),
}
"""The candidate rules that are there with a part left out."""


def opened(pool: Pool, inputs: dict[str, Any], run: Run) -> tuple[SamplingProblem, np.ndarray]:
    """Return the sampling problem of a clustered pool, and what share of each leaf each label has, (leaves, labels)."""
    config = SamplingConfig(target=pool.target)
    problem, _ = open_problem(config, inputs_of(config, inputs, run), run)
    clustered = Hierarchy.open(inputs["cluster"]).rows()
    places = clustered["row_id"].to_numpy().astype(np.int64) & ((1 << 40) - 1)
    table = np.zeros((problem.tree.leaves, int(pool.y.max()) + 1))
    np.add.at(table, (clustered["leaf"].to_numpy(), pool.y[places]), 1.0)
    return problem, table / np.maximum(table.sum(axis=1, keepdims=True), 1)


def candidates(problem: SamplingProblem, table: np.ndarray) -> dict[str, float]:
    """Return the label KL that every candidate rule comes to on average."""
    present = np.asarray(table.any(axis=0))
    return {name: _kl(allocation.shares, table, present) for name, allocation in rules(problem)}


def agreement(imbalance: Mapping[str, float], kl: Mapping[str, float]) -> tuple[float, float, float]:
    """Return how the label-free measure ranks the candidates: Spearman's rho with label KL, best and worst label KL."""
    names = [name for name in kl if name in imbalance]
    rho = spearmanr([imbalance[name] for name in names], [kl[name] for name in names]).statistic
    return float(rho), min(kl.values()), max(kl.values())


def ablations(problem: SamplingProblem, table: np.ndarray) -> dict[str, float]:
    """Return the label KL that the choice comes to on average with each part left out, and that of a random draw."""
    present, measure = np.asarray(table.any(axis=0)), problem.partitions
    if measure is None or problem.agreement is None:
        return {}
    made = {name: allocation.shares for name, allocation in rules(problem)}
    share = doubt(problem.agreement, problem.reference)
    scopes = level_scopes(problem.tree, problem.seed)
    found = {"random": _kl(made["random"], table, present)}

    def chosen(names: list[str], guarded: bool) -> list[str]:
        shares = {name: made[name] for name in names}
        weights = {name: measure.weights(part) for name, part in shares.items()}
        if not guarded:
            return blend_greedily(measure, weights)[0]
        return blend_evenly(measure, weights, Guard.of(scopes, shares, problem.target)).parts

    def value(parts: list[str]) -> float:
        return _kl(np.mean([made[name] for name in parts], axis=0), table, present)

    for left_out, keep in PARTS.items():
        parts = chosen([name for name in made if keep(name)], guarded=True)
        found[left_out] = value(hedged(parts, share))
        if left_out == "all":
            found["averaging"] = value(parts)
    found["levels"] = value(hedged(chosen(list(made), guarded=False), share))
    single = min(made, key=lambda name: measure.imbalance(measure.weights(made[name])))
    found["blending"] = value(hedged([single], share))
    return found


def _kl(shares: np.ndarray, table: np.ndarray, present: np.ndarray) -> float:
    return float(balance(shares @ table, present)["kl_uniform"])
