"""Balance and coverage against size, for the chosen strategy and the baselines."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evenkeel.expectations.measures import balance
from evenkeel.tasks.sample.balanced.probe import structure_of
from evenkeel.tasks.sample.balanced.structure import unevenness
from evenkeel.tasks.sample.budget import token_count
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.planning import baselines, make_plan
from evenkeel.tasks.sample.step import open_problem
from evenkeel.tasks.step import Run

COLOURS = {"chosen": "#1769aa", "flat": "#2a9d8f", "random": "#8a8f98", "top-down": "#d1495b"}


def sweep(config: SamplingConfig, inputs: SampleInputs, targets: Sequence[int | str], run: Run) -> list[dict[str, Any]]:
    """Return one row per target and rule: target, rows, rule, unevenness, kl_uniform, entropy, coverage.

    inputs: finished ingest, embed and cluster steps. Nothing is drawn: quotas say it all, so a sweep costs seconds.
    unevenness is over held-out structure (`balanced/structure.py`), NaN where the pool shows none; the other measures
    are over the leaves, as the rows are really given.
    A strategy whose cells are not leaves is measured by what its rows are expected to be.
    Raises RecipeError as the sample step does, for each target.
    """
    found = []
    probe, cuts = structure_of(8192, inputs, run)
    for target in targets:
        wanted = SamplingConfig.model_validate({**config.model_dump(), "target": target})
        problem, budget = open_problem(wanted, inputs, run)
        if budget.unit == "tokens":
            share = budget.amount / token_count(problem.rows, run.compute)
            rows = round(share * problem.tree.rows)
            problem = replace(problem, target=max(1, rows))
        plan = make_plan(wanted, problem)
        shares = {"chosen": plan.leaf_shares(problem)}
        shares |= {name: quotas.astype(np.float64) for name, quotas in baselines(problem).items()}
        given = dict(shares)
        if plan.cells_of is None:
            given["chosen"] = plan.allocation.quotas.astype(np.float64)
        for rule, leaf_shares in shares.items():
            measures = balance(given[rule], problem.tree.sizes > 0)
            mass = probe.mass(leaf_shares)
            found.append(
                {
                    "target": str(target),
                    "rows": problem.target,
                    "rule": rule,
                    "name": plan.facts.get("chosen", wanted.strategy.name) if rule == "chosen" else rule,
                    "unevenness": unevenness(cuts, mass) if cuts and mass.sum() > 0 else float("nan"),
                    **{name: measures[name] for name in ("kl_uniform", "entropy", "coverage")},
                }
            )
    return found


def draw_sweep(found: list[dict[str, Any]], path: Path) -> None:
    """Draw unevenness and coverage against the number of rows, one line per rule, as an SVG."""
    import altair

    panels, sizes = [], sorted({row["rows"] for row in found})
    for field, title in (
        ("unevenness", "unevenness over held-out structure"),
        ("coverage", "share of clusters covered"),
    ):
        lines = [
            {"rows": row["rows"], "rule": row["rule"], field: row[field]} for row in found if np.isfinite(row[field])
        ]
        panels.append(
            altair.Chart(altair.Data(values=lines), width=320, height=220)
            .mark_line(point=True)
            .encode(
                x=altair.X(
                    "rows:Q",
                    scale=altair.Scale(type="log", nice=False, padding=10),
                    axis=altair.Axis(values=sizes, labelOverlap=True, format=",d"),
                    title="rows kept",
                ),
                y=altair.Y(f"{field}:Q", title=title),
                color=altair.Color(
                    "rule:N", scale=altair.Scale(domain=list(COLOURS), range=list(COLOURS.values())), title=None
                ),
            )
        )
    altair.hconcat(*panels).save(str(path), format="svg")
