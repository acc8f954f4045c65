"""Open a published version by the dataset's folder alone: no catalog, no recipe, no workspace."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError, VersionNotFound
from evenkeel.infra.tables import read_groups, read_table
from evenkeel.tasks.publish.config import LATEST
from evenkeel.tasks.publish.layout import CLUSTERS, INDEX, MADE, MANIFEST, POINTER, VERSIONS
from evenkeel.tasks.publish.manifest import Manifest, read_checked
from evenkeel.tasks.publish.tier import NAMES, at_least
from evenkeel.tasks.reading.stream import Batch, RowStream

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PublishedVersion:
    """A published version and its rows.

    version: its number. tags: its other names when it was opened. location: its folder. data: the folder of its Parquet
    files. files: each of them, in published order. manifest: counts, columns, recipe, metrics, and where it came from.
    """

    dataset: str
    version: int
    tags: tuple[str, ...]
    location: str
    data: str
    files: tuple[str, ...]
    manifest: Manifest

    @property
    def rows(self) -> int:
        """How many rows it holds, copies not counted."""
        return self.manifest.counts["kept"]

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows, in published order, as one Arrow table in memory."""
        return pa.concat_tables([read_table(uri, columns) for uri in self.files])

    def to_pandas(self, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """Return all rows, in published order, as a pandas frame."""
        frame: pd.DataFrame = self.to_arrow(columns).to_pandas()
        return frame

    def clusters(self) -> "pd.DataFrame":
        """Return the clusters of every level: level, id, parent, name, words, pool, kept, representatives.

        `id` is the value of the column `ek_cluster_<level>`. Raises StorageError for a version without names.
        """
        uri = storage.join(self.location, CLUSTERS)
        try:
            frame: pd.DataFrame = read_table(uri).to_pandas()
        except FileNotFoundError:
            raise StorageError(
                f"v{self.version} does not name its clusters: an earlier release published it",
                where=uri,
                remedy="publish a version with this one",
            ) from None
        return frame

    def made(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows that were made of kept ones, with their parents, a row group at a time; none without any."""
        for uri in storage.list_files(storage.join(self.location, MADE)):
            yield from read_groups(uri, columns)

    def scan(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows in published order, a row group at a time."""
        for uri in self.files:
            yield from read_groups(uri, columns)

    def stream(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch: int = 256,
        seed: int = 0,
        shuffle: bool = True,
        stage: str | None = None,
        split: str | None = None,
        fresh: float | None = None,
        weights: str | None = None,
        order: bool = False,
    ) -> RowStream:
        """Return a stream of shuffled batches for training; `RowStream(version.data, ...)` has more options.

        stage, split: of the recipe. fresh: a share of the rows, another in each epoch. weights: a name of the recipe's
        `weights`, or a column. order: as the recipe's `order` says. Raises InputError for what the version has not.
        """
        return RowStream(
            self.data,
            columns=columns,
            batch=batch,
            seed=seed,
            shuffle=shuffle,
            stage=stage,
            split=split,
            fresh=fresh,
            weights=weights,
            order=order,
        )

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch: int = 256,
        epoch: int = 0,
        stage: str | None = None,
        split: str | None = None,
        fresh: float | None = None,
        weights: str | None = None,
        order: bool = False,
    ) -> Iterator[Batch]:
        """Yield the shuffled batches of an epoch: dicts of columns, rows as often as their copies, or `stage`, say."""
        stream = self.stream(columns, batch=batch, stage=stage, split=split, fresh=fresh, weights=weights, order=order)
        return stream.batches(epoch)


def open_version(address: str, version: str | int | None = None, tier: str | None = None) -> PublishedVersion:
    """Open a version of the dataset whose folder is `address`: `<destination>/<dataset>`, local or on a store.

    version: 3, "v3", a tag, or "latest", the current one and the default. tier: L0 to L4; without a version the newest
    of at least that tier, current or not, and with one a condition on it. What is there is read from the copies that
    lie in the folder, which a commit may be a moment ahead of. Raises VersionNotFound, naming what there is,
    StorageError where the manifest is gone or altered, RecipeError for a tier that is none.
    """
    found = _entry(address, version, tier)
    run = str(found["location"]).rstrip("/").rpartition("/")[2]
    location = storage.join(address, VERSIONS, run)  # wherever the folder is mounted or was copied to
    manifest = read_checked(storage.join(location, MANIFEST), str(found["manifest_sha256"]))
    return PublishedVersion(
        dataset=manifest.dataset,
        version=manifest.version,
        tags=tuple(found["tags"]),
        location=location,
        data=storage.join(location, "data"),
        files=tuple(storage.join(location, entry.path) for entry in manifest.data),
        manifest=manifest,
    )


def _entry(address: str, version: str | int | None, tier: str | None) -> dict[str, Any]:
    """Return what the folder says of a version. Raises VersionNotFound where there is none."""
    if tier is not None and tier not in NAMES:
        raise RecipeError(f"there is no tier {tier!r}", expected=", ".join(NAMES), where="tier")
    wanted = LATEST if version is None else str(version).strip()
    pointer = _pointer(address) if wanted == LATEST and tier is None else None
    if pointer is not None:
        return pointer
    known = _index(address)
    mine = [one for one in known if (version is None and tier is not None) or wanted in _names(one)]
    high = [one for one in mine if tier is None or at_least(one.get("tier", ""), tier)]
    if high:
        return max(high, key=lambda one: int(one["version"]))
    what = f"version {wanted!r}" if version is not None or tier is None else "version"
    raise VersionNotFound(
        f"there is no {what}" + (f" of tier {tier} or higher" if tier is not None else ""),
        found=", ".join(f"v{one['version']}" + (f" ({one['tier']})" if one.get("tier") else "") for one in known[:20])
        or "none",
        where=address,
    )


def version_numbers(address: str) -> list[int]:
    """Return the numbers of the versions of the dataset in a folder. Raises VersionNotFound where there is none."""
    return [int(one["version"]) for one in _index(address)]


def _pointer(address: str) -> dict[str, Any] | None:
    try:
        pointer: dict[str, Any] = storage.read_json(storage.join(address, POINTER))
    except FileNotFoundError:  # of a dataset that was last published by an earlier release
        return None
    return pointer


def _index(address: str) -> list[dict[str, Any]]:
    try:
        known: list[dict[str, Any]] = storage.read_json(storage.join(address, INDEX))
    except FileNotFoundError:
        raise VersionNotFound(
            "there is no published dataset here",
            expected=f"a folder with {INDEX}: <destination>/<dataset>",
            where=address,
            remedy="check the address and the credentials; `evenkeel show RECIPE` prints where the data lies",
        ) from None
    return known


def _names(one: dict[str, Any]) -> list[str]:
    current = [LATEST] if one["current"] else []
    return [str(one["version"]), f"v{one['version']}", *one["tags"], *current]
