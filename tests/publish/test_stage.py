"""Staging: the data files are the selection, sorted, whole, typed for Iceberg, and the same whatever the workers."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import AccountingError, InputError, StorageError
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.order import plan
from evenkeel.tasks.publish.staging.step import STAGE, read_staged
from evenkeel.tasks.step import Run
from tests.publish import small_steps


def staged_rows(folder: str) -> pd.DataFrame:
    return pd.read_parquet(storage.join(folder, "data"))


def test_data_files_hold_exactly_the_selection_in_order(
    tmp_path: Path, destination: DestinationConfig, run: Run
) -> None:
    small = small_steps.make(tmp_path / "steps")
    staged = read_staged(STAGE(destination.staging(), StageInputs.of(small.refs), run))
    rows = staged_rows(staged.folder)

    assert set(rows["id"]) == {f"doc-{number:07d}" for number in small.kept}
    assert (rows["id"] == rows["ek_id"]).all()
    path = rows[["ek_cluster_2", "ek_cluster_1", "ek_row_id"]]
    assert path.equals(path.sort_values(list(path.columns), ignore_index=True))
    number = rows["ek_id"].str.removeprefix("doc-").astype(int)
    assert (rows["ek_cluster_1"].to_numpy() == small.leaf[number]).all()
    assert (rows["ek_identity"].to_numpy().view(np.uint64) == small.rows["identity"].to_numpy()[number]).all()
    assert [entry.rows for entry in staged.data] == [50, 50, 50, 50]
    footer = pq.ParquetFile(storage.join(staged.folder, "data", "part-00000.parquet")).metadata
    assert footer.row_group(0).num_rows == 16
    assert footer.row_group(0).column(0).compression == "ZSTD"


def test_every_row_has_one_disposition(tmp_path: Path, destination: DestinationConfig, run: Run) -> None:
    small = small_steps.make(tmp_path / "steps")
    ref = STAGE(destination.staging(), StageInputs.of(small.refs), run)
    staged = read_staged(ref)
    others = pd.read_parquet(storage.join(staged.folder, "fates"))

    assert not others["ek_row_id"].duplicated().any()
    assert not set(others["ek_id"]) & set(staged_rows(staged.folder)["ek_id"])
    assert len(others) + ref.counts["kept"] == ref.counts["read"] == 501
    assert others["fate"].value_counts().to_dict() == {
        name: ref.counts[name] for name in ("deduplicated", "not_sampled", "quarantined")
    }
    assert set(others.loc[others["fate"] == "quarantined", "reason"]) == {"excluded", "empty text"}
    twins, rows = others[others["fate"] == "deduplicated"], staged_rows(staged.folder)
    assert set(twins["duplicate_of"]) <= set(rows["ek_row_id"])
    stand = 1 + rows["ek_row_id"].map(twins["duplicate_of"].value_counts()).fillna(0).astype(int)
    assert rows["ek_group_size"].tolist() == stand.tolist()
    assert rows["ek_group_size"].max() > 1


def test_bytes_do_not_depend_on_workers_or_memory(tmp_path: Path, run: Run) -> None:
    small = small_steps.make(tmp_path / "steps")
    keys = set()
    for number, compute in enumerate([Compute(threads=1), Compute(threads=7, memory_limit=8)]):
        config = DestinationConfig(uri=str(tmp_path / f"published-{number}"), rows_per_file=37)
        keys.add(
            STAGE(config.staging(), StageInputs.of(small.refs), Run(run.workspace, "demo", run.scratch, compute)).facts[
                "content_key"
            ]
        )
    assert len(keys) == 1


def test_pointers_hold_where_rows_lie_and_their_groups(tmp_path: Path, run: Run) -> None:
    config = DestinationConfig(uri=str(tmp_path / "published"), payload="pointers")
    staged = read_staged(STAGE(config.staging(), StageInputs.of(small_steps.make(tmp_path / "steps").refs), run))
    assert list(staged_rows(staged.folder).columns) == [
        "language", "ek_row_id", "ek_id", "ek_identity", "ek_shard", "ek_row", "ek_cluster_1", "ek_cluster_2",
        "ek_copies", "ek_weight", "ek_group_size",
    ]  # fmt: skip


def test_odd_types_are_published_without_loss(tmp_path: Path, destination: DestinationConfig, run: Run) -> None:
    values: dict[str, Any] = {
        "big": pa.array([2**64 - 1 - i for i in range(500)], pa.uint64()),
        "tiny": pa.array([i % 200 for i in range(500)], pa.uint8()),
        "half": pa.array(np.arange(500, dtype=np.float16)),
        "kind": pa.array([["x", "y"][i % 2] for i in range(500)]).dictionary_encode(),
        "when": pa.array([i * 1000 for i in range(500)], pa.timestamp("ns", tz="Europe/Paris")),
        "pair": pa.array([[i, i + 1] for i in range(500)], pa.list_(pa.int16(), 2)),
        "deep": pa.array(
            [{"a": [i], "b": None} for i in range(500)], pa.struct([("a", pa.list_(pa.uint32())), ("b", pa.null())])
        ),
        "map": pa.array([[(str(i), i)] for i in range(500)], pa.map_(pa.string(), pa.int64())),
    }  # fmt: skip
    small = small_steps.make(tmp_path / "steps", extra=values)
    staged = read_staged(STAGE(destination.staging(), StageInputs.of(small.refs), run))
    table = pq.read_table(storage.join(staged.folder, "data"))
    for row in table.to_pylist():
        i = int(row["ek_id"].removeprefix("doc-"))
        assert row["big"] == 2**64 - 1 - i
        assert (row["tiny"], row["half"], row["kind"]) == (i % 200, i, ["x", "y"][i % 2])
        assert (row["pair"], row["deep"], row["map"]) == ([i, i + 1], {"a": [i], "b": None}, [(str(i), i)])
        assert row["when"].microsecond == i


def test_a_type_without_counterpart_is_named(tmp_path: Path, destination: DestinationConfig, run: Run) -> None:
    odd = pa.array([1] * 500, pa.decimal256(60, 2))
    small = small_steps.make(tmp_path / "steps", extra={"odd": odd})
    with pytest.raises(InputError, match="column 'odd' cannot be published"):
        STAGE(destination.staging(), StageInputs.of(small.refs), run)
    assert storage.list_files(storage.join(destination.uri, "demo")) == []


def test_rows_that_do_not_add_up_stop_the_run(tmp_path: Path, destination: DestinationConfig, run: Run) -> None:
    small = small_steps.make(tmp_path / "steps")
    uri = storage.join(small.refs["ingest"].uri, "pool.json")
    storage.write_json(uri, {**storage.read_json(uri), "read": 502})
    with pytest.raises(AccountingError, match="502 rows read"):
        STAGE(destination.staging(), StageInputs.of(small.refs), run)


def test_a_destination_that_takes_no_files_is_refused_before_the_work(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("not a folder")
    config = DestinationConfig(uri=str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"cannot (write|create)"):
        STAGE(config.staging(), StageInputs.of(small_steps.make(tmp_path / "steps").refs), run)


def test_the_next_attempt_clears_what_a_killed_one_left(
    tmp_path: Path, destination: DestinationConfig, run: Run
) -> None:
    small = small_steps.make(tmp_path / "steps")
    folder = STAGE.folder(destination.staging(), StageInputs.of(small.refs), run)
    left = storage.join(destination.uri, "demo", "versions", "killed")
    storage.write_bytes(storage.join(left, "data", "part-00000.parquet"), b"half")
    storage.write_json(
        folder.path("attempts", "killed.json"), {"folder": left, "host": socket.gethostname(), "pid": 2**22 + 1}
    )
    STAGE(destination.staging(), StageInputs.of(small.refs), run)
    assert not storage.exists(left)
    assert len(storage.list_files(folder.path("attempts"))) == 1


@settings(max_examples=60)
@given(
    st.integers(1, 400),
    st.integers(1, 9),
    st.integers(1, 90),
    st.integers(0, 10**6),
    st.integers(1, 50),
    st.integers(1, 3),
)
@pytest.mark.long
def test_files_cut_the_published_order_evenly(
    rows: int, leaves: int, rows_per_file: int, seed: int, group: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    leaf = rng.integers(0, leaves, rows).astype(np.int32)
    row = np.sort(rng.choice(1 << 42, rows, replace=False)).astype(np.uint64)
    paths = np.stack([np.arange(leaves), *(rng.integers(0, 3, leaves) for _ in range(levels - 1))], 1).astype(np.int32)
    sink = pa.BufferOutputStream()
    uri = f"memory://order-{seed}-{rows}.parquet"
    pq.write_table(pa.table({"row_id": row, "leaf": leaf}), sink, row_group_size=group)
    storage.write_bytes(uri, sink.getvalue().to_pybytes())

    order = plan(uri, paths, rows_per_file)
    by = order.sort(leaf, row)
    cuts = order.cuts(leaf[by], row[by])

    expected = np.lexsort((row, *paths[leaf].T))
    assert (by == expected).all()
    sizes = np.diff(cuts)
    assert sizes.sum() == rows
    assert sizes.max() <= rows_per_file
    assert sizes.max() - sizes.min() <= 1
    some = np.sort(rng.choice(rows, rng.integers(0, rows + 1), replace=False))
    mine = some[order.sort(leaf[some], row[some])]
    owner = np.empty(rows, int)
    owner[by] = np.repeat(np.arange(order.files), sizes)
    assert (np.repeat(np.arange(order.files), np.diff(order.cuts(leaf[mine], row[mine]))) == owner[mine]).all()
