"""The embedder `image`: runs an image encoder of timm or open_clip from a local folder (extra `image`).

On a GPU the model runs in half precision (untested on hardware).
"""

import posixpath
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend
from evenkeel.infra.errors import InputError, ResourceError
from evenkeel.infra.tables import write_table
from evenkeel.tasks.embed.config import ImageEmbedding
from evenkeel.tasks.embed.decode import MAX_BYTES, decode_image
from evenkeel.tasks.embed.embedder import Matrix
from evenkeel.tasks.embed.fit_sample import Positions
from evenkeel.tasks.ingest.pool import Block, Pool

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

DECODERS = 4
WEIGHTS = {"config.json": "model.safetensors", "open_clip_config.json": "open_clip_model.safetensors"}
_ONE_AT_A_TIME = Lock()  # the model uses all cores itself


@dataclass(frozen=True)
class Images:
    """Encodes images with a model that every worker loads once.

    A row whose image cannot be read gets a zero vector; the reason is written to the folder `unreadable`.
    """

    config: ImageEmbedding
    backend: Backend
    unreadable: str

    def embed(self, pool: Pool, block: Block, positions: Positions | None = None) -> Matrix:
        """Return raw vectors of a block, or of the rows at `positions`: (rows, d) float32, d being the model's."""
        column = pool.payload(block, [self.config.column])[self.config.column]
        if positions is not None:
            column = column.take(pa.array(positions))
        vectors, reasons = self._encode(column)
        if positions is None:
            failed = np.array([place for place, reason in enumerate(reasons) if reason], np.int64)
            row_ids = pool.table(block, ["row_id"])["row_id"].take(failed)
            found = pa.table({"row_id": row_ids, "reason": pa.array([reasons[i] for i in failed], pa.string())})
            write_table(storage.join(self.unreadable, f"{block.name}.parquet"), found)
        return vectors

    def dimension(self, source: int | None) -> int:
        """Return the length of the model's vectors."""
        return _load(self.config.model, self.backend).dimension

    def embed_texts(self, texts: pa.ChunkedArray) -> Matrix:
        """Raise InputError: the model reads images, not texts."""
        raise InputError(
            "texts cannot be embedded as the pool's images were", remedy="give vectors made by the same model"
        )

    def _encode(self, column: pa.ChunkedArray) -> tuple[Matrix, list[str]]:
        """Return the vectors of a column of images, and why each could not be read, "" where it was."""
        model = _load(self.config.model, self.backend)
        vectors = np.zeros((len(column), model.dimension), np.float32)
        reasons: list[str] = []
        read = partial(_read, root=self.config.root, max_pixels=self.config.max_pixels, model=model)
        with ThreadPoolExecutor(DECODERS) as decoders:
            for start in range(0, len(column), self.config.batch):
                found = list(decoders.map(read, _sources(column.slice(start, self.config.batch))))
                reasons += [one if isinstance(one, str) else "" for one in found]
                places = [start + place for place, one in enumerate(found) if not isinstance(one, str)]
                if places:
                    with _ONE_AT_A_TIME:
                        tensors = [one for one in found if not isinstance(one, str)]
                        vectors[places] = model(tensors, self.config.batch)
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
