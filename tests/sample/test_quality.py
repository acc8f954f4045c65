"""The three rules of quality give rows the copies and chances that their published formulas say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.pool_sample import sample_table
from evenkeel.tasks.sample.quality.rules import Sigmoid, separation
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.strategies.quality import Quality
from tests.sample.pools import make_run, sampled, write_pool
from tests.sample.test_density import MadeRows

ROWS, LEAVES = 1600, 6


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> "Pool":
    folder = tmp_path_factory.mktemp("quality")
    rng = np.random.default_rng(5)
    leaf = rng.integers(0, LEAVES, ROWS)
    spread = np.array([0.1, 0.2, 0.4, 0.8, 1.2, 1.6])
    reward = np.where(rng.random(ROWS) < 0.3, leaf * 0.4 + rng.normal(0, 0.1, ROWS), np.nan)
    columns = pd.DataFrame(
        {
            "leaf": leaf,
            "source": np.where(rng.random(ROWS) < 0.3, "code", "web"),
            "tokens": rng.integers(5, 60, ROWS),
            "clean": rng.permutation(np.linspace(0, 1, ROWS)).astype(np.float32),
            "perplexity": rng.permutation(np.linspace(10, 90, ROWS)).astype(np.float32),
            "first": np.where(leaf == 5, np.nan, reward),
            "second": np.where(leaf == 0, 2.0, 0.5),
        }
    )
    vectors = rng.normal(0, 3, (LEAVES, 4))[leaf] + spread[leaf, None] * rng.normal(0, 1, (ROWS, 4))
    inputs = write_pool(
        folder / "pool",
        vectors,
        levels=[leaf],
        groups={"source": list(columns["source"])},
        scores={name: columns[name].to_numpy() for name in ("clean", "perplexity", "first", "second")},
        tokens=columns["tokens"].to_numpy(),
        block_rows=300,
    )
    return inputs, columns, vectors, folder


Pool = tuple[dict[str, StepRef], pd.DataFrame, np.ndarray, Path]


def select(pool: Pool, target: int, seed: int = 0, **options: object) -> pd.DataFrame:
    strategy = {"name": "quality", "scores": {"clean": 1.0}, **options}
    config = SamplingConfig.model_validate({"strategy": strategy, "target": target, "seed": seed})
    table: pd.DataFrame = Selection.open(sampled(config, pool[0], make_run(pool[3]))).table().to_pandas()
    return table


def normal(score: pd.Series) -> np.ndarray:
    low, high = np.quantile(score, [0.01, 0.99])
    clipped: np.ndarray = np.clip((score.to_numpy() - low) / (high - low), 0, 1)
    return clipped


def ranks(quality: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Return the share of tokens in rows at least as good as each, by plain loops over sorted rows."""
    order = np.argsort(-quality, kind="stable")
    found = np.empty(len(quality))
    found[order] = np.cumsum(tokens[order]) / tokens.sum()
    return found


def sigmoid(rank: np.ndarray, sharpness: float, omega: float, eta: float, epsilon: float) -> np.ndarray:
    copies = [(2 / (1 + np.exp(-sharpness * (omega - r)))) ** eta + epsilon if r <= omega else epsilon for r in rank]
    return np.array(copies)


@pytest.mark.long
def test_quadmix_gives_every_domain_the_copies_of_its_own_sigmoid(pool: Pool) -> None:
    columns = pool[1]
    expected: np.ndarray = np.zeros(ROWS)
    near: np.ndarray = np.zeros(ROWS, bool)
    quality = {"web": normal(columns["clean"]), "code": 1 - normal(columns["perplexity"])}
    for name, (sharpness, omega, eta, epsilon) in {"web": (20, 0.3, 1, 0.01), "code": (8, 0.6, 2, 0.05)}.items():
        mine = (columns["source"] == name).to_numpy()
        rank = ranks(quality[name][mine], columns["tokens"].to_numpy()[mine])
        expected[mine] = sigmoid(rank, sharpness, omega, eta, epsilon)
        near[mine] = np.abs(rank - omega) < 0.01
    options = {
        "domains": "source",
        "epsilon": 0.01,
        "parameters": {
            "code": {"scores": {"perplexity": -1.0}, "sharpness": 8, "omega": 0.6, "eta": 2, "epsilon": 0.05}
        },
    }
    target = int(0.9 * expected.sum())
    copies = np.zeros(ROWS)
    for seed in range(6):
        table = select(pool, target, seed, **options)
        assert table["copies"].sum() == target
        copies[table["row_id"].astype(int)] += table["copies"] / 6
        asked = expected[table["row_id"].astype(int)] * 0.9
        clear = ~near[table["row_id"].astype(int)]
        np.testing.assert_allclose(table["weight"][clear], 1 / np.minimum(1, asked[clear]), rtol=0.05)
        assert (table["copies"][clear] >= np.floor(asked[clear] * 0.97)).all()
        assert (table["copies"][clear] <= np.ceil(asked[clear] * 1.03)).all()
    assert copies.max() > 2, "eta 2 asks for nearly four copies of the best code, without max_repeats"
    for low, high in ((0.005, 0.1), (0.5, 1.5), (1.5, 1.9), (2.5, 4.1)):
        band = (expected >= low) & (expected < high) & ~near
        assert copies[band].mean() == pytest.approx(0.9 * expected[band].mean(), rel=0.15)


