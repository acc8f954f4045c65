"""The embedder `image`: runs an image encoder of timm or open_clip from a local folder (extra `image`).

On a GPU the model runs in half precision (untested on hardware).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field

from evenkeel.infra.compute import Backend
from evenkeel.infra.errors import InputError, ResourceError
from evenkeel.tasks.embed.embedder import Matrix, Place
from evenkeel.tasks.embed.images import ImageEmbedder, read_image, sources

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

DECODERS = 4
WEIGHTS = {"config.json": "model.safetensors", "open_clip_config.json": "open_clip_model.safetensors"}
_ONE_AT_A_TIME = Lock()  # the model uses all cores itself


class ImageEmbedding(ImageEmbedder):
    """An image encoder of timm or open_clip (extra `image`)."""

    model_config = ConfigDict(extra="forbid", title="image")

    method: Literal["image"] = "image"
    model: str = Field(
        min_length=1, description="a folder on this machine, as timm or open_clip saves a model, weights as safetensors"
    )
    batch: int = Field(64, ge=1, le=1024, description="images per forward pass")

    def raw_dimension(self, source: int | None, place: Place) -> int:
        """Return the length of the model's vectors."""
        return _load(self.model, place.backend).dimension

    def encode(self, column: pa.ChunkedArray, backend: Backend) -> tuple[Matrix, list[str]]:
        """Return the vectors of a column of images, and why each could not be read, "" where it was."""
        model = _load(self.model, backend)
        vectors = np.zeros((len(column), model.dimension), np.float32)
        reasons: list[str] = []
        read = partial(_read, root=self.root, max_pixels=self.max_pixels, model=model)
        with ThreadPoolExecutor(DECODERS) as decoders:
            for start in range(0, len(column), self.batch):
                found = list(decoders.map(read, sources(column.slice(start, self.batch))))
                reasons += [one if isinstance(one, str) else "" for one in found]
                places = [start + place for place, one in enumerate(found) if not isinstance(one, str)]
                if places:
                    with _ONE_AT_A_TIME:
                        tensors = [one for one in found if not isinstance(one, str)]
                        vectors[places] = model(tensors, self.batch)
        return vectors, reasons


def _read(source: bytes | str | None, root: str | None, max_pixels: int, model: "_Model") -> "torch.Tensor | str":
    """Return the input tensor of one image, or why it could not be read."""
    image = read_image(source, root, max_pixels)
    return image if isinstance(image, str) else model.prepare(image)


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
