"""Each strategy keeps the target and does what its source says."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.strategy import STRATEGIES
from evenkeel.tasks.signal.kinds.entries import EntriesSignal
from evenkeel.tasks.signal.kinds.expression import ExpressionSignal
from evenkeel.tasks.step import InProcess, Run
from tests.examples import telling
from tests.sample.pools import inputs_of, make_run, sampled, write_pool

ROWS, LEAVES = 900, 15

# The finished steps, a run, and leaf and language of every row.
Pool = tuple[dict[str, StepRef], Run, np.ndarray, np.ndarray]
Chosen = str | dict[str, Any]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder = tmp_path_factory.mktemp("strategies")
    rng = np.random.default_rng(4)
    leaf = np.minimum(rng.geometric(0.25, ROWS) - 1, LEAVES - 1)
    vectors = rng.normal(0, 4, (LEAVES, 6))[leaf] + rng.normal(0, 0.4, (ROWS, 6))
    language = np.where(leaf < 2, "en", np.where(leaf < 6, "is", "fo"))
    inputs = write_pool(
        folder / "pool",
        vectors,
        levels=[leaf],
        parents=[np.arange(LEAVES) // 4],
        groups={"language": list(language), "kind": ["ab"[row % 2] for row in range(ROWS)], "seen": [None] * ROWS},
        scores={"quality": rng.random(ROWS), "length": rng.normal(100, 30, ROWS), "broken": [np.nan] * ROWS},
        texts=["cat" if row % 20 else "Heron and cat" for row in range(ROWS)],
        tokens=rng.integers(1, 60, ROWS),
        block_rows=200,
    )
    birds = EntriesSignal(name="birds", values=["heron", "cat"])
    inputs["signals.birds"] = compute_signal(birds, inputs, InProcess(make_run(folder)))
    return inputs, make_run(folder), leaf, language


def select(pool: Pool, strategy: Chosen, **settings: object) -> tuple[StepRef, pd.DataFrame]:
    ref = sampled(
        SamplingConfig.model_validate({"strategy": strategy, "target": 120, **settings}),
        pool[0],
        pool[1],
    )
    return ref, Selection.open(ref).table().to_pandas()


TARGET_SET = {"uri": str(Path(__file__).parent / "target.txt")}
EVERY: list[Chosen] = [
    "balanced",
    "top-down",
    "flat",
    "cluster-clip",
    "closest",
    "random",
    "temperature",
    "cooldown",
    "density",
    "grid",
    {"name": "temperature", "groups": ["language"], "temperature": 3},
    {"name": "cooldown", "groups": ["language", "kind"]},
    {"name": "uniform", "groups": ["language"]},
    {"name": "proportional", "groups": ["language", "kind"]},
    {"name": "stratified", "groups": ["language"]},
    {"name": "subclass", "group": "language"},
    {"name": "tree", "columns": ["language", "kind"]},
    {"name": "metaclip", "concepts": ["cat", "heron", "dodo"]},
    {"name": "entries", "over": ["birds"]},
    {"name": "weighted", "by": "quality"},
    {"name": "weighted", "by": "quality", "draw": "gumbel", "within": "leaves"},
    {"name": "toward", "by": "ngrams", "target": TARGET_SET},
    {"name": "toward", "toward": 0.5, "draw": "top", "target": TARGET_SET},
    {"name": "to-label", "rule": "clusters", "labels": "seen"},
    {"name": "greedy", "gain": "coverage", "over": "birds"},
    {"name": "greedy", "gain": "facility"},
    {"name": "quality", "scores": {"quality": 1.0}},
    {"name": "quality", "scores": {"quality": 1.0, "length": 0.5}, "rule": "samplemix"},
    {"name": "quality", "scores": {"quality": 1.0}, "rule": "kmq", "sharpness": 3},
]


def name_of(chosen: Chosen) -> str:
    if isinstance(chosen, str):
        return chosen
    return "-".join(str(part) for name, part in chosen.items() if name != "target")


WEIGHED = [chosen for chosen in EVERY if chosen != "balanced"]
# Of each way to draw one: by leaves, by rows, by groups, by a score.
ESTIMATED = ["cluster-clip", "random", "stratified-['language']", "weighted-quality"]
SLOWEST = ["toward-0.5-top", "greedy-coverage-birds"]
QUICK = [name_of(chosen) for chosen in EVERY if name_of(chosen) not in SLOWEST]


@pytest.mark.parametrize("chosen", telling(EVERY, *QUICK, name=name_of), ids=name_of)
@pytest.mark.long
def test_every_strategy_keeps_exactly_the_target_and_repeats_itself(pool: Pool, chosen: Chosen, tmp_path: Path) -> None:
    ref, table = select(pool, chosen)
    assert table["copies"].sum() == ref.counts["copies"] == 120
    assert table["row_id"].is_unique
    assert (table["weight"] >= 1 - 1e-9).all()
    run = make_run(tmp_path)
    again = sampled(SamplingConfig.model_validate({"strategy": chosen, "target": 120}), pool[0], run)
    assert Selection.open(again).table().to_pandas().equals(table)


def test_every_option_model_has_its_file_and_is_tested() -> None:
    tested = {chosen if isinstance(chosen, str) else chosen["name"] for chosen in EVERY}
    assert tested == set(STRATEGIES.ours())
    for name, model in STRATEGIES.ours().items():
        assert model.__module__.endswith(f".{name.replace('-', '_')}"), "one file, named after its strategy"


def test_the_form_of_a_run_offers_every_strategy_with_words_for_each_option() -> None:
    """Prefect's form draws one tab for each branch of `anyOf`, and nothing for a `oneOf` with a discriminator."""
    from evenkeel.flows.recipe_form import form

    def branches(field: dict[str, Any]) -> list[dict[str, Any]]:
        return [inner for one in field["anyOf"] for inner in (branches(one) if "anyOf" in one else [one])]

    recipe = form()["anyOf"][1]
    field = recipe["properties"]["sampling"]["properties"]["strategy"]
    assert not {"oneOf", "discriminator"} & set(field)
    named, *tabs = branches(field)
    assert set(named["enum"]) == {tab["properties"]["name"]["enum"][0] for tab in tabs} == set(STRATEGIES.ours())
    for tab in tabs:
        assert tab["description"]
        options = {name: option for name, option in tab["properties"].items() if name != "name"}
        assert all(option.get("description") for option in options.values()), tab["title"]


