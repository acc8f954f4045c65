"""What changed between two versions: rows by cluster and group, metrics side by side, the recipe."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Int64Array
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import read_table
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.layout import CLUSTERS
from evenkeel.tasks.publish.manifest import Manifest
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.listing import read_manifest, read_version

ROWS_AT_ONCE = 50_000_000


class Change(BaseModel):
    """Rows of one cluster, or one value of a group, in both versions and those that only one of them has."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: str
    before: int
    after: int
    added: int
    removed: int


class VersionDiff(BaseModel):
    """How version b differs from version a; a row is identified by the user's id.

    clusters: of the top level; where `same_clustering` is false, `removed` and `before` count the clusters of a,
    `added` and `after` those of b, which have nothing to do with each other. cluster_names: what those of b are called,
    by number, where the clustering is the same. metrics, recipe: dotted name -> [value
    in a, value in b], the recipe's only where they differ.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    a: int
    b: int
    added: int
    removed: int
    unchanged: int
    same_clustering: bool
    clusters: list[Change]
    groups: list[Change]
    metrics: dict[str, tuple[object, object]]
    recipe: dict[str, tuple[object, object]]
    cluster_names: dict[str, str] = {}


def diff(config: DestinationConfig, dataset: str, a: str | int, b: str | int, workspace: str) -> VersionDiff:
    """Compare two versions. Memory: 8 bytes a row of both, 50 million rows at a time."""
    sides = [read_version(config, dataset, ref, workspace) for ref in (a, b)]
    manifests = [read_manifest(version) for version in sides]
    names = [name for name in manifests[0].groups if all(name in manifest.columns for manifest in manifests)]
    tops = [f"ek_cluster_{manifest.levels}" for manifest in manifests]
    here: list[Counter[tuple[str, str]]] = [Counter(), Counter()]
    alone: list[Counter[tuple[str, str]]] = [Counter(), Counter()]
    common = 0
    passes = max(-(-sum(version.rows for version in sides) // ROWS_AT_ONCE), 1)
    for part in range(passes):
        ids = [_identities(*side, passes, part) for side in zip(sides, manifests, strict=True)]
        common += int(find_sorted(ids[1], ids[0])[1].sum())
        for side in (0, 1):
            for table in _chunks(sides[side], manifests[side], ["ek_identity", tops[side], *names], passes, part):
                lonely = table.filter(pa.array(~find_sorted(ids[1 - side], table["ek_identity"].to_numpy())[1]))
                for counter, rows in ((here[side], table), (alone[side], lonely)):
                    for column, name in ((tops[side], "cluster"), *((name, name) for name in names)):
                        counter.update(_count(rows[column], name))
    changes = [
        Change(
            name=key[0],
            value=key[1],
            before=here[0][key],
            after=here[1][key],
            added=alone[1][key],
            removed=alone[0][key],
        )
        for key in sorted({*here[0], *here[1]}, key=lambda key: (key[0], len(key[1]), key[1]))
    ]
    return VersionDiff(
        dataset=dataset,
        a=sides[0].version,
        b=sides[1].version,
        added=sides[1].rows - common,
        removed=sides[0].rows - common,
        unchanged=common,
        same_clustering=(same := manifests[0].centroid_hash == manifests[1].centroid_hash),
        cluster_names=_names(sides[1], manifests[1].levels) if same else {},
        clusters=[change for change in changes if change.name == "cluster"],
        groups=[change for change in changes if change.name != "cluster"],
        metrics=_side_by_side(manifests[0].metrics, manifests[1].metrics),
        recipe={
            name: pair
            for name, pair in _side_by_side(manifests[0].recipe, manifests[1].recipe).items()
            if pair[0] != pair[1]
        },
    )


def _names(version: Version, level: int) -> dict[str, str]:
    """Return what the clusters of a level are called, by number; none where the version has no file that says it."""
    try:
        table = read_table(storage.join(version.location, CLUSTERS), ["level", "id", "name"])
    except FileNotFoundError:
        return {}
    return {str(row["id"]): row["name"] for row in table.to_pylist() if row["level"] == level}


def _chunks(version: Version, manifest: Manifest, columns: list[str], passes: int, part: int) -> Iterator[pa.Table]:
    """Yield the columns of a version, a data file at a time, of the rows whose identity falls into this part."""
    for entry in manifest.data:
        table = read_table(storage.join(version.location, entry.path), columns)
        if passes > 1:
            mine = table["ek_identity"].to_numpy().view(np.uint64) % np.uint64(passes) == part
            table = table.filter(pa.array(mine))
        yield table


def _identities(version: Version, manifest: Manifest, passes: int, part: int) -> Int64Array:
    parts = [t["ek_identity"].to_numpy() for t in _chunks(version, manifest, ["ek_identity"], passes, part)]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)


def _count(column: pa.ChunkedArray, name: str) -> dict[tuple[str, str], int]:
    return {(name, str(item["values"])): item["counts"] for item in column.value_counts().to_pylist()}


def _side_by_side(a: dict[str, object], b: dict[str, object]) -> dict[str, tuple[object, object]]:
    left, right = _flat(a), _flat(b)
    return {name: (left.get(name), right.get(name)) for name in sorted({*left, *right})}


def _flat(value: object, path: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {path: value}
    return {
        name: leaf
        for key, inner in value.items()
        for name, leaf in _flat(inner, f"{path}.{key}" if path else str(key)).items()
    }
