"""Measurements of breast tumours, one in eleven malignant: a small real table that comes with scikit-learn."""

from typing import ClassVar

import numpy as np
import pyarrow as pa

from evenkeel.tasks.ingest.packaged import PackagedReader, packaged_numbers

FILE = "breast_cancer.csv"
MALIGNANT = 0
ONE_IN = 6  # malignant tumours that are taken: 36 of 212, with all 357 benign ones
OF_A_NUCLEUS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)


class TumoursReader(PackagedReader):
    """Takes all benign tumours of the file and every sixth malignant one, so that few are, as in a screening.

    The rows are those of the UCI set Breast Cancer Wisconsin (Diagnostic) (Wolberg et al. 1995, CC BY 4.0): of each
    tumour mean, standard error and the mean of the three greatest of ten measurements of its cells' nuclei.
    """

    name: ClassVar[str] = "tumours"
    scheme: ClassVar[str] = "tumours://"
    file: ClassVar[str] = FILE

    def table(self) -> pa.Table:
        """Return the tumours."""
        return tumours()


def tumours() -> pa.Table:
    """Return the pool: id, diagnosis (benign or malignant) and 30 measurements (float64)."""
    numbers = packaged_numbers(FILE, header=1)
    kind = numbers[:, -1].astype(np.int64)
    few = np.flatnonzero(kind == MALIGNANT)[::ONE_IN]
    chosen = np.sort(np.concatenate([np.flatnonzero(kind != MALIGNANT), few]))
    names = [f"{what}_{name}" for what in ("mean", "error", "worst") for name in OF_A_NUCLEUS]
    columns = dict(zip(names, numbers[chosen, :-1].T.copy(), strict=True))
    diagnosis = np.where(kind[chosen] == MALIGNANT, "malignant", "benign").tolist()
    return pa.table({"id": [f"tumour-{row:03d}" for row in chosen], "diagnosis": diagnosis, **columns})