@pytest.mark.parametrize("chosen", telling(WEIGHED, *ESTIMATED, name=name_of), ids=name_of)
@pytest.mark.long
def test_weights_estimate_the_size_of_the_pool(pool: Pool, chosen: Chosen) -> None:
    if "closest" in chosen or "quadmix" in name_of(chosen) or name_of(chosen) == "quality-{'quality': 1.0}":
        pytest.skip("rows of probability zero, or taken in a fixed order, have no unbiased estimate")
    estimates = [select(pool, chosen, seed=seed)[1]["weight"].sum() for seed in range(8)]
    assert np.mean(estimates) == pytest.approx(ROWS, rel=0.25)


def test_cluster_clip_repeats_small_leaves_up_to_the_clip(pool: Pool) -> None:
    _, table = select(pool, {"name": "cluster-clip", "clip": 3}, target=600)
    assert table["copies"].max() == 3
    per_leaf = table.groupby("leaf")["copies"].sum()
    sizes = np.bincount(pool[2])
    assert (per_leaf.to_numpy() <= 3 * sizes[per_leaf.index]).all()


def test_group_strategies_keep_their_shares(pool: Pool) -> None:
    language = pool[3]
    sizes = {name: int((language == name).sum()) for name in ("en", "is", "fo")}

    def counts(chosen: Chosen, **settings: object) -> dict[str, int]:
        rows = select(pool, chosen, **settings)[1]["row_id"].to_numpy().astype(int)
        return {name: int((language[rows] == name).sum()) for name in sizes}

    assert set(counts({"name": "uniform", "groups": ["language"]}).values()) == {40}
    for chosen in ("proportional", "stratified"):
        found = counts({"name": chosen, "groups": ["language"]})
        assert all(abs(found[name] - 120 * sizes[name] / ROWS) <= 1 for name in sizes)
    warm, cold = (counts({"name": "temperature", "groups": ["language"], "temperature": t}) for t in (50, 1.2))
    assert max(warm.values()) - min(warm.values()) < max(cold.values()) - min(cold.values())


