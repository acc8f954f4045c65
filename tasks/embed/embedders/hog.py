"""The embedder `hog`: describes an image by which way its edges run in each part of it; no model, no GPU.

Histograms of oriented gradients (Dalal and Triggs 2005, Histograms of Oriented Gradients for Human Detection): in every
cell of a grid the strengths of the gradients are summed by direction, and every block of 2 x 2 cells is scaled to
length 1, so that light and contrast do not matter. Colour does not either: a pixel's gradient is that of its strongest
channel.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ConfigDict, Field

from evenkeel.infra.compute import Backend
from evenkeel.tasks.embed.embedder import Matrix, Place
from evenkeel.tasks.embed.images import ImageEmbedder, read_image, sources
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    from PIL.Image import Image

CELL = 16
STRONGEST = 0.2  # a direction that dominates a block is cut to this length, and the block scaled again
SLICE = 256


class HogEmbedding(ImageEmbedder):
    """Histograms of oriented gradients of a column of images: shape without a model; fast, no GPU."""

    model_config = ConfigDict(extra="forbid", title="hog")

    method: Literal["hog"] = "hog"
    cells: int = Field(4, ge=2, le=32, description="cells along each side; an image is scaled to 16 pixels for each")
    directions: int = Field(9, ge=2, le=36, description="directions that an edge may have, of half a turn")
    center: bool = Field(True, description="subtract the mean of a sample: what all images have in common")

    def encode(self, column: pa.ChunkedArray, backend: Backend) -> tuple[Matrix, list[str]]:
        """Return the vectors of a column of images, and why each could not be read, "" where it was."""
        vectors = np.zeros((len(column), self._length()), np.float32)
        reasons: list[str] = []
        with ThreadPoolExecutor(2) as decoders:
            for start in range(0, len(column), SLICE):
                found = decoders.map(self._features, sources(column.slice(start, SLICE)))
                for place, one in enumerate(found, start=start):
                    reasons.append(one if isinstance(one, str) else "")
                    if not isinstance(one, str):
                        vectors[place] = one
        return vectors, reasons

    def raw_dimension(self, source: int | None, place: Place) -> int:
        """Return 4 x `directions` for every block of 2 x 2 cells."""
        return self._length()

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of decoding and describing all images."""
        return 0.1 + 1e-3 * (self.cells / 4) ** 2 * work.rows

    def _length(self) -> int:
        return (self.cells - 1) ** 2 * 4 * self.directions

    def _features(self, source: bytes | str | None) -> Matrix | str:
        """Return the vector of one image, or why it cannot be read."""
        image = read_image(source, self.root, self.max_pixels)
        return image if isinstance(image, str) else oriented_gradients(_pixels(image, self.cells), self.directions)


def oriented_gradients(pixels: npt.NDArray[np.float64], directions: int) -> Matrix:
    """Return the histograms of an image, ((cells - 1)^2 * 4 * directions,) float32, block by block.

    pixels: (16 cells, 16 cells, channels). A gradient is shared between the two directions next to its own.
    """
    cells = len(pixels) // CELL
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    down, right = padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]
    strength = down**2 + right**2
    channel = strength.argmax(axis=2)[..., None]
    down, right, strength = (np.take_along_axis(part, channel, 2)[..., 0] for part in (down, right, strength))
    turn = np.arctan2(down, right) / np.pi % 1 * directions - 0.5
    below = np.floor(turn)
    upper_share = turn - below
    strength = np.sqrt(strength)
    side = np.arange(len(pixels)) // CELL
    cell = (side[:, None] * cells + side) * directions
    histograms = np.zeros(cells * cells * directions)
    for number, share in ((below, 1 - upper_share), (below + 1, upper_share)):
        place = (cell + number.astype(np.int64) % directions).ravel()
        histograms += np.bincount(place, (strength * share).ravel(), len(histograms))
    grid = histograms.reshape(cells, cells, directions)
    corners = [grid[a : cells - 1 + a, b : cells - 1 + b] for a in (0, 1) for b in (0, 1)]
    blocks = np.concatenate(corners, axis=2)
    blocks = np.minimum(_scaled(blocks), STRONGEST)
    return _scaled(blocks).ravel().astype(np.float32)


def _scaled(blocks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale blocks to length 1; those without any gradient stay zero."""
    lengths: npt.NDArray[np.float64] = blocks / np.maximum(np.linalg.norm(blocks, axis=2, keepdims=True), 1e-6)
    return lengths


def _pixels(image: "Image", cells: int) -> npt.NDArray[np.float64]:
    from PIL.Image import Resampling

    return np.asarray(image.resize((CELL * cells, CELL * cells), Resampling.BILINEAR), np.float64) / 255
