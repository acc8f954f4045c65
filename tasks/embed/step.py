"""The embed step: writes one vector per row of the pool, block by block, and resumes where it was killed."""

import posixpath
import time
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.errors import InputError, QuarantineLimitError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.embed import post, reuse, tfidf
from evenkeel.tasks.embed.column import Column
from evenkeel.tasks.embed.config import (
    AutoEmbedding,
    ColumnEmbedding,
    EmbeddingConfig,
    ImageEmbedding,
    SentenceEmbedding,
    TfidfSvdEmbedding,
)
from evenkeel.tasks.embed.embedder import Embedder, RawVectors
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.post import PostProcessor
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

Settings = ColumnEmbedding | TfidfSvdEmbedding | SentenceEmbedding | ImageEmbedding
UNREADABLE = "unreadable"
MAP_FILES = ("features.npy", "idf.npy", "projection.npy", "mean.npy", "rotation.npy", "map.json")


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
    settings = resolve(config, pool)
    if inputs.base is not None:
        settings = settings.model_copy(update={"fitted": inputs.base.uri})
    run.progress(0, f"fitting {settings.method}")
    embedder, after = _embedder(settings, out.uri, run)
    facts = _fit(settings, pool, embedder, out.path("map"))
    storage.write_json(out.path("embedding.json"), settings.model_dump(mode="json"))
    storage.write_json(out.path("blocks.json"), [block.model_dump(mode="json") for block in pool.blocks])
    if isinstance(embedder, Column) and after.is_identity:
        about = {"dimension": pool.info.dimension, "dtype": pool.info.dtype, "zero": 0}
        folder = posixpath.relpath(inputs.ingest.uri, out.uri)
        storage.write_json(out.path("vectors.json"), {**about, "folder": storage.join(folder, "vectors")})
        return Outcome({"rows": pool.rows, "zero": 0}, {"method": "column", **about})

    key = reuse.map_key(settings, EMBED.version, run.compute.backend, out.path("map"), MAP_FILES)
    made = [("vectors", "npy")]
    if isinstance(settings, ImageEmbedding):
        made.insert(0, (UNREADABLE, "parquet"))
    taken = reuse.take_over(key, pool.blocks, made, out.uri, run)
    work = partial(_embed_block, pool, embedder, after, out.path("vectors"))
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
    if isinstance(settings, ImageEmbedding):
        facts["unreadable"] = _unreadable(settings, pool, out)
    return Outcome(
        {"rows": pool.rows, "zero": zero},
        {**facts, "method": settings.method, **shape, "zero": zero, "blocks_taken": taken},
    )


def _unreadable(settings: ImageEmbedding, pool: Pool, out: StepFolder) -> dict[str, int]:
    """Write the rows without a readable image to `unreadable.parquet` and return how many there are, by reason.

    Raises QuarantineLimitError where they are more than the recipe allows.
    """
    parts = [read_table(out.path(UNREADABLE, f"{block.name}.parquet")) for block in pool.blocks]
    found = pa.concat_tables(parts)
    reasons = {str(one["values"]): int(one["counts"]) for one in found["reason"].value_counts().to_pylist()}
    if found.num_rows > settings.max_unreadable * pool.rows:
        raise QuarantineLimitError(
            f"{found.num_rows:,} of {pool.rows:,} images cannot be read",
            expected=f"at most {settings.max_unreadable:.1%}",
            found=", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items())),
            where=f"column {settings.column!r}",
            remedy="look at them (embedding.root, embedding.column), or raise embedding.max_unreadable",
        )
    write_table(out.path(f"{UNREADABLE}.parquet"), found)
    return reasons


def resolve(config: EmbeddingConfig, pool: Pool) -> Settings:
    """Return the method that a config selects for this pool.

    Raises InputError where the pool has nothing to embed by it.
    """
    if isinstance(config, AutoEmbedding):
        if not (pool.has_vectors or pool.has_text):
            raise InputError(
                "there is nothing to embed: the source has neither vectors nor texts",
                where="source",
                remedy="name a column: source.vector or source.text",
            )
        return resolve_auto(config, pool.has_vectors)
    if isinstance(config, ImageEmbedding):
        if config.column not in pool.info.payload:
            raise InputError(
                f"there is no column {config.column!r} with images",
                expected=f"one of {', '.join(pool.info.payload)}",
                where="embedding.column",
            )
        return config
    need, has = ("vectors", pool.has_vectors) if isinstance(config, ColumnEmbedding) else ("texts", pool.has_text)
    if not has:
        raise InputError(
            f"embedding.method {config.method} needs {need}, and the source has none",
            where="embedding.method",
            remedy=f"name the column (source.{need[:-1]}), or leave embedding.method at auto",
        )
    return config


