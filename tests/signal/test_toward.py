"""Rules that compare rows with a target set give the weights of their definitions, and name what they cannot use."""

import json
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.kinds.toward import TowardSignal
from tests.sample.pools import write_pool
from tests.signal.values import signal_of, values_of

WORDS = [f"{'xy'[n % 2]}{chr(97 + n // 2)}q" for n in range(40)]
ROWS = 90


def toward(target: Path, **options: object) -> TowardSignal:
    known: dict[str, object] = {"uri": str(target)}
    known |= {name: options.pop(name) for name in ("text", "vector") if name in options}
    return TowardSignal.model_validate({"name": "near", "target": known, **options})


def grams(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(1)
    return [" ".join(rng.choice(WORDS[row % 3 * 10 : row % 3 * 10 + 15], 3 + row % 9)) for row in range(ROWS)]


@pytest.fixture
def done(tmp_path: Path, texts: list[str]) -> dict[str, StepRef]:
    return vector_pool(tmp_path / "pool", np.eye(3)[np.arange(ROWS) % 3], texts)


def vector_pool(folder: Path, x: np.ndarray, texts: list[str] | None = None) -> dict[str, StepRef]:
    """Write a pool whose leaves are its rows modulo three, with row 5 dropped, and how its vectors were made."""
    done = write_pool(folder, x, levels=[np.arange(len(x)) % 3], texts=texts, block_rows=40, drop={5: (2, "near")})
    storage.write_json(str(folder / "embed" / "embedding.json"), {"method": "column"})
    return done


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.long
def test_ngram_weights_are_those_of_the_definition(
    done: dict[str, StepRef], texts: list[str], tmp_path: Path, per_token: bool
) -> None:
    wanted = ["".join(texts[0].upper()), "xaq yaq, xaq!", ""]
    (tmp_path / "target.jsonl").write_text("".join(json.dumps({"q": text}) + "\n" for text in wanted))
    signal = toward(tmp_path / "target.jsonl", text="q", per_token=per_token, buckets=1 << 22, floor_probability=1e-8)
    found, ref = signal_of(signal, done, tmp_path)
    p, q = (Counter(gram for text in part for gram in grams(text)) for part in (wanted, texts))
    n, m = sum(p.values()), sum(q.values())
    ratio = {gram: math.log(p[gram] / n + 1e-8) - math.log(q[gram] / m + 1e-8) for gram in q}
    sums = [sum(ratio[gram] for gram in grams(text)) for text in texts]
    lengths = np.array([len(grams(text)) for text in texts])
    np.testing.assert_allclose(found, sums / lengths if per_token else sums, rtol=1e-6)
    assert ref.facts["target_rows"] == 3
    assert ref.facts["target_ngrams"] == n


def test_weights_are_the_same_on_any_number_of_threads(done: dict[str, StepRef], tmp_path: Path) -> None:
    (tmp_path / "target.txt").write_text("xaq ybq\nyaq\n")
    one = values_of(toward(tmp_path / "target.txt"), done, tmp_path / "one", threads=1)
    np.testing.assert_array_equal(one, values_of(toward(tmp_path / "target.txt"), done, tmp_path / "four", threads=4))


def test_cluster_weights_are_ratios_of_shares(done: dict[str, StepRef], tmp_path: Path) -> None:
    np.save(tmp_path / "target.npy", np.eye(3)[[0, 0, 0, 1]].astype(np.float32))
    found, ref = signal_of(toward(tmp_path / "target.npy", by="clusters", assign="hard", prior=1.0), done, tmp_path)
    held = np.array([30, 30, 29]) / 89
    expected = np.log((np.array([3, 1, 0]) + held) / 5 / held)[np.arange(ROWS) % 3]
    assert np.isnan(found[5])
    kept = np.arange(ROWS) != 5
    np.testing.assert_allclose(found[kept], expected[kept], rtol=1e-12)
    assert ref.facts["clusters_of_target"] == 2


def test_a_target_that_is_the_pool_gives_every_row_the_same_weight(tmp_path: Path) -> None:
    x = np.eye(3)[np.arange(99) % 3]
    done = vector_pool(tmp_path / "pool", x)
    np.save(tmp_path / "target.npy", np.concatenate([np.delete(x, 5, axis=0)] * 3).astype(np.float32))
    for assign in ("soft", "hard"):
        found = values_of(toward(tmp_path / "target.npy", by="clusters", assign=assign), done, tmp_path)
        np.testing.assert_allclose(np.delete(found, 5), 0, atol=1e-12)


@pytest.mark.parametrize("by", ["ngrams", "clusters"])
def test_one_row_is_a_target(done: dict[str, StepRef], tmp_path: Path, by: str) -> None:
    (tmp_path / "one.txt").write_text("xaq\n")
    np.save(tmp_path / "one.npy", np.eye(3)[:1].astype(np.float32))
    found = values_of(toward(tmp_path / ("one.txt" if by == "ngrams" else "one.npy"), by=by), done, tmp_path)
    assert np.isfinite(np.delete(found, 5)).all()


@pytest.mark.parametrize("by", ["ngrams", "clusters", "classifier"])
def test_a_target_in_many_files_is_that_in_one(done: dict[str, StepRef], tmp_path: Path, by: str) -> None:
    rng = np.random.default_rng(4)
    x, lines = np.eye(3)[rng.integers(0, 2, 90)].astype(np.float32), [" ".join(rng.choice(WORDS, 5)) for _ in range(90)]
    for name, cuts in (("one", [90]), ("many", [30, 31, 90])):
        (tmp_path / name).mkdir()
        for number, (start, end) in enumerate(pairwise([0, *cuts])):
            np.save(tmp_path / name / f"{number}.npy", x[start:end])
            (tmp_path / name / f"{number}.txt").write_text("\n".join(lines[start:end]))
    ending = "txt" if by == "ngrams" else "npy"
    found = [
        values_of(toward(tmp_path / name / f"*.{ending}", by=by), done, tmp_path / name) for name in ("one", "many")
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_a_prompt_is_a_target(done: dict[str, StepRef], texts: list[str], tmp_path: Path) -> None:
    prompt = f"{WORDS[30]} {WORDS[31]} {WORDS[32]}"
    (tmp_path / "same.txt").write_text(prompt + "\n")
    known = {"name": "near", "target": {"prompts": [prompt]}, "per_token": True}
    found = values_of(TowardSignal.model_validate(known), done, tmp_path)
    np.testing.assert_array_equal(found, values_of(toward(tmp_path / "same.txt", per_token=True), done, tmp_path))
    asked = np.array([any(word in text.split() for word in prompt.split()) for text in texts])
    assert asked[np.argsort(-found)[:15]].all()
    assert not asked[np.argsort(found)[:15]].any()
    with pytest.raises(ValueError, match="uri or prompts, not both"):
        TargetSet(prompts=["a"], uri="b.txt")
    assert TargetSet(prompts=["a"]).exclusions() == []


def test_bad_targets_are_named(done: dict[str, StepRef], tmp_path: Path) -> None:
    def refusal(path: Path, by: str = "ngrams") -> str:
        with pytest.raises(InputError) as caught:
            values_of(toward(path, by=by), done, tmp_path)
        return str(caught.value)

    (tmp_path / "empty.txt").write_text("\n\n")
    assert "the target set is empty" in refusal(tmp_path / "empty.txt")
    (tmp_path / "other.txt").write_text("ничего общего\n")
    assert "no word in common" in refusal(tmp_path / "other.txt")
    np.save(tmp_path / "wide.npy", np.ones((4, 5), np.float32))
    assert "dimension" in refusal(tmp_path / "wide.npy", "clusters")
    np.save(tmp_path / "nan.npy", np.array([[1, 0, 0], [0, np.nan, 0]], np.float32))
    assert "row 1" in refusal(tmp_path / "nan.npy", "clusters")
    assert "holds vectors" in refusal(tmp_path / "wide.npy", "ngrams")
    assert "came with the source" in refusal(tmp_path / "other.txt", "clusters")


def test_texts_are_compared_only_where_there_are_some_and_levels_where_they_exist(
    done: dict[str, StepRef], tmp_path: Path
) -> None:
    (tmp_path / "target.txt").write_text("word\n")
    np.save(tmp_path / "target.npy", np.eye(3)[:1].astype(np.float32))
    bare = vector_pool(tmp_path / "bare", np.eye(3)[np.arange(9) % 3])
    with pytest.raises(RecipeError, match="compares texts"):
        values_of(toward(tmp_path / "target.txt"), bare, tmp_path)
    with pytest.raises(RecipeError, match="no such level"):
        values_of(toward(tmp_path / "target.npy", by="clusters", level=2), done, tmp_path)
