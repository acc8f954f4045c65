"""Vectors of the numbers and categories of a row: every column counts the same, whatever its unit or tail."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import norm, rankdata, zscore

from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.embed.embedders.table import TableEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from tests.embed.pools import make_pool, new_run

ROWS = 400


def columns_of(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    days = [date(2020, 1, 1) + timedelta(days=int(one)) for one in rng.integers(0, 3000, ROWS)]
    return {
        "price": rng.lognormal(8, 2, ROWS),
        "age": rng.normal(40, 10, ROWS),
        "count": rng.integers(0, 4, ROWS),
        "day": days,
        "open": (rng.random(ROWS) < 0.5).tolist(),
        "colour": rng.choice(["red", "green", "blue"], ROWS, p=[0.7, 0.2, 0.1]).tolist(),
        "remark": [f"remark {row}" for row in range(ROWS)],
        "always": [1] * ROWS,
        "kind": rng.choice(["a", "b"], ROWS).tolist(),
    }


def embedded(
    folder: Path, columns: dict[str, Any], config: TableEmbedding, **source: Any
) -> tuple[StepRef, np.ndarray]:
    run = new_run(folder)
    ref = EMBED(config, EmbedInputs(ingest=make_pool(run, folder / "pool", columns, **source)), run)
    vectors = Vectors.open(ref)
    return ref, np.concatenate([np.asarray(vectors.block(block), np.float32) for block in vectors.blocks])


@pytest.mark.parametrize("numbers", ["standard", "ranks"])
def test_every_column_counts_the_same_and_labels_do_not(tmp_path: Path, numbers: Literal["standard", "ranks"]) -> None:
    columns = columns_of()
    ref, rows = embedded(tmp_path, columns, TableEmbedding(numbers=numbers), groups=["kind"])
    kinds = {"age": "number", "colour": "category", "count": "number", "day": "number", "open": "category"}
    assert list(ref.facts["columns"].items()) == [*kinds.items(), ("price", "number")]
    assert ref.facts["left_out"] == {
        "remark": "it holds more than 32 texts (embedding.max_values)",
        "always": "it holds one value",
    }
    age, colour, count, day, price = rows[:, :1], rows[:, 1:4], rows[:, 4], rows[:, 5:6], rows[:, 8:]
    assert rows.shape == (ROWS, 4 + 2 + 3)
    for column in (age, day, price):  # half of the mean squared distance of two rows is the variance
        assert pdist(column, "sqeuclidean").mean() / 2 == pytest.approx(1, abs=0.06)
    given = np.array(columns["colour"])
    between = ((colour[:, None] - colour[None]) ** 2).sum(axis=2)
    assert (between == 2 * (given[:, None] != given)).all()
    if numbers == "standard":
        np.testing.assert_allclose(price[:, 0], zscore(columns["price"]), atol=1e-4)
        return
    expected = norm.ppf((rankdata(columns["price"]) - 0.5) / ROWS)
    np.testing.assert_allclose(price[:, 0], expected, atol=0.2)
    zeros = np.array(columns["count"]) == 0
    np.testing.assert_allclose(count[zeros], norm.ppf(zeros.mean() / 2), atol=0.02)


def test_a_map_is_kept_for_new_rows_and_blocks_do_not_matter(tmp_path: Path) -> None:
    columns = columns_of()
    named = TableEmbedding(columns=["price", "colour"], numbers="ranks")
    ref, rows = embedded(tmp_path / "once", columns, named)
    _, again = embedded(tmp_path / "blocks", columns, named, rows_per_block=170)
    assert (rows == again).all()
    later = columns_of(1) | {"colour": ["violet"] * ROWS}
    _, new = embedded(tmp_path / "later", later, named.model_copy(update={"fitted": ref.uri}))
    assert not new[:, 1:].any()
    price = np.searchsorted(np.sort(columns["price"]), later["price"]) / ROWS
    np.testing.assert_allclose(new[:, 0], norm.ppf(np.clip(price, norm.cdf(-3), norm.cdf(3))), atol=0.2)


def test_what_is_missing_lies_in_the_middle_and_is_told(tmp_path: Path) -> None:
    age: list[float | None] = [None if row % 10 == 0 else float(row) for row in range(ROWS)]
    age[1] = float("inf")
    colour = [None if row % 4 == 0 else "red" if row % 4 == 1 else "blue" for row in range(ROWS)]
    config = TableEmbedding(columns=["age", "colour"])
    _, rows = embedded(tmp_path, {"age": age, "colour": colour}, config)
    absent = np.array([one is None or np.isinf(one) for one in age])
    assert (rows[:, 1] == absent).all()
    assert not rows[absent, 0].any()
    assert (rows[~absent, 0].mean(), rows[~absent, 0].std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))
    assert (rows[:, 2:].sum(axis=1) == [one is not None for one in colour]).all()


def test_a_row_in_the_middle_is_not_one_of_which_nothing_is_known(tmp_path: Path) -> None:
    colour: list[str | None] = ["red", "blue", "red", None]
    _, rows = embedded(tmp_path / "colour", {"colour": colour}, TableEmbedding())
    assert rows.any(axis=1).tolist() == [True, True, True, False]
    _, rows = embedded(tmp_path / "age", {"age": [1.0, 2.0, 3.0], "huge": [-1e308, 0.0, 1e308]}, TableEmbedding())
    assert 0 < rows[1, 0] < 1e-5
    np.testing.assert_allclose(rows[[0, 2]], [[-(1.5**0.5)] * 2, [1.5**0.5] * 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"columns": ["weight"]}, "there is no column 'weight'"),
        ({"columns": ["always"]}, "column 'always' cannot be part of a vector: it holds one value"),
        ({}, "no column has numbers or categories"),
    ],
)
def test_what_cannot_be_embedded_is_named(tmp_path: Path, config: dict[str, Any], why: str) -> None:
    columns = {"remark": [f"remark {row}" for row in range(ROWS)], "always": [1] * ROWS}
    with pytest.raises(InputError, match=why):
        embedded(tmp_path, columns, TableEmbedding.model_validate(config))