def test_subclasses_are_the_clusters_inside_a_class(tmp_path: Path) -> None:
    """Six planted blobs in the large class, of which the leaves know nothing; the small class has 40 rows."""
    rng = np.random.default_rng(3)
    blob = rng.permutation(np.concatenate([np.repeat(np.arange(6), 40), np.full(40, 6)]))
    vectors = rng.normal(0, 9, (7, 5))[blob] + rng.normal(0, 0.3, (len(blob), 5))
    label = ["small" if one == 6 else "large" for one in blob]
    done = write_pool(
        tmp_path / "p", vectors, levels=[np.arange(len(blob)) % 3], groups={"label": label}, block_rows=50
    )
    config = SamplingConfig.model_validate({"strategy": {"name": "subclass", "group": "label"}, "target": 70})
    ref = sampled(config, done, make_run(tmp_path))
    assert (ref.facts["subclasses"], ref.facts["aim"], ref.facts["largest"]) == (7, 40, 40)
    rows = Selection.open(ref).row_ids().astype(int)
    assert np.bincount(blob[rows]).tolist() == [10] * 7


@pytest.mark.parametrize("equal", [False, True], ids=["one-large-blob", "equal-rows"])
@pytest.mark.long
def test_no_subclass_has_twice_the_rows_it_aims_at(tmp_path: Path, equal: bool) -> None:
    rng = np.random.default_rng(5)
    sizes = {"a": 437, "b": 151, "c": 30}
    label = np.repeat(list(sizes), list(sizes.values()))
    blob = np.where(rng.random(len(label)) < 0.7, 0, rng.integers(1, 12, len(label)))
    vectors = rng.normal(0, 5, (12, 4))[blob] + (0 if equal else rng.normal(0, 0.5, (len(label), 4)))
    done = write_pool(tmp_path / "p", vectors, levels=[blob], groups={"label": list(label)}, block_rows=100)
    config = SamplingConfig.model_validate({"strategy": {"name": "subclass", "group": "label"}, "target": 100})
    ref = sampled(config, done, make_run(tmp_path))
    if equal:
        assert ref.facts["subclasses"] <= 12 + 5 + 1
        return
    assert ref.facts["subclasses"] == 437 // 30 + 151 // 30 + 1
    assert ref.facts["largest"] <= 60


def test_cooldown_says_its_schedule_from_even_to_proportional(pool: Pool) -> None:
    ref, _ = select(pool, {"name": "cooldown", "groups": ["language"], "temperatures": [10, 1]})
    entropies = [stage["entropy"] for stage in ref.facts["schedule"]]
    assert entropies[0] > entropies[1]
    for stage in ref.facts["schedule"]:
        assert set(stage["weights"]) == set(pool[3])
        assert sum(stage["weights"].values()) == pytest.approx(1.0, abs=1e-6)


def test_density_prefers_sparse_rows(pool: Pool) -> None:
    leaf = pool[2]
    _, table = select(pool, "density")
    picked = np.bincount(leaf[table["row_id"].to_numpy().astype(int)], minlength=LEAVES) / np.bincount(leaf)
    assert picked[np.argsort(np.bincount(leaf))[:5]].mean() > 1.3 * picked[np.argsort(np.bincount(leaf))[-2:]].mean()


def test_metaclip_keeps_rare_concepts_and_no_row_without_one(pool: Pool) -> None:
    _, table = select(pool, {"name": "metaclip", "concepts": ["heron", "cat"]}, target=120)
    assert (table["row_id"] % 20 == 0).sum() == 45
    assert select(pool, {"name": "metaclip", "concepts": ["heron"]}, target=120)[0].facts["shortfall"] == 75


def test_quality_takes_the_better_rows(pool: Pool) -> None:
    from evenkeel.tasks.ingest.pool import Pool

    scores = Pool.open(pool[0]["ingest"]).column("score.quality")
    for rule in ("quadmix", "samplemix", "kmq"):
        rows = select(pool, {"name": "quality", "scores": {"quality": 1}, "rule": rule, "diversity": 0.2})[1]["row_id"]
        assert scores[rows.to_numpy().astype(int)].mean() > scores.mean() + 0.03


