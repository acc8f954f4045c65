"""Labelled pools of real data that package registries carry: Debian's r-cran-mlbench, and the tables of scikit-learn.

The first is fetched once into .evenkeel/bench-data with `apt-get download` and read with the package rdata (extra
`bench`); where either is not to be had, its pools are left out. Columns are brought to unit variance, as the embedder
`table` does.
"""

import shutil
import subprocess
import warnings
from functools import cache
from pathlib import Path

import numpy as np

from tests.bench.balance_pools import Pool, held_out

PACKAGE = "r-cran-mlbench"
DATA = Path(__file__).parents[2] / ".evenkeel" / "bench-data" / PACKAGE


@cache
def package_folder() -> Path | None:
    """Return the folder with the .rda files, fetched where they are not there; None where that is impossible."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            print(f"{PACKAGE}: {tool} is not on this machine")
            return None
    if not list(DATA.rglob("*.rda")):
        DATA.mkdir(parents=True, exist_ok=True)
        try:
            fetch = ["apt-get", "download", "-q", PACKAGE]
            subprocess.run(fetch, cwd=DATA, check=True, capture_output=True, timeout=120)
            for archive in DATA.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", archive, DATA], check=True, capture_output=True, timeout=120)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"{PACKAGE}: cannot be fetched: {error}")
            return None
    return next((file.parent for file in DATA.rglob("*.rda")), None)


def table(name: str, label: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the numbers of a set, (n, d) of unit variance, and its labels, (n,) int; None where it is not to be had.

    Rows that occur twice are left out but once, so that none is both in a pool and held out.
    """
    try:
        import rdata
    except ImportError:
        print("rdata is not installed: pip install 'evenkeel[bench]'")
        return None
    if (folder := package_folder()) is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = next(iter(rdata.read_rda(folder / f"{name}.rda").values()))
    return scaled(frame.drop(columns=label).select_dtypes("number").to_numpy(np.float64), frame[label].cat.codes)


def scaled(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distinct rows with columns of unit variance, and their labels."""
    _, first = np.unique(x, axis=0, return_index=True)
    x, y = x[np.sort(first)], np.asarray(y)[np.sort(first)]
    deviation = x.std(axis=0)
    used = deviation > 0
    return (x[:, used] - x[:, used].mean(axis=0)) / deviation[used], np.unique(y, return_inverse=True)[1]


def natural(name: str, file: str, label: str, about: str) -> Pool | None:
    """Return a set as it is, less the rows held out."""
    found = table(file, label)
    return None if found is None else held_out(name, about, *found)


def thinned(
    name: str, about: str, found: tuple[np.ndarray, np.ndarray] | None, tail: float = 1.0, share: int = 10
) -> Pool | None:
    """Return a set thinned to a Zipf(tail) tail, the commonest label first; one row in `share` is the target."""
    if found is None:
        return None
    x, y = found
    rng = np.random.default_rng(0)
    test, rows = [], []
    for rank, label in enumerate(np.argsort(-np.bincount(y), kind="stable"), start=1):
        places = rng.permutation(np.flatnonzero(y == label))
        held = min(40, len(places) // 4)
        test.append(places[:held])
        rows.append(places[held:][: max(2, round((len(places) - held) / rank**tail))])
    kept, out = rng.permutation(np.concatenate(rows)), np.concatenate(test)
    text = f"{len(kept):,} x {x.shape[1]}, {about}, thinned to a Zipf({tail:g}) tail"
    return Pool(name, text, x[kept], y[kept], x[out], y[out], len(kept) // share)


def letter() -> Pool | None:
    return thinned("letter", "16 measurements of 26 printed letters", table("LetterRecognition", "lettr"))


def letter_even() -> Pool | None:
    about = "16 measurements of 26 printed letters, about as many of each"
    return natural("letter-even", "LetterRecognition", "lettr", about)


def satellite() -> Pool | None:
    return natural("satellite", "Satellite", "classes", "spectra of 3 x 3 pixels, 6 kinds of soil and crop")


def shuttle() -> Pool | None:
    return natural("shuttle", "Shuttle", "Class", "sensors of a space shuttle, 7 states, the rarest 13 rows")


def vowel() -> Pool | None:
    return thinned("vowel", "9 measurements of 11 spoken vowels", table("Vowel", "Class"), share=5)


def tumours() -> Pool | None:
    from sklearn.datasets import load_breast_cancer

    about = "30 measurements of tumours, benign or malignant"
    return thinned("tumours", about, scaled(*load_breast_cancer(return_X_y=True)), tail=3.0, share=5)


REGISTRY = {
    "letter": letter,
    "letter-even": letter_even,
    "satellite": satellite,
    "shuttle": shuttle,
    "vowel": vowel,
    "tumours": tumours,
}
