"""Vectors come together by cell: a batch reads its own sections, and files are not opened for every cell and block."""

from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.tasks.embed import scatter as scatter_module
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.scatter import Scattered, scatter
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.kinds.neighbour_distance import NeighbourDistance
from tests.embed.pools import make_pool, new_run
from tests.sample.pools import write_pool
from tests.signal.values import values_of

MEMBER = np.dtype([("cell", "<i4"), ("row", "<u4"), ("block", "<i4")])


@pytest.mark.parametrize("run_bytes", [1, 1 << 29])
def test_a_batch_holds_the_members_of_its_cells_with_their_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_bytes: int
) -> None:
    monkeypatch.setattr(scatter_module, "RUN_BYTES", run_bytes)
    run, rng = new_run(tmp_path), np.random.default_rng(0)
    x = rng.normal(size=(230, 3)).astype("f4")
    pool = make_pool(run, tmp_path / "p", {"v": x}, shards=2, rows_per_block=50)
    vectors, blocks = Vectors.open(EMBED(ColumnEmbedding(), EmbedInputs(ingest=pool), run)), Pool.open(pool).blocks
    placed = str(tmp_path / "placed")
    first, every = 0, []
    for number, block in enumerate(blocks):
        members = np.zeros(block.rows, MEMBER)
        members["row"], members["block"] = np.arange(block.rows), number
        members["cell"] = rng.choice([0, 1, 2, 4, 6], block.rows)
        members = members[np.argsort(members["cell"], kind="stable")][: block.rows - number]
        write_array(storage.join(placed, f"{block.name}.npy"), members)
        every += [(int(one["cell"]), x[first + one["row"]].tobytes()) for one in members]
        first += block.rows
    wanted = Scattered(vectors, MEMBER, placed, str(tmp_path / "runs"), tmp_path, (0, 2, 3, 7))
    made = scatter(wanted, [block.name for block in blocks], [block.rows for block in blocks], run.compute)
    assert made.runs == (len(blocks) if run_bytes == 1 else 1)
    found = []
    for batch, (low, high) in enumerate([(0, 2), (2, 3), (3, 7)]):
        for members, rows in made.parts(batch):
            assert ((members["cell"] >= low) & (members["cell"] < high)).all()
            found += [(int(cell), row.tobytes()) for cell, row in zip(members["cell"], rows, strict=True)]
        count = sum(len(members) for members, _ in made.parts(batch))
        assert len(made.members(batch)) == count
    assert sorted(found) == sorted(every)


@pytest.mark.long
def test_neighbours_open_as_many_files_for_a_cell_whatever_the_number_of_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, opened, filesystem = np.random.default_rng(0), [0], storage.filesystem

    def counted(uri: str) -> object:
        opened[0] += 1
        return filesystem(uri)

    monkeypatch.setattr(storage, "filesystem", counted)
    x, leaves = rng.normal(size=(1200, 4)), np.arange(1200) % 40
    spent, values = [], []
    for block_rows in (200, 25):
        done = write_pool(tmp_path / str(block_rows), x, levels=[leaves], block_rows=block_rows)
        opened[0] = 0
        signal = NeighbourDistance(name="far", cells="clusters")
        values.append(values_of(signal, done, tmp_path / str(block_rows)))
        spent.append(opened[0])
    np.testing.assert_array_equal(values[0], values[1])
    assert spent[1] - spent[0] < 12 * (48 - 6)  # a few for every block more, not one for every cell in every block
