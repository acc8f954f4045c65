"""Plan the draw of a strategy, and the quotas that the baselines would give."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.mixing import mix_plan
from evenkeel.tasks.sample.problem import QuotaLimits, SamplingProblem
from evenkeel.tasks.sample.strata.bounds import bound_plan


def make_plan(config: SamplingConfig, problem: SamplingProblem) -> DrawPlan:
    """Return the plan of the config's strategy, by the weights of domains, within the bounds on shares and leaves."""
    repeats = max(config.max_repeats, config.strategy.max_copies())
    plan = config.strategy.plan(problem)
    if config.mixture is not None:
        plan = mix_plan(plan, config.mixture, problem, repeats)
    return bound_plan(plan, config.shares, problem, repeats)


def baselines(problem: SamplingProblem) -> dict[str, NDArray[np.int64]]:
    """Return the leaf quotas that random, flat and top-down give for the same number of rows, without limits."""
    free = replace(problem, limits=QuotaLimits())
    return {
        "random": free.fill(free.tree.sizes.astype(float)).quotas,
        "flat": free.fill().quotas,
        "top-down": free.descend().quotas,
    }
