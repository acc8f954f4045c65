"""The claims of docs/SECURITY.md that can be tested (keys against a real server: tests/s3)."""

import os
import re
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from evenkeel.infra import storage
from evenkeel.infra.errors import DamagedFile, StorageError
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions.listing import read_manifest, read_version
from evenkeel.tasks.versions.verify import verify
from tests.publish import small_steps
from tests.publish.fixtures import Publish

ROOT = Path(__file__).parent.parent.parent
EVIL = [
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "'; drop table x; --",
    "a\x00b",
    "=cmd()",
    "${jndi:x}",
    "\u202e",
]


def test_hostile_values_stay_values(
    tmp_path: Path, destination: DestinationConfig, run: Run, publish_one: Publish
) -> None:
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    values = [EVIL[number % len(EVIL)] for number in range(500)]
    result = publish_one(extra={"payload": pa.array(values), EVIL[2]: pa.array(values), "../up": pa.array(values)})
    import pandas as pd

    rows = pd.read_parquet(result.data)
    assert set(rows["payload"]) == set(rows["../up"]) == set(rows[EVIL[2]]) == set(EVIL)
    new = sorted({path for path in tmp_path.rglob("*") if path.is_file()} - set(before))
    homes = ("workspace", "published", "steps", "scratch")
    assert {path.relative_to(tmp_path).parts[0] for path in new} <= set(homes)


@pytest.mark.long
def test_a_published_file_is_never_written_again(publish_one: Publish, workspace: str) -> None:
    first = publish_one()
    files = {uri: os.stat(uri).st_mtime_ns for uri in storage.list_files(first.location)}
    for seed in (0, 1, 2):
        publish_one(seed=seed, force=True)
    assert {uri: os.stat(uri).st_mtime_ns for uri in files} == files


@pytest.mark.long
def test_data_swapped_together_with_its_manifest_is_found_by_the_catalog(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    result, other = publish_one(), publish_one(seed=1)
    version = read_version(destination, "demo", 1, workspace)
    for entry in read_manifest(version).files:
        storage.remove(storage.join(result.location, entry.path))
    theirs = read_manifest(read_version(destination, "demo", 2, workspace))
    for entry in theirs.files:
        storage.write_bytes(
            storage.join(result.location, entry.path), storage.read_bytes(storage.join(other.location, entry.path))
        )
    storage.write_bytes(result.manifest, storage.read_bytes(other.manifest))
    assert verify(destination, "demo", 2, workspace).sound
    assert not verify(destination, "demo", 1, workspace).sound
    with pytest.raises(StorageError, match="altered after it was published"):
        read_manifest(version)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_before_the_work(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "readonly"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StorageError, match="not allowed to write"):
        STAGE(
            DestinationConfig(uri=str(folder)).staging(), StageInputs.of(small_steps.make(tmp_path / "steps").refs), run
        )


def test_an_array_that_hides_a_pickle_is_refused(tmp_path: Path, destination: DestinationConfig, run: Run) -> None:
    import numpy as np

    small = small_steps.make(tmp_path / "steps")
    evil = tmp_path / "steps" / "cluster" / "level-1" / "parents.npy"
    np.save(evil, np.array([{"code": "os.system"}], dtype=object), allow_pickle=True)
    with pytest.raises(DamagedFile, match="never unpickled"):
        STAGE(destination.staging(), StageInputs.of(small.refs), run)


def test_the_page_names_its_tests() -> None:
    page = (ROOT / "docs" / "SECURITY.md").read_text()
    for claim in ("evil shard", "evil recipe", "stolen reader key", "stolen writer key"):
        assert claim in page
    written = {
        name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    claims = re.findall(r"^\| (?!claim|---).*\|$", page.split("## Where each claim is tested")[1], re.M)
    assert [claim for claim in claims if not re.search(r"`test_\w+`", claim)] == []
    assert set(re.findall(r"`(test_\w+)`", page)) <= written
