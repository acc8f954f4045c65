"""The embedder `image`: runs an image encoder of timm or open_clip from a local folder (extra `image`).

On a GPU the model runs in half precision (untested on hardware).
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import AliasChoices, ConfigDict, Field

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend
from evenkeel.infra.errors import InputError, QuarantineLimitError, ResourceError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.embed.decode import MAX_BYTES, decode_image
from evenkeel.tasks.embed.embedder import Dtype, Embedder, Matrix, Place
from evenkeel.tasks.embed.fit_sample import Positions
from evenkeel.tasks.ingest.pool import Block, Pool

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

UNREADABLE = "unreadable"
DECODERS = 4
WEIGHTS = {"config.json": "model.safetensors", "open_clip_config.json": "open_clip_model.safetensors"}
_ONE_AT_A_TIME = Lock()  # the model uses all cores itself


class ImageEmbedding(Embedder):
    """An image encoder of timm or open_clip (extra `image`)."""

    model_config = ConfigDict(extra="forbid", title="image")

    block_files: ClassVar[tuple[tuple[str, str], ...]] = ((UNREADABLE, "parquet"),)

    method: Literal["image"] = "image"
    model: str = Field(
        min_length=1, description="a folder on this machine, as timm or open_clip saves a model, weights as safetensors"
    )
    column: str = Field("image", min_length=1, description="column with the images: bytes, paths, or {bytes, path}")
    root: str | None = Field(
        None, description="folder or URI that all paths of the column lie below; nothing else is read. Needed for paths"
    )
    batch: int = Field(64, ge=1, le=1024, description="images per forward pass")
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        le=2**31,
        validation_alias=AliasChoices("max_pixels", "most_pixels"),
        description="an image with more pixels is not decoded and counts as unreadable",
    )
    max_unreadable: float = Field(
        0.01, ge=0, le=1, description="share of rows whose image may be unreadable; more fails the run"
    )
    normalise: bool = Field(True, description="scale every row to length 1; zero rows stay zero")
    dtype: Dtype | None = Field("float16", description="how vectors are stored; empty = float32")

    def check(self, pool: Pool) -> None:
        """Raise InputError where there is no column with images."""
        if self.column not in pool.info.payload:
            raise InputError(
                f"there is no column {self.column!r} with images",
                expected=f"one of {', '.join(pool.info.payload)}",
                where="embedding.column",
            )

    def embed(self, pool: Pool, block: Block, positions: Positions | None, place: Place) -> Matrix:
        """Return raw vectors of a block, or of the rows at `positions`: (rows, d) float32, d being the model's.

        A row whose image cannot be read gets a zero vector; the reason is written beside the vectors.
        """
        column = pool.payload(block, [self.column])[self.column]
        if positions is not None:
            column = column.take(pa.array(positions))
        vectors, reasons = self._encode(column, place.backend)
        if positions is None:
            failed = np.array([at for at, reason in enumerate(reasons) if reason], np.int64)
            row_ids = pool.table(block, ["row_id"])["row_id"].take(failed)
            found = pa.table({"row_id": row_ids, "reason": pa.array([reasons[i] for i in failed], pa.string())})
            write_table(storage.join(place.output, UNREADABLE, f"{block.name}.parquet"), found)
        return vectors

    def raw_dimension(self, source: int | None, place: Place) -> int:
        """Return the length of the model's vectors."""
        return _load(self.model, place.backend).dimension

    def summary(self, pool: Pool, place: Place) -> Mapping[str, object]:
        """Write the rows without a readable image to `unreadable.parquet` and return how many there are, by reason.

        Raises QuarantineLimitError where they are more than the recipe allows.
        """
        parts = [read_table(storage.join(place.output, UNREADABLE, f"{block.name}.parquet")) for block in pool.blocks]
        found = pa.concat_tables(parts)
        reasons = {str(one["values"]): int(one["counts"]) for one in found["reason"].value_counts().to_pylist()}
        if found.num_rows > self.max_unreadable * pool.rows:
            raise QuarantineLimitError(
                f"{found.num_rows:,} of {pool.rows:,} images cannot be read",
                expected=f"at most {self.max_unreadable:.1%}",
                found=", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items())),
                where=f"column {self.column!r}",
                remedy="look at them (embedding.root, embedding.column), or raise embedding.max_unreadable",
            )
        write_table(storage.join(place.output, f"{UNREADABLE}.parquet"), found)
        return {"unreadable": reasons}

    def _encode(self, column: pa.ChunkedArray, backend: Backend) -> tuple[Matrix, list[str]]:
        """Return the vectors of a column of images, and why each could not be read, "" where it was."""
        model = _load(self.model, backend)
        vectors = np.zeros((len(column), model.dimension), np.float32)
        reasons: list[str] = []
        read = partial(_read, root=self.root, max_pixels=self.max_pixels, model=model)
        with ThreadPoolExecutor(DECODERS) as decoders:
            for start in range(0, len(column), self.batch):
                found = list(decoders.map(read, _sources(column.slice(start, self.batch))))
                reasons += [one if isinstance(one, str) else "" for one in found]
                places = [start + place for place, one in enumerate(found) if not isinstance(one, str)]
                if places:
                    with _ONE_AT_A_TIME:
                        tensors = [one for one in found if not isinstance(one, str)]
                        vectors[places] = model(tensors, self.batch)
        return vectors, reasons


