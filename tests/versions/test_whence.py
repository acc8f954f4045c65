"""From a row back to its shard and source, and forward to the versions that hold it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.flows.whence import whence
from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import find_row, read_table, write_table
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.reading.version import PublishedVersion, open_version
from evenkeel.tasks.versions.whence import find_in
from tests.examples import THOROUGH
from tests.publish.fixtures import Publish

SHARD_OF = 40


def fates(version: PublishedVersion) -> dict[str, tuple[int, str]]:
    """Return every row of a version by id, with its row id and disposition, read from whole files."""
    rows = version.to_arrow(["ek_id", "ek_row_id"]).to_pylist()
    found = {str(one["ek_id"]): (int(one["ek_row_id"]), "kept") for one in rows}
    for uri in storage.list_files(storage.join(version.location, "fates")):
        for one in read_table(uri).to_pylist():
            found[str(one["ek_id"])] = (int(one["ek_row_id"]), str(one["fate"]))
    return found


@pytest.mark.long
def test_every_row_leads_to_its_shard_and_to_the_versions_that_hold_it(
    publish_one: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    line = {"source": "wiki", "licence": "cc0", "creator": "", "terms": "", "url": "", "pattern": "*", "shards": [1]}
    write_table(str(tmp_path / "sources.parquet"), pa.Table.from_pylist([{**line, "rows": 9}]))
    publish_one(seed=0, rows=150)
    publish_one(seed=1, rows=150)
    publish_one(seed=0, rows=150, keep=0.7, extras={"sources.parquet": str(tmp_path / "sources.parquet")})
    address = storage.join(destination.uri, "demo")
    truth = {number: fates(open_version(address, number)) for number in (1, 2, 3)}
    for row in sorted(truth[3])[:: 6 if THOROUGH else 15]:
        if row == "None":
            continue
        found = whence(address, row).result
        held = [number for number in (3, 2, 1) if truth[number].get(row, (0, ""))[1] == "kept"]
        assert [one.version for one in found.held] == held
        assert {one.version: one.disposition for one in found.elsewhere} == {
            number: truth[number][row][1] for number in (1, 2, 3) if number not in held and row in truth[number]
        }
        asked = held[0] if held else 3
        assert found.seen.version == asked
        row_id = truth[asked][row][0]
        assert (found.shard, found.row) == (row_id >> SHARD_OF, row_id & ((1 << SHARD_OF) - 1))
        shards = {one.number: one for one in open_version(address, asked).manifest.shards}
        known = shards.get(found.shard)  # the quarantined row of the fixture is of a shard that nobody lists
        assert (found.uri, found.sha256) == (("unknown", "") if known is None else (known.uri, known.sha256))
        assert found.source.get("licence") == ("cc0" if asked == 3 and found.shard == 1 else None)
        of_first = whence(address, row, "v1").result
        assert of_first.seen.version == 1
        assert of_first.held == found.held
        assert of_first.made_by.content_key == open_version(address, 1).manifest.content_key


def test_a_row_that_nobody_read_is_said_to_be_unknown(publish_one: Publish, destination: DestinationConfig) -> None:
    publish_one(rows=60)
    address = storage.join(destination.uri, "demo")
    with pytest.raises(InputError, match="no version has read a row 'doc-x'"):
        whence(address, "doc-x")
    with pytest.raises(InputError, match="latest has read a row 'doc-x', or its id was taken down"):
        whence(address, "doc-x", "latest")


def test_a_hint_of_another_row_is_not_believed(publish_one: Publish, destination: DestinationConfig) -> None:
    publish_one(rows=60)
    version = open_version(storage.join(destination.uri, "demo"))
    first, second = version.to_arrow(["ek_id"])["ek_id"].to_pylist()[:2]
    seen = find_in(version, first)
    assert seen is not None
    found = find_in(version, second, (seen, version.manifest.centroid_hash))
    assert found is not None
    assert found.row_id != seen.row_id
    assert find_in(version, first, (seen, version.manifest.centroid_hash)) == seen


def test_a_row_is_found_by_several_columns_among_many_groups(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pa.table(
        {"a": np.sort(rng.integers(0, 9, 200)), "b": rng.integers(0, 5, 200), "c": list(map(str, range(200)))}
    )
    uri = str(tmp_path / "rows.parquet")
    write_table(uri, table, rows_per_group=16)
    rows = table.to_pylist()
    for a in range(0, 10, 1 if THOROUGH else 3):
        for b in range(0, 5, 1 if THOROUGH else 2):
            first = next((one for one in rows if (one["a"], one["b"]) == (a, b)), None)
            assert find_row(uri, {"a": a, "b": b}) == first
    assert find_row(uri, {"c": "77"}, ["b"]) == {"b": rows[77]["b"]}
    write_table(uri, table.slice(0, 0))
    assert find_row(uri, {"a": 1}) is None
