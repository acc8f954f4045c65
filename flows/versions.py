"""The operations on published versions, for command line and flows: each returns its result and a sentence about it."""

from collections.abc import Collection

from pydantic import BaseModel, model_serializer

from evenkeel.flows import events
from evenkeel.flows.answer import Answer
from evenkeel.flows.places import AnyPlace, absolute, place_of, require_known_places
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError
from evenkeel.infra.workspace import DONE
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.manifest import Manifest
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.publish.trail import Entry
from evenkeel.tasks.report.removed import Removed, removed_rows
from evenkeel.tasks.versions import diff as comparing
from evenkeel.tasks.versions import export as exporting
from evenkeel.tasks.versions import prune as pruning
from evenkeel.tasks.versions import tags, trash
from evenkeel.tasks.versions import takedown as taking_down
from evenkeel.tasks.versions import verify as verifying
from evenkeel.tasks.versions.diff import VersionDiff
from evenkeel.tasks.versions.export import Exported, Format
from evenkeel.tasks.versions.listing import list_versions, read_manifest, read_version
from evenkeel.tasks.versions.prune import Prune
from evenkeel.tasks.versions.takedown import Takedown
from evenkeel.tasks.versions.verify import Verification


class VersionDetails(BaseModel):
    """A version and its manifest."""

    version: Version
    manifest: Manifest

    @model_serializer
    def _in_one(self) -> dict[str, object]:
        return {**self.version.model_dump(mode="json"), "manifest": self.manifest.model_dump(mode="json")}


def versions(recipe: AnyPlace) -> Answer[list[Version]]:
    """List the published versions of a dataset, newest first.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
    """
    _, dataset, _ = place = _place(recipe)
    known = list_versions(*place)
    current = next((f"; v{version.version} is the current one" for version in known if version.current), "")
    current += next((f"; {version.held.sentence}" for version in known if version.held), "")
    many = f"{len(known):,} version" + ("" if len(known) == 1 else "s")
    return Answer(known, f"{dataset} has {many}{current}" if known else f"{dataset} has no versions yet")


def show(recipe: AnyPlace, version: str = "latest") -> Answer[VersionDetails]:
    """Show one version and its manifest.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to show: 3, v3, latest or another tag.
    """
    destination, dataset, workspace = _place(recipe)
    found = read_version(destination, dataset, version, workspace)
    tagged = f" ({', '.join(found.tags)})" if found.tags else ""
    sentence = f"v{found.version}{tagged} of {dataset}, {found.rows:,} rows, by {found.created_by}"
    return Answer(VersionDetails(version=found, manifest=read_manifest(found)), sentence)


def dropped(recipe: AnyPlace, version: str = "latest", each: int = 5) -> Answer[list[Removed]]:
    """Show rows that were dropped as duplicates from a version, beside their representatives.

    Raises StorageError where the outputs of the version's steps are gone from the workspace.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version: 3, v3, latest or another tag.
        each: How many rows of each kind of duplicate to show at most, the least similar first.
    """
    destination, dataset, workspace = _place(recipe)
    found = read_version(destination, dataset, version, workspace)
    steps = read_manifest(found).document["steps"]
    ingest, dedup = (str(steps[name]["uri"]) for name in ("ingest", "dedup"))
    if not all(storage.exists(storage.join(uri, DONE)) for uri in (ingest, dedup)):
        raise StorageError(
            "the rows that this version was made from are gone from the workspace",
            where=dedup,
            remedy="the fates/ folder of the version names every dropped row and its representative",
        )
    rows = removed_rows(dedup, Pool.open(ingest), each)
    number = f"{len(rows):,}" if rows else "no"
    return Answer(rows, f"{number} rows dropped as duplicates from v{found.version} of {dataset}")


