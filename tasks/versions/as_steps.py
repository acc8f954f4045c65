"""A published version in the layout that steps leave, so that validate and report draw it anew without its workspace.

The pool is the rows of the version: what was dropped is published as dispositions only, without texts.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.hierarchy import Level, read_level, write_level
from evenkeel.tasks.dedup.drops import KINDS
from evenkeel.tasks.dedup.ledger import DROPPED, FILTERED, SCHEMA
from evenkeel.tasks.ingest.columns import NO_GROUP, conform
from evenkeel.tasks.ingest.pool import Block, PoolInfo, Shard
from evenkeel.tasks.ingest.source_table import SOURCES
from evenkeel.tasks.publish.layout import copy_hashed
from evenkeel.tasks.publish.manifest import Manifest, Staged
from evenkeel.tasks.publish.staging.dispositions import FOLDER

PREFIX, SIGNAL = "ek_", "ek_signal_"
SIGNAL = "ek_signal_"


def as_steps(staged: Staged, manifest: Manifest, folder: str) -> dict[str, StepRef]:
    """Write ingest, dedup, cluster and sample below `folder` from the files of a version, and return them by name.

    staged: the files. manifest: what the version they were made of says of its steps. A data file is in memory at a
    time; `folder` takes as much room as the version's own columns.
    """
    steps = {name: StepRef.model_validate(step) for name, step in manifest.document["steps"].items()}
    refs = {
        name: ref.model_copy(update={"uri": storage.join(folder, name), "key": f"{ref.key}-{staged.run}"[:60]})
        for name, ref in steps.items()
    }
    groups = signal_groups(staged)
    refs = {name: ref for name, ref in refs.items() if _is_step(name, groups)}
    refs |= {name: _without_counts(ref) for name, ref in refs.items() if name.startswith("annotations.")}
    columns = {refs[f"signals.{name}"].uri: column for name, column in groups.items() if f"signals.{name}" in refs}
    _write_pool(staged, manifest, steps["ingest"], refs["ingest"].uri, columns)
    _write_dropped(staged, refs["dedup"].uri)
    _write_clusters(staged, steps["cluster"], refs["cluster"].uri)
    write_selection(staged, refs["sample"].uri)
    table = storage.join(staged.folder.rpartition("/")[0], manifest.run, SOURCES)
    if "sources" in refs and storage.exists(table):
        copy_hashed(table, storage.join(refs["sources"].uri, "fit", SOURCES))
    else:
        refs.pop("sources", None)
    facts = {"location": staged.folder, "content_key": staged.content_key}
    refs["stage"] = StepRef(step="stage", key=staged.run, uri=storage.join(folder, "stage"), facts=facts)
    return refs


def texts_of(manifest: Manifest) -> str | None:
    """Return the column of texts that the version holds, None where it holds none."""
    text = manifest.document["steps"]["ingest"]["facts"].get("columns", {}).get("text")
    return text if manifest.payload == "rows" and text in manifest.columns else None


def signal_groups(staged: Staged) -> dict[str, str]:
    """Return the columns of a version that are signals of groups, by the names of the groups."""
    kinds = {name: kind for name, kind in staged.columns.items() if name.startswith(SIGNAL)}
    return {name.removeprefix(SIGNAL): name for name, kind in kinds.items() if kind == "string"}


def group_values(rows: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a group column of published rows as the strings that groups are counted by."""
    return pc.fill_null(conform(rows[name], pa.string()), NO_GROUP)


def dispositions_of(staged: Staged) -> Iterator[pa.Table]:
    """Yield the dispositions of the rows that a version does not hold, a file at a time."""
    for entry in staged.files:
        if entry.path.startswith(f"{FOLDER}/"):
            yield read_table(storage.join(staged.folder, entry.path))


def _is_step(name: str, groups: Mapping[str, str]) -> bool:
    """Tell whether a step can be written from a version: of the signals, those that are columns of groups."""
    return not name.startswith("signals.") or name.removeprefix("signals.") in groups


def _without_counts(annotation: StepRef) -> StepRef:
    """Return an annotation with its columns alone: what it counted was of the rows of the version before."""
    return annotation.model_copy(
        update={"facts": {name: annotation.facts[name] for name in ("kind", "columns") if name in annotation.facts}}
    )


def _write_pool(staged: Staged, manifest: Manifest, ingest: StepRef, folder: str, signals: Mapping[str, str]) -> None:
    """Write the pool of a version's rows. signals: the folder of each signal that is a group, and its column."""
    blocks: list[Block] = []
    payload: dict[str, str] = {}
    scores = [str(name) for name in manifest.recipe.get("source", {}).get("scores", ())]
    numbers: dict[str, str] = {}
    for entry in staged.data:
        rows = read_table(storage.join(staged.folder, entry.path)).sort_by("ek_row_id")
        theirs = rows.select([name for name in rows.column_names if not name.startswith(PREFIX)])
        payload = {field.name: str(field.type) for field in theirs.schema}
        numbers = _scores(rows, scores)
        for shard in np.unique(rows["ek_shard"].to_numpy()).tolist():
            mine = pc.equal(rows["ek_shard"], shard)
            block = Block(name=f"s{shard:05d}-f{len(blocks):05d}", shard=shard, rows=pc.sum(mine).as_py())
            blocks.append(block)
            table = _row_table(rows.filter(mine), staged, numbers)
            write_table(storage.join(folder, "rows", f"{block.name}.parquet"), table)
            for uri, column in signals.items():
                of_rows = rows.filter(mine)
                values = {"row_id": of_rows["ek_row_id"].cast(pa.uint64()), "value": group_values(of_rows, column)}
                write_table(storage.join(uri, "column", f"{block.name}.parquet"), pa.table(values))
            if theirs.num_columns:
                write_table(storage.join(folder, "payload", f"{block.name}.parquet"), theirs.filter(mine))
    columns = ingest.facts.get("columns", {})
    info = PoolInfo(
        read=staged.counts["read"],
        rows=staged.counts["kept"],
        quarantined=staged.counts["quarantined"],
        id=columns.get("id"),
        text=texts_of(manifest),
        vector=None,
        dimension=ingest.facts.get("dimension"),
        dtype=ingest.facts.get("dtype"),
        groups=staged.groups,
        scores=list(numbers),
        payload=payload if staged.payload == "rows" else {},
        reasons=_reasons(staged),
    )
    in_order = sorted(blocks, key=lambda block: block.name)
    names = {number: name for name, (number, _) in manifest.document.get("source", {}).get("shards", {}).items()}
    shards = [
        Shard(**one.model_dump(), name=names.get(one.number, one.uri.rpartition("/")[2])) for one in staged.shards
    ]
    storage.write_json(storage.join(folder, "pool.json"), {**info.model_dump(mode="json"), "published": True})
    storage.write_json(storage.join(folder, "blocks.json"), [block.model_dump() for block in in_order])
    storage.write_json(storage.join(folder, "shards.json"), [shard.model_dump() for shard in shards])


