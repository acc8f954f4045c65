"""Balance by tags: rare ones keep all their rows, frequent ones about t each, whatever the target."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.tags.cap import cap_of_tail, solve_cap
from evenkeel.tasks.signal.kinds.entries import EntriesSignal
from evenkeel.tasks.signal.kinds.together import TogetherSignal
from evenkeel.tasks.step import InProcess, Run
from tests.sample.pools import inputs_of, make_run, sampled, write_pool

HEADS = {"a": 5000, "b": 3000, "c": 2000}
Made = tuple[dict[str, StepRef], Run, list[list[str]]]


def tagged_pool(folder: Path, rows: list[list[str]], block_rows: int = 2000) -> Made:
    leaf = np.arange(len(rows)) % 4
    texts = [" ".join(["row", *tags]) for tags in rows]
    done = write_pool(folder / "pool", np.eye(4)[leaf], levels=[leaf], texts=texts, block_rows=block_rows)
    run = make_run(folder)
    names = sorted({tag for tags in rows for tag in tags})
    done["signals.words"] = compute_signal(EntriesSignal(name="words", values=names), done, InProcess(run))
    return done, run, rows


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Rows with one tag each, three of them frequent, 150 rare, and rows without any."""
    rows = [[name] for name, count in HEADS.items() for _ in range(count)]
    rows += [[f"r{number}"] for number in range(150) for _ in range(1 + number % 15)] + [[]] * 800
    order = np.random.default_rng(1).permutation(len(rows))
    return tagged_pool(tmp_path_factory.mktemp("single"), [rows[place] for place in order])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Rows with none to five tags of a Zipf law."""
    rng = np.random.default_rng(2)
    rows = [
        [f"t{tag}" for tag in set(np.minimum(rng.zipf(1.4, rng.integers(0, 6)), 400).tolist())] for _ in range(1500)
    ]
    return tagged_pool(tmp_path_factory.mktemp("many"), rows, 400)


def drawn(made: Made, target: int, strategy: Mapping[str, object] | None = None) -> tuple[StepRef, list[int]]:
    chosen = strategy or {"name": "entries", "over": ["words"]}
    ref = sampled(SamplingConfig.model_validate({"strategy": chosen, "target": target}), made[0], made[1])
    return ref, Selection.open(ref).row_ids().tolist()


def chances(rows: list[list[str]], cap: float) -> np.ndarray:
    counts = Counter(tag for tags in rows for tag in tags)
    return np.array([1 - np.prod([1 - min(1.0, cap / counts[tag]) for tag in tags]) for tags in rows])


@pytest.mark.parametrize("target", [1900, 4000, 7000])
@pytest.mark.long
def test_rare_tags_keep_every_row_and_frequent_ones_the_cap(single: Made, target: int) -> None:
    ref, kept = drawn(single, target)
    counts, chosen = Counter(tag for tags in single[2] for tag in tags), Counter(single[2][row][0] for row in kept)
    cap = ref.facts["cap"]
    rare = [tag for tag, count in counts.items() if count <= cap]
    assert len(kept) == target
    assert len(rare) >= 150
    assert all(chosen[tag] == counts[tag] for tag in rare)
    for head in {*counts} - {*rare}:
        noise = 3 * np.sqrt(cap * (1 - cap / counts[head]))
        assert abs(chosen[head] - cap) < max(0.05 * cap, noise)
    summary = ref.facts["tags"]["words"]
    assert (summary["under_cap"], summary["rows"]) == (len(rare), len(single[2]) - 800)
    assert list(summary["most"].items())[:3] == list(HEADS.items())


def test_head_tags_are_within_five_percent_of_the_cap(single: Made) -> None:
    ref, kept = drawn(single, 5100)
    chosen = Counter(single[2][row][0] for row in kept)
    assert ref.facts["cap"] == pytest.approx((5100 - 1200) / 3, rel=1e-3)
    assert all(abs(chosen[head] / ref.facts["cap"] - 1) < 0.05 for head in HEADS)


@pytest.mark.parametrize("target", [3, 200, 900])
@pytest.mark.long
def test_the_cap_is_where_the_chances_sum_to_the_target(many: Made, target: int) -> None:
    ref, kept = drawn(many, target)
    cap = ref.facts["cap"]
    assert cap == pytest.approx(brentq(lambda t: chances(many[2], t).sum() - target, 1e-9, 1e4), rel=2e-2)
    p = chances(many[2], cap)
    assert target - 0.3 <= p.sum() <= target + 1e-6
    assert {*np.flatnonzero(p >= 1).tolist()} <= {*kept}, "a certain row is always kept"
    assert (p[kept] > 0).all(), "a row without a tag never is"


def test_weights_are_one_over_the_chance(many: Made) -> None:
    ref, _ = drawn(many, 600)
    table = Selection.open(ref).table()
    p = chances(many[2], ref.facts["cap"])[table["row_id"].to_numpy().astype(int)]
    assert table["weight"].to_numpy() == pytest.approx(1 / p, rel=2e-3)


@pytest.mark.slow
def test_a_row_passes_by_any_perspective(many: Made) -> None:
    done, run, rows = many
    both = {**done, "signals.pairs": compute_signal(TogetherSignal(name="pairs", of="words"), done, InProcess(run))}
    strategy = {"name": "entries", "over": ["words", "pairs"]}
    ref, kept = drawn((both, run, rows), 700, strategy)
    pairs = [[f"{a} & {b}" for a in sorted(tags) for b in sorted(tags) if a < b] for tags in rows]
    p = 1 - (1 - chances(rows, ref.facts["cap"])) * (1 - chances(pairs, ref.facts["cap"]))
    assert p.sum() == pytest.approx(700, abs=0.5)
    assert {*np.flatnonzero(p >= 1).tolist()} <= {*kept}
    assert ref.facts["cap"] < drawn(many, 700)[0].facts["cap"], "two ways to pass need a smaller cap"


def test_a_cap_of_the_recipe_is_an_upper_bound(single: Made) -> None:
    ref, kept = drawn(single, 9000, {"name": "entries", "over": ["words"], "cap": 500})
    assert ref.facts["cap"] == 500
    assert len(kept) == 1200 + 3 * 500
    assert ref.facts["shortfall"] == 9000 - len(kept)
    assert drawn(single, 1900, {"name": "entries", "over": ["words"], "cap": 500})[0].facts["cap"] < 500
    tail, _ = drawn(single, 9000, {"name": "entries", "over": ["words"], "tail_share": 0.1})
    assert tail.facts["cap"] == 15
    assert cap_of_tail(np.array([1, 2, 7, 90]), 0.1) == 7


def test_counts_and_selection_are_the_same_for_any_blocks(many: Made, tmp_path: Path) -> None:
    ref, kept = drawn(many, 500)
    other = tagged_pool(tmp_path, many[2], block_rows=93)
    again, same = drawn(other, 500)
    assert same == kept
    assert again.facts["cap"] == pytest.approx(ref.facts["cap"], rel=1e-9)
    inputs = inputs_of(SamplingConfig.model_validate({"strategy": {"name": "entries", "over": ["words"]}, "target": 9}),
                       other[0], other[1])  # fmt: skip
    assert inputs.tag_counts is not None
    counted = read_table(f"{inputs.tag_counts.uri}/words.parquet")
    expected = Counter(tag for tags in many[2] for tag in tags)
    assert list(zip(counted["tag"].to_pylist(), counted["count"].to_pylist(), strict=True)) == sorted(
        expected.items(), key=lambda item: (-item[1], item[0])
    )


@pytest.mark.slow
def test_metaclip_is_the_same_rule_over_its_concepts(single: Made) -> None:
    names = sorted({tag for tags in single[2] for tag in tags})
    ref, kept = drawn(single, 2500, {"name": "metaclip", "concepts": names})
    assert kept == drawn(single, 2500)[1]
    assert ref.facts["matched"] == len(single[2]) - 800
    whole, _ = drawn(single, 500, {"name": "metaclip", "concepts": ["ro", "r3"]})
    assert whole.facts["tags"]["concepts"]["most"] == {"r3": 4}, "ro is not found in row"


def test_what_cannot_be_balanced_is_named(single: Made) -> None:
    with pytest.raises(RecipeError, match="no row has any of the tags"):
        drawn(single, 9, {"name": "metaclip", "concepts": ["dodo"]})
    with pytest.raises(RecipeError, match="tags column 'objects'"):
        drawn(single, 9, {"name": "entries", "over": ["objects"]})
    base = {"dataset": "d", "source": {"uri": "s", "text": "t"}, "destination": {"uri": "p"}}
    with pytest.raises(RecipeError, match="metaclip needs concepts, or uri"):
        parse({**base, "sampling": {"target": 9, "strategy": "metaclip"}})
    recipe = parse({**base, "sampling": {"target": 9, "strategy": {"name": "metaclip", "concepts": ["cat"]}}})
    assert [signal.name for signal in recipe.signals] == ["concepts"]
    assert parse(recipe.model_dump(mode="json")) == recipe


def test_the_solver_meets_any_target() -> None:
    counts = np.array([1, 1, 3, 1000, 10**7])
    matched = int(counts.sum())

    def expected(caps: np.ndarray) -> np.ndarray:
        sums: np.ndarray = np.minimum(counts[:, None], caps).sum(axis=0)
        return sums

    for target in (1e-3, 1, 4.5, 900, 5e6, matched - 1):
        found = solve_cap(expected, target, 10**7, matched)
        assert found.expected <= target
        assert found.expected == pytest.approx(target, abs=max(0.26, 2e-6 * target))
    assert solve_cap(expected, matched, 10**7, matched) == (1e7, matched)
