"""Where a row came from and which versions hold it; read from the files of the versions alone.

A row id begins with the number of its shard, which a shard keeps for the life of the dataset. So once a row is found in
one version, another is asked by the footers of the files that can hold it: of the row's leaf, or of its shard.
"""

from collections.abc import Iterable, Mapping

import xxhash
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.tables import find_row, read_table
from evenkeel.tasks.ingest.pool import SHARD_BITS
from evenkeel.tasks.ingest.source_table import ATTRIBUTES, SOURCES
from evenkeel.tasks.publish.staging.dispositions import FOLDER
from evenkeel.tasks.reading.version import PublishedVersion

KEPT = "kept"
OF_KEPT = ["ek_row_id", "ek_id", "ek_cluster_1", "ek_copies", "ek_weight"]


class Sighting(BaseModel):
    """A row in one version. disposition: kept, or why it is not in it; leaf, copies and weight are of kept rows."""

    model_config = ConfigDict(frozen=True)

    version: int
    tags: tuple[str, ...] = ()
    row_id: int
    disposition: str = KEPT
    reason: str = ""
    leaf: int | None = None
    copies: int | None = None
    weight: float | None = None


class MadeBy(BaseModel):
    """What made a version. steps: the key of each step's output, by its name."""

    model_config = ConfigDict(frozen=True)

    recipe_hash: str
    seed: int | None
    code: str
    created: str
    created_by: str
    content_key: str
    centroid_hash: str | None
    steps: dict[str, str]


class Whence(BaseModel):
    """Where a row came from, and where it went.

    seen: it in the version that was asked for. shard, uri, sha256: of the file it was read from, as the version's
    manifest has it; row: its number there, from 0. source: licence and other attributes, where a table says them.
    held: the versions that hold it, newest first. elsewhere: those that have read it and do not hold it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    seen: Sighting
    shard: int
    row: int
    uri: str
    sha256: str
    source: dict[str, str]
    made_by: MadeBy
    held: list[Sighting]
    elsewhere: list[Sighting]

    @property
    def sentences(self) -> list[str]:
        """What is known, a line for each matter."""
        made, source = self.made_by, self.source
        about = [f"{name} {source[name]}" for name in ATTRIBUTES[1:] if source.get(name)]
        of_source = f"{source['source']} ({', '.join(about) or 'no licence'})" if source else "no table says"
        held = [f"v{one.version}{_of_tags(one)}" + (f" x{one.copies}" if one.copies != 1 else "") for one in self.held]
        others = [
            f"v{one.version}: {one.disposition.replace('_', ' ')}" + (f" ({one.reason})" if one.reason else "")
            for one in self.elsewhere
        ]
        return [
            f"shard: {self.uri}, row {self.row:,} (sha256 {self.sha256[:12] or 'unknown'})",
            f"source: {of_source}",
            f"v{self.seen.version} made by: recipe {made.recipe_hash[:12]}, seed {made.seed}, Evenkeel {made.code}, "
            f"{made.created[:19]} by {made.created_by}",
            f"steps: {', '.join(f'{name} {key[:8]}' for name, key in made.steps.items()) or 'unknown'}",
            f"held by: {', '.join(held) or 'no version'}",
            *([f"not in: {', '.join(others)}"] if others else []),
        ]


def _of_tags(one: Sighting) -> str:
    return f" ({', '.join(one.tags)})" if one.tags else ""


def find_in(version: PublishedVersion, row: str, known: tuple[Sighting, str | None] | None = None) -> Sighting | None:
    """Return the row with this id in a version, None where it was not read for it.

    known: the row in another version, and the hash of the centroids of that one.
    """
    if known is not None:
        near, centroids = known
        if near.leaf is not None and centroids == version.manifest.centroid_hash:
            there = {"ek_cluster_1": near.leaf, "ek_row_id": near.row_id}
            if (found := _first(version.files, there, OF_KEPT)) is not None and found["ek_id"] == row:
                return _kept(version, found)
        mine = f"s{near.row_id >> SHARD_BITS:06d}-"
        files = [uri for uri in _lost(version) if uri.rpartition("/")[2].startswith(mine)]
        if (found := _first(files, {"ek_row_id": near.row_id}, None)) is not None and found["ek_id"] == row:
            return _not_kept(version, found)
    identity = xxhash.xxh3_64_intdigest(row.encode())
    signed = identity - (1 << 64) if identity >> 63 else identity
    if (found := _first(version.files, {"ek_identity": signed, "ek_id": row}, OF_KEPT)) is not None:
        return _kept(version, found)
    found = _first(_lost(version), {"ek_id": row}, None)
    return None if found is None else _not_kept(version, found)


def whence(seen: Sighting, version: PublishedVersion, others: Iterable[PublishedVersion], row: str) -> Whence:
    """Return where a row that was seen in a version came from, and which of the others hold it."""
    manifest = version.manifest
    number = seen.row_id >> SHARD_BITS
    shard = next((one for one in manifest.shards if one.number == number), None)
    known = (seen, manifest.centroid_hash)
    found = [seen, *(one for other in others if (one := find_in(other, row, known)) is not None)]
    found.sort(key=lambda one: -one.version)
    steps = manifest.document.get("steps", {})
    return Whence(
        id=row,
        seen=seen,
        shard=number,
        row=seen.row_id & ((1 << SHARD_BITS) - 1),
        uri=shard.uri if shard is not None else "unknown",
        sha256=shard.sha256 if shard is not None else "",
        source=_source(version, number),
        made_by=MadeBy(
            recipe_hash=manifest.recipe_hash,
            seed=manifest.seed,
            code=manifest.code_version,
            created=manifest.created,
            created_by=manifest.created_by,
            content_key=manifest.content_key,
            centroid_hash=manifest.centroid_hash,
            steps={str(name): str(ref["key"]) for name, ref in steps.items()},
        ),
        held=[one for one in found if one.disposition == KEPT],
        elsewhere=[one for one in found if one.disposition != KEPT],
    )


def _source(version: PublishedVersion, shard: int) -> dict[str, str]:
    """Return what the table of sources of a version says of a shard; nothing where it has none or does not say."""
    uri = storage.join(version.location, SOURCES)
    if not storage.exists(uri):
        return {}
    lines = read_table(uri).to_pylist()
    mine = next((line for line in lines if shard in line["shards"]), None)
    return {} if mine is None else {name: str(mine[name]) for name in ATTRIBUTES}


def _lost(version: PublishedVersion) -> list[str]:
    return sorted(storage.list_files(storage.join(version.location, FOLDER)))


def _first(files: Iterable[str], where: Mapping[str, object], columns: list[str] | None) -> dict[str, object] | None:
    return next((found for uri in files if (found := find_row(uri, where, columns)) is not None), None)


def _kept(version: PublishedVersion, found: dict[str, object]) -> Sighting:
    names = {"row_id": "ek_row_id", "leaf": "ek_cluster_1", "copies": "ek_copies", "weight": "ek_weight"}
    about: dict[str, object] = {"version": version.version, "tags": version.tags}
    return Sighting.model_validate(about | {name: found[column] for name, column in names.items()})


def _not_kept(version: PublishedVersion, found: dict[str, object]) -> Sighting:
    about: dict[str, object] = {"version": version.version, "tags": version.tags, "row_id": found["ek_row_id"]}
    return Sighting.model_validate(about | {"disposition": found["fate"], "reason": found["reason"] or ""})
