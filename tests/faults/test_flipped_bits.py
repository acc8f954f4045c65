"""A bit that flips in a file of a step is found by whatever reads that file, before anything is made of it."""

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.infra import storage, tables
from evenkeel.infra.errors import DamagedFile
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.duplicates import find_duplicates
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.order import Order
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.reading.stream import RowStream
from evenkeel.tasks.sample.balanced.steps import read_partitions
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Run
from tests.validate import pools

Read = Callable[[], object]


def readers(done: dict[str, StepRef], run: Run, version: str) -> dict[str, Read]:
    """Return for each kind of file, named by its step and its path with `*` for what is numbered, who reads it."""
    pool, selection = Pool.open(done["ingest"], run.scratch), Selection.open(done["sample"])
    profile, first = Profile.open(done["measure"]), pool.blocks[0]
    keys = storage.join(done["ingest"].uri, "keys")
    order = storage.join(done["stage"].uri, "order")
    hierarchy: Read = lambda: Hierarchy.open(done["cluster"])  # noqa: E731
    return {
        "ingest/rows/*.parquet": lambda: pool.table(first),
        "ingest/payload/*.parquet": lambda: pool.payload(first),
        "ingest/vectors/*.npy": lambda: Vectors.open(done["embed"], run.scratch).block(first),
        "ingest/keys/*.bin": lambda: find_duplicates(keys, [first.name], pool.row_ids()[:1], pool.rows, run.compute),
        "dedup/dropped.parquet": lambda: Duplicates.open(done["dedup"]).kept(pool.row_ids()),
        "dedup/groups.parquet": lambda: Duplicates.open(done["dedup"]).sizes(pool.row_ids()),
        "cluster/rows/*.parquet": lambda: Hierarchy.open(done["cluster"]).rows(),
        **{f"cluster/level-*/{name}.npy": hierarchy for name in ("centroids", "parents", "counts", "radii")},
        **{
            f"partition/{name}.npy": lambda: read_partitions(done["partition"])
            for name in ("leaf", "weight", "half", "cells")
        },
        "sample/selection.parquet": selection.row_ids,
        "sample/quotas.parquet": selection.quotas,
        "sample/candidates.parquet": selection.candidates,
        "measure/clusters.parquet": lambda: profile.clusters,
        "measure/groups.parquet": lambda: profile.groups,
        "measure/totals.parquet": lambda: profile.totals,
        "measure/balance.parquet": lambda: profile.balance,
        "measure/distances.parquet": lambda: profile.distances,
        "measure/sums.parquet": lambda: profile.sums,
        "measure/sketch.npy": profile.sketch,
        **{f"stage/order/{name}.npy": lambda: Order.load(order) for name in ("paths", "rank", "cut_rank", "cut_row")},
        "version/data/*.parquet": lambda: list(RowStream(storage.join(version, "data")).batches()),
    }


def flip(uri: str) -> bytes:
    """Flip a bit in the values of a file and return what it held before."""
    content = storage.read_bytes(uri)
    place = len(content) * 2 // 3
    if uri.endswith(".parquet"):
        chunk = tables.read_footer(uri).row_group(0).column(0)
        place = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 2
    changed = bytearray(content)
    changed[place] ^= 4
    storage.write_bytes(uri, bytes(changed))
    return content


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, StepRef], Run, str]:
    """The finished steps of a small pool with duplicates, and the folder of its staged version."""
    folder = tmp_path_factory.mktemp("curated")
    shards = pools.write_shards(folder / "shards", rows=600)
    again = pq.read_table(shards / "a.parquet").slice(0, 50)
    ids = pa.array([f"again-{row}" for row in range(50)])
    pq.write_table(again.set_column(again.column_names.index("id"), "id", ids), shards / "c.parquet")
    found = pools.curate(folder, shards, target=100, levels=(20, 4))
    config = DestinationConfig(uri=str(folder / "published"))
    found.done["stage"] = STAGE(config.staging(), StageInputs.of(found.done), found.run)
    return found.done, found.run, found.done["stage"].facts["location"]


@pytest.mark.long
def test_a_flipped_bit_is_found_in_every_kind_of_file(curated: tuple[dict[str, StepRef], Run, str]) -> None:
    done, run, version = curated
    read = readers(done, run, version)
    folders = {name: ref.uri for name, ref in done.items()} | {"version": version}
    kinds: dict[str, str] = {}
    for name, folder in folders.items():
        for uri in storage.list_files(folder):
            path = f"{name}/{Path(uri).relative_to(folder).as_posix()}"
            kind = re.sub(r"s\d{6}-b\d{6}|(?<=-)\d+", "*", path).replace("part-*", "*")
            if uri.endswith((".parquet", ".npy", ".bin")) and not re.match("version/[^d]|.*/quarantine/", kind):
                kinds.setdefault(kind, uri)

    assert set(kinds) == set(read)
    for kind, uri in kinds.items():
        read[kind]()
        before = flip(uri)
        with pytest.raises(DamagedFile, match=re.escape(Path(uri).name)):
            read[kind]()
        storage.write_bytes(uri, before)
