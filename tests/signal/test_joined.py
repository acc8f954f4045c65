"""Joined signals: every row gets the value of its id, whatever the order, the files, and the number of workers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal import shuffle
from evenkeel.tasks.signal.kinds.joined import JoinedSignal
from evenkeel.tasks.signal.signal import SIGNALS
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, write_pool

ROWS = 300


@pytest.fixture
def done(tmp_path: Path) -> dict[str, StepRef]:
    return write_pool(
        tmp_path, np.eye(2)[np.arange(ROWS) % 2], levels=[np.arange(ROWS) % 2], ids=list(map(str, range(ROWS)))
    )


def write(folder: Path, **columns: Any) -> str:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"part-{len(list(folder.iterdir()))}.parquet")
    return str(folder)


def joined(tmp_path: Path, done: dict[str, StepRef], **options: Any) -> tuple[StepRef, list[float | None]]:
    ref = compute_signal(JoinedSignal(name="loss", **options), done, InProcess(make_run(tmp_path)))
    values = Pool.open(done["ingest"], signals={"loss": ref}).column("score.loss")
    return ref, [None if np.isnan(value) else float(value) for value in values]


@pytest.mark.parametrize("rows_at_once", [1 << 21, 40])
def test_a_shuffled_incomplete_and_doubled_list(
    tmp_path: Path, done: dict[str, StepRef], rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffle, "ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr("evenkeel.tasks.signal.joining.ROWS_AT_ONCE", rows_at_once)
    rng = np.random.default_rng(0)
    listed = rng.permutation(np.concatenate([np.arange(0, ROWS, 3), np.arange(0, 30, 3), np.arange(ROWS, ROWS + 7)]))
    for part in np.array_split(listed, 4):
        place = write(tmp_path / "list", id=part, loss=part / 7)
    ref, values = joined(tmp_path, done, join=place)
    assert values == [row / 7 if row % 3 == 0 else None for row in range(ROWS)]
    counts = {"listed": 117, "matched": 100, "misses": 200, "strays": 7, "doubles": 10, "without": 0}
    assert {name: ref.facts[name] for name in counts} == counts
    assert ref.counts == {"rows": ROWS, "missing": 200}
    assert all(int(one.split("'")[1]) >= ROWS for one in ref.facts["examples_of_strays"])
    named = [pq.read_table(path).num_rows for path in Path(ref.uri, "fit", "strays").iterdir()]
    again = [pq.read_table(path).num_rows for path in Path(ref.uri, "fit", "doubles").iterdir()]
    assert (sum(named), sum(again)) == (7, 10)


@pytest.mark.parametrize(("doubles", "expected"), [("first", [1.0, 5.0]), ("last", [3.0, 5.0]), ("mean", [2.0, 5.0])])
def test_an_id_with_two_values(tmp_path: Path, done: dict[str, StepRef], doubles: str, expected: list[float]) -> None:
    place = write(tmp_path / "list", id=["0", "1", "0", "1"], value=[1.0, 5.0, 3.0, 5.0])
    _, values = joined(tmp_path, done, join=place, column="value", doubles=doubles)
    assert values[:3] == [*expected, None]
    with pytest.raises(
        InputError, match=r"1 row\(s\) of the list(.|\n)*'0' \(part-0.parquet, row 2\)(.|\n)*doubles: first"
    ):
        joined(tmp_path, done, join=place, column="value")


def test_lists_in_other_formats_and_types(tmp_path: Path, done: dict[str, StepRef]) -> None:
    (tmp_path / "a.jsonl").write_text('{"key": 2, "loss": 2}\n{"key": 1, "loss": null}\n')
    (tmp_path / "b.csv").write_text("key,loss\n4,0.25\n3,\n")
    write(tmp_path / "c", key=[5.0, 6.0], loss=[True, False])
    places = [f"{tmp_path}/a.jsonl", f"{tmp_path}/b.csv", f"{tmp_path}/c"]
    ref, values = joined(tmp_path, done, join=places, on="key")
    assert values[:8] == [None, None, 2.0, None, 0.25, 1.0, 0.0, None]
    assert (ref.facts["matched"], ref.facts["without"], ref.facts["misses"]) == (6, 2, ROWS - 6)


@pytest.mark.parametrize(
    ("columns", "options", "match"),
    [
        ({"id": ["a-1", "a-2"], "loss": [1.0, 2.0]}, {}, r"no id of the list(.|\n)*'0', '1', '2'(.|\n)*'a-1', 'a-2'"),
        ({"id": ["1"], "score": [1.0]}, {}, r"no column 'loss'(.|\n)*id, score(.|\n)*column"),
        ({"key": ["1"], "loss": [1.0]}, {}, r"no column 'id'(.|\n)*on"),
        ({"id": ["1", None], "loss": [1.0, 2.0]}, {}, r"names no id(.|\n)*row 1"),
        ({"id": ["1"], "loss": ["high"]}, {}, r"no number(.|\n)*high"),
        ({"id": ["1"], "loss": [[1.0]]}, {}, r"none of numbers(.|\n)*list"),
        ({"id": [2.0**60], "loss": [1.0]}, {}, "rounded"),
        ({"id": ["1"], "loss": [float("inf")]}, {}, r"infinite(.|\n)*row_id 1"),
    ],
)
def test_a_list_that_cannot_be_joined_is_named(
    tmp_path: Path, done: dict[str, StepRef], columns: dict[str, Any], options: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        joined(tmp_path, done, join=write(tmp_path / "list", **columns), **options)


def test_a_list_that_is_not_there_is_named_by_its_signal(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.parquet is not there(.|\n)*check signals, loss, join"):
        JoinedSignal(name="loss", join=str(tmp_path / "none.parquet")).current()


def test_a_changed_file_is_another_signal(tmp_path: Path, done: dict[str, StepRef]) -> None:
    place = write(tmp_path / "list", id=["1"], loss=[1.0])
    first, _ = joined(tmp_path, done, join=place)
    assert joined(tmp_path, done, join=place)[0].key == first.key
    write(tmp_path / "list", id=["2"], loss=[2.0])
    second, values = joined(tmp_path, done, join=place)
    assert second.key != first.key
    assert values[:3] == [None, 1.0, 2.0]
    assert SIGNALS.get("joined") is JoinedSignal
