"""Greedy choices equal those of plain greedy, at a fraction of the gains, and do what their sources say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.greedy.concave import ConcaveSums
from evenkeel.tasks.sample.greedy.domains import domain_budgets
from evenkeel.tasks.sample.greedy.engine import Chosen, SetFunction, lazy_greedy
from evenkeel.tasks.sample.greedy.features import Features, spread_masses
from evenkeel.tasks.sample.greedy.gains import OF_FEATURES, FeatureGain
from evenkeel.tasks.sample.greedy.graph import similar_tags
from evenkeel.tasks.sample.greedy.influence import balanced_influence
from evenkeel.tasks.sample.greedy.vectors import FacilityLocation, LogDeterminant, cosine_similarity
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.signal.kinds.entries import EntriesSignal
from evenkeel.tasks.step import InProcess, Run
from tests.examples import telling
from tests.sample.pools import make_run, sampled, write_pool

WORDS = [f"w{number}x" for number in range(60)]


def tagged(rows: int, seed: int = 0) -> list[list[int]]:
    """Tags of rows by a Zipf law, 1 to 5 a row."""
    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, len(WORDS) + 1)
    picks = (rng.choice(len(WORDS), rng.integers(1, 6), p=chance / chance.sum()) for _ in range(rows))
    return [sorted(set(row.tolist())) for row in picks]


def features(rows: list[list[int]], shared: bool) -> Features:
    offsets = np.cumsum([0, *map(len, rows)])
    lengths = np.diff(offsets)
    masses = np.repeat(1 / lengths, lengths) if shared else np.ones(offsets[-1])
    return Features(np.array([one for row in rows for one in row], np.int32), masses, offsets)


def plain_greedy(function: SetFunction, wanted: int) -> Chosen:
    order, gains, left, evaluations = [], [], np.ones(len(function.gains()), bool), 0
    for _ in range(wanted):
        found = np.where(left, function.gains(), -np.inf)
        evaluations += int(left.sum())
        order.append(int(found.argmax()))
        gains.append(found[order[-1]])
        function.add(order[-1])
        left[order[-1]] = False
    return Chosen(np.array(order), np.array(gains), evaluations)


def functions(rows: int, wanted: int) -> dict[str, Callable[[], SetFunction]]:
    tags = tagged(rows)
    rng = np.random.default_rng(2)
    centres = rng.normal(0, 3, (60, 12))[np.minimum(rng.geometric(0.12, rows) - 1, 59)]
    vectors = (centres + rng.normal(0, 1, (rows, 12))).astype(np.float32)
    similarity = cosine_similarity(vectors)
    return {
        "information": lambda: ConcaveSums(features(tags, True), len(WORDS), "information"),
        "entropy": lambda: ConcaveSums(features(tags, True), len(WORDS), "entropy", wanted),
        "coverage": lambda: ConcaveSums(features(tags, False), len(WORDS), "coverage", 3),
        "facility": lambda: FacilityLocation(similarity),
        "determinant": lambda: LogDeterminant(vectors, rng.uniform(1, 1, rows), wanted),
    }


@pytest.mark.parametrize("gain", telling(functions(2, 2), "coverage", "facility", "determinant"))
@pytest.mark.long
def test_lazy_greedy_chooses_what_plain_greedy_does_at_a_fraction_of_its_gains(gain: str) -> None:
    make = functions(600, 40)[gain]
    lazy, plain = lazy_greedy(make(), 40), plain_greedy(make(), 40)
    assert lazy.order.tolist() == plain.order.tolist()
    assert lazy.gains == pytest.approx(plain.gains, rel=1e-6)
    assert lazy.evaluations <= plain.evaluations / 5
    value = make()
    chance = 0.0
    for row in np.random.default_rng(5).permutation(600)[:40].tolist():
        chance += value.gain(row)
        value.add(row)
    assert lazy.value > chance + 0.1 * abs(chance)


def test_a_determinant_is_that_of_the_kernel() -> None:
    vectors = np.random.default_rng(1).normal(0, 1, (30, 3)).astype(np.float32)
    quality = np.random.default_rng(2).uniform(0.5, 2, 30)
    function = LogDeterminant(vectors, quality, 6)
    chosen = lazy_greedy(function, 6)
    picked = vectors[chosen.order].astype(np.float64)
    squared = ((picked[:, None] - picked[None]) ** 2).sum(2)
    kernel = np.exp(-squared / function.scale) * np.outer(quality[chosen.order], quality[chosen.order])
    assert chosen.value == pytest.approx(np.linalg.slogdet(kernel)[1], abs=1e-4)


def test_entropies_of_several_columns_come_near_the_best_possible() -> None:
    for greedy, chance in entropies_of_the_best():
        assert greedy >= 0.95
        assert chance < 0.9


def entropies_of_the_best() -> list[tuple[float, float]]:
    """Return the entropies of greedy and of random rows over the best possible, for each of two columns.

    By Zipf laws of 8 and 60 values, 200 of 4,000 rows: each as even as its rows allow.
    """
    rng = np.random.default_rng(3)
    sizes, columns = (8, 60), []
    for size in sizes:
        chance = 1 / np.arange(1, size + 1) ** 1.5
        columns.append(rng.choice(size, 4000, p=chance / chance.sum()))
    codes = np.stack([columns[0], columns[1] + 8], axis=1).ravel().astype(np.int32)
    rows = Features(codes, np.ones(8000), np.arange(0, 8001, 2))
    order = lazy_greedy(ConcaveSums(rows, 68, "entropy", 200), 200).order
    found = list[tuple[float, float]]()
    for column, size in zip(columns, sizes, strict=True):
        level = [int(np.minimum(np.bincount(column, minlength=size), cap).sum()) for cap in range(1, 201)]
        best = np.minimum(np.bincount(column, minlength=size), 1 + int(np.searchsorted(level, 200)))
        greedy, first = (entropy(np.bincount(column[part], minlength=size)) for part in (order, np.arange(200)))
        found.append((greedy / entropy(best), first / entropy(best)))
    return found


def entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def test_tasks_are_served_alike_where_the_largest_influences_forget_one() -> None:
    """What helps one task helps three more, and not the fifth: the best by the sum leave that one behind."""
    rng = np.random.default_rng(4)
    influence = rng.normal(0, 1, (2000, 5))
    influence[:, 1:4] = influence[:, :1] + 0.2 * influence[:, 1:4]
    scaled = (influence - influence.mean(0)) / influence.std(0)
    chosen = balanced_influence(scaled, 100)
    top = np.argsort(-scaled.sum(axis=1))[:100]
    assert scaled[chosen.order].mean(0).min() > scaled[top].mean(0).min() + 0.1
    picked: list[int] = []
    for _ in range(12):
        lack = scaled - (scaled[picked].mean(0) if picked else 0)
        lack[picked] = -np.inf
        picked.append(int(lack.max(1).argmax()))
    assert chosen.order[:12].tolist() == picked


def test_domains_that_repeat_one_another_get_less() -> None:
    means = np.array([[1, 0, 0], [1, 0.05, 0], [1, 0, 0.05], [0, 1, 1]], np.float32)
    budgets = domain_budgets(means, 0.4)
    assert budgets.sum() == pytest.approx(1)
    assert budgets[:3].max() > budgets[:3].min() + 0.05, "a domain is worth less once another like it is there"
    assert domain_budgets(means, 1.0)[3] > domain_budgets(means, 1.0)[:3].min()


def test_information_spreads_to_tags_that_mean_the_same() -> None:
    means = np.array([[1, 0], [1, 0.1], [0, 1]], np.float32)
    edges = similar_tags(means, 0.9)
    held = spread_masses(Features(np.array([0, 2], np.int32), np.ones(2), np.arange(3)), edges, 4)
    assert np.bincount(held.codes[:2], held.masses[:2], 4) == pytest.approx([0.501, 0.499, 0, 0], abs=1e-3)
    assert (held.codes[2:].tolist(), held.masses[2:].tolist()) == ([2], [1.0])


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, StepRef], Run]:
    folder = tmp_path_factory.mktemp("greedy")
    rng, rows = np.random.default_rng(7), 1500
    tags = tagged(rows, 1)
    leaf = rng.integers(0, 6, rows)
    inputs = write_pool(
        folder / "pool",
        rng.normal(0, 4, (6, 4))[leaf] + rng.normal(0, 0.5, (rows, 4)),
        levels=[leaf],
        groups={"language": [("en", "is", "fo")[min(row % 9, 2)] for row in range(rows)]},
        scores={"math": rng.normal(size=rows), "code": rng.normal(size=rows), "broken": [np.nan] * rows},
        texts=[" ".join(WORDS[one] for one in row) for row in tags],
        block_rows=150,
    )
    words = EntriesSignal(name="words", values=WORDS)
    inputs["signals.words"] = compute_signal(words, inputs, InProcess(make_run(folder)))
    return inputs, make_run(folder)


def choose(
    pool: tuple[dict[str, StepRef], Run], target: int | str = 60, **strategy: object
) -> tuple[StepRef, np.ndarray]:
    config = SamplingConfig.model_validate({"strategy": {"name": "greedy", **strategy}, "target": target})
    ref = sampled(config, *pool)
    return ref, Selection.open(ref).row_ids().astype(int)


@pytest.mark.parametrize("gain", telling(OF_FEATURES.values(), "coverage"))
@pytest.mark.long
def test_ten_blocks_that_hand_in_their_best_lose_little(
    pool: tuple[dict[str, StepRef], Run], gain: FeatureGain
) -> None:
    similarity = {"similarity": 1} if gain == "information" else {}
    ref, kept = choose(pool, gain=gain, over="words", **similarity)
    rows = features(tagged(1500, 1), gain != "coverage")
    scale = 60 if gain == "entropy" else 1
    whole = lazy_greedy(ConcaveSums(rows, len(WORDS), gain, scale), 60).value
    assert len(kept) == 60
    assert ref.facts["candidates"] < 600
    assert ref.facts["value"] == pytest.approx(whole, rel=0.02)
    held = ConcaveSums(rows, len(WORDS), gain, scale)
    value = 0.0
    for row in kept.tolist():
        value += held.gain(row)
        held.add(row)
    assert value == pytest.approx(ref.facts["value"])


@pytest.mark.parametrize(
    "chosen",
    [{"gain": "coverage", "over": "words"}, pytest.param({"gain": "facility"}, marks=pytest.mark.slow)],
    ids=["pool", "leaves"],
)
@pytest.mark.long
def test_a_budget_of_tokens_is_met_by_choosing_anew(
    pool: tuple[dict[str, StepRef], Run], chosen: dict[str, object]
) -> None:
    _, kept = choose(pool, "600 tokens", **chosen)
    _, rows = choose(pool, 60, **chosen)
    assert len(kept) == 60, "every row has ten"
    assert len(set(kept) & set(rows)) >= 50


def test_groups_and_tags_are_features_together(pool: tuple[dict[str, StepRef], Run]) -> None:
    ref, kept = choose(pool, gain="entropy", over=["words", "group.language"])
    assert ref.facts["entropy"]["group.language"] > 0.95
    assert np.bincount(kept % 9, minlength=9)[2:].sum() < 35, "two thirds of the pool speak one language"


@pytest.mark.long
def test_rows_inside_leaves_represent_them(pool: tuple[dict[str, StepRef], Run]) -> None:
    from evenkeel.tasks.embed.vectors import Vectors

    store = Vectors.open(pool[0]["embed"])
    vectors = np.concatenate([store.block(block) for block in store.blocks])
    for gain in ("facility", "determinant"):
        ref, kept = choose(pool, gain=gain)
        quotas = Selection.open(ref).quotas().to_pandas()
        assert quotas["kept"].tolist() == [10] * 6
        assert ref.facts["value"] != 0
        _, again = choose((pool[0], make_run(Path(pool[1].workspace).parent / gain)), gain=gain)
        assert kept.tolist() == again.tolist()
    _, flat = choose_flat(pool)
    spread = [_spacing(vectors[rows]) for rows in (kept, flat)]
    assert spread[0] > 1.3 * spread[1], "rows of a determinant keep apart"


def choose_flat(pool: tuple[dict[str, StepRef], Run]) -> tuple[StepRef, np.ndarray]:
    ref = sampled(SamplingConfig(strategy="flat", target=60), *pool)
    return ref, Selection.open(ref).row_ids().astype(int)


def _spacing(x: np.ndarray) -> float:
    gap = np.linalg.norm(x[:, None] - x[None], axis=2) + 1e9 * np.eye(len(x))
    return float(gap.min(axis=1).mean())


@pytest.mark.slow
def test_budgets_of_domains_are_kept(pool: tuple[dict[str, StepRef], Run]) -> None:
    ref, kept = choose(pool, gain="facility", domains="language")
    language = np.minimum(kept % 9, 2)
    assert ref.facts["budgets"] == {name: int((language == code).sum()) for code, name in enumerate(("en", "is", "fo"))}
    assert min(ref.facts["budgets"].values()) >= 15


def test_influences_serve_every_task_and_a_missing_one_is_named(pool: tuple[dict[str, StepRef], Run]) -> None:
    ref, _ = choose(pool, gain="tasks", over=["math", "code"])
    assert min(ref.facts["influence"].values()) > 1
    with pytest.raises(RecipeError, match="'broken' of 150 row"):
        choose(pool, gain="tasks", over=["math", "broken"])
    with pytest.raises(RecipeError, match="'loss'"):
        choose(pool, gain="tasks", over="loss")


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"gain": "coverage"}, "needs over"),
        ({"gain": "facility", "over": "words"}, "does not read over"),
        ({"gain": "entropy", "over": "words", "quality": "math"}, "does not read quality"),
        ({"gain": "coverage", "over": "words", "domains": "language"}, "does not read domains"),
    ],
)
def test_options_that_do_not_fit_are_refused(strategy: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamplingConfig.model_validate({"strategy": {"name": "greedy", **strategy}, "target": 5})
