"""The embed step: writes one vector per row of the pool, block by block, and resumes where it was killed."""

import posixpath
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.embed import post, reuse
from evenkeel.tasks.embed.config import AnyEmbedding
from evenkeel.tasks.embed.embedder import Embedder, EmbeddingConfig, Place, RawVectors
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.post import PostProcessor
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

MAP_FILES = ("mean.npy", "rotation.npy", "map.json")


class BlockFacts(TypedDict):
    """What the vectors of a block are: zero counts the rows without a direction."""

    dimension: int
    dtype: str
    zero: int


def embed(config: EmbeddingConfig, inputs: EmbedInputs, out: StepFolder, run: Run) -> Outcome:
    """Write one vector per row of the pool; blocks that this or an earlier run embedded by the same map are reused.

    Raises InputError where the source has neither vectors nor texts, or not what the method needs.
    """
    pool = Pool.open(inputs.ingest, run.scratch)
    embedder = resolve(config, pool)
    if inputs.base is not None:
        embedder = embedder.model_copy(update={"fitted": inputs.base.uri})
    run.progress(0, f"fitting {embedder.method}")
    place = _place(out.uri, run)
    after = PostProcessor(embedder, place)
    facts = dict(_fit(embedder, pool, place))
    storage.write_json(out.path("embedding.json"), embedder.model_dump(mode="json"))
    storage.write_json(
        out.path("blocks.json"), [block.model_dump(mode="json", exclude_defaults=True) for block in pool.blocks]
    )
    if embedder.unchanged and after.is_identity:
        about = {"dimension": pool.info.dimension, "dtype": pool.info.dtype, "zero": 0}
        folder = posixpath.relpath(inputs.ingest.uri, out.uri)
        storage.write_json(out.path("vectors.json"), {**about, "folder": storage.join(folder, "vectors")})
        return Outcome({"rows": pool.rows, "zero": 0}, {"method": embedder.method, **about})

    key = reuse.map_key(embedder, EMBED.version, place, _map_files(embedder))
    taken = reuse.take_over(key, pool.blocks, [*embedder.block_files, ("vectors", "npy")], out.uri, run)
    known = None if embedder.block_files else reuse.known_parts(key, pool.blocks, out.uri, run)
    work = partial(_embed_block, pool, embedder, after, known)
    started = time.monotonic()

    def report(count: int) -> None:
        share = count / len(pool.blocks)
        run.progress(share, f"{share * pool.rows / max(time.monotonic() - started, 1e-9):,.0f} rows/s")

    done = run.compute.map(work, pool.blocks, work=sum(shard.bytes for shard in pool.shards), on_done=report)
    first = done[0] if done else {"dimension": pool.info.dimension or 0, "dtype": "float32"}
    shape = {"dimension": first["dimension"], "dtype": first["dtype"]}
    storage.write_json(out.path("vectors.json"), {**shape, "folder": "vectors"})
    reuse.register(key, out.uri, run)
    zero = sum(item["zero"] for item in done)
    facts |= embedder.summary(pool, place)
    return Outcome(
        {"rows": pool.rows, "zero": zero},
        {**facts, "method": embedder.method, **shape, "zero": zero, "blocks_taken": taken},
    )


def resolve(config: EmbeddingConfig, pool: Pool) -> Embedder:
    """Return the embedder that a config selects for this pool.

    Raises InputError where the pool has nothing to embed by it.
    """
    if not (pool.has_vectors or pool.has_text) and not isinstance(config, Embedder):
        raise InputError(
            "there is nothing to embed: the source has neither vectors nor texts",
            found=", ".join(repr(name) for name in list(pool.info.payload)[:30]),
            where="source",
            remedy="name a column: source.vector or source.text",
        )
    embedder = config.resolve(pool.has_vectors)
    embedder.check(pool)
    return embedder


def output_dimension(config: EmbeddingConfig, source: int | None, run: Run) -> int:
    """Return the length of the vectors that a config makes; source: of the source's own, None where it has none.

    Loads the model where the method has one. Raises InputError where it is not there, or the source has no vectors.
    """
    embedder = config.resolve(source is not None)
    found = embedder.components or embedder.raw_dimension(source, _place("", run))
    if found is None:
        raise InputError("the source has no vectors", where="embedding.method", remedy="name them: source.vector")
    return found


def embed_texts(vectors: Vectors, texts: pa.ChunkedArray, run: Run) -> RawVectors:
    """Return vectors of texts, (n, d), by the map that made the vectors of a pool.

    Raises InputError where that is impossible, as for those that came with the source.
    """
    embedder, place = _embedder_of(vectors, run)
    return PostProcessor(embedder, place).apply(embedder.embed_texts(texts, place))


def can_embed_texts(vectors: Vectors, run: Run) -> bool:
    """Return whether the map that made the vectors of a pool makes vectors of texts from elsewhere too."""
    own = type(_embedder_of(vectors, run)[0]).embed_texts
    return own not in (Embedder.embed_texts, ColumnEmbedding.embed_texts)


def embed_vectors(vectors: Vectors, raw: RawVectors, run: Run) -> RawVectors:
    """Return vectors from elsewhere, (n, d), post-processed by the map that made the vectors of a pool.

    raw: made as the vectors that the pool's source brings. Raises InputError where they are of another length.
    """
    return PostProcessor(*_embedder_of(vectors, run)).apply(raw)