def _sources(column: pa.ChunkedArray) -> Iterator[bytes | str | None]:
    """Yield the bytes or the path of each image; of a struct of both, the bytes where they are there."""
    for value in column.to_pylist():
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        yield value


def _read(source: bytes | str | None, root: str | None, max_pixels: int, model: "_Model") -> "torch.Tensor | str":
    """Return the input tensor of one image, or why it could not be read."""
    data = _content(source, root) if isinstance(source, str) else source
    image = decode_image(data, max_pixels)
    return image if isinstance(image, str) else model.prepare(image)


def _content(path: str, root: str | None) -> bytes | None:
    """Return the file at a path of the column, None where there is none. Only files below `root` are read.

    Raises InputError where no root is named.
    """
    if root is None:
        raise InputError(
            "the image column holds paths, and nothing says where they may lie",
            found=repr(path[:200]),
            where="embedding.root",
            remedy="name the folder or URI that all images lie below: embedding.root",
        )
    place = path if path.startswith(root.rstrip("/") + "/") else storage.join(root, path)
    inside = posixpath.normpath(place.partition("://")[2] or place)
    if not inside.startswith(posixpath.normpath(root.partition("://")[2] or root) + "/"):
        return None
    try:
        with storage.open_read(place) as stream:
            return stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


@dataclass(frozen=True)
class _Model:
    """A loaded encoder. prepare: turns an image into an input tensor. Called with n tensors: (n, d) float32.

    The last tensor is repeated until the network sees `batch` of them: in a batch of another length the last bits of a
    vector may differ, and two copies of an image would not be exact duplicates.
    """

    prepare: "Callable[[Image], torch.Tensor]"
    encode: "Callable[[torch.Tensor], torch.Tensor]"
    dimension: int
    backend: Backend

    def __call__(self, inputs: "list[torch.Tensor]", batch: int) -> Matrix:
        import torch

        stacked = torch.stack([*inputs, *inputs[-1:] * (batch - len(inputs))])
        with torch.inference_mode():
            vectors = self.encode(stacked.half().cuda() if self.backend == "gpu" else stacked)
        return np.asarray(vectors[: len(inputs)].float().cpu().numpy(), np.float32)


@lru_cache(maxsize=1)
def _load(folder: str, backend: Backend) -> _Model:
    config = next((name for name in WEIGHTS if (Path(folder) / name).is_file()), None)
    if config is None or not (Path(folder) / WEIGHTS[config]).is_file():
        raise InputError(
            f"there is no image encoder at {folder!r}",
            expected="a folder as timm saves it (config.json, model.safetensors) or open_clip "
            "(open_clip_config.json, open_clip_model.safetensors)",
            found=", ".join(sorted(file.name for file in Path(folder).glob("*"))[:8])
            or "no such folder, or an empty one",
            where="embedding.model",
            remedy="save the weights as safetensors; pickled weights are not read",
        )
    try:
        model, prepare, encode = _timm(folder) if config == "config.json" else _open_clip(folder)
    except ImportError as error:
        raise ResourceError(
            "embedding.method image needs the extra `image`",
            where="embedding.method",
            remedy="pip install 'evenkeel[image]'",
        ) from error
    import torch

    model = model.eval()
    with torch.inference_mode():
        from PIL import Image

        dimension = int(encode(torch.stack([prepare(Image.new("RGB", (64, 64)))])).shape[1])
    if backend == "gpu":
        model.half().cuda()
    return _Model(prepare, encode, dimension, backend)


_Loaded = tuple["torch.nn.Module", "Callable[[Image], torch.Tensor]", "Callable[[torch.Tensor], torch.Tensor]"]


def _timm(folder: str) -> _Loaded:
    import timm

    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    settings = timm.data.resolve_model_data_config(model)
    return model, timm.data.create_transform(**settings, is_training=False), model


def _open_clip(folder: str) -> _Loaded:
    import open_clip

    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model, prepare, model.encode_image