def diff(recipe: AnyPlace, a: str, b: str) -> Answer[VersionDiff]:
    """Compare two versions: rows, clusters, groups, metrics, recipe.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        a: The earlier version: 3, v3, latest or another tag.
        b: The later version.
    """
    destination, dataset, workspace = _place(recipe)
    found = comparing.diff(destination, dataset, a, b, workspace)
    counts = f"{found.added:,} rows added, {found.removed:,} removed, {found.unchanged:,} unchanged"
    return Answer(found, f"v{found.a} -> v{found.b} of {dataset}: {counts}")


def tag(recipe: AnyPlace, version: str, name: str) -> Answer[Version]:
    """Let a name (a tag) mean a version.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to name: 3, v3, latest or another tag.
        name: The tag to move, such as production.
    """
    destination, dataset, workspace = _place(recipe)
    found = tags.tag(destination, dataset, version, name, workspace)
    events.emit_moved(found, "promoted")
    return Answer(found, f"{name} means v{found.version} of {dataset}")


def untag(recipe: AnyPlace, name: str) -> Answer[Version]:
    """Remove a name; the version it meant stays, until a prune.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        name: The tag to remove.
    """
    destination, dataset, workspace = _place(recipe)
    found = tags.untag(destination, dataset, name, workspace)
    return Answer(found, f"{name} means nothing any more; it meant v{found.version} of {dataset}")


def rollback(recipe: AnyPlace, version: str, reason: str = "") -> Answer[Version]:
    """Make an earlier version the current one and hold it: until it is released, runs publish beside it.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to go back to: 3, v3 or a tag.
        reason: Why, for the record.
    """
    destination, dataset, workspace = _place(recipe)
    found = tags.rollback(destination, dataset, version, workspace, reason)
    events.emit_moved(found, "rolled-back")
    held = "it is held until `evenkeel release`; runs publish beside it"
    return Answer(found, f"v{found.version} is the current version of {dataset}; {held}")


def hold(recipe: AnyPlace, version: str = "latest", reason: str = "") -> Answer[Version]:
    """Hold a version as the current one: until it is released, runs publish beside it.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to hold: 3, v3, a tag, or the current one.
        reason: Why, for the record.
    """
    destination, dataset, workspace = _place(recipe)
    found = tags.hold(destination, dataset, version, workspace, reason)
    events.emit_moved(found, "held")
    return Answer(found, f"v{found.version} of {dataset} is held as the current version; runs publish beside it")


def release(recipe: AnyPlace, reason: str = "") -> Answer[Version]:
    """Release the version that is held; it stays the current one until a run publishes another.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        reason: Why, for the record.
    """
    destination, dataset, workspace = _place(recipe)
    found = tags.release(destination, dataset, workspace, reason)
    events.emit_moved(found, "released")
    return Answer(found, f"v{found.version} of {dataset} is released: the next run that publishes replaces it")


def history(recipe: AnyPlace) -> Answer[list[Entry]]:
    """Say who did what to the versions of a dataset, when and why, newest first: the last 200 entries.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
    """
    _, dataset, _ = place = _place(recipe)
    found = tags.history(*place)
    return Answer(found, f"{len(found):,} entries in the history of {dataset}")


def verify(recipe: AnyPlace, version: str = "latest") -> Answer[Verification]:
    """Read every file of a version and compare it with its checksum.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to read: 3, v3, latest or another tag.
    """
    destination, dataset, workspace = _place(recipe)
    found = verifying.verify(destination, dataset, version, workspace)
    damaged = "".join(f"\n  {damage.path}: {damage.problem}" for damage in found.damages)
    verdict = f"{len(found.damages)} are damaged:{damaged}" if found.damages else "all as they were written"
    sentence = f"v{found.version} of {dataset}: {found.files} files, {found.bytes:,} bytes, {verdict}"
    return Answer(found, sentence, ok=found.sound)


