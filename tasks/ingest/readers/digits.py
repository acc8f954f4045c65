"""Handwritten digits with a long tail: a small pool of real pictures that comes with scikit-learn."""

import io
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.tasks.ingest.packaged import PackagedReader, packaged_numbers

FILE = "digits.csv.gz"
SIDE, DARKEST, SCALE = 8, 16, 4
MOST = 174  # pictures of the least frequent digit in the file


class DigitsReader(PackagedReader):
    """Takes 174 pictures of the digit 0, 174 / 2 of the digit 1, 174 / 3 of the digit 2, and so on: Zipf's law.

    The pictures are those of the UCI set Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998, CC BY
    4.0), 8 x 8 grey values, none twice.
    """

    name: ClassVar[str] = "digits"
    scheme: ClassVar[str] = "digits://"
    file: ClassVar[str] = FILE

    def table(self) -> pa.Table:
        """Return the pictures."""
        return pictures()


def pictures() -> pa.Table:
    """Return the pool: id, digit, picture (PNG of 32 x 32) and vector (64 grey values from 0 to 1, float32)."""
    values = packaged_numbers(FILE).astype(np.int64)
    grey, digit = values[:, :-1], values[:, -1]
    rng = np.random.default_rng(0)
    chosen = np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(digit == one))[: round(MOST / (one + 1))] for one in range(10)])
    )
    vectors = (grey[chosen] / DARKEST).astype(np.float32)
    return pa.table(
        {
            "id": [f"picture-{row:04d}" for row in chosen],
            "digit": [str(one) for one in digit[chosen]],
            "picture": [_png(one) for one in vectors],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), SIDE * SIDE),
        }
    )


def _png(grey: NDArray[np.float32]) -> bytes:
    from PIL import Image

    ink = 255 - np.round(grey.reshape(SIDE, SIDE) * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(ink.repeat(SCALE, 0).repeat(SCALE, 1)).save(stream, "png")
    return stream.getvalue()