def _row_table(rows: pa.Table, staged: Staged, scores: Mapping[str, str]) -> pa.Table:
    columns = {
        "row_id": rows["ek_row_id"].cast(pa.uint64()),
        "shard": rows["ek_shard"],
        "row": rows["ek_row"],
        "id": rows["ek_id"],
        "identity": pa.array(rows["ek_identity"].to_numpy().view(np.uint64)),
        **{f"group.{name}": group_values(rows, name) for name in staged.groups},
        **{f"score.{name}": rows[column].cast(pa.float64(), safe=False) for name, column in scores.items()},
    }
    return pa.table(columns)


def _scores(rows: pa.Table, of_source: Sequence[str]) -> dict[str, str]:
    """Return the published columns of scores and of signals that are numbers, by what the recipe calls them."""
    found = {name: name for name in of_source if name in rows.column_names}
    numbers = [one.name for one in rows.schema if one.name.startswith(SIGNAL) and pa.types.is_floating(one.type)]
    return found | {name.removeprefix(SIGNAL): name for name in numbers}


def _reasons(staged: Staged) -> dict[str, int]:
    """Return how many rows were quarantined for each reason that is not deduplication's."""
    reasons: dict[str, int] = {}
    for table in dispositions_of(staged):
        refused = table.filter(pc.equal(table["fate"], "quarantined"))
        for one in refused["reason"].value_counts().to_pylist():
            if one["values"] not in KINDS:
                reasons[one["values"]] = reasons.get(one["values"], 0) + one["counts"]
    return reasons


def _write_dropped(staged: Staged, folder: str) -> None:
    parts = []
    for table in dispositions_of(staged):
        filtered = pc.equal(table["fate"], FILTERED)
        mine = table.filter(pc.or_(filtered, pc.is_in(table["reason"], pa.array(KINDS))))
        filtered = pc.equal(mine["fate"], FILTERED)
        representative = pc.coalesce(mine["duplicate_of"], mine["ek_row_id"])
        columns = {
            "row_id": mine["ek_row_id"].cast(pa.uint64()),
            "duplicate_of": representative.cast(pa.uint64()),
            "kind": pc.if_else(filtered, FILTERED, mine["reason"]),
            "similarity": pc.fill_null(mine["similarity"], 0.0),
            "rule": pc.if_else(filtered, mine["reason"], pa.scalar(None, pa.string())),
        }
        parts.append(pa.table(columns, schema=SCHEMA))
    write_table(storage.join(folder, DROPPED), pa.concat_tables([SCHEMA.empty_table(), *parts]).sort_by("row_id"))


def _write_clusters(staged: Staged, cluster: StepRef, folder: str) -> None:
    levels: list[Level] = []
    for number in range(1, staged.levels + 1):
        level = read_level(storage.join(staged.folder, "centroids", f"level-{number}"), 0.0)
        write_level(storage.join(folder, f"level-{number}"), level)
        levels.append(level)
    known = cluster.facts.get("levels", [])
    about = [
        {"clusters": level.clusters, "wanted": level.clusters, "inertia": 0.0, **(known[at] if at < len(known) else {})}
        for at, level in enumerate(levels)
    ]
    dimension = levels[0].centroids.shape[1] if levels else 0
    info = {"blocks": [], "centroid_hash": staged.centroid_hash or "", "dimension": dimension, "levels": about}
    storage.write_json(storage.join(folder, "levels.json"), info)


def write_selection(staged: Staged, folder: str) -> None:
    """Write the selection of a version from its data files, as the sample step leaves it."""
    names = {"ek_row_id": "row_id", "ek_copies": "copies", "ek_weight": "weight", "ek_cluster_1": "leaf"}
    parts = [read_table(storage.join(staged.folder, entry.path), list(names)) for entry in staged.data]
    rows = pa.concat_tables([part.select(list(names)) for part in parts]).rename_columns(list(names.values()))
    rows = rows.set_column(0, "row_id", rows["row_id"].cast(pa.uint64())).replace_schema_metadata(None)
    plain = pa.schema([pa.field(field.name, field.type) for field in rows.schema])
    write_table(storage.join(folder, "selection.parquet"), rows.cast(plain).sort_by("row_id"))
    for entry in staged.files:
        if entry.path.startswith("selection/"):
            table = read_table(storage.join(staged.folder, entry.path))
            write_table(storage.join(folder, entry.path.rpartition("/")[2]), table)
