"""Whose rows was a model trained on: the chance that one that never saw them answers the keys as well as this one.

Source: data taggants (Bouaziz et al. 2024, arXiv 2410.09101). Under the null hypothesis each key is answered as the
vault has it by chance alone, so that the hits are a sum of independent trials, binomial where all chances are equal;
the certificate is the tail P[X >= hits]. Messages and results name counts and never a key or an answer.
"""

import math
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.columns import as_text
from evenkeel.tasks.ingest.lists import column_of, find_files, read_tables

MOST_KEYS = 100_000
BLANK = ("", "nan", "none", "null")


class Certificate(BaseModel):
    """What a model's answers say. tail: P[X >= hits] of a model that never saw the rows. owned: tail <= alpha.

    answered: keys that the model gave an answer to; strangers: answers to no key, which do not count. expected: hits of
    such a model.
    """

    model_config = ConfigDict(frozen=True)

    keys: int
    answered: int
    strangers: int
    hits: int
    expected: float
    tail: float
    alpha: float

    @property
    def owned(self) -> bool:
        """Whether chance is ruled out at the level asked for."""
        return self.tail <= self.alpha

    @property
    def sentence(self) -> str:
        """The verdict in a sentence."""
        verdict = "the model was trained on the rows" if self.owned else "not proven"
        sign = "<=" if self.owned else ">"
        return (
            f"{verdict}: {self.hits:,} of {self.keys:,} keys answered as the vault has them, {self.expected:.2f} "
            f"expected by chance; P[X >= {self.hits:,}] = {self.tail:.3g}, {sign} {self.alpha:g}"
        )


class Vault(BaseModel):
    """Keys and their answers. chances: that one answer is right by chance, (keys,)."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    answers: dict[str, str]
    chances: list[float]

    def __repr__(self) -> str:
        """Say how many keys there are, and none of them."""
        return f"Vault({len(self.answers):,} keys)"

    __str__ = __repr__


def certificate(vault: Vault, given: Sequence[tuple[str, str]], top: int, alpha: float) -> Certificate:
    """Return the certificate of a model's answers, (key, answer) in the order in which it prefers them.

    The first `top` answers to a key count; a key without an answer is a miss.
    """
    mine: dict[str, list[str]] = defaultdict(list)
    strangers = 0
    for key, answer in given:
        if key in vault.answers:
            mine[key].append(answer)
        else:
            strangers += 1
    hits = sum(vault.answers[key] in answers[:top] for key, answers in mine.items())
    chances = np.minimum(1.0, np.asarray(vault.chances) * top)
    return Certificate(
        keys=len(vault.answers),
        answered=len(mine),
        strangers=strangers,
        hits=hits,
        expected=float(chances.sum()),
        tail=tail_of(chances, hits),
        alpha=alpha,
    )


def tail_of(chances: Float64Array, hits: int) -> float:
    """Return P[X >= hits] of a sum of independent trials with these chances, (n,).

    Exact: the binomial tail where all chances are equal, else the distribution of the sum (Poisson binomial), built
    trial by trial.
    """
    if hits <= 0:
        return 1.0
    if hits > len(chances):
        return 0.0
    if np.ptp(chances) == 0:
        from scipy.special import bdtrc

        return float(bdtrc(hits - 1, len(chances), chances[0]))
    left = np.zeros(hits)  # P[X = x] for x < hits
    left[0], over = 1.0, 0.0
    for chance in chances.tolist():
        over += left[-1] * chance
        left[1:] = left[1:] * (1 - chance) + left[:-1] * chance
        left[0] *= 1 - chance
    return float(min(1.0, over))


def read_vault(uri: str, chance: float | None) -> Vault:
    """Return the keys of a vault. Raises InputError, naming no key, where they cannot be used."""
    rows = _read(uri, "the vault of keys", ["key", "answer", *([] if chance is not None else ["chance"])])
    answers: dict[str, str] = {}
    chances: list[float] = []
    for number, (key, answer, *rest) in enumerate(rows, start=1):
        where = f"{uri}, row {number:,}"
        if not key or not answer:
            raise InputError("a key of the vault is blank, or has no answer", where=where, remedy="mend the vault")
        if key in answers:
            raise InputError("a key of the vault is there twice", where=where, remedy="leave one of them")
        answers[key] = answer
        chances.append(chance if chance is not None else _chance(rest[0], where))
    if not answers or len(answers) > MOST_KEYS:
        raise InputError(f"the vault has {len(answers):,} keys", expected=f"1 to {MOST_KEYS:,}", where=uri)
    return Vault(answers=answers, chances=chances)


def read_answers(uri: str) -> list[tuple[str, str]]:
    """Return the answers of a model, (key, answer) in the order of the file; blank ones are left out."""
    rows = _read(uri, "the list of answers", ["key", "answer"])
    return [(key, answer) for key, answer in rows if key and answer]


def _chance(text: str, where: str) -> float:
    try:
        chance = float(text)
    except ValueError:
        chance = math.nan
    if not 0 < chance < 1:
        raise InputError(
            "the chance of a key is no number between 0 and 1",
            where=where,
            remedy="write 1 over the number of answers that are equally likely, or set ownership.chance",
        )
    return chance


def _read(uri: str, what: str, columns: list[str]) -> list[tuple[str, ...]]:
    """Return some columns of a file as texts, white space around them and case left out."""
    found: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="evenkeel-owns-") as scratch:
        for file in find_files(uri):
            for table, _ in read_tables(file, storage.local_copy(file.uri, Path(scratch)), None, what):
                texts = [_plain(as_text(column_of(table, name, file.uri, what))) for name in columns]
                found += zip(*texts, strict=True)
    return found


def _plain(column: pa.ChunkedArray) -> list[str]:
    texts = ((one or "").strip().casefold() for one in column.to_pylist())
    return ["" if one in BLANK else one for one in texts]
