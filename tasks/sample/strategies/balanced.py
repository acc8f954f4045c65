"""The default: measure many rules on structure that the clusters did not make, and take the most balanced.

Ours. No fixed rule is best everywhere: the equal split of a tree can be worse than random, and equal quotas over
leaves give dense regions what they hold in leaves. Every candidate of `tasks.sample.rules` is measured on a probe of
rows drawn evenly from all leaves (`tasks.sample.structure`): chosen on the cuts of one half of the probe, confirmed on
the cuts of the other. Where it is not confirmed random wins, so the default is never less balanced than random on that
measure. `rule` names a candidate to take without measuring, so that a later version changes no more than its data.
"""

from infra.errors import RecipeError
from tasks.sample.options import Balanced
from tasks.sample.plan import Candidates, Plan
from tasks.sample.probe import draw_probe
from tasks.sample.rules import rules
from tasks.sample.structure import find_cuts, unevenness


def plan(options: Balanced, candidates: Candidates) -> Plan:
    """Return the allocation of the candidate rule that spreads most evenly over held-out structure."""
    tree = candidates.tree
    if options.rule:
        return _named(options.rule, candidates)
    probe = draw_probe(candidates.rows, tree, options.probe_rows, candidates.seed, candidates.compute)
    cuts = find_cuts(probe, candidates.seed)
    if not cuts:
        return Plan(
            candidates.fill(),
            tree.sizes,
            facts={"chosen": "flat", "why": "two halves of the pool show no common structure, so leaves are equal"},
        )
    measured = []
    for name, allocation in rules(candidates):
        mass = probe.mass(allocation.shares)
        measured.append((unevenness(cuts, mass, 0), unevenness(cuts, mass, 1), name, allocation))
    random = measured[0]
    chosen = min(measured, key=lambda rule: rule[0])
    if chosen[1] > random[1]:
        chosen = random
    return Plan(
        chosen[3],
        tree.sizes,
        facts={
            "chosen": chosen[2],
            "why": f"unevenness {chosen[1]:.3f} over held-out cells, against {random[1]:.3f} for random",
            "unevenness": {name: round(held_out, 5) for _, held_out, name, _ in measured},
            "scales": [
                {"scale": cut.scale, "cells": cut.counts[0], "agreement": round(cut.agreement, 4)} for cut in cuts
            ],
        },
    )


def _named(name: str, candidates: Candidates) -> Plan:
    names = []
    for known, allocation in rules(candidates):
        if known == name:
            return Plan(allocation, candidates.tree.sizes, facts={"chosen": name, "why": "named in the recipe"})
        names.append(known)
    raise RecipeError(
        f"there is no candidate rule {name!r}",
        expected=f"one of {', '.join(names)}",
        where="sampling.strategy.rule",
        remedy="take a name from the facts of an earlier run, or leave it empty",
    )
