"""`evenkeel.open`: any version of a dataset, by the dataset's folder alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyiceberg.table import Table

import evenkeel
from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError, VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.versions.tags import release, rollback, tag
from tests.publish.fixtures import Publish


def published(uri: str) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(path) for path in sorted(Path(uri).glob("*.parquet"))).reset_index(drop=True)


@pytest.mark.long
def test_any_version_is_opened_by_the_folder_alone(
    publish_one: Publish, destination: DestinationConfig, workspace: str, tmp_path: Path
) -> None:
    first, second = publish_one(), publish_one(seed=1)
    tag(destination, "demo", 1, "production", workspace)
    folder = f"{destination.uri}/demo"
    (Path(destination.uri) / "catalog.db").unlink()
    shutil.rmtree(workspace)
    for name in (1, "1", "v1", "production"):
        assert evenkeel.open(folder, name).version == 1
    newest = evenkeel.open(folder)
    assert (newest.dataset, newest.version, newest.tags, newest.rows) == ("demo", 2, ("latest",), 200)
    assert (newest.location, newest.data) == (second.location, second.data)
    rows = published(second.data)
    pd.testing.assert_frame_equal(newest.to_pandas(), rows)
    pd.testing.assert_frame_equal(pd.concat(part.to_pandas() for part in newest.scan()).reset_index(drop=True), rows)
    assert newest.to_arrow(["ek_id"]).column_names == ["ek_id"]
    seen = np.concatenate([batch["ek_row_id"] for batch in newest.batches(["ek_row_id"], batch=32)])
    assert sorted(seen) == sorted(np.repeat(rows["ek_row_id"], rows["ek_copies"]))
    assert newest.manifest.counts["kept"] == 200

    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert len(evenkeel.open(str(moved), 1).to_pandas()) == first.rows
    with pytest.raises(VersionNotFound, match=r"no version 'v3'\n  found: v2, v1"):
        evenkeel.open(str(moved), "v3")
    with pytest.raises(VersionNotFound, match="no published dataset here"):
        evenkeel.open(folder, 1)
    manifest = Path(evenkeel.open(str(moved)).location) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"kept": 200', '"kept": 201'))
    with pytest.raises(StorageError, match="altered"):
        evenkeel.open(str(moved))


@pytest.mark.long
def test_latest_is_what_the_catalog_says_after_every_move(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    """The pointer, the line of text, the branch `main` and the tag `latest` agree after everything that moves them."""

    def newest() -> int:
        found = evenkeel.open(f"{destination.uri}/demo")
        text = storage.read_bytes(f"{destination.uri}/demo/latest/data.txt").decode()
        pointer = storage.read_json(f"{destination.uri}/demo/latest/version.json")
        with dataset_table(destination, "demo", workspace) as table:
            named = {table.metadata.refs[name].snapshot_id for name in ("main", "latest", f"v{found.version}")}
            assert named == {pointer["snapshot_id"]}
            assert pointer["iceberg_metadata"] == table.metadata_location
        assert text == f"{found.data}\n"
        return found.version

    publish_one()
    assert newest() == 1
    publish_one(seed=1)
    assert newest() == 2
    rollback(destination, "demo", 1, workspace)
    assert newest() == 1
    publish_one(seed=2)
    assert newest() == 1
    release(destination, "demo", workspace)
    assert newest() == 1
    publish_one(seed=2)
    assert newest() == 3
    tag(destination, "demo", 1, "production", workspace)
    assert newest() == 3


@pytest.mark.slow
def test_a_writer_that_comes_late_does_not_leave_an_older_pointer(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a commit and its pointer another version is published: the pointer ends at the newer one."""
    publish_one()
    place = "evenkeel.tasks.publish.publish.write_index"

    def late(table: Table) -> None:
        monkeypatch.setattr(place, write_index)
        publish_one(seed=2)
        write_index(table)

    monkeypatch.setattr(place, late)
    assert publish_one(seed=1).version == 2
    assert evenkeel.open(f"{destination.uri}/demo").version == 3


def test_importing_the_package_is_instant_and_imports_nothing() -> None:
    clock = "time.process_time()"
    code = f"import sys, time; start = {clock}; import evenkeel; print({clock} - start, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent, *loaded = done.stdout.split()
    assert not {"numpy", "pyarrow", "pydantic", "evenkeel.tasks"} & set(loaded)
    assert float(spent) < 0.1


@pytest.mark.long
def test_opening_needs_no_catalog_library() -> None:
    code = "import evenkeel.tasks.reading.version, sys; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pyiceberg", "sqlalchemy", "prefect", "dask"} & set(loaded)


def test_the_names_of_clusters_are_read_where_there_are_some(publish_one: Publish, tmp_path: Path) -> None:
    table = pd.DataFrame({"level": [1, 2], "id": [7, 0], "name": ["cat, dog", "animal"]})
    table.to_parquet(tmp_path / "names.parquet")
    named = publish_one(extras={"clusters.parquet": str(tmp_path / "names.parquet")})
    pd.testing.assert_frame_equal(evenkeel.open(named.location.partition("/versions/")[0]).clusters(), table)
    publish_one(seed=1)
    with pytest.raises(StorageError, match="does not name its clusters"):
        evenkeel.open(named.location.partition("/versions/")[0]).clusters()
