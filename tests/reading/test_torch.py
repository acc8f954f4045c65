"""PyTorch's loader over a stream: every rank and worker together have the rows of a stage, split or epoch exactly once.

Skipped without PyTorch. `make bench-readers` makes an environment that has it; EVENKEEL_READERS=.venv/readers runs this
test there.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.infra.hashing import hash_identities
from tests.reading.libraries import elsewhere

ROWS = 1500
CODE = """
from collections import Counter
from torch.utils.data import DataLoader
from evenkeel.tasks.reading.stream import RowStream
from evenkeel.tasks.reading.torch import TorchStream

for asked in json.loads(sys.argv[2]):
    rows = RowStream(sys.argv[1], columns=["ek_id", "x"], batch=32, window=3, seed=2, **asked)
    whole = Counter(one for batch in rows.batches(1) for one in batch["ek_id"])
    for ranks, workers in ((1, 0), (2, 2)):
        seen, resumed, tensors = Counter(), True, True
        for rank in range(ranks):
            stream = TorchStream(rows, rank=rank, ranks=ranks)
            stream.set_epoch(1)
            batches = list(DataLoader(stream, batch_size=None, num_workers=workers))
            tensors &= all(isinstance(batch["x"], torch.Tensor) for batch in batches)
            seen.update(one for batch in batches for one in batch["ek_id"])
            stream.resume(1, len(batches) // 2)
            rest = [batch["ek_id"] for batch in DataLoader(stream, batch_size=None, num_workers=workers)]
            resumed &= rest == [batch["ek_id"] for batch in batches[len(batches) // 2 :]]
        print(json.dumps([asked, ranks, seen == whole, resumed, tensors, sum(whole.values())]))
"""
ASKED = [
    {"stage": "end"},
    {"split": "test"},
    {"fresh": 0.1},
    {"weights": "even"},
    {"stage": "end", "split": "train", "order": True},
]


@pytest.mark.slow
def test_ranks_and_workers_share_the_rows_and_go_on_in_the_middle_of_a_stage(tmp_path: Path) -> None:
    draw, row = np.random.default_rng(1), np.arange(ROWS)
    end = np.where(row >= 1000, draw.integers(0, 4, ROWS), 0)
    table = pa.table(
        {
            "ek_id": [f"r{one}" for one in row],
            "ek_identity": hash_identities(7, row.astype(np.uint64)).view(np.int64),
            "ek_copies": np.ones(ROWS, np.int32),
            "ek_stage_end": end.astype(np.int32),
            "ek_split": np.where(row < 1400, "train", "test"),
            "ek_weight_even": np.where(row < 150, 5.0, 0.5),
            "ek_rank": row,
            "x": draw.normal(size=ROWS).astype(np.float32),
        }
    )
    pq.write_table(table, tmp_path / "part-0.parquet", row_group_size=50, write_page_checksum=True)
    found = elsewhere("torch", CODE, str(tmp_path), json.dumps(ASKED))
    assert all(one[2:5] == [True, True, True] for one in found), found
    rows = {json.dumps(one[0]): one[5] for one in found}
    assert rows[json.dumps(ASKED[0])] == end.sum()
    assert rows[json.dumps(ASKED[1])] == 100
    assert rows[json.dumps(ASKED[4])] == end[:1400].sum()
