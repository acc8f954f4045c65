"""What became of one row in the versions of a dataset, and why; read from the files of the versions alone."""

from collections.abc import Sequence

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import find_row, read_range
from evenkeel.infra.workspace import DONE
from evenkeel.tasks.cluster.hierarchy import read_rows
from evenkeel.tasks.publish.staging.dispositions import FOLDER
from evenkeel.tasks.reading.version import PublishedVersion

OF_KEPT = ["ek_id", "ek_row_id", "ek_cluster_1", "ek_copies", "ek_weight"]
ABSENT = "absent"
Line = dict[str, object]


class RowDisposition(BaseModel):
    """What became of a row in one version.

    disposition: kept, deduplicated, filtered, not_sampled, quarantined, or absent where no row of the id was read.
    reason: the kind of duplicate, the rule of the filter, or why the row was refused. duplicate_of: the id of the
    representative. leaf, leaf_rows, leaf_kept, quota: the leaf of the row, its rows, how many of them were kept, and
    its quota; None where the workspace no longer says which leaf a row that was not kept had.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    id: str
    disposition: str
    reason: str = ""
    duplicate_of: str | None = None
    similarity: float | None = None
    leaf: int | None = None
    leaf_rows: int | None = None
    leaf_kept: int | None = None
    quota: int | None = None
    copies: int | None = None
    weight: float | None = None

    @property
    def sentence(self) -> str:
        """What became of the row, and why, in a sentence."""
        leaf = "" if self.leaf is None else f"leaf {self.leaf} gave {self.leaf_kept:,} of its {self.leaf_rows:,} rows"
        why = {
            "kept": f"{leaf}, this one in {self.copies} copies with weight {self.weight or 0:g}",
            "deduplicated": f"{self.reason} duplicate of {self.duplicate_of!r}, similarity {self.similarity or 0:.2f}",
            "filtered": f"by the rule: {self.reason}",
            "not_sampled": leaf or "beyond the quota of its leaf, which the workspace no longer names",
            "quarantined": self.reason,
            ABSENT: "no row of this id was read, or its id was taken down",
        }[self.disposition]
        return f"v{self.version}: {self.disposition.replace('_', ' ')}: {why}"


def row_disposition(version: PublishedVersion, row: str) -> RowDisposition:
    """Return what became of the row with this id in a version. Reads the ids of its rows until it is found."""
    about: Line = {"version": version.version, "id": row}
    if (kept := _find(version.files, "ek_id", row, OF_KEPT)) is not None:
        line = kept[1]
        about |= {"disposition": "kept", "copies": line["ek_copies"], "weight": line["ek_weight"]}
        return RowDisposition.model_validate(about | _of_leaf(version, line["ek_cluster_1"]))
    files = sorted(storage.list_files(storage.join(version.location, FOLDER)))
    if (lost := _find(files, "ek_id", row, None)) is None:
        return RowDisposition.model_validate(about | {"disposition": ABSENT})
    uri, line = lost
    about |= {"disposition": line["fate"], "reason": line["reason"] or "", "similarity": line["similarity"]}
    if line["fate"] == "not_sampled":
        about |= _of_leaf(version, _leaf_of(version, uri, line["ek_row_id"]))
    return RowDisposition.model_validate(about | {"duplicate_of": _id_of(version, files, line["duplicate_of"])})


def _find(files: Sequence[str], column: str, value: object, columns: list[str] | None) -> tuple[str, Line] | None:
    """Return the file with the row whose column has a value, and the row; None where there is none."""
    for uri in files:
        names = None if columns is None else [*dict.fromkeys([column, *columns])]
        if (found := find_row(uri, {column: value}, names)) is not None:
            return uri, found
    return None


def _id_of(version: PublishedVersion, files: Sequence[str], row_id: object) -> str | None:
    """Return the id of a representative: a kept row, or one that is listed with its disposition."""
    if row_id is None:
        return None
    found = _find([*version.files, *files], "ek_row_id", row_id, ["ek_id"])
    return None if found is None else str(found[1]["ek_id"])


def _leaf_of(version: PublishedVersion, uri: str, row_id: object) -> object:
    """Return the leaf of a row that was not kept, None where the workspace no longer has it."""
    cluster = str(version.manifest.document.get("steps", {}).get("cluster", {}).get("uri", ""))
    block = uri.rpartition("/")[2].removesuffix(".parquet")
    if not cluster or not storage.exists(storage.join(cluster, DONE)):
        return None
    rows = read_rows(cluster, block)
    at, there = find_sorted(rows["row_id"].to_numpy(), pa.array([row_id], pa.uint64()).to_numpy())
    return rows["leaf"][int(at[0])].as_py() if there[0] else None


def _of_leaf(version: PublishedVersion, leaf: object) -> Line:
    if not isinstance(leaf, int):
        return {}
    quotas = read_range(storage.join(version.location, "selection", "quotas.parquet"), leaf, leaf, "leaf").to_pylist()
    counted = {"leaf_rows": "size", "leaf_kept": "kept", "quota": "quota"}
    return {"leaf": leaf, **{name: quotas[0][of] for name, of in counted.items()}}
