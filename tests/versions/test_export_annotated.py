"""Every export carries what a trainer follows: all columns of annotations, and made rows, read back by its library.

MDS is skipped without mosaicml-streaming. `make bench-readers` makes an environment that has it, and runs it there.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import zstandard

from evenkeel.flows.recipe import parse
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.export import Exported, Format, export
from evenkeel.tasks.versions.listing import read_version
from tests.annotate.test_version import STAGES, staged
from tests.reading.libraries import elsewhere

FOLLOWED = {
    "stages": STAGES,
    "splits": {"test": "10%"},
    "order": {"by": "-row"},
    "weights": [{"name": "natural", "to": "pool", "features": "level-1"}],
    "match": {"treated": "site == 's1' or site == 's2'", "on": ["row"], "caliper": 1},
    "pairs": {"negatives": 3, "random": 1},
    "made": {"kind": "mixup", "up_to": 230},
}
COLUMNS = {"ek_stage_early", "ek_stage_late", "ek_split", "ek_rank", "ek_weight_natural", "ek_pair", "ek_treated"} | {
    "ek_negatives",
    "ek_made_rows",
}
WEBDATASET = """
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False, empty_check=False):
    print(sample["json"].decode())
"""
MDS = """
import streaming

rows = streaming.StreamingDataset(local=sys.argv[1], batch_size=1)
for place in range(len(rows)):
    print(json.dumps({name: getattr(value, "item", lambda: value)() for name, value in rows[place].items()}))
"""


EXPORT = """
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.export import export

done = export(Version.model_validate_json(sys.argv[1]), "mds", sys.argv[2], copies=False)
print(done.model_dump_json())
"""
READERS = "torch"  # the environment of `make bench-readers`, which has mosaicml-streaming too


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """Publish a version with annotations of every kind that writes columns."""
    folder = tmp_path_factory.mktemp("followed")
    version = staged(folder, **FOLLOWED)
    document: dict[str, Any] = {
        "dataset": "annotated",
        "source": {"uri": str(folder / "shard.jsonl")},
        "sampling": {"strategy": "flat", "target": 200},
        "destination": {"uri": str(folder / "published"), "rows_per_file": 60, "rows_per_group": 10},
    }
    destination = parse(document).destination
    publish(destination, "annotated", version.stage, {}, {}, str(folder / "workspace"))
    return read_version(destination, "annotated", 1, str(folder / "workspace"))


def read_back(form: Format, folder: Path) -> list[dict[str, Any]]:
    """Return the rows that the library of a format reads in a folder."""
    if form == "jsonl":
        rows = []
        for path in sorted(folder.glob("*.jsonl.zst")):
            with zstandard.open(path, "rt", encoding="utf-8") as lines:
                rows += [json.loads(line) for line in lines]
        return rows
    if form == "hf":
        from datasets import load_from_disk

        return list(load_from_disk(str(folder)))
    if form == "webdataset":
        return elsewhere("webdataset", WEBDATASET, *sorted(map(str, folder.glob("*.tar"))))
    return elsewhere(READERS, MDS, str(folder))


def exported(version: Version, form: Format, folder: Path) -> Exported:
    """Export a version; MDS in the environment that has its library, which is skipped where there is none."""
    if form != "mds":
        return export(version, form, str(folder), copies=False)
    (done,) = elsewhere(READERS, EXPORT, version.model_dump_json(), str(folder))
    return Exported.model_validate(done)


@pytest.mark.slow
@pytest.mark.timeout(900)  # three processes that import PyTorch and mosaicml-streaming
@pytest.mark.usefixtures("quiet_hub")
@pytest.mark.parametrize("form", ["jsonl", "hf", "webdataset", "mds"])
def test_columns_and_made_rows_come_back(followed: Version, tmp_path: Path, form: Format) -> None:
    done = exported(followed, form, tmp_path / "out")
    rows = {row["ek_id"]: row for row in read_back(form, tmp_path / "out")}
    data = pd.read_parquet(f"{followed.location}/data").set_index("ek_id")
    assert set(data.columns) >= COLUMNS
    assert len(rows) == len(data) == done.rows
    for name in sorted(COLUMNS - {"ek_pair", "ek_treated"}):
        found = [rows[one][name] for one in data.index]
        given = [value.tolist() if hasattr(value, "tolist") else value for value in data[name]]
        assert [list(one) if isinstance(given[0], list) else one for one in found] == given, name
    assert set(next(iter(rows.values()))) >= COLUMNS
    made = read_back(form, tmp_path / "out" / "made")
    stored = pd.concat([pd.read_parquet(path) for path in sorted(Path(followed.location, "made").glob("*.parquet"))])
    assert len(made) == len(stored) == done.made > 0
    assert all(row["ek_made"] for row in made)
    assert sorted(tuple(row["ek_parents"]) for row in made) == sorted(map(tuple, stored["ek_parents"]))
    assert {parent for row in made for parent in row["ek_parents"]} <= set(rows)
