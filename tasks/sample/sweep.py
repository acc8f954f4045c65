"""Compare the strategy with the baselines at several targets: balance and coverage against size."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from evenkeel.expectations.measures import balance
from evenkeel.infra.errors import StepError
from evenkeel.tasks.sample.balanced.steps import read_partitions
from evenkeel.tasks.sample.budget import token_count
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.leaf_shares import leaf_shares
from evenkeel.tasks.sample.planning import baselines, make_plan
from evenkeel.tasks.sample.problem import ImbalanceMeasure, SamplingProblem
from evenkeel.tasks.sample.step import open_problem
from evenkeel.tasks.step import Run


class SweepRow(TypedDict):
    """The balance of one rule at one target; `name` is the rule that a strategy chose."""

    target: str
    rows: int
    rule: str
    name: str
    imbalance: float
    kl_uniform: float
    entropy: float
    coverage: float


def sweep(config: SamplingConfig, inputs: SampleInputs, targets: Sequence[int | str], run: Run) -> list[SweepRow]:
    """Return the balance of the strategy and the baselines at every target.

    No row is drawn, since balance follows from the quotas; a sweep takes seconds. imbalance is over stable partitions
    (`balanced/partition.py`), NaN where the pool has none; the other measures are over the leaves, by quotas. A
    strategy whose cells are not leaves is measured by its expected rows.
    Raises RecipeError as the sample step does, for each target, and StepError where no partition is given.
    """
    found: list[SweepRow] = []
    if inputs.partition is None:
        raise StepError("a sweep measures on partitions", expected="SampleInputs with partition", found="none")
    measure = read_partitions(inputs.partition)
    for target in targets:
        wanted = SamplingConfig.model_validate({**config.model_dump(), "target": target})
        problem = problem_in_rows(wanted, inputs, run)
        plan = make_plan(wanted, problem)
        shares = {"chosen": leaf_shares(plan, problem)}
        shares |= {name: quotas.astype(np.float64) for name, quotas in baselines(problem).items()}
        given = dict(shares)
        if plan.cells_of is None:
            given["chosen"] = plan.allocation.quotas.astype(np.float64)
        for rule, expected in shares.items():
            measures = balance(given[rule], problem.tree.sizes > 0)
            found.append(
                {
                    "target": str(target),
                    "rows": problem.target,
                    "rule": rule,
                    "name": str(plan.facts.get("chosen", wanted.strategy.name)) if rule == "chosen" else rule,
                    "imbalance": imbalance_of(measure, expected),
                    "kl_uniform": measures["kl_uniform"],
                    "entropy": measures["entropy"],
                    "coverage": measures["coverage"],
                }
            )
    return found


def problem_in_rows(config: SamplingConfig, inputs: SampleInputs, run: Run) -> SamplingProblem:
    """Return the problem with its target in rows; tokens count as so many rows of mean length."""
    problem, budget = open_problem(config, inputs, run)
    if budget.unit != "tokens":
        return problem
    share = budget.amount / token_count(problem.rows, run.compute)
    return replace(problem, target=max(1, round(share * problem.tree.rows)))


def imbalance_of(measure: ImbalanceMeasure | None, shares: NDArray[np.float64]) -> float:
    """Return the imbalance of leaf shares; NaN without a measure or where they reach no row of its probe."""
    if measure is None or not (weights := measure.weights(shares)).sum() > 0:
        return float("nan")
    return measure.imbalance(weights)
