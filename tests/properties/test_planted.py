"""Forty planted faults of ten kinds in docstrings, wine and breast cancer: all are found by id, clean data has none."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_wine

from evenkeel.expectations.concerns.properties import Holds
from evenkeel.tasks.ingest.harvest import docstrings
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.stated import measure_stated
from tests.properties.versions import write_version


def docstring_rows() -> pd.DataFrame:
    """Return the docstrings of modules of the standard library."""
    found = []
    for path in sorted(Path(json.__file__).parent.parent.glob("[a-d]*.py")):
        found += [(path.stem, name, kind, text) for name, text, kind in docstrings(path.read_bytes(), path.stem)]
    frame = pd.DataFrame(found, columns=["module", "name", "kind", "text"])
    frame["key"] = [f"{module}/{number}" for number, module in enumerate(frame["module"])]
    frame["home"] = frame["module"].str.upper()
    return frame.assign(words=[len(text.split()) for _, _, _, text in found])


def wine_rows() -> pd.DataFrame:
    """Return the wines with the names of their columns made plain, their cultivar, and a key."""
    frame = pd.DataFrame(load_wine(as_frame=True).frame)
    frame.columns = [name.replace("/", "_") for name in frame.columns]
    frame["cultivar"] = "cultivar-" + frame["target"].astype(str)
    return frame.assign(key=[f"wine/{n}" for n in range(len(frame))], home=frame["cultivar"].str.upper())


def cancer_rows() -> pd.DataFrame:
    """Return the tumours with the names of their columns made plain, their diagnosis, and a key."""
    frame = pd.DataFrame(load_breast_cancer(as_frame=True).frame)
    frame.columns = [name.replace(" ", "_") for name in frame.columns]
    frame["diagnosis"] = np.where(frame["target"] == 1, "benign", "malignant")
    return frame.assign(key=[f"tumour/{n}" for n in range(len(frame))], home=frame["diagnosis"].str.upper())


# Pool -> its rows, its groups, and by kind of fault: the column, the property that finds it, what is put into a row.
POOLS: dict[str, tuple[Callable[[], pd.DataFrame], str, dict[str, tuple[str, str, object]]]] = {
    "docstrings": (
        docstring_rows,
        "module",
        {
            "a missing value": ("name", "name is not null", None),
            "a value that is not allowed": ("kind", "kind in ['module', 'class', 'function', 'method']", "lambda"),
            "a broken format": ("key", "matches(key, '^[A-Za-z_0-9]+/[0-9]+$')", "No Key!"),
            "an implication broken": ("words", "length(text) > 0 implies words >= 1", 0),
            "out of range": ("words", "words <= 20000", 10**6),
            "too short": ("text", "length(text) >= 1", ""),
            "a rare group": ("kind", "forall kind: count >= 5", "rare"),
            "a duplicate key": ("key", "forall key: count == 1", "first"),
            "a group at odds with itself": ("home", "forall module: count(home == lower(home)) == 0", "lower"),
            "the wrong order": ("words", "words < length(text) + 2", 15_000),
        },
    ),
    "wine": (
        wine_rows,
        "cultivar",
        {
            "a missing value": ("alcohol", "alcohol is not null", None),
            "a value that is not allowed": ("cultivar", "cultivar in ['cultivar-0', 'cultivar-1', 'cultivar-2']", "x"),
            "a broken format": ("key", "matches(key, '^wine/[0-9]+$')", "vine/7"),
            "an implication broken": ("proline", "target == 0 implies proline > 500", -1),
            "out of range": ("malic_acid", "0 <= malic_acid < 10", 174.0),
            "too short": ("key", "length(key) >= 6", "w"),
            "a rare group": ("cultivar", "forall cultivar: count >= 20", "cultivar-9"),
            "a duplicate key": ("key", "forall key: count == 1", "first"),
            "a group at odds with itself": ("home", "forall cultivar: count(home == lower(home)) == 0", "lower"),
            "the wrong order": ("flavanoids", "flavanoids + 3 > nonflavanoid_phenols", -9.0),
        },
    ),
    "breast cancer": (
        cancer_rows,
        "diagnosis",
        {
            "a missing value": ("mean_radius", "mean_radius is not null", None),
            "a value that is not allowed": ("diagnosis", "diagnosis in ['benign', 'malignant']", "unknown"),
            "a broken format": ("key", "matches(key, '^tumour/[0-9]+$')", "tumor"),
            "an implication broken": ("mean_area", "mean_radius > 20 implies mean_area > 1000", 1.0),
            "out of range": ("mean_smoothness", "0 < mean_smoothness < 1", 9.0),
            "too short": ("key", "length(key) >= 8", "t"),
            "a rare group": ("diagnosis", "forall diagnosis: count >= 50", "rare"),
            "a duplicate key": ("key", "forall key: count == 1", "first"),
            "a group at odds with itself": ("home", "forall diagnosis: count(home == lower(home)) == 0", "lower"),
            "the wrong order": ("mean_radius", "mean_radius <= worst_radius", 10_000.0),
        },
    ),
}  # fmt: skip


def plant(frame: pd.DataFrame, column: str, value: object, row: int) -> pd.DataFrame:
    """Return the rows with one value of one row replaced."""
    values = frame[column].tolist()
    values[row] = {"first": values[0], "lower": str(values[row]).lower()}.get(str(value), value)
    return frame.assign(**{column: values})


def scan(frame: pd.DataFrame, stated: list[str], folder: Path) -> dict[str, tuple[int, set[str], str]]:
    """Return for each property: how many break it, the ids or groups that are named, and all that is said of them."""
    rows = write_version(folder, pa.Table.from_pandas(frame, preserve_index=False), block_rows=500)
    run = Run(str(folder), "planted", folder)
    found = measure_stated(
        [Holds(property=text) for text in stated], rows, None, len(frame), str(folder / "scan"), True, run
    )
    return {
        line["key"]: (
            line["broken"],
            {one["name"] for one in line["counterexamples"]},
            " ".join(f"{one['name']} {one['why']}" for one in line["counterexamples"]),
        )
        for line in found.to_dict("records")
    }


@pytest.mark.long
@pytest.mark.parametrize("pool", POOLS)
def test_planted_faults_are_found_by_id_and_clean_data_has_none(pool: str, tmp_path: Path) -> None:
    made, group, faults = POOLS[pool]
    frame, draw, planted = made(), np.random.default_rng(3), 0
    stated = [text for _, text, _ in faults.values()]
    assert {text: broken for text, (broken, _, _) in scan(frame, stated, tmp_path / "clean").items() if broken} == {}
    candidates = np.arange(1, len(frame))
    if pool == "wine":
        candidates = candidates[frame["target"].to_numpy()[1:] == 0]
    if pool == "breast cancer":
        candidates = candidates[frame["mean_radius"].to_numpy()[1:] > 21]
    for number, (kind, (column, text, value)) in enumerate(faults.items()):
        for again in range(2 if pool == "wine" else 1):
            row = int(draw.choice(candidates))
            found = scan(plant(frame, column, value, row), [text], tmp_path / f"{number}-{again}")[text]
            planted += 1
            assert found[0] == 1, kind
            named = f"row-{row}" if not text.startswith("forall") else None
            if named is not None:
                assert found[1] == {named}, kind
            elif kind == "a group at odds with itself":
                assert found[1] == {str(frame[group].iloc[row])}
            elif kind == "a duplicate key":
                assert found[1] == {str(frame["key"].iloc[0])}
            else:
                assert f"for one, row-{row}" in found[2], kind
    assert planted == (20 if pool == "wine" else 10)
