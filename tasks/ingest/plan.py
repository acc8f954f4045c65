"""Plan the columns before reading: infer the schema of each shard, find common types, refuse shards without them."""

import difflib
import posixpath
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend
from evenkeel.infra.errors import EvenkeelError, InputError
from evenkeel.tasks.ingest.column_types import common_type, is_bytes, plain_type
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.partitions import partition_types, with_fields, with_types
from evenkeel.tasks.ingest.reader import ShardSchema, describe, format_of, reader_of
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.vectors import binary_dtype, is_list_of_floats, is_vector


@dataclass(frozen=True)
class ColumnPlan:
    """Says what the columns of the source mean and which types they have, for all shards together.

    dtype: of the vectors, "float16" where every shard has that, else "float32". types: of the user's other columns, as
    far as known before reading. refused: by shard number, why none of its rows can be used. guessed: roles that the
    recipe left open and that were found. partitions: the types of the columns that paths of shards give.
    """

    id: str | None = None
    text: str | None = None
    vector: str | None = None
    groups: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    dimension: int | None = None
    dtype: str | None = None
    types: dict[str, pa.DataType] = field(default_factory=dict)
    refused: dict[int, tuple[Reason, str, int | None]] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()
    partitions: dict[str, pa.DataType] = field(default_factory=dict)

    def of(self, shards: Collection[int]) -> "ColumnPlan":
        """Return the plan with what it says of some shards alone."""
        mine = {number: why for number, why in self.refused.items() if number in shards}
        return self if len(mine) == len(self.refused) else replace(self, refused=mine)

    @property
    def kept_vector(self) -> str | None:
        """Return the vector column where it was guessed: it stays a column of the user's, too."""
        return self.vector if "vector" in self.guessed else None

    @property
    def about_guess(self) -> str:
        """Return a sentence for people where the vector was guessed, else ""."""
        if self.kept_vector is None:
            return ""
        instead = ", texts are not embedded" if self.text else ""
        return (
            f"column {self.vector!r} was guessed to be the vector{instead} "
            "(source.vector names it, source.guess_vector: false turns the guess off)"
        )


@dataclass(frozen=True)
class ShardJob:
    """What a worker needs to read one shard into the folder `out`.

    version: of the code that reads. registry: the folder that records what earlier runs have read; "" = none.
    held: bytes of the largest shard that lies in memory while a device decodes it, see `on_device.held_bytes`.
    """

    number: int
    shard: ListedShard
    plan: ColumnPlan
    out: str
    scratch: Path
    rows_per_block: int
    max_row_bytes: int
    backend: Backend = "cpu"
    version: int = 0
    registry: str = ""
    held: int = 0


def inspect_shard(shard: ListedShard) -> ShardSchema | str:
    """Return the schema of a shard, from its footer, header or first rows, or why it cannot be read."""
    try:
        found = _inspect(shard.uri, shard.format, shard.ids)
        return replace(found, schema=with_fields(found.schema, shard.partition))
    except EvenkeelError:
        raise
    except Exception as error:  # whatever a reader stumbles on is that shard's alone
        return describe(error)


def _inspect(uri: str, form: str, ids: str | None) -> ShardSchema:
    with storage.open_source(uri) as stream:
        found = reader_of(form).inspect(stream, posixpath.basename(uri))
    if ids is None:
        return found
    other = _inspect_ids(ids)
    fields = [field for field in other.schema if field.name not in found.schema.names]
    return replace(found, schema=pa.schema([*fields, *found.schema]), sample=other.sample)


def _inspect_ids(uri: str) -> ShardSchema:
    """Return the schema of the columns that lie in a file beside a shard: all of a table, or ids alone."""
    form = format_of(uri)
    if form is None or reader_of(form).takes_ids:
        return ShardSchema(schema=pa.schema([("id", pa.string())]))
    return _inspect(uri, form, None)


def plan_columns(
    source: SourceConfig, shards: Sequence[ListedShard], schemas: Sequence[ShardSchema | str]
) -> ColumnPlan:
    """Return the meaning and common types of the columns of all shards; shards that do not fit are refused.

    Raises InputError where no shard has a column that the recipe names, where a column has a name that is ours, or
    where the vectors' length is unknown.
    """
    refused: dict[int, tuple[Reason, str, int | None]] = {}
    fit: dict[int, ShardSchema] = {}
    partitions = partition_types(shards)
    for number, found in enumerate(schemas):
        if isinstance(found, str):
            refused[number] = (Reason.UNREADABLE_SHARD, found, None)
        elif found.rows == 0:
            continue
        else:
            fit[number] = replace(found, schema=with_types(found.schema, partitions))
    if not fit:
        return ColumnPlan(refused={shards[at].number: why for at, why in refused.items()})
    roles, guessed = _roles(source, fit)
    named = [name for name in (roles["id"], roles["text"], roles["vector"], *source.groups, *source.scores) if name]
    _all_known(named, fit)
    _none_is_ours(fit, shards)
    for number, found in list(fit.items()):
        missing = [name for name in named if name not in found.schema.names]
        if missing and not found.sample:
            refused[number] = (Reason.MISSING_COLUMN, ", ".join(map(repr, missing)), found.rows)
            del fit[number]
    types = _common_types(fit, shards, refused, roles["vector"], keep="vector" in guessed)
    labels = {roles["id"], roles["text"], *source.groups}
    types = {name: pa.string() if name in labels and is_bytes(kind) else kind for name, kind in types.items()}
    fit = {number: found for number, found in fit.items() if number not in refused}
    dimension, dtype = _vectors(roles["vector"], source, fit, shards)
    return ColumnPlan(
        id=roles["id"],
        text=roles["text"],
        vector=roles["vector"],
        groups=tuple(source.groups),
        scores=tuple(source.scores),
        dimension=dimension,
        dtype=dtype,
        types=types,
        refused={shards[at].number: why for at, why in refused.items()},
        guessed=guessed,
        partitions=partitions,
    )


