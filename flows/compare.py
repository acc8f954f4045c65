"""Compare sets of rows by name, and value sources towards the target; both only look."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evenkeel.flows.answer import Answer
from evenkeel.flows.places import absolute, require_known_places
from evenkeel.flows.recipe import Recipe, RecipeFile, loaded
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.config import LATEST
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions import compare as comparing
from evenkeel.tasks.versions import value as valuing
from evenkeel.tasks.versions.compare import Comparison
from evenkeel.tasks.versions.listing import read_version
from evenkeel.tasks.versions.own_steps import steps_of
from evenkeel.tasks.versions.row_sets import Frame, Members, RowSet, shards_like
from evenkeel.tasks.versions.value import Valuation

TARGET, POOL, GROUP, SOURCE, FILE = "target", "pool", "group.", "source=", "file="
NOTHING = "nothing"
MOST_SOURCES = 100
KINDS = "a version (v3, latest, a tag, or DATASET@v3), pool, target, group.COLUMN=VALUE, source=SHARDS or file=FILES"


class _Named(NamedTuple):
    """A version that a set or the frame comes from, and the steps that made it."""

    version: Version
    steps: dict[str, StepRef]

    @property
    def name(self) -> str:
        return f"v{self.version.version} of {self.version.dataset}"


def compare(recipe: Recipe | RecipeFile, a: str, b: str) -> Answer[Comparison]:
    """Compare two sets of rows in vector space and over clusters, each distance beside what sampling noise comes to.

    Raises StorageError where the outputs of the steps of a version are gone from the workspace.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        a: The first set: a version, pool, target, group.COLUMN=VALUE, source=SHARDS or file=FILES.
        b: The second set, named likewise.
    """
    known = _checked(recipe)
    with tempfile.TemporaryDirectory(prefix="evenkeel-") as folder:
        versions = {name: _version(known, name, folder) for name in (a, b) if _is_version(name)}
        mine = [one for one in versions.values() if one.version.dataset == known.dataset]
        newest = max(mine, key=lambda one: one.version.version) if mine else _version(known, LATEST, folder)
        frame = _frame(newest, folder)
        sets = [_row_set(known, frame, name, versions.get(name)) for name in (a, b)]
        pool = frame.of_pool(POOL, Members()) if TARGET in (a, b) and POOL not in (a, b) else None
        first, second = sets if a != TARGET or b == TARGET else sets[::-1]
        found = comparing.compare(frame, first, second, pool)
    return Answer(found, sentence(found))


def value(
    recipe: Recipe | RecipeFile,
    over: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    held: str = LATEST,
    rows: int | None = None,
) -> Answer[Valuation]:
    """Say which sources would bring a version nearest to the target, how many of their rows, and how much of it is new.

    Args:
        recipe: The recipe of the dataset, whose target_set says what is wanted, or the file that holds it.
        over: What the sources are: group.COLUMN, each value one, or source, each shard one; else all of these.
        files: Files that are not in the pool, each place one more source.
        held: What one has: a version, or `nothing`.
        rows: How many rows of a source may be added at most; else as many as serve.
    """
    known = _checked(recipe)
    if known.target_set is None:
        raise RecipeError("sources are valued towards a target", where="target_set", remedy="name it in the recipe")
    with tempfile.TemporaryDirectory(prefix="evenkeel-") as folder:
        start = _version(known, LATEST if held == NOTHING else held, folder)
        frame = _frame(start, folder)
        wanted = frame.of_target(TARGET, known.target_set).leaves
        sources = {name: counts for scope in over or _scopes(frame) for name, counts in _counts(frame, scope, start)}
        for place in files:
            sources[FILE + place] = _row_set(known, frame, FILE + place, None).leaves
        has = np.zeros_like(wanted)
        if held != NOTHING:
            has = frame.of_pool(start.name, Members(sample=start.steps["sample"].uri)).leaves
        name = NOTHING if held == NOTHING else f"v{start.version.version}"
        found = valuing.value(frame, sources, wanted, (name, has), rows)
    return Answer(found, _worth(found))


def sentence(found: Comparison) -> str:
    """Say whether two sets differ beyond sampling noise, and by which distances."""
    sets = f"{found.a} ({found.rows_a:,} rows) and {found.b} ({found.rows_b:,} rows)"
    apart = [one for one in found.distances if one.apart]
    if not apart:
        verdict = "are no further apart than two draws of one set would be"
    else:
        times = (f"{one.by} {one.times:,.1f} times" if one.times is not None else one.by for one in apart)
        verdict = f"differ beyond sampling noise: {', '.join(times)} what it comes to"
    nearer = [
        f"{one.by} {one.distance / one.pool:.2f}"
        for one in found.distances
        if one.pool is not None and one.distance is not None and one.noise is not None and one.pool > one.noise
    ]
    beside = f"; distances of {found.a} to {found.b} over those of the pool: {', '.join(nearer)}" if nearer else ""
    return f"{sets} {verdict}{beside}"


def _worth(found: Valuation) -> str:
    if not found.sources:
        return "there is no source to value"
    best, start = found.sources[0], "the pool" if found.held == NOTHING else found.held
    if best.worth <= 0:
        return f"no source brings {start} nearer to the target ({found.target_rows:,} rows)"
    return (
        f"{best.name} brings {start} nearest to the target ({found.target_rows:,} rows): "
        f"transport {found.before:.4g} -> {best.with_them:.4g} with {best.added:,} of its {best.rows:,} rows"
    )


def _checked(recipe: Recipe | RecipeFile) -> Recipe:
    known = loaded(recipe)
    require_known_places(known)
    return known


def _is_version(name: str) -> bool:
    return name not in (TARGET, POOL) and not name.startswith((GROUP, SOURCE, FILE))


def _version(recipe: Recipe, name: str, folder: str) -> _Named:
    """Return a version by name; folder: where the selection of a republished one is written."""
    dataset, _, ref = name.rpartition("@")
    if "=" in name or "." in name or not ref:
        raise RecipeError(f"{name!r} names no set of rows", expected=KINDS)
    found = read_version(recipe.destination, dataset or recipe.dataset, ref, absolute(recipe.workspace))
    return _Named(found, steps_of(found, storage.join(folder, found.dataset)))


def _frame(one: _Named, folder: str) -> Frame:
    """Open the pool of a version; folder: for what is written meanwhile."""
    run = Run(folder, one.version.dataset, Path(folder) / "scratch")
    return Frame.of(one.steps, one.name, storage.join(folder, "frame"), run)


def _row_set(recipe: Recipe, frame: Frame, name: str, version: _Named | None) -> RowSet:
    if version is not None:
        return frame.of_version(name, version.steps)
    if name == POOL:
        return frame.of_pool(name, Members())
    if name == TARGET:
        if recipe.target_set is None:
            raise RecipeError("the recipe has no target to compare with", where="target_set", remedy="name it there")
        return frame.of_target(name, recipe.target_set)
    if name.startswith(SOURCE):
        return frame.of_pool(name, Members(shards=shards_like(frame.rows, name.removeprefix(SOURCE))))
    if name.startswith(FILE):
        return frame.of_target(name, _files(frame, name.removeprefix(FILE)))
    column, equals, value = name.partition("=")
    if not equals or not value:
        raise RecipeError(f"{name!r} names no set of rows", expected="group.COLUMN=VALUE")
    _require_column(frame, column)
    return frame.of_pool(name, Members(column=column, value=value))


def _files(frame: Frame, uri: str) -> TargetSet:
    """Return files as a set, read as the source of the pool is: the column that was embedded."""
    info = frame.rows.pool.info
    method = storage.read_json(storage.join(frame.vectors.uri, "embedding.json")).get("method")
    of_vectors = method == "column" and info.vector is not None and not uri.endswith((".npy", ".txt"))
    text = "" if of_vectors or uri.endswith(".npy") else info.text or ""
    return TargetSet(uri=absolute(uri), text=text, vector=info.vector or "" if of_vectors else "")


def _require_column(frame: Frame, column: str) -> None:
    known = [GROUP + one for one in frame.rows.pool.groups]
    if column not in known:
        raise RecipeError(
            f"the pool has no group column {column.removeprefix(GROUP)!r}",
            expected=f"one of {', '.join(known)}" if known else "a column listed in source.groups",
            where="source.groups",
        )


def _scopes(frame: Frame) -> list[str]:
    """Return what sources may be without being told: every group column, and shards where there are several."""
    return [GROUP + one for one in frame.rows.pool.groups] + ([SOURCE[:-1]] if len(frame.rows.pool.shards) > 1 else [])


def _counts(frame: Frame, scope: str, version: _Named) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the sources of a scope with their rows in each leaf, the hundred largest."""
    if scope == SOURCE[:-1]:
        shards = sorted(frame.rows.pool.shards, key=lambda one: (-one.rows, one.number))[:MOST_SOURCES]
        names = {str(one.number): SOURCE + one.name for one in shards}
        found = valuing.counts_by_value(frame, "shard", list(names))
        yield from ((names[number], counts) for number, counts in found.items())
        return
    if not scope.startswith(GROUP):
        raise RecipeError(f"{scope!r} says not what the sources are", expected="group.COLUMN, or source: each shard")
    _require_column(frame, scope)
    groups = Profile.open(version.version.profile).groups
    mine = groups[groups["group"] == scope.removeprefix(GROUP)].sort_values(
        ["before", "value"], ascending=[False, True]
    )
    found = valuing.counts_by_value(frame, scope, [str(one) for one in mine["value"].head(MOST_SOURCES)])
    yield from ((f"{scope}={one}", counts) for one, counts in found.items())
