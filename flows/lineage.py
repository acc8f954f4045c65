"""Resolve what a coming version builds on: the numbered shards, how they changed, and the clusters made before."""

from pydantic import BaseModel, ConfigDict, ValidationError

from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.infra.registry import plugins_used
from evenkeel.infra.workspace import DONE, StepRef
from evenkeel.tasks.cluster.config import ReusableClustering
from evenkeel.tasks.cluster.drift import Drift
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.embed.config import AnyEmbedding
from evenkeel.tasks.embed.embedder import EMBEDDERS
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.config import IngestRequest
from evenkeel.tasks.ingest.fingerprints import shard_fingerprint
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.publish.manifest import Manifest
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.versions.listing import previous_version, read_manifest

CODE = {step.name: step.version for step in (EMBED, CLUSTER)}
MEANING = ("id", "text", "vector", "dimension")


class ComparedSections(BaseModel):
    """The sections of a published recipe that are compared with today's; earlier field names are read as well."""

    embedding: AnyEmbedding
    sampling: SamplingConfig


class Changes(BaseModel):
    """The names of shards that are new, changed or gone since the current version; `since` is None before the first."""

    model_config = ConfigDict(frozen=True)

    since: int | None = None
    new: list[str] = []
    changed: list[str] = []
    vanished: list[str] = []

    def summary(self) -> str:
        """Return one line about it."""
        counts = {"new": self.new, "changed": self.changed, "vanished": self.vanished}
        kinds = [f"{len(names):,} shards {kind}" for kind, names in counts.items() if names]
        return "the first version" if self.since is None else f"since v{self.since}: {', '.join(kinds) or 'no change'}"


class Base(BaseModel):
    """The run that clustered from scratch, whose clusters later versions assign their new rows to."""

    model_config = ConfigDict(frozen=True)

    ingest: StepRef
    embed: StepRef
    cluster: StepRef

    @property
    def fitted(self) -> bool:
        """Tell whether its vectors were made by a map fitted to its rows."""
        return storage.exists(storage.join(self.embed.uri, "map", "map.json"))


class Lineage(BaseModel):
    """What a coming version builds on.

    current: the manifest of the current version. base: whose clusters are used, None for new ones; `why` says why.
    drift: how far the pool has moved from the base, once that is measured.
    """

    request: IngestRequest
    changes: Changes
    current: Manifest | None
    base: Base | None = None
    why: str = "this is the first version"
    drift: Drift | None = None

    def document(self) -> dict[str, object]:
        """Return what the manifest of the coming version records of the lineage, for the next run to read."""
        shards = {shard.name: [shard.number, shard_fingerprint(shard)] for shard in self.request.shards}
        return {
            "code": CODE,
            "base": None if self.base is None else self.base.model_dump(mode="json"),
            "clusters": self.why,
            "drift": None if self.drift is None else self.drift.model_dump(),
            "source": {"shards": shards, "changes": self.changes.model_dump(mode="json")},
        }


def resolve_lineage(recipe: Recipe, workspace: str) -> Lineage:
    """List the source and compare it with the current version.

    Raises InputError where a shard has changed or vanished and the recipe says that none may.
    """
    current = previous_version(recipe.destination, recipe.dataset, workspace)
    manifest = None if current is None else read_manifest(current)
    before = {} if manifest is None else manifest.document.get("source", {}).get("shards", {})
    numbers = {name: number for name, (number, _) in before.items()} | _saved_numbers(recipe, workspace)
    request = ingest_request(recipe.source, numbers)
    changes = Changes()
    if manifest is not None:
        now = {shard.name: shard_fingerprint(shard) for shard in request.shards}
        changes = Changes(
            since=manifest.version,
            new=sorted(now.keys() - before.keys()),
            changed=sorted(name for name in now.keys() & before.keys() if before[name][1] != now[name]),
            vanished=sorted(before.keys() - now.keys()),
        )
    if recipe.source.on_change == "fail" and (changes.changed or changes.vanished):
        raise InputError(
            f"shards are not what they were in v{changes.since}, and source.on_change is fail",
            found=f"changed: {_some(changes.changed)}; vanished: {_some(changes.vanished)}",
            where=str(recipe.source.uri),
            remedy="put them back, or set source.on_change to replace: changed shards are read anew, rows of vanished "
            "ones leave",
        )
    return Lineage(request=request, changes=changes, current=manifest)


