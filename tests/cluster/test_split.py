"""A pool in groups: every row is looked for where its group found it."""

from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.compute import Compute
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import read_rows
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.log import IterationLog
from evenkeel.tasks.cluster.source import Source
from evenkeel.tasks.cluster.split import (
    SplitLevel,
    fit_split,
    labels_in_groups,
    places_of,
    renumber_block,
    runs_of,
    sums_file,
)
from tests.cluster.test_step import TINY, prepared
from tests.kmeans.mixtures import brute, mixture


@pytest.mark.parametrize("left_out", [False, True])
@pytest.mark.long
def test_a_row_begins_with_the_centroid_of_its_group(tmp_path: Path, left_out: bool) -> None:
    """Blocks of 500 rows, several to a run: it is the nearest of the row's group, none where that left it out."""
    x = mixture(4000, 12, 60)
    run, inputs = prepared(tmp_path, x)
    config = ClusteringConfig(levels=[200], resampling=1, memory_gib=TINY / 4 if left_out else TINY)
    source = Source.open(ClusterInputs.of(inputs), run.scratch)
    level = SplitLevel(source, config, 0, str(tmp_path / "parts"), str(tmp_path / "out"), run.scratch)
    if left_out:  # two groups for a pool of eight
        write_array(level.path("groups.npy"), x[[0, 2000]])
    sizes = [500] * 8
    made, counts, squared = fit_split(level, sizes, 200, None, Compute(threads=2), lambda *_: None, IterationLog())
    groups = np.load(tmp_path / "parts" / "groups.npy")
    of_group = [np.load(tmp_path / "parts" / f"group-{number}.npy") for number in range(len(groups))]
    firsts = [0, *accumulate(len(centroids) for centroids in of_group)]
    places = places_of(runs_of(source.names, sizes, source.dimension, config), sizes)
    rows = pa.concat_tables(read_rows(level.out, block) for block in source.names)
    leaves, distances = rows["leaf"].to_numpy(), rows["distance"].to_numpy().astype(np.float64)
    np.testing.assert_array_equal(counts, np.bincount(leaves, minlength=len(made)))
    np.testing.assert_allclose(squared, np.bincount(leaves, distances**2, len(made)), rtol=1e-5)
    waiting = [read_array(level.path(sums_file(block)))["rows"].sum() for block in source.names]
    assert waiting == sizes, "what leaves got of a block waits in its file, not in the driver"
    begun = np.concatenate([labels_in_groups(level, place, 500) for place in places])
    group, _ = brute(x, groups)
    known = begun >= 0
    assert (known.mean() < 0.6) == left_out, known.mean()
    for number, centroids in enumerate(of_group):
        mine = known & (group == number)
        nearest, distance = brute(x[mine], centroids)
        found = begun[mine] - firsts[number]
        assert ((found >= 0) & (found < len(centroids))).all(), "of another group"
        assert (found == nearest).mean() > 0.97
        assert (np.linalg.norm(x[mine] - centroids[found], axis=1) ** 2).sum() <= 1.01 * (distance**2).sum()


@pytest.mark.long
def test_leaves_and_groups_without_rows_leave_no_gap_and_a_block_may_be_renumbered_twice(tmp_path: Path) -> None:
    """A group that no row is nearest to, two far leaves in another; a worker may die once it has written a block."""
    x = mixture(1000, 6, 20)
    run, inputs = prepared(tmp_path, x)
    config = ClusteringConfig(levels=[20], resampling=0, precision="exact", memory_gib=TINY / 8)
    source = Source.open(ClusterInputs.of(inputs), run.scratch)
    level = SplitLevel(source, config, 0, str(tmp_path / "parts"), str(tmp_path / "out"), run.scratch)
    far = np.full((2, 6), 20, np.float32)
    write_array(level.path("groups.npy"), np.concatenate([x[:2], far[:1]]))
    sizes, arguments = [500] * 2, (20, None, Compute(threads=1), lambda *_: None, IterationLog())
    made, counts, _ = fit_split(level, sizes, *arguments)
    assert not len(read_array(level.path("group-2.npy")))
    write_array(level.path("group-0.npy"), np.concatenate([far, read_array(level.path("group-0.npy"))]))
    again, found, _ = fit_split(level, sizes, *arguments)
    np.testing.assert_array_equal(again, made)
    np.testing.assert_array_equal(found, counts)
    first = [read_rows(level.out, block) for block in source.names]
    np.testing.assert_array_equal(np.bincount(pa.concat_tables(first)["leaf"].to_numpy()), found)
    for block in source.names:
        renumber_block(level.out, level.folder, np.array([0, 0, *range(len(made))], np.int32), block)
    assert [read_rows(level.out, block) for block in source.names] == first
