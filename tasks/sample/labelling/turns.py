"""Let rules take turns in asking for the rows of a batch, and note which rule asked for each."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import UInt64Array
from evenkeel.tasks.sample.labelling.asking import Asking
from evenkeel.tasks.sample.labelling.options import OneRule
from evenkeel.tasks.sample.labelling.tailor import asked_by, gather_asked, promised, turns

FIRST: tuple[OneRule, ...] = ("clusters", "anchors", "balanced", "minority", "random")
"""Who asks before whom, each for rows that none before it has: leaves are raised evenly only by who asks first."""


@dataclass(frozen=True)
class Taken:
    """The rows of a batch. names: who asked for each, in order. facts: of every rule, and of the round."""

    row_ids: UInt64Array
    names: list[str]
    read: int
    facts: dict[str, object] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """Return row_id and asked_by, by row_id."""
        order = np.argsort(self.row_ids)
        names = pa.array(self.names, pa.string()).take(pa.array(order))
        return pa.table({"row_id": self.row_ids[order], "asked_by": names})


def take_turns(asking: Asking, rules: list[OneRule], history: str) -> Taken:
    """Return a batch for which each rule asks as often as Thompson sampling says (`tailor.turns`).

    history: the column that says which rule asked for a labelled row; "" = none yet. What the rules do not find is
    filled up by chance. Raises RecipeError as `gather_asked`.
    """
    problem, labelled = asking.problem, asking.labelled
    before = gather_asked(labelled, asking.column, history, [*rules], problem)
    shares = turns(before.seen, labelled.counts, problem.target, problem.seed + before.rounds)
    taken, names, read = np.empty(0, np.uint64), list[str](), 0
    left = dict(zip(rules, shares.tolist(), strict=True))
    for rule in FIRST:
        wanted = problem.target - len(taken) if rule == "random" else left.get(rule, 0)
        if not wanted:
            continue
        found, looked = asking.rows(rule, wanted, np.sort(taken))
        taken, read = np.concatenate([taken, found]), read + looked
        names += [asked_by(rule, before.rounds + 1)] * len(found)
    told = {
        rule: {"asked": names.count(asked_by(rule, before.rounds + 1)), "expected_reward": round(float(reward), 6)}
        for rule, reward in zip(rules, promised(before.seen, labelled.counts), strict=True)
    }
    return Taken(taken, names, read, {"round": before.rounds + 1, "rules": told})