def test_the_sigmoid_is_the_published_one_at_its_landmarks() -> None:
    values = Sigmoid({}, 20.0, 0.4, 1.0, 0.01).copies(np.array([0.0, 0.4, 0.41, 1.0]))
    assert values[0] == pytest.approx(2.0, abs=0.02)
    assert values[1] == pytest.approx(1.01)
    assert values[2] == values[3] == 0.01


def test_a_negative_weight_prefers_low_scores(pool: Pool) -> None:
    columns = pool[1]
    rows = select(pool, 160, scores={"clean": 0.5, "perplexity": -0.5})["row_id"].astype(int)
    assert columns["perplexity"][rows].mean() < 0.7 * columns["perplexity"].mean()
    assert columns["clean"][rows].mean() > 1.3 * columns["clean"].mean()


def test_samplemix_weighs_compactness_times_separation_against_quality(pool: Pool) -> None:
    _, columns, vectors, _ = pool
    centroids = np.stack([vectors[columns["leaf"] == leaf].mean(axis=0) for leaf in range(LEAVES)])
    radius = np.array(
        [
            np.sqrt(((vectors[columns["leaf"] == leaf] - centroids[leaf]) ** 2).sum(axis=1).mean())
            for leaf in range(LEAVES)
        ]
    )
    apart = np.linalg.norm(centroids[:, None] - centroids[None], axis=2).sum(axis=1) / (LEAVES - 1)
    np.testing.assert_allclose(separation(centroids.astype(np.float32), LEAVES, 0), apart, rtol=1e-4)
    spread = np.maximum(radius, np.quantile(radius, 0.05)) * apart
    diversity = np.clip(spread / np.quantile(spread, 0.99), 0, 1)
    weight = 0.8 * diversity[columns["leaf"]] + 0.2 * normal(columns["clean"])
    table = select(pool, 400, rule="samplemix")
    rows = table["row_id"].astype(int)
    np.testing.assert_allclose(table["weight"], weight.sum() / 400 / weight[rows], rtol=1e-3)
    more = select(pool, 3200, rule="samplemix")
    mean = 3200 * weight[more["row_id"].astype(int)] / weight.sum()
    assert more["copies"].sum() == 3200
    assert (np.abs(more["copies"] - mean) < 1.0001).all(), "floor + Bernoulli"


def test_separation_is_sampled_where_there_are_many_leaves() -> None:
    centroids = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    whole = np.linalg.norm(centroids[:40, None] - centroids[None], axis=2).sum(axis=1) / 2999
    np.testing.assert_allclose(separation(centroids, 3000, 0)[:40], whole, rtol=0.03)


def test_kmq_rounds_weight_leaves_by_their_mean_rewards(pool: Pool) -> None:
    columns = pool[1]
    plain = select(pool, 300, rule="kmq").groupby("leaf").size()
    assert plain.max() - plain.min() <= 1
    first = columns.groupby("leaf")["first"].mean()
    first = first.fillna(columns["first"].mean())  # leaf 5 was never scored
    for rewards, exponent in (
        (["first"], first),
        (["first", "second"], first + columns.groupby("leaf")["second"].mean()),
    ):
        weight = np.exp(exponent)
        found = select(pool, 300, rule="kmq", rewards=rewards).groupby("leaf").size()
        np.testing.assert_allclose(found, 300 * weight / weight.sum(), atol=1.0001)
    rows = select(pool, 300, rule="kmq", sharpness=5)["row_id"].astype(int)
    assert columns["clean"][rows].mean() > 0.65


def test_parameters_that_do_not_fit_are_named(pool: Pool) -> None:
    for options, message in (
        ({"scores": {"clean": 0.0}}, "not all zero"),
        ({"parameters": {"code": {"omega": 0.5}}}, "parameters need domains"),
        ({"rule": "kmq", "domains": "source"}, "domains belong to rule: quadmix"),
        ({"rewards": ["first"]}, "rewards belong to rule: kmq"),
        ({"domains": "source", "parameters": {"code": {"omegas": 0.5}}}, "omegas"),
    ):
        with pytest.raises(ValidationError, match=message):
            Quality.model_validate({"scores": {"clean": 1.0}, **options})
    with pytest.raises(RecipeError, match="no row has source=math"):
        select(pool, 100, domains="source", parameters={"math": {"omega": 0.5}})
    with pytest.raises(RecipeError, match="'topic'"):
        select(pool, 100, domains="topic")
    with pytest.raises(RecipeError, match="not finite"):
        select(pool, 100, scores={"first": 1.0})


def test_a_sample_of_many_blocks_is_the_rows_with_the_smallest_hashes() -> None:
    rows = MadeRows.of(300)
    found = sample_table(rows, ["row_id"], 50, 2400, 7, Compute(threads=2))["row_id"].to_numpy()
    identity = np.arange(2400, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert (found == np.argsort(uniform(7, identity))[:50]).all()
