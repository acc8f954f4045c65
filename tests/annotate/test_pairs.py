"""Negatives: near rows that are no false ones, the same for any blocks, and a guide that does not fit is named."""

from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.kinds.pairs import Pairs
from tests.annotate.annotated import annotated
from tests.annotate.guided import GUARD, false_shares, guided_pool

ROWS, MODULES = 1200, 60


def unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of 60 modules: vectors of their style as much as of their module, which a guide sees more clearly."""
    draw = np.random.default_rng(4)
    module = draw.permutation(np.arange(ROWS) % MODULES)
    meaning = draw.normal(size=(MODULES, 24))[module]
    style = draw.normal(size=(40, 24))[draw.integers(0, 40, ROWS)]
    vectors = unit(meaning + 1.2 * style + draw.normal(0, 0.5, (ROWS, 24)))
    query, positive = (unit(meaning + draw.normal(0, 0.3, (ROWS, 24))) for _ in range(2))
    return module, vectors, query, positive


def pool(folder: Path, block_rows: int = 500, cut: int = 0) -> dict[str, StepRef]:
    return guided_pool(folder, *planted()[1:], block_rows, cut)


def negatives(folder: Path, block_rows: int = 500, **options: object) -> tuple[list[list[int]], StepRef]:
    one = Pairs.model_validate(options)
    table, (ref,) = annotated(pool(folder, block_rows), folder, one)
    return table["ek_negatives"].to_pylist(), ref


@pytest.mark.parametrize("negative", ["", "guide"])
@pytest.mark.long
def test_a_guard_turns_false_negatives_away_at_equal_similarity(tmp_path: Path, negative: str) -> None:
    module, vectors, query, positive = planted()
    found, ref = negatives(tmp_path, guard={**GUARD, "negative": negative})
    assert {len(row) for row in found} == {8}
    rows = np.array(found)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    guide = query @ (query if negative else positive).T
    allowed = guide <= (query * positive).sum(axis=1)[:, None] - 0.05
    expected = np.argsort(-np.where(allowed, cosine, -np.inf), axis=1, kind="stable")[:, :8]
    assert (rows == expected).mean() > 0.999, "the nearest that the guide lets pass, as brute force finds them"
    similar = float(np.take_along_axis(cosine, rows, 1).mean())
    assert ref.facts["mean_similarity"] == pytest.approx(similar, abs=1e-5)
    plain, guarded, _ = false_shares(vectors, module, rows)
    assert plain >= 4 * guarded, "unguarded negatives that are as near hold four times as many false ones"


def test_some_negatives_are_random_and_none_comes_twice(tmp_path: Path) -> None:
    found, _ = negatives(tmp_path / "a", negatives=6, random=2)
    rows = np.array(found)
    assert rows.shape == (ROWS, 6)
    assert all(len(set(row)) == 6 and at not in row for at, row in enumerate(rows.tolist()))
    assert len(np.unique(rows[:, 4:])) > 0.8 * ROWS
    again, _ = negatives(tmp_path / "b", 1200, negatives=6, random=2)
    assert np.mean(np.array(again) == rows) > 0.999


def test_a_guide_of_another_dimension_is_named(tmp_path: Path) -> None:
    done = pool(tmp_path, cut=3)
    with pytest.raises(InputError, match="not of one dimension") as error:
        annotated(done, tmp_path, Pairs.model_validate({"guard": GUARD}))
    assert "21 to 24" in str(error.value)
    with pytest.raises(InputError, match="holds no vectors"):
        annotated(done, tmp_path, Pairs.model_validate({"guard": {"guide": "text"}}))
    with pytest.raises(ValueError, match="cannot be random"):
        Pairs(negatives=2, random=3)