def test_missing_and_broken_columns_are_named(pool: Pool) -> None:
    with pytest.raises(RecipeError, match="'colour'"):
        select(pool, {"name": "uniform", "groups": ["colour"]})
    with pytest.raises(RecipeError, match="not finite"):
        select(pool, {"name": "quality", "scores": {"broken": 1.0}})
    with pytest.raises(RecipeError, match="spread-9"):
        select(pool, {"name": "balanced", "rule": "spread-9"})


def test_shares_are_kept_and_contradictions_named(pool: Pool) -> None:
    bounds = [
        {"group": "language", "value": "en", "at_most": 0.2},
        {"group": "language", "value": "fo", "at_least": 0.5},
    ]
    for chosen in ("flat", "random", {"name": "stratified", "groups": ["language"]}):
        rows = select(pool, chosen, shares=bounds)[1]["row_id"].to_numpy().astype(int)
        shares = {name: float((pool[3][rows] == name).mean()) for name in ("en", "fo")}
        assert len(rows) == 120
        assert shares["en"] <= 0.2
        assert shares["fo"] >= 0.5
    protected = [{"group": "language", "value": "fo", "min_rows": 90}]
    rows = select(pool, "random", shares=protected)[1]["row_id"].to_numpy().astype(int)
    assert (pool[3][rows] == "fo").sum() >= 90
    for bound, message in (
        ({"value": "fo", "min_rows": 800}, "language=fo is to have at least 800"),
        ({"value": "xx"}, "no row has language=xx"),
        ({"value": "en", "min_rows": 60, "at_most": 0.1}, "language=en is to have at least 60 and at most 12"),
    ):
        with pytest.raises(RecipeError, match=message):
            select(pool, "flat", shares=[{"group": "language", **bound}])
    everyone = [{"group": "language", "value": value, "at_most": 0.2} for value in ("en", "is", "fo")]
    with pytest.raises(RecipeError, match="less than the target"):
        select(pool, "flat", shares=everyone)


@pytest.mark.long
def test_a_token_budget_is_used_and_never_exceeded(pool: Pool) -> None:
    for chosen in ("balanced", "random", {"name": "quality", "scores": {"quality": 1}}):
        ref, _ = select(pool, chosen, target="3000 tokens")
        assert 3000 - 60 <= ref.counts["tokens"] <= 3000
    with pytest.raises(RecipeError, match="larger than the pool"):
        select(pool, "flat", target="9M tokens")


def test_diverse_order_keeps_rows_apart(pool: Pool) -> None:
    from evenkeel.tasks.embed.vectors import Vectors

    vectors = np.concatenate(
        [Vectors.open(pool[0]["embed"]).block(block) for block in Vectors.open(pool[0]["embed"]).blocks]
    )

    def gap(order: str) -> float:
        table = select(pool, "flat", order=order)[1]
        gaps = []
        for leaf in range(4):
            kept = vectors[table[table["leaf"] == leaf]["row_id"].to_numpy().astype(int)]
            distances = np.linalg.norm(kept[:, None] - kept[None], axis=2) + 1e9 * np.eye(len(kept))
            gaps.append(distances.min())
        return float(np.mean(gaps))

    assert gap("diverse") > 1.5 * gap("hash")
    assert select(pool, "flat", order="diverse")[0].counts["kept"] == 120


def test_sampling_is_given_the_signals_that_it_reads_and_no_others(pool: Pool, tmp_path: Path) -> None:
    """A name that is part of a word of the section, such as `a`, is no reading of it."""
    done, run = pool[0], make_run(tmp_path)
    signals = {
        f"signals.{name}": compute_signal(ExpressionSignal(name=name, of="quality"), done, InProcess(run))
        for name in ("a", "wanted", "top")
    }

    def read(section: dict[str, Any]) -> set[str]:
        config = SamplingConfig.model_validate({"target": 120, **section})
        return set(inputs_of(config, {**done, **signals}, run).signals)

    assert read({"strategy": "balanced"}) == set()
    assert read({"strategy": {"name": "weighted", "by": "wanted", "draw": "top"}}) == {"wanted"}
    assert read({"strategy": "flat", "order": "score", "score": "a"}) == {"a"}
    assert read({"strategy": {"name": "quality", "scores": {"a": 1}, "rule": "kmq", "rewards": ["top"]}}) == {
        "a",
        "top",
    }
