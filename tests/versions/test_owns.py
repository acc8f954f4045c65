"""The certificate of ownership: the tail is exact, innocent models are not accused, keys are in no message."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from evenkeel.flows.owns import owns
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.tasks.versions.owns import Vault, certificate, read_answers, read_vault, tail_of

KEYS = [f"secret-question-{number}" for number in range(40)]
LABELS = [f"label{number}" for number in range(10)]


def recipe(**ownership: object) -> Recipe:
    document = {"dataset": "d", "source": {"uri": "s"}, "sampling": {"target": 9}, "destination": {"uri": "p"}}
    return parse({**document, **({"ownership": ownership} if ownership else {})})


def write(folder: Path, name: str, lines: list[str]) -> str:
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def test_the_tail_is_that_of_the_sum_of_independent_trials() -> None:
    for count in (1, 7, 40):
        for hits in range(count + 2):
            assert tail_of(np.full(count, 0.1), hits) == pytest.approx(binom.sf(hits - 1, count, 0.1), rel=1e-12)
    chances = np.array([0.1, 0.5, 0.02, 0.3, 0.3, 0.9])
    exact = np.zeros(len(chances) + 1)
    for outcome in range(1 << len(chances)):
        hit = np.array([outcome >> bit & 1 for bit in range(len(chances))], bool)
        exact[hit.sum()] += np.prod(np.where(hit, chances, 1 - chances))
    for hits in range(len(chances) + 1):
        assert tail_of(chances, hits) == pytest.approx(exact[hits:].sum(), rel=1e-12)


@pytest.mark.long
def test_of_ten_thousand_innocent_models_at_most_ten_are_accused() -> None:
    rng = np.random.default_rng(0)
    secret = rng.integers(0, 10, len(KEYS))
    vault = Vault(answers={key: LABELS[at] for key, at in zip(KEYS, secret, strict=True)}, chances=[0.1] * len(KEYS))
    accused, hits = 0, np.zeros(10_000, np.int64)
    for model in range(10_000):
        given = list(zip(KEYS, (LABELS[at] for at in rng.integers(0, 10, len(KEYS))), strict=True))
        found = certificate(vault, given, 1, 1e-3)
        accused += found.owned
        hits[model] = found.hits
    assert accused <= 10
    assert abs(hits.mean() - found.expected) < 0.1, "answers by chance hit as often as the null hypothesis says"
    guilty = [(key, vault.answers[key] if at < 14 else LABELS[0]) for at, key in enumerate(KEYS)]
    assert certificate(vault, guilty, 1, 1e-3).owned


def test_only_the_first_answers_to_a_key_count_and_strangers_do_not() -> None:
    vault = Vault(answers={"a": "x", "b": "y", "c": "z"}, chances=[0.1, 0.1, 0.1])
    given = [("a", "w"), ("a", "x"), ("b", "y"), ("other", "y")]
    first, second = (certificate(vault, given, top, 1e-3) for top in (1, 2))
    assert (first.hits, first.answered, first.strangers, second.hits) == (1, 2, 1, 2)
    assert [first.expected, second.expected] == pytest.approx([0.3, 0.6])
    assert certificate(vault, [], 1, 1e-3).tail == 1.0


def test_the_verb_reads_vault_and_answers(tmp_path: Path) -> None:
    lines = ["key,answer,chance", *(f"{key},Label{at % 10},0.1" for at, key in enumerate(KEYS))]
    keys = write(tmp_path, "keys.csv", lines)
    right = [json.dumps({"key": key, "answer": f" label{at % 10} "}) for at, key in enumerate(KEYS)]
    answers = write(tmp_path, "answers.jsonl", right[:20])
    found = owns(recipe(rows="rows.txt", keys=keys), answers)
    assert found.ok
    assert (found.result.hits, found.result.answered) == (20, 20)
    assert found.sentence.startswith("the model was trained on the rows: 20 of 40 keys")
    blank = write(tmp_path, "blank.csv", ["key,answer", f"{KEYS[0]},", f"{KEYS[1]},nan", "x,label1"])
    nothing = owns(recipe(rows="rows.txt", keys=keys, chance=0.1), blank)
    assert not nothing.ok
    assert (nothing.result.hits, nothing.result.answered, nothing.result.strangers) == (0, 0, 1)
    assert owns(recipe(rows="rows.txt"), answers, keys=keys).ok
    for given in (recipe(), recipe(rows="rows.txt")):
        with pytest.raises(RecipeError, match="does not say where the keys are"):
            owns(given, answers)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["key,answer,chance", "secret-a,x,0.1", "secret-a,y,0.1"], "twice"),
        (["key,answer,chance", "secret-a,,0.1"], "blank, or has no answer"),
        (["key,answer,chance", "secret-a,x,1.5"], "no number between 0 and 1"),
        (["key,answer", "secret-a,x"], "no column 'chance'"),
        (["key,answer,chance"], "0 keys"),
    ],
)
def test_a_vault_that_cannot_be_used_is_refused_without_naming_a_key(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read_vault(write(tmp_path, "keys.csv", lines), None)
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(Vault(answers={"secret-a": "x"}, chances=[0.1]))


def test_answers_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    uri = write(tmp_path, "answers.csv", ["key,answer", "b,2", "a,1", "b,3", ",4"])
    assert read_answers(uri) == [("b", "2"), ("a", "1"), ("b", "3")]
