"""The rules that compare rows with a target set, by name."""

from evenkeel.tasks.signal.signal import Part
from evenkeel.tasks.signal.toward.options import By, TowardOptions
from evenkeel.tasks.signal.toward.rule import Rule

NEEDS: dict[By, frozenset[Part]] = {"ngrams": frozenset({"text"}), "clusters": frozenset({"clusters"})}
"""The parts of the pool that each rule reads; known without importing the rules, as a recipe is read before them."""


def rule_of(options: TowardOptions) -> Rule:
    """Return the rule that the options name."""
    from evenkeel.tasks.signal.toward.clusters import ClusterRule
    from evenkeel.tasks.signal.toward.ngrams import NgramRule

    known: dict[By, type[Rule]] = {"ngrams": NgramRule, "clusters": ClusterRule}
    return known[options.by](options)
