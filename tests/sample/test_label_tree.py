"""The strategy `tree`: sibling labels have equal shares at every level, as far as they have rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.strata.coding import code_columns
from tests.sample.pools import make_run, sampled, write_pool

COLUMNS = ["domain", "topic", "style"]


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    """A lopsided tree: web has 5 topics, books 2, talk 1; of the styles of web/t0 one has four rows."""
    rng = np.random.default_rng(3)
    rows = []
    for domain, topics, size in (("web", 5, 1500), ("books", 2, 300), ("talk", 1, 200)):
        for _ in range(size):
            topic = min(int(rng.geometric(0.5)) - 1, topics - 1)
            rows.append((domain, f"t{topic}", "ab"[int(rng.random() < 0.3)]))
    rows += [("web", "t0", "rare")] * 4
    return pd.DataFrame(rows, columns=COLUMNS).sample(frac=1, random_state=0, ignore_index=True)


def kept_of(labels: pd.DataFrame, folder: Path, target: int, columns: list[str] = COLUMNS) -> pd.DataFrame:
    done = write_pool(
        folder / "pool",
        np.zeros((len(labels), 2)),
        levels=[np.zeros(len(labels), np.int64)],
        groups={name: list(labels[name]) for name in COLUMNS},
        block_rows=500,
    )
    config = SamplingConfig.model_validate({"strategy": {"name": "tree", "columns": columns}, "target": target})
    table = Selection.open(sampled(config, done, make_run(folder))).table().to_pandas()
    assert table["copies"].tolist() == [1] * target
    kept: pd.DataFrame = labels.iloc[table["row_id"].to_numpy()]
    return kept


def test_siblings_have_equal_shares_at_every_level(labels: pd.DataFrame, tmp_path: Path) -> None:
    kept = kept_of(labels, tmp_path, 181)
    small = 0
    for depth in range(3):
        for parent in sorted({path[:depth] for path in zip(*(kept[name] for name in COLUMNS), strict=True)}):
            inside = (kept[COLUMNS[:depth]] == list(parent)).all(axis=1)
            of_pool = labels[(labels[COLUMNS[:depth]] == list(parent)).all(axis=1)][COLUMNS[depth]].value_counts()
            counts = kept[inside][COLUMNS[depth]].value_counts().reindex(of_pool.index, fill_value=0)
            whole = counts == of_pool
            small += int(whole.sum())
            free = counts[~whole]
            assert free.max() - free.min() <= 1, f"siblings below {parent}: {dict(counts)}"
            assert (counts[whole] <= free.max() + 1).all(), "who has too few rows gives all it has"
    assert small >= 1
    assert kept["domain"].value_counts().max() - kept["domain"].value_counts().min() <= 1
    assert (labels["domain"].value_counts(normalize=True) > 0.7).any(), "the pool itself is lopsided"


def test_the_order_of_columns_is_the_order_of_levels(labels: pd.DataFrame, tmp_path: Path) -> None:
    styles = kept_of(labels, tmp_path, 184, ["style", "domain"])["style"].value_counts()
    assert styles.to_dict() == {"a": 90, "b": 90, "rare": 4}


def test_paths_below_one_label_have_one_parent() -> None:
    paths = [("a", "x", "1"), ("a", "x", "2"), ("a", "y", "1"), ("b", "x", "1")]
    coding, _ = code_columns([pa.chunked_array([pa.array(column)]) for column in zip(*paths, strict=True)])
    finest, middle = coding.parents()
    assert finest.tolist() == [0, 0, 1, 2]
    assert middle.tolist() == [0, 0, 1]
    alone, _ = code_columns([pa.chunked_array([pa.array(["a", "b"])])])
    assert alone.parents() == ()
