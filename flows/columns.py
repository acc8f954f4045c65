"""Look in the source for the columns that signals, filters and sampling name, and try their types, before reading."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from evenkeel.flows.recipe import Recipe
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.filter.config import WHERE
from evenkeel.tasks.filter.rules import check_types
from evenkeel.tasks.ingest.column_types import plain_type
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.named import OWN, unknown_column
from evenkeel.tasks.ingest.partitions import FROM_PATH
from evenkeel.tasks.ingest.plan import inspect_shard
from evenkeel.tasks.ingest.reader import Harvester, reader_of
from evenkeel.tasks.signal.kinds.expression import ExpressionSignal

OWN_TYPES = {"tokens": pa.int32(), "id": pa.string(), "shard": pa.int32(), "row": pa.int64()}
SAMPLE_ROWS = 100

Types = Mapping[str, pa.DataType | None]


def require_columns(recipe: Recipe, shards: Sequence[ListedShard]) -> None:
    """Raise RecipeError for a column that no shard has, and for an expression whose types do not fit.

    Schemas of shards are read one after the other, as far as columns are left to find. What a format does not declare
    is left to the steps.
    """
    made = _made(recipe)
    _require_read(recipe, made)
    asked = [(f"signals, {one.name}", one.columns(), _without(made, one.name)) for one in recipe.signals]
    asked += [(WHERE, rule.columns, made) for rule in recipe.filters]
    source = _SourceColumns.of({name for _, names, known in asked for name in names if name not in known}, shards)
    for where, names, known in asked:
        for name in names:
            if name not in known and name not in source.types and name not in OWN and source.complete:
                raise unknown_column(name, [*_bare(known), *source.names, *OWN], where)
    for signal in recipe.signals:
        table = _empty(signal.columns(), _without(made, signal.name), source.types)
        if isinstance(signal, ExpressionSignal) and table is not None:
            signal.check_types(table)
    for rule in recipe.filters:
        if (table := _empty(rule.columns, made, source.types)) is not None:
            check_types(rule, table)


def _require_read(recipe: Recipe, made: Mapping[str, pa.DataType]) -> None:
    """Raise RecipeError where sampling reads a group, score or tags that neither the source nor a signal has."""
    for column in recipe.sampling.reads():
        kind, _, name = column.partition(".")
        if column in made:
            continue
        known = [one.partition(".")[2] for one in made if one.startswith(f"{kind}.")]
        listed = "signals" if kind == "tags" else f"source.{kind}s, or signals"
        close = difflib.get_close_matches(name, known, n=1)
        raise RecipeError(
            f"sampling reads the {kind} column {name!r}, which there is none of",
            expected=f"one of {', '.join(known)}" if known else f"a column listed in {listed}",
            where="sampling",
            remedy=f"did you mean {close[0]}?" if close else f"add it to {listed}, or correct the name",
        )


def _made(recipe: Recipe) -> dict[str, pa.DataType]:
    """Return the types of the scores, groups and signals of a recipe, by each name that it may call them by."""
    tags, texts, numbers = pa.list_(pa.string()), pa.string(), pa.float64()
    kinds = [("tags", one.name, tags) for one in recipe.signals if one.tags]
    kinds += [("group", name, texts) for name in recipe.source.groups]
    kinds += [("group", one.name, texts) for one in recipe.signals if one.makes_group]
    kinds += [("score", name, numbers) for name in recipe.source.scores]
    kinds += [("score", one.name, numbers) for one in recipe.signals if not (one.tags or one.makes_group)]
    return {called: kind for prefix, name, kind in kinds for called in (f"{prefix}.{name}", name)}


def _without(made: Mapping[str, pa.DataType], name: str) -> dict[str, pa.DataType]:
    """Return what a signal may read: bins of a column may have its name, and then it is the source's."""
    return {called: kind for called, kind in made.items() if called != name}


def _bare(made: Mapping[str, pa.DataType]) -> list[str]:
    return [name for name in made if name.partition(".")[0] not in ("tags", "group", "score")]


def _empty(names: Iterable[str], made: Mapping[str, pa.DataType], source: Types) -> pa.Table | None:
    """Return a table of these columns without rows; None where the type of one is not known."""
    types = {name: made[name] if name in made else source.get(name, OWN_TYPES.get(name)) for name in names}
    if any(kind is None for kind in types.values()):
        return None
    return pa.table({name: pa.array([], kind) for name, kind in types.items()})


@dataclass
class _SourceColumns:
    """Columns of the source that were looked for. types: of those found; None where the format does not declare it.

    names: all columns of the shards that were looked at. complete: whether a column that was not found is in no shard.
    """

    types: dict[str, pa.DataType | None] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    complete: bool = True

    @classmethod
    def of(cls, wanted: set[str], shards: Sequence[ListedShard]) -> "_SourceColumns":
        found = cls()
        for shard in shards:
            if not found.complete or wanted <= found.types.keys():
                break
            found._look_at(shard, wanted)
        return found

    def _look_at(self, shard: ListedShard, wanted: set[str]) -> None:
        reader = reader_of(shard.format)
        if isinstance(reader, Harvester):
            schema, declared, sampled = reader.sample(shard, SAMPLE_ROWS).table.schema, False, False
        elif isinstance(seen := inspect_shard(shard), str):
            self.complete = False
            return
        else:
            schema, declared, sampled = seen.schema, reader.types == "declared", seen.sample
        self.names += [name for name in schema.names if name not in self.names]
        for name in wanted.intersection(schema.names):
            item = schema.field(name)
            known = declared and not (item.metadata and FROM_PATH in item.metadata)
            self.types.setdefault(name, plain_type(item.type) if known else None)
        self.complete = not sampled
