"""The rules that compare rows with a target set, by name."""

from evenkeel.tasks.signal.signal import Part
from evenkeel.tasks.signal.toward.options import By, TowardOptions
from evenkeel.tasks.signal.toward.rule import Rule

PARTS: dict[By, frozenset[Part]] = {
    "ngrams": frozenset({"text"}),
    "clusters": frozenset({"clusters"}),
    "classifier": frozenset({"vectors"}),
    "transport": frozenset({"vectors"}),
    "prefix": frozenset({"clusters"}),
}
"""The parts of the pool that each rule reads; known without importing the rules, as a recipe is read before them."""


def needs(options: TowardOptions) -> frozenset[Part]:
    """Return the parts of the pool that the rule reads with these options."""
    soft: frozenset[Part] = frozenset({"vectors"} if options.by == "clusters" and options.assign != "hard" else ())
    return PARTS[options.by] | soft


def rule_of(options: TowardOptions) -> Rule:
    """Return the rule that the options name."""
    from evenkeel.tasks.signal.toward.classifier import ClassifierRule
    from evenkeel.tasks.signal.toward.clusters import ClusterRule
    from evenkeel.tasks.signal.toward.ngrams import NgramRule
    from evenkeel.tasks.signal.toward.prefix import PrefixRule
    from evenkeel.tasks.signal.toward.transport import TransportRule

    known: dict[By, type[Rule]] = {
        "ngrams": NgramRule,
        "clusters": ClusterRule,
        "classifier": ClassifierRule,
        "transport": TransportRule,
        "prefix": PrefixRule,
    }
    return known[options.by](options)
