"""Signals, filters and entries that cannot be meant are named by `run`; odd ones that can be meant lose no row."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import yaml

from evenkeel.expectations.concerns.accounting import DISPOSITIONS
from tests.flows.cli.calls import invoke

ROWS, D = 600, 4


def write_pool(folder: Path) -> None:
    """Write rows of three kinds with a number that is 0 for one, missing for one and NaN for one."""
    rng = np.random.default_rng(0)
    kind = np.arange(ROWS) % 3
    loss = np.where(np.arange(ROWS) == 5, 0.0, rng.uniform(0.1, 1, ROWS))
    table = {
        "id": np.arange(1000, 1000 + ROWS),
        "text": [f"row {row} of a.b*c(d) and c++ kind {kind[row]}" for row in range(ROWS)],
        "kind": [f"kind-{one}" for one in kind],
        "loss": pa.array(np.where(np.arange(ROWS) == 8, np.nan, loss), mask=np.arange(ROWS) == 7),
        "vector": list(np.asarray(np.eye(3, D)[kind] * 5 + rng.normal(0, 0.5, (ROWS, D)), np.float32)),
    }
    folder.mkdir()
    pq.write_table(pa.table(table), folder / "rows.parquet")


def write_lists(folder: Path) -> None:
    """Write lists of values: ids named twice, ids of another type, ids of nothing, and all of them, some with NaN."""
    ids, values = np.arange(1000, 1000 + ROWS), np.linspace(0, 1, ROWS)
    csv.write_csv(pa.table({"id": [*ids, 1004], "score": [*values, 0.5]}), folder / "double.csv")
    pq.write_table(pa.table({"id": ids + 0.5, "score": values}), folder / "float.parquet")
    pq.write_table(pa.table({"id": [f"row-{one}" for one in ids], "score": values}), folder / "other.parquet")
    holes = np.where(ids % 50 == 0, np.nan, values)
    pq.write_table(pa.table({"id": [str(one) for one in ids], "score": holes}), folder / "nan.parquet")


def run(folder: Path, *options: str, **parts: Any) -> tuple[int, str]:
    """Return exit code and output of a run of a recipe with those parts; what is printed is no traceback."""
    document = {
        "dataset": "odd",
        "source": {"uri": str(folder / "pool"), "id": "id", "text": "text", "vector": "vector", "groups": ["kind"]},
        "dedup": {"near": None},
        "clustering": {"levels": [12]},
        "compute": "inline",
        "sampling": {"target": 60},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
        **parts,
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(document))
    code, output = invoke("run", file, *options)
    assert "Traceback" not in output, output
    return code, output


def joined(folder: Path, name: str, **options: Any) -> list[dict[str, Any]]:
    return [{"name": "score", "join": str(folder / name), "on": "id", **options}]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server")
def test_what_cannot_be_meant_is_named(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool")
    write_lists(tmp_path)
    (tmp_path / "blank.txt").write_text("\n  \n\n")
    by_score = {"sampling": {"target": 60, "strategy": {"name": "weighted", "by": "score"}}}
    wrong: list[tuple[dict[str, Any], list[str]]] = [
        ({"signals": joined(tmp_path, "double.csv")}, ["1004", "doubles"]),
        ({"signals": joined(tmp_path, "float.parquet")}, ["1000", "1000.5"]),
        ({"signals": joined(tmp_path, "other.parquet")}, ["1000", "row-1000"]),
        ({"signals": joined(tmp_path, "nan.parquet"), **by_score}, ["score", "12 of 600 rows"]),
        ({"signals": [{"name": "s", "of": "lost + 1"}]}, ["lost", "loss"]),
        ({"signals": [{"name": "s", "of": "1 / loss"}]}, ["division by zero", "row_id 5"]),
        ({"signals": [{"name": "s", "of": "kind * 2"}]}, ["kind"]),
        ({"filters": [{"drop": "loss >= 0 or loss is null"}]}, ["leaves no row", "all 600 rows"]),
        (
            {"entries": [{"name": "words", "uri": str(tmp_path / "blank.txt")}]},
            ["list of entries is empty", "3 line(s)", "blank.txt"],
        ),
    ]
    for parts, messages in wrong:
        code, output = run(tmp_path, **parts)
        assert code in (1, 2), output
        assert all(message in output for message in messages), (messages, output)
    assert not (tmp_path / "published" / "odd" / "versions.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server")
def test_what_is_odd_and_can_be_meant_loses_no_row(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool")
    write_lists(tmp_path)
    many = [f"entry {number}" for number in range(500_000)]
    (tmp_path / "entries.txt").write_text("\n".join(["a.b*c(d)", "", "c++", "   ", "[", *many, "row 17"]) + "\n")
    taken: list[dict[str, Any]] = [
        {"signals": joined(tmp_path, "double.csv", doubles="mean")},
        {"signals": joined(tmp_path, "nan.parquet"), "filters": [{"drop": "score > 0.9"}]},
        {"signals": joined(tmp_path, "nan.parquet"), "filters": [{"drop": "score > 0.9", "missing": "drop"}]},
        {"signals": [{"name": "s", "of": "where(loss == 0, null, 1 / loss)"}]},
        {"entries": [{"name": "words", "uri": str(tmp_path / "entries.txt")}]},
    ]
    filtered = []
    for parts in taken:
        code, output = run(tmp_path, "--json", **parts)
        assert code == 0, output
        found = json.loads(output[output.index("{") :])
        totals, rows = found["totals"], pd.read_parquet(found["data"])
        assert totals["read"] == ROWS == sum(totals[fate] for fate in DISPOSITIONS)
        assert (totals["kept"], totals["quarantined"]) == (len(rows), 0) == (60, 0)
        filtered.append(totals["filtered"])
    above = int((np.delete(np.linspace(0, 1, ROWS), np.arange(0, ROWS, 50)) > 0.9).sum())
    assert filtered == [0, above, above + ROWS // 50, 0, 0]
    assert all({"a.b*c(d)", "c++"} <= set(words) <= {"a.b*c(d)", "c++", "row 17"} for words in rows["ek_signal_words"])