def _roles(source: SourceConfig, fit: dict[int, ShardSchema]) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Return the columns for id, text and vector, and which of them were guessed: only unambiguous ones are."""
    everywhere = [
        name
        for name in dict.fromkeys(name for found in fit.values() for name in found.schema.names)
        if all(name in found.schema.names for found in fit.values())
    ]
    kinds = {name: [plain_type(found.schema.field(name).type) for found in fit.values()] for name in everywhere}
    roles: dict[str, str | None] = {"id": source.id, "text": source.text, "vector": source.vector}
    guessed = []
    if source.id is None and not any(map(pa.types.is_nested, kinds.get("id", [pa.list_(pa.null())]))):
        roles["id"] = "id"
        guessed.append("id")
    texts = [kind for kind in kinds.get("text", []) if not pa.types.is_null(kind)]
    if source.text is None and texts and all(map(_is_text, texts)):
        roles["text"] = "text"
        guessed.append("text")
    floats = [name for name in everywhere if all(map(is_list_of_floats, kinds[name])) and _one_length(name, fit)]
    if source.vector is None and source.guess_vector and len(floats) == 1:
        roles["vector"] = floats[0]
        guessed.append("vector")
    return roles, tuple(guessed)


def _one_length(name: str, fit: dict[int, ShardSchema]) -> bool:
    """Tell whether most lists in the first rows of a column have one length: others are no vectors."""
    lengths: Counter[int] = Counter()
    for found in fit.values():
        lengths.update(found.lengths.get(name, {}))
    return not lengths or max(lengths.values()) * 2 >= lengths.total()


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_bytes(kind))


def _all_known(named: Sequence[str], fit: dict[int, ShardSchema]) -> None:
    known = list(dict.fromkeys(name for found in fit.values() for name in found.schema.names if name))
    for name in named:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise InputError(
                f"no shard has the column {name!r}",
                expected=f"a column {name!r}, as the recipe's source says",
                found=", ".join(known[:30]) or "no column at all",
                remedy=f"did you mean {close[0]!r}?" if close else "correct source.id, text, vector, groups or scores",
            )


def _none_is_ours(fit: dict[int, ShardSchema], shards: Sequence[ListedShard]) -> None:
    for number, found in fit.items():
        ours = [name for name in found.schema.names if name.lower().startswith("ek_")]
        if ours:
            raise InputError(
                f"the column {ours[0]!r} has a name that published versions use for their own columns",
                where=shards[number].uri,
                remedy="rename the columns that begin with ek_",
            )


def _common_types(
    fit: dict[int, ShardSchema],
    shards: Sequence[ListedShard],
    refused: dict[int, tuple[Reason, str, int | None]],
    vector: str | None,
    keep: bool,
) -> dict[str, pa.DataType]:
    """Return the type of each column over all typed shards; a shard with a type of its own is refused.

    keep: the vector is one of the columns, too.
    """
    types: dict[str, pa.DataType] = {}
    origin: dict[str, str] = {}
    for number, found in fit.items():
        merged = dict(types)
        for item in found.schema:
            name, kind = item.name, plain_type(item.type)
            if name == vector and not is_vector(kind):
                refused[number] = (Reason.TYPE_MISMATCH, f"{name!r} is {kind}, no vector", found.rows)
                break
            if (keep or name != vector) and reader_of(shards[number].format).types == "declared":
                kind = _list_of_floats(kind) if name == vector else kind
                common = common_type(merged[name], kind) if name in merged else kind
                if common is None:
                    detail = f"{name!r} is {kind}, but {merged[name]} in {origin[name]}"
                    refused[number] = (Reason.TYPE_MISMATCH, detail, found.rows)
                    break
                merged[name] = common
        else:
            for name in merged:
                origin.setdefault(name, shards[number].name)
            types = merged
    return {name: pa.string() if pa.types.is_null(kind) else kind for name, kind in types.items()}


def _list_of_floats(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a vector stays a column of the user's: no catalog knows half floats or fixed sizes."""
    return pa.list_(pa.float64() if kind.value_type == pa.float64() else pa.float32())


def _vectors(
    vector: str | None, source: SourceConfig, fit: dict[int, ShardSchema], shards: Sequence[ListedShard]
) -> tuple[int | None, str | None]:
    """Return the length and the dtype of the pool's vectors; the length is the commonest in the first rows."""
    if vector is None or not fit:
        return None, None
    lengths: Counter[int] = Counter()
    for found in fit.values():
        lengths.update({length: times for length, times in found.lengths.get(vector, {}).items() if length > 0})
    dimension = source.dimension or (lengths.most_common(1)[0][0] if lengths else None)
    if dimension is None:
        raise InputError(
            f"the length of the vectors in {vector!r} is unknown",
            found="no vector in the first rows of any shard",
            where=shards[min(fit)].uri,
            remedy="set source.dimension",
        )
    kinds = [found.schema.field(vector).type for found in fit.values() if vector in found.schema.names]
    return dimension, "float16" if all(_is_half(kind, dimension) for kind in kinds) else "float32"


def _is_half(kind: pa.DataType, dimension: int) -> bool:
    if pa.types.is_fixed_size_binary(kind):
        width = binary_dtype(kind.byte_width, dimension)
        return width is not None and width.itemsize == 2
    return is_list_of_floats(kind) and bool(pa.types.is_float16(kind.value_type))
