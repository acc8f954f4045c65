"""Publish a version again without some of its rows: files, counts, profile, gates and card are those of the new one.

What the new version says is drawn from its own files, so the workspace of the run that made the first is not needed.
"""

import secrets
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.expectations.concerns.nearness import Distance
from evenkeel.infra import storage
from evenkeel.infra.errors import GateFailed
from evenkeel.infra.tables import read_footer, read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.measure.config import signals_counted
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.layout import BESIDE, CLUSTERS, MADE, copy_hashed
from evenkeel.tasks.publish.manifest import FileEntry, Manifest, Staged, content_key
from evenkeel.tasks.publish.origin import origin_files
from evenkeel.tasks.publish.publish import PublishResult, publish_files
from evenkeel.tasks.publish.staging import dispositions
from evenkeel.tasks.publish.staging.beside import write_table
from evenkeel.tasks.publish.staging.gather import write_data_file
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.publish.tier import Tier, TierConfig
from evenkeel.tasks.report.cluster_names import NAMES
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.step import REPORT
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.results import results_of
from evenkeel.tasks.validate.step import VALIDATE
from evenkeel.tasks.validate.tiers import tier_of_results
from evenkeel.tasks.versions.as_steps import as_steps, texts_of
from evenkeel.tasks.versions.earlier import past_versions, profile_of
from evenkeel.tasks.versions.listing import list_versions, read_manifest
from evenkeel.tasks.versions.own_steps import REPUBLISHED, measure_again
from evenkeel.tasks.versions.recount import Count, recount

REASON = "taken down"
REDONE = ("stage", "measure", "validate", "report", "previous")


@dataclass(frozen=True)
class Shortened:
    """A version's files without some rows, staged in a folder of their own. gone: the rows that were left out."""

    staged: Staged
    gone: Count
    manifest: Manifest


def republish(
    config: DestinationConfig, dataset: str, version: Version, excluded: Collection[str], reason: str, workspace: str
) -> PublishResult:
    """Publish `version` again without the rows of these ids, whose ids are nowhere in the new one.

    One data file is in memory at a time. The gates of the recipe that can be measured on the published rows are; where
    one that blocks fails, GateFailed is raised and nothing is published.
    """
    with tempfile.TemporaryDirectory(prefix="evenkeel-republish-") as scratch:
        short = _without(version, excluded)
        document = {
            **short.manifest.document,
            "steps": {
                name: ref for name, ref in short.manifest.document.get("steps", {}).items() if name not in REDONE
            },
            "recipe": short.manifest.recipe,
            "seed": short.manifest.seed,
            REPUBLISHED: version.version,
            "reason": reason or f"takedown of {short.gone.rows} rows from v{version.version}",
        }
        if not storage.exists(storage.join(version.profile, "totals.parquet")):  # it was published without a card
            return publish_files(config, dataset, short.staged, {}, document, workspace, replace=True)
        drawer = _Drawer(config, version, short, workspace, Run(scratch, dataset, Path(scratch) / "scratch"))
        try:
            drawer.require_gates()
        except GateFailed:
            storage.remove(short.staged.folder)
            raise
        document["metrics"] = drawer.measure.facts
        if drawer.tier is not None:
            document["tier"] = drawer.tier.model_dump(mode="json")
        return publish_files(config, dataset, short.staged, drawer.extras, document, workspace, replace=True)


def _without(version: Version, excluded: Collection[str]) -> Shortened:
    """Write the files of a version again without some rows."""
    manifest, ids = read_manifest(version), pa.array(sorted(excluded), pa.string())
    folder = storage.join(
        version.location.rpartition("/")[0], f"{manifest.run.partition('-')[0]}-{secrets.token_hex(4)}"
    )
    text, gone, taken = texts_of(manifest) if manifest.document.get("steps") else None, Count(copies=False), []
    files: list[FileEntry] = []
    copies = 0
    for entry in manifest.data:
        uri = storage.join(version.location, entry.path)
        table, group = read_table(uri), read_footer(uri).row_group(0).num_rows
        out = pc.is_in(table["ek_id"], ids)
        lost = table.filter(out)
        gone.add(lost, manifest, text)
        copies += int(pc.sum(lost["ek_copies"]).as_py() or 0)
        taken.append(lost["ek_row_id"])
        if (kept := table.filter(pc.invert(out))).num_rows:
            files.append(write_data_file(folder, len(files), kept, group))
    files += [_beside(version, folder, entry, ids) for entry in manifest.files if entry.path.split("/")[0] in BESIDE]
    files.append(_taken_down(folder, pa.chunked_array([part for rows in taken for part in rows.chunks], pa.int64())))
    counts = dict(manifest.counts)
    counts["kept"] -= gone.rows
    counts["copies"] -= copies
    counts["quarantined"] += gone.rows
    staged = Staged(
        **manifest.model_dump(include=set(Staged.model_fields) - {"run", "folder", "files", "counts", "content_key"}),
        run=folder.rpartition("/")[2],
        folder=folder,
        files=files,
        counts=counts,
        content_key=content_key(files),
    )
    return Shortened(staged, gone, manifest)


