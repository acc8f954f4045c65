"""The digits: real pictures, none twice, with a tail by Zipf's law."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from evenkeel.tasks.ingest.readers.digits import pictures
from tests.ingest.pools import ingest


def test_the_pool_is_a_part_of_the_set_with_a_tail() -> None:
    table = pictures()
    every, digit = load_digits(return_X_y=True)
    vectors = np.stack(table["vector"].to_numpy(zero_copy_only=False)) * 16
    rows = [int(one.removeprefix("picture-")) for one in table["id"].to_pylist()]
    assert (vectors == every[rows]).all()
    assert table["digit"].to_pylist() == [str(one) for one in digit[rows]]
    assert np.bincount(digit[rows]).tolist() == [round(174 / rank) for rank in range(1, 11)]
    picture = np.asarray(Image.open(io.BytesIO(table["picture"][0].as_py())))
    assert picture.shape == (32, 32)
    assert np.abs(255 - picture[::4, ::4] - every[rows[0]].reshape(8, 8) * 255 / 16).max() <= 1


def test_they_are_a_source(tmp_path: Path) -> None:
    pool = ingest(tmp_path, uri="digits://", vector="vector", groups=["digit"])
    assert (pool.rows, pool.info.dimension, list(pool.groups)) == (510, 64, ["digit"])
    assert ingest(tmp_path, uri="digits://", vector="vector", groups=["digit"]).rows == 510