def resolve_auto(config: EmbeddingConfig, has_vectors: bool) -> Settings:
    """Return the method that a config selects: `auto` takes the source's vectors where it has them, else its texts."""
    if not isinstance(config, AutoEmbedding):
        return config
    return ColumnEmbedding(seed=config.seed) if has_vectors else TfidfSvdEmbedding(seed=config.seed)


def output_dimension(config: EmbeddingConfig, source: int | None, run: Run) -> int:
    """Return the length of the vectors that a config makes; source: of the source's own, None where it has none.

    Loads the model where the method has one. Raises InputError where it is not there, or the source has no vectors.
    """
    settings = resolve_auto(config, source is not None)
    embedder, _ = _embedder(settings, "", run)
    found = settings.components or embedder.dimension(source)
    if found is None:
        raise InputError("the source has no vectors", where="embedding.method", remedy="name them: source.vector")
    return found


def embed_texts(vectors: Vectors, texts: pa.ChunkedArray, run: Run) -> RawVectors:
    """Return vectors of texts, (n, d), by the map that made the vectors of a pool.

    Raises InputError where those came with the source.
    """
    written = storage.read_json(storage.join(vectors.uri, "embedding.json"))
    settings: Settings = TypeAdapter(Settings).validate_python(written)
    embedder, after = _embedder(settings, vectors.uri, run)
    return after.apply(embedder.embed_texts(texts))


def _embedder(settings: Settings, output: str, run: Run) -> tuple[Embedder, PostProcessor]:
    """Return the embedder and the post-processor of a method, with the maps fitted below the folder `output`."""
    uri = storage.join(output, "map")
    after = PostProcessor(settings, uri, str(run.scratch))
    if isinstance(settings, ColumnEmbedding):
        return Column(), after
    if isinstance(settings, TfidfSvdEmbedding):
        return tfidf.TfidfSvd(settings, uri, str(run.scratch)), after
    if isinstance(settings, ImageEmbedding):
        from evenkeel.tasks.embed.image import Images

        return Images(settings, run.compute.backend, storage.join(output, UNREADABLE)), after
    from evenkeel.tasks.embed.sentences import Sentences

    return Sentences(settings, run.compute.backend), after


def _fit(settings: Settings, pool: Pool, embedder: Embedder, uri: str) -> dict[str, object]:
    """Fit what the method and its post-steps need, or copy an earlier fit; return facts about it."""
    about = storage.join(uri, "map.json")
    made: dict[str, object] = {}
    if settings.fitted:
        made = _take_over(settings, settings.fitted, uri)
    elif storage.exists(about):
        made = storage.read_json(about)
    if isinstance(settings, TfidfSvdEmbedding) and not made:
        made = {"method": settings.method, **tfidf.fit(pool, settings, uri)}
    if post.needs_fit(settings) and "post" not in made:
        made = {"method": settings.method, **made, "post": post.fit(pool, embedder, settings, uri)}
    if made:
        storage.write_json(about, made)
    return made


def _take_over(settings: Settings, earlier: str, uri: str) -> dict[str, object]:
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
    if made["method"] != settings.method:
        raise InputError(
            "the fitted map belongs to another method",
            expected=settings.method,
            found=str(made["method"]),
            where="embedding.fitted",
        )
    for name in MAP_FILES:
        if storage.exists(storage.join(source, name)):
            storage.write_bytes(storage.join(uri, name), storage.read_bytes(storage.join(source, name)))
    return made


def _embed_block(pool: Pool, embedder: Embedder, after: PostProcessor, folder: str, block: Block) -> BlockFacts:
    """Write the vectors of one block unless they are there, and return what they are."""
    uri = storage.join(folder, f"{block.name}.npy")
    if storage.exists(uri):
        vectors = map_array(uri, Path(pool.scratch))
    else:
        vectors = after.apply(embedder.embed(pool, block))
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


def cost(config: EmbeddingConfig, work: Workload) -> float:
    """Return the CPU-seconds of embedding a pool."""
    settings = resolve_auto(config, has_vectors=work.source_dimension > 0)
    if not isinstance(settings, TfidfSvdEmbedding | SentenceEmbedding):
        return 0.01 + 1e-9 * work.rows * work.dimension
    return 0.25 * work.text_megabytes + 0.4 * work.text_bytes * min(work.rows, settings.sample) / 1e6


EMBED = Step(name="embed", version=1, function=embed, by_backend=True, cost=cost)
