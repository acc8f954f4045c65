"""Which rule asks for how many rows of a batch: Thompson sampling by the classes that each rule has brought in so far.

Source: TAILOR (Zhang et al. 2023, arXiv 2302.07317).
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.labelling.labelled import Labelled, is_labelled
from evenkeel.tasks.sample.problem import SamplingProblem

SEED = 0x7461_696C
DECAY = 0.9
TIED = 1e-9  # what is nearer than this, as where all classes have as many labels, is drawn by chance
AT_ONCE = 1 << 22
MAX_ROUNDS = 1 << 31


class Asked(NamedTuple):
    """What each rule has brought in. rounds: how many batches came back.

    seen: (rules, classes) float64, its labels of each class; those of a round count nine tenths of the next one's.
    """

    rounds: int
    seen: Float64Array


def asked_by(rule: str, number: int) -> str:
    """Return how a row says which rule asked for it, and in which round, from 1."""
    return f"{rule}:{number}"


def gather_asked(labelled: Labelled, labels: str, asked: str, rules: list[str], problem: SamplingProblem) -> Asked:
    """Return what each rule has brought in, by the columns of labels and of who asked; "" = nobody asked yet.

    Raises RecipeError where the pool has no such column, or a value is not of the form `rule:round`.
    """
    nothing = Asked(0, np.zeros((len(rules), len(labelled.classes))))
    problem.rows.check([asked] if asked else [])
    if not asked:
        return nothing
    gather = partial(_gather, rows=problem.rows, labels=labels, asked=asked)
    found = problem.compute.reduce(gather, _added, problem.rows.blocks, work=problem.rows.pool.rows * 40)
    return nothing if found is None else brought_in(found, labelled.classes, rules, asked)


def brought_in(counted: pa.Table, classes: tuple[str, ...], rules: list[str], where: str) -> Asked:
    """Return what each rule has brought in, from `label`, `asked` and `rows` of every combination.

    Labels of a rule that is not among `rules` count for none. Raises RecipeError as `gather_asked`.
    """
    places, numbers = {one: place for place, one in enumerate(rules)}, {one: place for place, one in enumerate(classes)}
    parsed = [_parsed(value, where) for value in counted["asked"].to_pylist()]
    rounds = max((number for _, number in parsed), default=0)
    seen = np.zeros((len(rules), len(classes)))
    for (rule, number), label, rows in zip(
        parsed, counted["label"].to_pylist(), counted["rows"].to_pylist(), strict=True
    ):
        if rule in places:
            seen[places[rule], numbers[label]] += rows * DECAY ** (rounds - number)
    return Asked(rounds, seen)


def turns(seen: Float64Array, labels: Int64Array, rows: int, seed: int) -> Int64Array:
    """Return how many of a batch's rows each rule asks for, (rules,) int64.

    For every row the chances of the classes are drawn for each rule from its Dirichlet(1 + seen), and that rule asks
    which then promises the largest reward: a class is worth 1 / its number of labels. labels: (classes,) int64.
    """
    draw, worth = np.random.default_rng([seed, SEED]), 1.0 / np.maximum(labels, 1)
    step, found = max(1, AT_ONCE // max(seen.size, 1)), np.zeros(len(seen), np.int64)
    for start in range(0, rows, step):
        odds = draw.standard_gamma(1.0 + seen, (min(step, rows - start), *seen.shape))
        reward = (odds @ worth) / odds.sum(axis=2)
        best = (reward * draw.uniform(1 - TIED, 1 + TIED, reward.shape)).argmax(axis=1)
        found += np.bincount(best, minlength=len(seen))
    return found


def promised(seen: Float64Array, labels: Int64Array) -> Float64Array:
    """Return the reward that is expected of each rule for a row, (rules,) float64."""
    weights = 1.0 + seen
    expected: Float64Array = (weights @ (1.0 / np.maximum(labels, 1))) / weights.sum(axis=1)
    return expected


def _gather(block: str, rows: CandidateRows, labels: str, asked: str) -> pa.Table:
    table = rows.table(block, [labels, asked])
    table = table.filter(pa.array(is_labelled(table[labels]) & is_labelled(table[asked])))
    texts = {name: table[column].cast(pa.string()) for name, column in (("label", labels), ("asked", asked))}
    return _summed(pa.table({**texts, "rows": pa.repeat(pa.scalar(1, pa.int64()), table.num_rows)}))


def _added(one: pa.Table, other: pa.Table) -> pa.Table:
    return _summed(pa.concat_tables([one, other]))


def _summed(table: pa.Table) -> pa.Table:
    counted = table.group_by(["label", "asked"], use_threads=False).aggregate([("rows", "sum")])
    return counted.rename_columns(["label", "asked", "rows"]).select(["label", "asked", "rows"])


def _parsed(value: str, where: str) -> tuple[str, int]:
    rule, _, number = value.partition(":")
    if not rule or not number.isdecimal() or not 0 < int(number) < MAX_ROUNDS:
        raise RecipeError(
            "who asked for a row is not told as a batch tells it",
            expected="a rule and the number of the round, such as anchors:3",
            found=repr(value),
            where=where,
            remedy="hand ek_asked_by back as it stood in the batch, beside the label: labels: {asked_by: ek_asked_by}",
        )
    return rule, int(number)