def prune(
    recipe: AnyPlace, drop: Collection[str] | None = None, at_once: bool = False, dry_run: bool = True
) -> Answer[Prune]:
    """Remove versions that no tag and no rule keeps, files of dead runs, and step outputs that are no longer needed.

    Versions go into the trash first, for the days of the retention rule.

    Args:
        recipe: The recipe whose destination says what is kept, or the file that holds it.
        drop: Versions to remove whatever the retention rule says.
        at_once: Remove versions for good now, and whatever is in the trash.
        dry_run: Only say what would be removed.
    """
    destination, dataset, workspace = _place(recipe)
    found = pruning.prune(destination, dataset, workspace, drop=drop or (), at_once=at_once, dry_run=dry_run)
    numbers = ", ".join(f"v{number}" for number in found.versions) or "no version"
    outputs = f"{len(found.outputs)} outputs of steps, {found.output_files} files, {found.output_bytes:,} bytes"
    did = "would remove" if dry_run else "removed"
    days = f"{destination.retention.trash_days:g} days, `evenkeel restore` brings versions back"
    trash = f"; into the trash: {len(found.trash)} folders ({days})" if found.trash else ""
    sentence = f"{did}: {numbers}, {found.files} files, {found.bytes:,} bytes; in the workspace: {outputs}{trash}"
    return Answer(found, sentence)


def restore(recipe: AnyPlace, version: str) -> Answer[Version]:
    """Bring a pruned version back from the trash, under its number.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The number of the version: 3 or v3.
    """
    destination, dataset, workspace = _place(recipe)
    number = version.removeprefix("v")
    if not number.isdecimal():
        raise RecipeError(f"{version!r} is not the number of a version", expected="3 or v3")
    found = trash.restore(destination, dataset, int(number), workspace)
    return Answer(found, f"v{found.version} of {dataset} is back, with {found.rows:,} rows; it is not current")


def takedown(
    recipe: AnyPlace,
    ids: Collection[str],
    reason: str = "",
    republish: bool = False,
    dry_run: bool = True,
) -> Answer[Takedown]:
    """Keep rows out of all coming versions and say which published ones hold them.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        ids: The ids of the rows, as the source names them.
        reason: Why, for the record.
        republish: Also publish the current version again without them.
        dry_run: Only say which versions hold them.
    """
    destination, dataset, workspace = place = _place(recipe)
    found = taking_down.takedown(destination, dataset, ids, workspace, reason=reason, dry_run=dry_run)
    if not dry_run:
        known = list_versions(*place)
        try:
            if republish:
                found = taking_down.without_rows(destination, dataset, found, workspace, reason)
        finally:  # the rows are taken down even where a gate stops the version without them
            events.emit_withdrawn(known, found, reason)
    held = "; ".join(f"v{number} holds {len(rows)}" for number, rows in found.held.items()) or "no version holds any"
    done = "nothing is changed" if dry_run else f"excluded from all coming versions ({found.list})"
    again = f"; v{found.republished.version} is published without them" if found.republished else ""
    many = "1 id" if found.ids == 1 else f"{found.ids:,} ids"
    return Answer(found, f"{many} of {dataset}: {held}; {done}{again}")


def export(recipe: AnyPlace, version: str, to: Format, folder: str, copies: bool = True) -> Answer[Exported]:
    """Write a version in the format of a training library, on the machine where this runs.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to write: 3, v3, latest or another tag.
        to: The format.
        folder: An empty or missing local folder.
        copies: Write a row as often as its copies say; else once.
    """
    destination, dataset, workspace = _place(recipe)
    found = read_version(destination, dataset, version, workspace)
    written = exporting.export(found, to, folder, copies=copies)
    rows = f"{written.rows:,} rows" + (f", and {written.made:,} made ones in the folder made," if written.made else "")
    return Answer(written, f"{rows} of v{found.version} of {dataset} in {written.files} files of {to}: {written.uri}")


def _place(recipe: AnyPlace) -> tuple[DestinationConfig, str, str]:
    """Return the destination, the dataset's name and the workspace of a recipe."""
    wanted = place_of(recipe)
    require_known_places(wanted)
    return wanted.destination, wanted.dataset, absolute(wanted.workspace)