def save_shard_numbers(recipe: Recipe, workspace: str, request: IngestRequest) -> None:
    """Save the numbers of all shards ever seen, so that a shard keeps its number in every coming run."""
    known = _saved_numbers(recipe, workspace)
    numbers = known | {shard.name: shard.number for shard in request.shards}
    if numbers != known:
        storage.write_json(_registry(recipe, workspace), numbers)


def find_base(recipe: Recipe, current: Manifest | None, ingest: StepRef) -> tuple[Base | None, str]:
    """Return the run whose clusters do for a coming version too, or None, and why.

    It is the one that the current version's clusters were made in. A run over the very pool of the current version
    takes what that one took, so that it finds every step done.
    """
    if current is None:
        return None, "this is the first version"
    if recipe.clustering.reuse == "never":
        return None, "clustering.reuse is never"
    if reason := _other_recipe(recipe, current):
        return None, reason
    used, steps = current.document.get("base"), current.document["steps"]
    if used is None and steps["ingest"]["key"] == ingest.key:
        return None, f"the pool is that of v{current.version}, whose clusters were made anew"
    made = {**steps, "cluster": steps.get("unfiltered", steps["cluster"])}
    base = Base.model_validate(used or {name: made[name] for name in Base.model_fields})
    for ref in (base.ingest, base.embed, base.cluster):
        if not storage.exists(storage.join(ref.uri, DONE)):
            return None, f"the workspace no longer holds {ref.step}/{ref.key}, which v{current.version} was made with"
    return base, f"those of v{current.version}"


def same_rule(recipe: Recipe, current: Manifest) -> Recipe:
    """Return a recipe that samples by the rule that was chosen for the current version, where nothing else was asked.

    On the same clusters another measured choice would move rows for little; a pool that drifts chooses anew.
    """
    try:
        before = ComparedSections.model_validate(current.recipe)
    except ValidationError:
        return recipe
    if before.sampling != recipe.sampling:
        return recipe
    pinned = recipe.sampling.strategy.pinned(current.document["steps"]["sample"]["facts"])
    sampling = recipe.sampling.model_copy(update={"strategy": pinned})
    return recipe.model_copy(update={"sampling": sampling})


def same_signals(recipe: Recipe, current: Manifest) -> Recipe:
    """Return a recipe whose signals make the choices again that they made for the current version, such as edges."""
    steps = current.document["steps"]
    signals = [
        signal.pinned(steps[f"signals.{signal.name}"]["facts"]) if f"signals.{signal.name}" in steps else signal
        for signal in recipe.signals
    ]
    return recipe.model_copy(update={"signals": signals})


def _other_recipe(recipe: Recipe, current: Manifest) -> str | None:
    """Return what in the recipe or the code makes the clusters of the current version unfit, None where nothing."""
    before = current.recipe
    try:
        clustering = ReusableClustering.model_validate(before["clustering"]).fitting()
        same = {
            "clustering": clustering == recipe.clustering.fitting(),
            "embedding": ComparedSections.model_validate(before).embedding == recipe.embedding,
            "the package of the embedder": plugins_used(recipe.embedding) == _embedder_packages(current),
            "source": all(before["source"].get(name) == getattr(recipe.source, name) for name in MEANING),
            "the version of the code": current.document.get("code") == CODE,
        }
    except (KeyError, ValidationError):
        return f"v{current.version} was made by another release"
    changed = [name for name, unchanged in same.items() if not unchanged]
    return f"{' and '.join(changed)} changed since v{current.version}" if changed else None


def _embedder_packages(current: Manifest) -> dict[str, str]:
    used: dict[str, str] = current.document.get("plugins", {})
    return {member: package for member, package in used.items() if member.startswith(f"{EMBEDDERS.kind} ")}


def _registry(recipe: Recipe, workspace: str) -> str:
    return storage.join(workspace, recipe.dataset, "shards", "numbers.json")


def _saved_numbers(recipe: Recipe, workspace: str) -> dict[str, int]:
    try:
        numbers: dict[str, int] = storage.read_json(_registry(recipe, workspace))
    except FileNotFoundError:
        return {}
    return numbers


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "") or "none"
