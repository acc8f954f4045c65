"""Streaming: every row as often as its copies say, whoever shares the work; same seed, same order; exact resume."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenkeel.infra.errors import InputError
from evenkeel.tasks.reading.stream import RowStream
from tests.publish.fixtures import Publish


@pytest.fixture
def data(publish_one: Publish) -> str:
    return publish_one().data


def ids(stream: RowStream, **where: int) -> list[str]:
    return [one for batch in stream.batches(**where) for one in batch["ek_id"]]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 70),
    window=st.integers(1, 9),
    consumers=st.integers(1, 7),
    epoch=st.integers(0, 3),
    copies=st.booleans(),
    stop=st.integers(0, 40),
)
@pytest.mark.long
def test_consumers_share_an_epoch_and_resume_exactly(
    data: str, batch: int, window: int, consumers: int, epoch: int, copies: bool, stop: int
) -> None:
    rows = pd.read_parquet(data)
    stream = RowStream(data, batch=batch, window=window, seed=3, copies=copies)
    expected = Counter(dict(zip(rows["ek_id"], rows["ek_copies"] if copies else np.ones(len(rows), int), strict=True)))
    seen: Counter[str] = Counter()
    for consumer in range(consumers):
        whole = [batch["ek_id"] for batch in stream.batches(epoch, consumer=consumer, consumers=consumers)]
        assert all(len(part) == batch for part in whole[:-1])
        rest = [b["ek_id"] for b in stream.batches(epoch, consumer=consumer, consumers=consumers, skip=stop)]
        assert rest == whole[stop:]
        assert stream.length(epoch, consumer=consumer, consumers=consumers) == len(whole)
        seen.update(one for part in whole for one in part)
    assert seen == expected


def test_epochs_and_seeds_shuffle_and_repeat(data: str) -> None:
    one = RowStream(data, seed=1, window=4)
    assert ids(one, epoch=0) == ids(RowStream(data, seed=1, window=4), epoch=0)
    assert ids(one, epoch=0) != ids(one, epoch=1)
    assert ids(one, epoch=0) != ids(RowStream(data, seed=2, window=4), epoch=0)
    assert ids(RowStream(data, shuffle=False, copies=False)) == list(pd.read_parquet(data)["ek_id"])


def test_a_batch_holds_numbers_as_arrays(data: str) -> None:
    batch = next(RowStream(data, columns=["text", "ek_weight"], batch=5).batches())
    assert list(batch) == ["text", "ek_weight"]
    assert batch["ek_weight"].dtype == np.float64
    assert len(batch["text"]) == 5


def test_vectors_come_as_one_array_and_ragged_lists_as_lists(publish_one: Publish) -> None:
    vectors = [[float(number), number + 0.5] for number in range(500)]
    ragged = [[1.0] * (number % 3) for number in range(500)]
    mixed = [[1.0, 2.0] if number < 490 else [3.0] for number in range(500)]
    data = publish_one(extra={"vector": vectors, "ragged": ragged, "mixed": mixed}).data
    batches = list(RowStream(data, batch=50, window=2, copies=False).batches())
    assert sorted(map(len, (one for b in batches for one in b["mixed"]))).count(1) == len(
        [one for b in batches for one in b["ek_id"] if int(one.removeprefix("doc-")) >= 490]
    )
    batch = batches[0]
    numbers = [int(one.removeprefix("doc-")) for one in batch["ek_id"]]
    assert (batch["vector"] == np.array([vectors[number] for number in numbers])).all()
    assert batch["ragged"] == [ragged[number] for number in numbers]


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Parquet files"):
        RowStream(str(tmp_path))


def test_a_dataloader_resumes_exactly_and_ranks_share(data: str) -> None:
    torch = pytest.importorskip("torch")
    from evenkeel.tasks.reading.torch import TorchStream

    def load(rank: int, ranks: int, workers: int, epoch: int, after: int = 0) -> list[list[str]]:
        stream = TorchStream(RowStream(data, batch=16, window=2, seed=5), rank=rank, ranks=ranks)
        stream.resume(epoch, after)
        loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers)
        batches = list(loader)
        assert all(torch.is_tensor(batch["ek_weight"]) for batch in batches)
        return [batch["ek_id"] for batch in batches]

    rows = pd.read_parquet(data)
    for workers in (0, 2):
        seen: Counter[str] = Counter()
        for rank in range(2):
            whole = load(rank, 2, workers, epoch=1)
            for after in (1, 2, 3, len(whole) - 2, len(whole) - 1, len(whole)):
                assert load(rank, 2, workers, epoch=1, after=after) == whole[after:]
            seen.update(one for batch in whole for one in batch)
        assert seen == Counter(dict(zip(rows["ek_id"], rows["ek_copies"], strict=True)))
