"""The small pools that are made of scikit-learn's files: digits with a tail, tumours of which few are malignant."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.packaged import packaged_file
from evenkeel.tasks.ingest.readers.digits import pictures
from evenkeel.tasks.ingest.readers.tumours import tumours
from tests.ingest.pools import ingest


def test_the_digits_are_a_part_of_the_set_with_a_tail() -> None:
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


def test_the_digits_are_a_source(tmp_path: Path) -> None:
    pool = ingest(tmp_path, uri="digits://", vector="vector", groups=["digit"])
    assert (pool.rows, pool.info.dimension, list(pool.groups)) == (510, 64, ["digit"])
    assert ingest(tmp_path, uri="digits://", vector="vector", groups=["digit"]).rows == 510


def test_the_tumours_are_a_part_of_the_set_with_few_malignant_ones(tmp_path: Path) -> None:
    table = tumours()
    every, kind = load_breast_cancer(return_X_y=True)
    rows = [int(one.removeprefix("tumour-")) for one in table["id"].to_pylist()]
    measured = np.stack([table[name].to_numpy() for name in table.column_names[2:]], axis=1)
    assert (measured == every[rows]).all()
    assert table["diagnosis"].to_pylist() == ["benign" if one else "malignant" for one in kind[rows]]
    assert np.bincount(kind[rows]).tolist() == [36, 357]
    pool = ingest(tmp_path, uri="tumours://", groups=["diagnosis"])
    assert (pool.rows, pool.has_vectors, pool.has_text, list(pool.groups)) == (393, False, False, ["diagnosis"])


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"the file nothing\.csv of scikit-learn is not there"):
        packaged_file("nothing.csv")
