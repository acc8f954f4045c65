"""Character n-grams: in buckets of their own, weighing less than words, and as they were meant in earlier maps."""

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.errors import InputError
from evenkeel.infra.storage import write_json
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.embed.embedders import tfidf_svd
from evenkeel.tasks.embed.embedders.tfidf_svd import CHARACTER_WEIGHT, TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.embed.words import ngram_buckets, slices
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload
from tests.embed.pools import make_pool, new_run

WORD = st.text("abcdeABC1", min_size=1, max_size=9)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path, threads=1)


def vectors_of(ref: StepRef) -> np.ndarray:
    vectors = Vectors.open(ref)
    return np.concatenate([vectors.block(block) for block in vectors.blocks]).astype(np.float64)


def found_in(text: str, buckets: int, characters_from: int) -> list[int]:
    _, data, offsets = next(slices(pa.array([text]), 1000))
    found, ends = np.empty(3 * len(data) + 1, np.int32), np.empty(2, np.int64)
    used = ngram_buckets(data, offsets, np.uint64(buckets), characters_from, found, ends)
    return [int(one) for one in found[:used]]


def mixed(value: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor % 2**64
    return value ^ value >> 33


def ngrams(text: str) -> tuple[list[int], list[int]]:
    """Hashes of the words and bigrams, and of the 4-grams, of a text of ASCII letters, digits and blanks."""
    words, fours = list[int](), list[int]()
    for word in text.lower().split():
        state, edged = 0xCBF29CE484222325, f"_{word}_".encode()
        for byte in word.encode():
            state = (state ^ byte) * 0x100000001B3 % 2**64
        words.append(mixed(state))
        if len(word) > 2:
            fours += [mixed(int.from_bytes(edged[at : at + 4], "big") | 7 << 40) for at in range(len(word) - 1)]
    pairs = [mixed((two + 3 * one) % 2**64) for one, two in pairwise(words)]
    return words + pairs, fours


@pytest.mark.long
@given(st.lists(WORD, max_size=12).map(" ".join), st.sampled_from([256, 1000]))
def test_words_and_characters_never_share_a_bucket(text: str, buckets: int) -> None:
    words, fours = ngrams(text)
    mine, theirs = [one % buckets for one in words], [one % buckets for one in fours]
    assert sorted(found_in(text, buckets, -1)) == sorted(mine)
    assert sorted(found_in(text, buckets, 0)) == sorted(mine + theirs)
    assert sorted(found_in(text, buckets, buckets)) == sorted(mine) + sorted(buckets + one for one in theirs)


@pytest.mark.long
def test_groups_of_words_are_told_apart_where_spelling_is_shared_across_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    group, style = rng.integers(6, size=600), rng.integers(6, size=600)
    short = [[f"{one}{two}" for two in "abcdefgh"] for one in "uvwxyz"]  # too short for a 4-gram
    long = ["plomberag", "kristofin", "wandelbut", "hexagonty", "jumpovers", "quiltarmy"]
    texts = [
        " ".join([*rng.choice(short[one], 4), f"{long[other]}{rng.integers(10**6)}"])
        for one, other in zip(group, style, strict=True)
    ]
    pool = make_pool(run, tmp_path / "styles", {"text": texts})
    same_group, same_style = group[:, None] == group, style[:, None] == style
    alike, weights = [], []
    for weight in (CHARACTER_WEIGHT, 1.0):
        monkeypatch.setattr(tfidf_svd, "CHARACTER_WEIGHT", weight)
        config = TfidfSvdEmbedding(dimension=5)
        ref = EMBED(config, EmbedInputs(ingest=pool), new_run(tmp_path / str(weight), threads=1))
        cosines = (rows := vectors_of(ref)) @ rows.T
        alike.append((cosines[same_group & ~same_style].mean(), cosines[same_style & ~same_group].mean()))
        features, idf = (read_array(f"{ref.uri}/map/{name}.npy") for name in ("features", "idf"))
        weights.append((features >= config.buckets, idf))
    (by_group, by_style), heavy = alike
    assert by_group > 0.8
    assert by_style < 0.4
    assert heavy[0] < 0.4 < 0.8 < heavy[1]
    (characters, light), (there, full) = weights
    assert np.array_equal(characters, there)
    assert 0 < characters.sum() < len(characters)
    np.testing.assert_allclose(light, np.where(characters, CHARACTER_WEIGHT, 1) * full, rtol=1e-6)


def test_the_weight_and_the_buckets_of_a_map_are_those_of_its_texts(run: Run, tmp_path: Path) -> None:
    texts = ["salted butter", "butter salted", "salt", "a sail", "the sail", "gybe"]
    ref = EMBED(TfidfSvdEmbedding(dimension=2), EmbedInputs(make_pool(run, tmp_path / "few", {"text": texts})), run)
    counts = dict[int, int]()
    for text in texts:
        words, fours = ngrams(text)
        for bucket in {*(one % 2**18 for one in words), *(2**18 + one % 2**18 for one in fours)}:
            counts[bucket] = counts.get(bucket, 0) + 1
    alone = {one % 2**18 for one in ngrams("gybe")[0]} | {2**18 + one % 2**18 for one in ngrams("gybe")[1]}
    used = [*sorted(one for one, count in counts.items() if count > 1), *sorted(alone)]
    assert read_array(f"{ref.uri}/map/features.npy").tolist() == used
    wanted = [(0.6 if one >= 2**18 else 1) * (np.log(7 / (1 + counts[one])) + 1) for one in used]
    np.testing.assert_allclose(read_array(f"{ref.uri}/map/idf.npy"), wanted, rtol=1e-6)


def test_a_map_of_an_earlier_version_is_read_as_it_was_meant(run: Run, tmp_path: Path) -> None:
    earlier, buckets = f"{tmp_path}/earlier", 256
    for name, array in (
        ("features", np.arange(buckets, dtype=np.int32)),
        ("idf", np.linspace(1, 3, buckets, dtype=np.float32)),
        ("projection", np.eye(buckets, dtype=np.float32)),
    ):
        write_array(f"{earlier}/map/{name}.npy", array)
    write_json(
        f"{earlier}/map/map.json", {"method": "tfidf-svd", "fitted_on": 9, "features": buckets, "explained": 1.0}
    )
    texts = ["salted butter and salted butter", "a sail", "gybing", "gybing butter"]
    pool = make_pool(run, tmp_path / "new", {"text": texts})
    config = TfidfSvdEmbedding(buckets=buckets, dtype="float32", fitted=earlier)
    found = vectors_of(EMBED(config, EmbedInputs(ingest=pool), run))
    wanted = np.zeros((len(texts), buckets))
    for row, text in zip(wanted, texts, strict=True):
        words, fours = ngrams(text)
        np.add.at(row, [one % buckets for one in words + fours], 1)
    wanted[wanted > 0] = 1 + np.log(wanted[wanted > 0])
    wanted *= np.linspace(1, 3, buckets)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    again = EMBED(config.model_copy(update={"fitted": None, "seed": 1}), EmbedInputs(ingest=pool), run)
    taken = config.model_copy(update={"fitted": again.uri})
    np.testing.assert_array_equal(vectors_of(EMBED(taken, EmbedInputs(ingest=pool), run)), vectors_of(again))


def test_a_map_of_other_buckets_or_without_its_characters_is_refused(run: Run, tmp_path: Path) -> None:
    """Its n-grams would be sought in buckets that they are not in, which gives vectors of something else."""
    pool = EmbedInputs(make_pool(run, tmp_path / "few", {"text": ["salted butter", "butter", "a sail", "sail"]}))
    config = TfidfSvdEmbedding(dimension=2, buckets=512)
    made = EMBED(config, pool, run)
    words = EMBED(config.model_copy(update={"char_ngrams": False}), pool, run)
    for buckets in (256, 1024):
        other = config.model_copy(update={"buckets": buckets, "fitted": made.uri})
        with pytest.raises(InputError, match=rf"expected: 512\n *found: {buckets:,}") as error:
            EMBED(other, pool, run)
        assert "embedding.buckets: 512" in str(error.value)
    with pytest.raises(InputError, match="char_ngrams: true"):
        EMBED(config.model_copy(update={"char_ngrams": False, "fitted": made.uri}), pool, run)
    taken = EMBED(config.model_copy(update={"fitted": words.uri}), pool, run)  # a map of words has no other n-grams
    np.testing.assert_array_equal(vectors_of(taken), vectors_of(words))
    about = storage.read_json(f"{made.uri}/map/map.json")
    write_json(f"{made.uri}/map/map.json", {name: value for name, value in about.items() if name != "characters_from"})
    with pytest.raises(InputError, match=r"expected: more than [0-9]+\n *found: 256"):
        EMBED(config.model_copy(update={"buckets": 256, "seed": 1, "fitted": made.uri}), pool, run)


def test_without_characters_vectors_are_those_of_version_3_of_the_step(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    words = ["salt", "pepper", "onion", "keel", "mast", "rudder", "array", "loop", "cache", "x", "y9"]
    texts = [" ".join(rng.choice(words, 1 + row % 9)) for row in range(300)]
    pool = make_pool(run, tmp_path / "words", {"text": texts})
    config = TfidfSvdEmbedding(dimension=6, char_ngrams=False, dtype="float32", sample=200)
    ref = EMBED(config, EmbedInputs(ingest=pool), run)
    features = read_array(f"{ref.uri}/map/features.npy")
    assert hashlib.sha256(features.astype("<i4").tobytes()).hexdigest()[:16] == "5b1bf3eaaec2c078"
    sums = np.cos(np.arange(300)) @ vectors_of(ref)
    np.testing.assert_allclose(sums, [-0.0648, -4.6833, 4.0085, 0.7902, 3.8476, 3.6699], atol=1e-3)


def test_a_plan_knows_what_dimensions_and_characters_cost() -> None:
    docstrings = Workload(113_095, 192, 0, 429.5, 429.5, (3359, 335, 33), 11_309)  # took 17, 21 to 25, 10 and 14 CPU-s
    for config, least, most in (
        (TfidfSvdEmbedding(dimension=128), 15, 18),
        (TfidfSvdEmbedding(), 20, 25),
        (TfidfSvdEmbedding(dimension=128, char_ngrams=False), 9, 12),
        (TfidfSvdEmbedding(char_ngrams=False), 12, 15),
    ):
        assert least < config.cost(docstrings) < most
    assert TfidfSvdEmbedding(sample=2_000).cost(docstrings) < TfidfSvdEmbedding().cost(docstrings) / 2