def map_fingerprint(vectors: Vectors, run: Run) -> str:
    """Return a hash of all that the vectors of a pool depend on beside its rows; equal ones may be compared."""
    embedder, place = _embedder_of(vectors, run)
    return f"{reuse.map_key(embedder, EMBED.version, place, _map_files(embedder))}-{vectors.dimension}"


def _embedder_of(vectors: Vectors, run: Run) -> tuple[Embedder, Place]:
    written = storage.read_json(storage.join(vectors.uri, "embedding.json"))
    config: EmbeddingConfig = TypeAdapter(AnyEmbedding).validate_python(written)
    return config.resolve(True), _place(vectors.uri, run)


def _place(output: str, run: Run) -> Place:
    return Place(output, str(run.scratch), run.compute.backend)


def _map_files(embedder: Embedder) -> tuple[str, ...]:
    return (*embedder.map_files, *MAP_FILES)


def _fit(embedder: Embedder, pool: Pool, place: Place) -> Mapping[str, object]:
    """Fit what the method and its post-steps need, or copy an earlier fit; return facts about it."""
    about = storage.join(place.map, "map.json")
    made: dict[str, object] = {}
    if embedder.fitted:
        made = _take_over(embedder, embedder.fitted, place)
    elif storage.exists(about):
        made = storage.read_json(about)
    if not made and (facts := embedder.fit(pool, place)):
        made = {"method": embedder.method, **facts}
        storage.write_json(about, made)  # part of the map, which fitting the post-steps needs
    if post.needs_fit(embedder) and "post" not in made:
        made = {"method": embedder.method, **made, "post": post.fit(pool, embedder, place)}
    if made:
        storage.write_json(about, made)
    return made


def _take_over(embedder: Embedder, earlier: str, place: Place) -> dict[str, object]:
    """Copy the fitted map of an earlier embedding here, so that this output stands on its own."""
    source = storage.join(earlier, "map")
    try:
        made: dict[str, object] = storage.read_json(storage.join(source, "map.json"))
    except FileNotFoundError as error:
        raise InputError(
            "there is no fitted map to use",
            found=f"no map.json in {source}",
            where="embedding.fitted",
            remedy="name the folder of a finished embed step that fitted one",
        ) from error
    if made["method"] != embedder.method:
        raise InputError(
            "the fitted map belongs to another method",
            expected=embedder.method,
            found=str(made["method"]),
            where="embedding.fitted",
        )
    for name in _map_files(embedder):
        if storage.exists(storage.join(source, name)):
            storage.write_bytes(storage.join(place.map, name), storage.read_bytes(storage.join(source, name)))
    embedder.check_map(place)
    return made


def _embed_block(
    pool: Pool, embedder: Embedder, after: PostProcessor, known: reuse.KnownParts | None, block: Block
) -> BlockFacts:
    """Write the vectors of one block unless they are there, and return what they are."""
    uri = storage.join(after.place.output, "vectors", f"{block.name}.npy")
    if storage.exists(uri):
        vectors = map_array(uri, Path(pool.scratch))
    else:
        vectors = _vectors(pool, embedder, after, known if block.packed else None, block)
        if len(vectors) != block.rows or not np.isfinite(vectors).all():
            raise InputError(
                "the embedder gave vectors that cannot be used",
                expected=f"{block.rows} finite rows",
                found=f"{len(vectors)} rows, {int((~np.isfinite(vectors).all(axis=1)).sum())} not finite",
                where=f"block {block.name}",
                remedy="store as float32: embedding.dtype",
            )
        write_array(uri, vectors)
    zero = int((~vectors.any(axis=1)).sum())
    return {"dimension": vectors.shape[1], "dtype": str(vectors.dtype), "zero": zero}


def _vectors(
    pool: Pool, embedder: Embedder, after: PostProcessor, known: reuse.KnownParts | None, block: Block
) -> RawVectors:
    """Return the vectors of a block, of shards that are embedded already as they are."""
    if known is None:
        return after.apply(embedder.embed(pool, block, None, after.place))
    found = [known.vectors(part, Path(pool.scratch)) for part in block.parts]
    ends = np.cumsum([part.rows for part in block.parts])
    missing = [
        np.arange(end - part.rows, end)
        for part, end, one in zip(block.parts, ends.tolist(), found, strict=True)
        if one is None
    ]
    if not missing:
        return np.concatenate([one for one in found if one is not None])
    fresh = after.apply(embedder.embed(pool, block, np.concatenate(missing), after.place))
    vectors = np.empty((block.rows, fresh.shape[1]), fresh.dtype)
    vectors[np.concatenate(missing)] = fresh
    for end, one in zip(ends.tolist(), found, strict=True):
        if one is not None:
            vectors[end - len(one) : end] = one
    return vectors


def cost(config: EmbeddingConfig, work: Workload) -> float:
    """Return the CPU-seconds of embedding a pool."""
    return config.resolve(has_vectors=work.source_dimension > 0).cost(work)


EMBED = Step(name="embed", version=4, function=embed, by_backend=True, cost=cost)
