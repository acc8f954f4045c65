"""What an embedder is, and all the embedders there are."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from evenkeel.infra.errors import InputError
from evenkeel.infra.registry import Registry
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    import pyarrow as pa

    from evenkeel.infra.compute import Backend
    from evenkeel.tasks.embed.fit_sample import Positions
    from evenkeel.tasks.ingest.pool import Block, Pool

Dtype = Literal["float16", "float32"]
Matrix = npt.NDArray[np.float32]
RawVectors = npt.NDArray[np.floating]  # float16 where the source's own vectors are


@dataclass(frozen=True)
class Place:
    """Where an embedder works: the output folder of the step, scratch space on this machine, CPU or GPU."""

    output: str
    scratch: str
    backend: "Backend"

    @property
    def map(self) -> str:
        """The folder of what is fitted to a sample of the pool."""
        return posixpath.join(self.output, "map")


class PostSteps(BaseModel):
    """How raw embeddings are post-processed, in this order: centre, project, whiten, normalise, store."""

    model_config = ConfigDict(extra="forbid")

    center: bool = Field(False, description="subtract the mean of a sample")
    components: int | None = Field(
        None, ge=1, le=65536, description="keep this many principal components of a sample; empty = all dimensions"
    )
    whiten: bool = Field(False, description="scale the principal components to unit variance")
    normalise: bool = Field(False, description="scale every row to length 1; zero rows stay zero")
    dtype: Dtype | None = Field(None, description="how vectors are stored; empty = as they come")
    sample: int = Field(20_000, ge=10, le=10_000_000, description="rows that the mean and the components are fitted on")
    seed: int = Field(0, ge=0, lt=2**63, description="chooses the sample and starts the fit")
    fitted: str | None = Field(
        None,
        description="folder of an earlier embedding whose fitted map is used instead of fitting a new one, so that old "
        "and new shards are comparable",
    )


class EmbeddingConfig(BaseModel):
    """The embedding section of a recipe: a method and its options."""

    model_config = ConfigDict(extra="forbid")

    method: str

    def resolve(self, has_vectors: bool) -> "Embedder":
        """Return the embedder for a source that has vectors or not."""
        raise NotImplementedError


class Embedder(EmbeddingConfig, PostSteps):
    """Makes a vector of every row. Its options are the fields, besides those of the post-processing.

    It is sent to workers, and must make the same vectors on each of them. map_files: names of the files that `fit`
    writes to `place.map`. unchanged: vectors are the source's own, so that none are written where there is no
    post-processing. block_files: (folder, suffix) of the files that `embed` writes below `place.output` per block.
    """

    map_files: ClassVar[tuple[str, ...]] = ()
    unchanged: ClassVar[bool] = False
    block_files: ClassVar[tuple[tuple[str, str], ...]] = ()

    def resolve(self, has_vectors: bool) -> "Embedder":
        """Return itself."""
        return self

    def check(self, pool: "Pool") -> None:
        """Raise InputError where the pool does not have what is embedded."""

    def fit(self, pool: "Pool", place: Place) -> Mapping[str, object]:
        """Fit what the method needs to a sample of the pool, write it to `place.map` and return facts about it."""
        return {}

    def check_map(self, place: Place) -> None:
        """Raise InputError where the map of an earlier embedding, now in `place.map`, was made by unfit options."""

    def embed(self, pool: "Pool", block: "Block", positions: "Positions | None", place: Place) -> RawVectors:
        """Return the vectors of a block, or of the rows at `positions`: (rows, d) float32 (or the source's float16)."""
        raise NotImplementedError

    def embed_texts(self, texts: "pa.ChunkedArray", place: Place) -> Matrix:
        """Return vectors of texts from elsewhere, (n, d) float32. Raises InputError where that is impossible."""
        raise InputError(
            f"texts cannot be embedded as the pool was: {self.method} does not read texts",
            remedy="give vectors made by the same model",
        )

    def raw_dimension(self, source: int | None, place: Place) -> int | None:
        """Return the length of the vectors before post-processing; source: of those that the source brings, if any."""
        raise NotImplementedError

    def summary(self, pool: "Pool", place: Place) -> Mapping[str, object]:
        """Return facts about all blocks, when they are embedded."""
        return {}

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of embedding a pool."""
        return 0.01 + 1e-9 * work.rows * work.dimension


class TextEmbedder(Embedder):
    """An embedder of the source's texts: a subclass says how long vectors are and how to make them of texts."""

    def check(self, pool: "Pool") -> None:
        if not pool.has_text:
            raise InputError(
                f"embedding.method {self.method} needs texts, and the source has none",
                where="embedding.method",
                remedy="name the column (source.text), or leave embedding.method at auto",
            )

    def embed(self, pool: "Pool", block: "Block", positions: "Positions | None", place: Place) -> RawVectors:
        texts = pool.text(block)
        return self.embed_texts(texts if positions is None else texts.take(positions), place)

    def cost(self, work: Workload) -> float:
        return 0.25 * work.text_megabytes + 0.4 * work.text_bytes * min(work.rows, self.sample) / 1e6


EMBEDDERS: Registry[EmbeddingConfig] = Registry(
    "embedder", EmbeddingConfig, tag="method", folder="evenkeel.tasks.embed.embedders", group="evenkeel.embedders"
)