def _taken_down(folder: str, rows: pa.ChunkedArray) -> FileEntry:
    """Write the dispositions of the rows that were left out: where each lay in the source, without its id."""
    reasons = pa.array([REASON] * len(rows), pa.string())
    table = dispositions.quarantined(rows, pa.nulls(len(rows), pa.string()), reasons)
    return write_table(folder, f"{dispositions.FOLDER}/{folder.rpartition('-')[2]}-takedown.parquet", table)


def _beside(version: Version, folder: str, entry: FileEntry, ids: pa.Array) -> FileEntry:
    """Copy a file beside the rows; where it names one of the ids, the name is left out."""
    source = storage.join(version.location, entry.path)
    if entry.path.startswith(f"{dispositions.FOLDER}/"):
        table = read_table(source)
        named = pc.is_in(table["ek_id"], ids)
        if pc.any(named).as_py():
            place = table.column_names.index("ek_id")
            scrubbed = pc.if_else(named, pa.scalar(None, pa.string()), table["ek_id"])
            return write_table(folder, entry.path, table.set_column(place, table.schema.field(place), scrubbed))
    if entry.path.startswith(f"{MADE}/"):
        return write_table(folder, entry.path, without_children(read_table(source), ids))
    copy_hashed(source, storage.join(folder, entry.path))
    return entry


def without_children(made: pa.Table, ids: pa.Array) -> pa.Table:
    """Return made rows without those of which a parent has one of these ids."""
    parents = made["ek_parents"].combine_chunks()
    gone = pc.is_in(parents.flatten(), ids).to_numpy(zero_copy_only=False).reshape(-1, 2).any(axis=1)
    return made.filter(pa.array(~gone))


class _Drawer:
    """Draws profile, gates and card of a shortened version from its own files."""

    def __init__(self, config: DestinationConfig, version: Version, short: Shortened, workspace: str, run: Run) -> None:
        self.config, self.version, self.short, self.workspace, self.run = config, version, short, workspace, run
        base = storage.join(str(run.scratch), "steps")
        self.previous = profile_of(version)
        self.text = texts_of(short.manifest)
        self.gates = GatesConfig.model_validate(short.manifest.recipe.get("gates", {}))
        self.measure = recount(
            short.staged,
            short.gone,
            Profile.open(version.profile),
            self.text,
            storage.join(base, "measure"),
            signals_counted(self.gates.expectations()),
        )
        self.steps = {**as_steps(short.staged, short.manifest, base), "measure": self.measure}
        asked = sorted({(one.to, one.by) for one in self.gates.expectations() if isinstance(one, Distance)})
        measure_again(short.manifest, self.steps["sample"], self.previous, self.measure, asked, run)
        self.validate = self._validate()
        self.tier = self._tier()

    def _tier(self) -> Tier | None:
        """Return the tier of the shortened version, whose approval is that of the version that it is made from."""
        recipe, approval = self.short.manifest.recipe, self.short.manifest.document.get("approval")
        if not recipe.get("tier"):
            return None
        config = TierConfig.model_validate(recipe["tier"])
        gates = GatesConfig.model_validate(recipe.get("gates", {}))
        return tier_of_results(config, gates, results_of(self.validate), approval)

    def _validate(self) -> StepRef:
        gates = self.gates
        if self.text is None:  # near-duplicates and patterns are searched for in texts
            gates = gates.model_copy(update={"scan_rows": 0})
        return VALIDATE(gates, ValidateInputs.of({**self.steps, "previous": self.previous}), self.run)

    def require_gates(self) -> None:
        """Raise GateFailed where an expectation that blocks failed."""
        if failed := self.validate.facts["failed"]:
            raise GateFailed(
                f"{len(failed)} blocking expectation(s) fail without the rows that were taken down",
                found="; ".join(str(one["reason"]) for one in failed),
                where=self.version.location,
                remedy="the rows are kept out of every coming version: curate again, which chooses others instead",
            )

    def extras(self, number: int, folder: str) -> Mapping[str, str | bytes]:
        """Return the files beside the rows, drawn for this number and folder."""
        dataset, recipe = self.run.dataset, self.short.manifest.recipe
        known = list_versions(self.config, dataset, self.workspace)
        config = ReportConfig(
            dataset=dataset,
            recipe=recipe,
            version=number,
            created=datetime.now(UTC).date().isoformat(),
            location=folder,
            history=past_versions(version for version in known if version.version < number),
            price_per_hour=recipe.get("price_per_hour"),
            tier=self.tier,
        )
        facts = {name: value for name, value in self.previous.facts.items() if name != NAMES}
        unnamed = self.previous.model_copy(update={"facts": facts})  # its names may hold words of the rows that go
        inputs = {**self.steps, "validate": self.validate, "previous": unnamed}
        report = REPORT(config, ReportInputs.of(inputs), self.run)
        names, sources = Profile.open(self.measure).files(), self.steps.get("sources")
        held = set() if sources is None else Profile.open(self.measure).held(str(sources.facts["name"]))
        return {
            **{f"profile/{name}": storage.join(self.measure.uri, name) for name in names},
            "card.html": storage.join(report.uri, "card.html"),
            "README.md": storage.join(report.uri, "README.md"),
            "expectations.json": storage.join(self.validate.uri, "results.json"),
            "docs": storage.join(report.uri, "docs"),
            CLUSTERS: storage.join(report.uri, CLUSTERS),
            **origin_files(self.short.staged, dataset, number, recipe, sources, held),
        }
