"""List what ingest refused: of the last run, or of a published version."""

from collections.abc import Iterator

import pyarrow as pa

from evenkeel.flows.answer import Answer
from evenkeel.flows.places import absolute
from evenkeel.flows.recipe import load
from evenkeel.infra import storage
from evenkeel.infra.tables import read_groups
from evenkeel.tasks.ingest.quarantine import SAMPLES, SHARDS_FILE, Quarantine, newest_pool, quarantine_of, summarize
from evenkeel.tasks.publish.config import LATEST
from evenkeel.tasks.publish.layout import INDEX, dataset_folder
from evenkeel.tasks.publish.staging.dispositions import FOLDER
from evenkeel.tasks.reading.version import PublishedVersion, open_version


def quarantine(place: str, version: str | None = None, samples: int = SAMPLES) -> Answer[Quarantine]:
    """List refused shards and rows with samples: of the recipe's last run, failed or not, or of a version.

    Raises VersionNotFound where nothing was read and nothing is published.

    Args:
        place: A recipe, or the folder of a dataset, `<destination>/<dataset>`.
        version: 3, v3, latest or another tag; None = the last run of the recipe, of a folder the current version.
        samples: How many rows of each reason to show.
    """
    if storage.exists(storage.join(place, INDEX)):
        return _of_version(open_version(place, version or LATEST), samples)
    recipe = load(place)
    pool = newest_pool(absolute(recipe.workspace), recipe.dataset) if version is None else None
    if pool is None:
        address = dataset_folder(recipe.destination.uri, recipe.dataset)
        return _of_version(open_version(address, version or LATEST), samples)
    return _answer(quarantine_of(pool, samples), f"the last run of {recipe.dataset}", pool)


def _of_version(version: PublishedVersion, samples: int) -> Answer[Quarantine]:
    """Return what a version's ingest refused: with details while the workspace has them, else from its own files."""
    name = f"v{version.version} of {version.dataset}"
    pool = str(version.manifest.document.get("steps", {}).get("ingest", {}).get("uri", ""))
    if pool and storage.exists(storage.join(pool, SHARDS_FILE)):
        return _answer(quarantine_of(pool, samples), name, pool)
    shards = ((one.number, one.uri, one.bytes, one.rows, one.reason) for one in version.manifest.shards)
    return _answer(summarize(shards, _refused_rows(version), samples), name, version.location)


def _refused_rows(version: PublishedVersion) -> Iterator[pa.Table]:
    uri = storage.join(version.location, FOLDER, "quarantined.parquet")
    for table in read_groups(uri, ["ek_row_id", "ek_id", "reason"]):
        yield table.rename_columns(["row_id", "id", "reason"])


def _answer(found: Quarantine, of: str, where: str) -> Answer[Quarantine]:
    shards = "1 shard" if found.refused_shards == 1 else f"{found.refused_shards:,} shards"
    rows = "1 row" if found.refused_rows == 1 else f"{found.refused_rows:,} rows"
    if not found.refused_rows and not found.refused_shards:
        return Answer(found, f"{of} refused nothing")
    return Answer(found, f"{of} refused {shards} and {rows}; every one is listed in {where}")
