"""Made rows: between near rows of one group, apart from the real ones, without test rows, and gone with a parent."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evenkeel.expectations.concerns.accounting import MadeShare
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.kinds.made import Made
from evenkeel.tasks.annotate.kinds.splits import Splits
from evenkeel.tasks.versions.republish import without_children
from tests.annotate.annotated import annotated
from tests.sample.pools import write_pool

SIZES = {"large": 300, "small": 40, "tiny": 12}


def pool(folder: Path, block_rows: int = 100, alone: bool = False) -> tuple[dict[str, StepRef], np.ndarray, np.ndarray]:
    draw = np.random.default_rng(5)
    label = draw.permutation(np.repeat(list(SIZES), list(SIZES.values())))
    if alone:
        label[0] = "alone"
    centre = {"large": (0, 0, 0), "small": (6, 0, 0), "tiny": (0, 7, 0), "alone": (9, 9, 9)}
    vectors = np.array([centre[one] for one in label]) + draw.normal(0, 1, (len(label), 3))
    leaf = np.arange(len(label)) % 4
    done = write_pool(folder, vectors, levels=[leaf], groups={"label": label.tolist()}, block_rows=block_rows)
    return done, vectors.astype(np.float32), label


def made_of(ref: StepRef) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(Path(ref.uri, "beside").glob("*.parquet"))])


@pytest.mark.slow
def test_small_groups_are_filled_up_between_their_own_rows(tmp_path: Path) -> None:
    done, vectors, label = pool(tmp_path)
    table, (ref,) = annotated(done, tmp_path, Made(group="label", up_to=60, k=5))
    rows = made_of(ref)
    assert rows["label"].value_counts().to_dict() == {"tiny": 48, "small": 20}
    assert rows["ek_made"].all()
    assert ref.facts["made"] == 68 == sum(table["ek_made_rows"].to_pylist())
    for parents, share, vector, group in rows[["ek_parent_rows", "ek_share", "vector", "label"]].itertuples(
        index=False
    ):
        one, other = vectors[parents[0]], vectors[parents[1]]
        assert set(label[parents]) == {group}
        assert np.allclose(vector, one + share * (other - one), atol=1e-5)
        assert 0 < share < 1
        mine = np.flatnonzero(label == group)
        near = mine[np.argsort(((vectors[mine] - one) ** 2).sum(1))[1:6]]
        assert parents[1] in near, "the second parent is among the five nearest of the group"
    assert [f"row-{row}" for row in rows["ek_parent_rows"].iloc[0]] == list(rows["ek_parents"].iloc[0])
    assert rows["ek_parents"].map(tuple).nunique() > 50


@pytest.mark.slow
def test_rows_of_the_test_have_no_children(tmp_path: Path) -> None:
    done, _, _ = pool(tmp_path)
    table, refs = annotated(done, tmp_path, Splits(test=0.3), Made(group="label", up_to=60))
    frame = table.to_pandas()
    parents = set(np.concatenate(made_of(refs[1])["ek_parent_rows"].to_numpy()).tolist())
    assert parents <= set(frame[frame["ek_split"] == "train"]["row_id"])
    assert frame[frame["ek_split"] == "test"]["ek_made_rows"].sum() == 0


def test_mixtures_are_between_any_near_rows(tmp_path: Path) -> None:
    done, vectors, _ = pool(tmp_path)
    _, (ref,) = annotated(done, tmp_path, Made(rule="mixup", up_to=500, alpha=0.2))
    rows = made_of(ref)
    assert len(rows) == 500 - len(vectors)
    assert ((rows["ek_share"] < 0.1) | (rows["ek_share"] > 0.9)).mean() > 0.4, "beta(0.2) is near a parent"
    assert "label" not in rows


@pytest.mark.long
def test_cells_of_a_grid_are_filled_up_by_rows_mixed_with_those_of_other_cells(tmp_path: Path) -> None:
    """Two cells a side over the plane of the first two dimensions: 300 rows in one, 40 and 12 in others."""
    draw = np.random.default_rng(5)
    cell = draw.permutation(np.repeat([0, 1, 2], [300, 40, 12]))
    vectors = (np.array([(0, 0, 0), (9, 0, 0), (0, 7, 0)])[cell] + draw.normal(0, 0.1, (352, 3))).astype(np.float32)
    rule, found = Made(rule="mixup", over="grid", side=2, at_most=0.7), []
    for name, block_rows in (("a", 100), ("b", 400)):
        done = write_pool(tmp_path / name, vectors, levels=[cell], block_rows=block_rows)
        table, (ref,) = annotated(done, tmp_path / name, rule)
        assert sum(table["ek_made_rows"].to_pylist()) == ref.facts["made"] == 260 + 288
        found.append(made_of(ref).sort_values("ek_share").reset_index(drop=True))
    rows = found[0]
    parents = np.array(rows["ek_parent_rows"].tolist())
    assert np.bincount(cell[parents[:, 0]], minlength=3).tolist() == [0, 260, 288], "every cell comes to 300"
    assert (cell[parents[:, 0]] != cell[parents[:, 1]]).all()
    other = cell[parents[cell[parents[:, 0]] == 1, 1]]
    assert abs(np.mean(other == 0) - 0.5) < 0.12, "the other cells are drawn evenly, not by their rows"
    assert (rows["ek_share"] <= 0.5).all(), "a made row is nearer to its first parent"
    between = vectors[parents[:, 0]] + rows["ek_share"].to_numpy()[:, None] * (
        vectors[parents[:, 1]] - vectors[parents[:, 0]]
    )
    assert np.allclose(np.array(rows["vector"].tolist()), between, atol=1e-4)
    assert found[0]["ek_parents"].map(tuple).tolist() == found[1]["ek_parents"].map(tuple).tolist()
    with pytest.raises(ValueError, match="over: grid is for kind: mixup"):
        Made(over="grid", group="label")


def test_the_same_rows_for_any_cut_into_blocks(tmp_path: Path) -> None:
    found = []
    for name, block_rows in (("a", 100), ("b", 400)):
        done, _, _ = pool(tmp_path / name, block_rows)
        rows = made_of(annotated(done, tmp_path / name, Made(group="label", up_to=60))[1][0])
        found.append(
            sorted(
                (*parents, round(share, 9)) for parents, share in zip(rows["ek_parents"], rows["ek_share"], strict=True)
            )
        )
    assert found[0] == found[1]


@pytest.mark.long
def test_made_rows_of_digits_help_a_probe_no_less_than_leaving_rows_out(tmp_path: Path) -> None:
    filled, left_out = areas_of_a_probe(tmp_path)
    assert filled >= left_out


def areas_of_a_probe(folder: Path) -> tuple[float, float]:
    """Return the area under the curve of a linear model on all rows and made ones, and of one on equal classes.

    One digit is thinned to 12 rows.
    """
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(1)
    train = rng.random(len(x)) < 0.7
    rare = y == 8
    keep = rng.permutation(np.concatenate([np.flatnonzero(train & ~rare), np.flatnonzero(train & rare)[:12]]))
    names = ["rare" if one else "other" for one in rare[keep]]
    done = write_pool(folder, x[keep], levels=[np.zeros(len(keep), int)], groups={"label": names}, block_rows=500)
    rows = made_of(annotated(done, folder, Made(group="label", at_most=0.6))[1][0])
    filled = np.concatenate([x[keep], np.array(rows["vector"].tolist())])
    labels = np.concatenate([rare[keep], np.ones(len(rows), bool)])
    equal = np.concatenate([np.flatnonzero(rare[keep]), np.flatnonzero(~rare[keep])[:12]])
    auc = list[float]()
    for features, truth in ((filled, labels), (x[keep][equal], rare[keep][equal])):
        model = LogisticRegression(max_iter=2000, C=0.01).fit(features, truth)
        auc.append(float(roc_auc_score(rare[~train], model.decision_function(x[~train]))))
    return auc[0], auc[1]


def test_a_takedown_of_a_parent_takes_its_children() -> None:
    made = pa.table({"ek_parents": [["a", "b"], ["c", "d"], ["d", "a"]], "ek_share": [0.1, 0.2, 0.3]})
    assert without_children(made, pa.array(["a"]))["ek_share"].to_pylist() == [0.2]
    assert without_children(made.slice(0, 0), pa.array(["a"])).num_rows == 0


def test_a_group_of_one_row_and_too_many_rows_are_refused(tmp_path: Path) -> None:
    done, _, _ = pool(tmp_path, alone=True)
    with pytest.raises(RecipeError, match="label=alone: it has one row"):
        annotated(done, tmp_path, Made(group="label", up_to=20))
    with pytest.raises(RecipeError, match="more rows would be made"):
        annotated(pool(tmp_path / "b")[0], tmp_path / "b", Made(group="label", at_most=0.2))


def test_a_gate_bounds_the_share_of_made_rows() -> None:
    totals = pd.DataFrame([{"kept": 90, "made": 30}])
    assert MadeShare(at_most=0.2).measure(totals).value == pytest.approx(0.25)


@pytest.mark.slow
def test_a_version_holds_made_rows_apart(tmp_path: Path) -> None:
    from tests.annotate.test_version import rows_of, staged

    version = staged(tmp_path, made={"kind": "smote", "group": "site", "up_to": 7, "at_most": 0.9})
    made = pd.concat(
        pd.read_parquet(path) for path in sorted(Path(str(version.stage.facts["location"]), "made").glob("*.parquet"))
    )
    assert len(made) == version.annotations["made"].facts["made"] > 0
    assert len(rows_of(version)) == 200
    manifest = json.loads(Path(version.stage.uri, "staged.json").read_text())
    assert [entry["path"] for entry in manifest["files"] if entry["path"].startswith("made/")]
