"""The CUDA kernels compute what the reference does: their source runs here on the CPU, and on a device where one is."""

import shutil
import subprocess
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenkeel.tasks.kmeans.device.arrays import Seen
from evenkeel.tasks.kmeans.device.cuda import CudaKernels
from evenkeel.tasks.kmeans.device.totals import scale_for
from tests.gpu import reference
from tests.gpu.emulator import Emulated

ARGUMENTS = {
    "rounded": "pqp",
    "candidates": "ppppqiippp",
    "settle": "pppiqippppp",
    "gaps_to": "pppqip",
    "draw_seeds": "pppppp",
    "group_peaks": "pppp",
    "draw_at": "ppppppp",
    "lower_to": "ppppiqip",
    "losses": "ppppppfqpp",
    "add_segments": "ppppip",
}


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> CudaKernels:
    """Our kernels, their CUDA source compiled for the CPU."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile the kernels with")
    folder = tmp_path_factory.mktemp("kernels")

    def compiled(code: str, options: tuple[str, ...]) -> Any:
        return Emulated(code, ARGUMENTS, folder)

    return CudaKernels(types.SimpleNamespace(RawModule=compiled, int32=np.int32, int64=np.int64, float64=np.float64))


def empty(n: int, q: int) -> tuple[np.ndarray, np.ndarray]:
    return np.empty((n, q), np.int32), np.empty((n, q), np.float32)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("rows", "k"), [(1, 1), (9, 2), (20, 8), (7, 33), (11, 700)])
def test_candidates_are_all_that_can_be_among_the_three_least(
    kernels: CudaKernels, rows: int, k: int, grouped: bool
) -> None:
    rng = np.random.default_rng(k)
    products = rng.integers(-40, 50, (rows, k)).astype(np.float32)  # few values, so many ties
    half, which = rng.integers(0, 3, (2, k)).astype(np.float32), None
    if grouped:
        which = rng.integers(0, 2, rows).astype(np.int32)
    slack = rng.integers(0, 3, rows).astype(np.float32)
    found, expected = (
        (np.full((rows, 32), -1, np.int32), np.zeros((rows, 32), np.float32), np.empty(rows, np.int32))
        for _ in range(2)
    )
    kernels.candidates(products, half, which, slack, *found)
    reference.candidates(products, half, which, slack, *expected)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)
    scores = (half[:1] if which is None else half[which]) - products
    for row in range(rows):
        least = np.sort(scores[row])[:3][-1] if k >= 3 else np.inf
        assert found[2][row] == (scores[row] <= least + 2 * slack[row]).sum()
    assert k < 700 or (found[2] > 32).any()


@pytest.mark.parametrize("d", [1, 31, 40, 100])
def test_the_three_nearest_are_ranked_by_their_distance(kernels: CudaKernels, d: int) -> None:
    rng = np.random.default_rng(d)
    x, points = (rng.integers(-2, 3, (n, d)).astype(np.float32) for n in (13, 30))
    among = rng.integers(-1, 30, (13, 9)).astype(np.int32)
    among[among == np.roll(among, 1, axis=1)] = -1
    among = np.array([np.where(np.isin(np.arange(9), np.unique(one, return_index=True)[1]), one, -1) for one in among])
    found, expected = empty(13, 3), empty(13, 3)
    scores, norms = rng.standard_normal((13, 9), np.float32), (x * x).sum(axis=1)
    seen = [Seen(scores, norms, np.empty(13, np.float32)) for _ in range(2)]
    kernels.settle(x, points, among.astype(np.int32), *found, seen[0])
    reference.settle(x, points, among.astype(np.int32), *expected, seen[1])
    np.testing.assert_allclose(seen[0].worst, seen[1].worst, rtol=1e-5)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])
    kernels.compare_all(x, points, *found)
    reference.compare_all(x, points, *expected)
    assert np.array_equal(found[0], expected[0])
    two = empty(13, 3)
    kernels.compare_all(x, points[:2], *two)
    assert (two[0][:, 2] == -1).all()
    assert np.isinf(two[1][:, 2]).all()


def test_gaps_are_distances_to_one_point_and_endless_to_none(kernels: CudaKernels) -> None:
    rng = np.random.default_rng(0)
    x, points = rng.standard_normal((20, 37), np.float32), rng.standard_normal((4, 37), np.float32)
    to = rng.integers(-1, 4, 20).astype(np.int32)
    found, expected = np.empty(20, np.float32), np.empty(20, np.float32)
    kernels.gaps(x, points, to, found)
    reference.gaps(x, points, to, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isinf(found[to < 0]).all()


def test_numbers_are_rounded_to_the_nearest_of_eleven_bits(kernels: CudaKernels) -> None:
    x = np.concatenate([np.random.default_rng(0).standard_normal(999), [0, 1, 1 + 2**-11, 1 + 3 * 2**-11, -(2**-120)]])
    x = x.astype(np.float32)
    found, expected = np.empty_like(x), np.empty_like(x)
    kernels.rounded(x, found)
    reference.rounded(x, expected)
    assert np.array_equal(found, expected)
    assert (np.abs(found - x) <= 2.0**-11 * np.abs(x)).all()
    assert found[-3:-1].tolist() == [1, 1 + 2**-9], "ties go to even"


@pytest.mark.parametrize("weighted", [False, True])
def test_seeds_are_drawn_in_proportion_to_their_error(kernels: CudaKernels, weighted: bool) -> None:
    rng = np.random.default_rng(3)
    squared = rng.random(900).astype(np.float32)
    squared[rng.random(900) < 0.3] = 0
    order, starts = rng.permutation(900), np.array([0, 700, 720, 721, 721, 800, 900])
    squared[order[721:800]] = np.inf
    squared[order[800:]] = 0
    weights = rng.integers(0, 4, 900).astype(np.float32) if weighted else None
    for _ in range(4):
        uniform, found, expected = rng.random(6), np.empty(6, np.int64), np.empty(6, np.int64)
        kernels.draw_seeds(squared, weights, order, starts, uniform, found)
        reference.draw_seeds(squared, weights, order, starts, uniform, expected)
        assert np.array_equal(found, expected)
        assert found[3] == found[5] == -1, "no rows, and rows that all lie on seeds"
        assert squared[found[0]] > 0
    ends = np.empty(1, np.int64)
    for aim, place in ((0.0, 0), (1 - 1e-16, -1)):
        kernels.draw_seeds(squared, None, order, starts[:2], np.array([aim]), ends)
        assert ends[0] == order[:700][squared[order[:700]] > 0][place]


def test_draws_from_two_parts_of_the_rows_are_those_from_all(kernels: CudaKernels) -> None:
    rng = np.random.default_rng(8)
    squared, groups = rng.random(900).astype(np.float32), rng.integers(0, 5, 900)
    groups[groups == 3], squared[groups == 4] = 2, np.inf

    def parted(first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        here = groups[first:last]
        return squared[first:last], np.argsort(here, kind="stable"), np.searchsorted(np.sort(here), np.arange(6))

    parts = [parted(0, 300), parted(300, 900)]
    peaks = np.empty((2, 5), np.float32)
    for part, out in zip(parts, peaks, strict=True):
        kernels.group_peaks(*part, out)
        expected = np.empty(5, np.float32)
        reference.group_peaks(*part, expected)
        assert np.array_equal(out, expected)
    peak, sizes = peaks.max(axis=0), np.bincount(groups, minlength=5)
    assert (peak[3], peak[4]) == (0, 1)
    scales = np.array([scale_for(float(p), int(n)) if p > 0 else 0.0 for p, n in zip(peak, sizes, strict=True)])
    uniform, totals, chosen = rng.random(5), np.empty((2, 5), np.int64), np.empty((2, 5), np.int64)
    for at, part in enumerate(parts):
        kernels.draw_at(*part, scales, np.full(5, -1), totals[at], chosen[0])
        assert (chosen[0] == -1).all()
    total = totals.sum(axis=0)
    aims = np.minimum((uniform * total.astype(np.float64)).astype(np.int64), total - 1)
    for at, part in enumerate(parts):
        mine = aims - totals[:at].sum(axis=0)
        mine = np.where((mine >= 0) & (mine < totals[at]), mine, -1)
        kernels.draw_at(*part, scales, mine, np.empty(5, np.int64), chosen[at])
        expected_rows, expected_totals = np.empty(5, np.int64), np.empty(5, np.int64)
        reference.draw_at(*part, scales, mine, expected_totals, expected_rows)
        assert np.array_equal(chosen[at], expected_rows)
        assert np.array_equal(totals[at], expected_totals)
    whole = np.empty(5, np.int64)
    reference.draw_seeds(squared, None, *parted(0, 900)[1:], uniform, whole)
    assert np.array_equal(np.where(chosen[0] >= 0, chosen[0], np.where(chosen[1] >= 0, chosen[1] + 300, -1)), whole)


def test_distances_are_lowered_to_the_point_of_the_group(kernels: CudaKernels) -> None:
    rng = np.random.default_rng(4)
    x, points = rng.standard_normal((40, 33), np.float32), rng.standard_normal((5, 33), np.float32)
    groups, chosen = rng.integers(0, 7, 40).astype(np.int32), np.array([3, -1, 0, 8, 1])
    found = np.full(40, 60, np.float32)
    expected = found.copy()
    kernels.lower_to(x, points, chosen, groups, found)
    reference.lower_to(x, points, chosen, groups, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (found[(groups == 1) | (groups > 4)] == 60).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_those_of_the_next_centroid_that_is_there(kernels: CudaKernels, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    ids = np.argsort(rng.random((300, 9)), axis=1)[:, :3].astype(np.int32)
    ids[:5, 1:], ids[5:9, 2] = -1, -1
    gaps = np.sort(rng.random((300, 3)).astype(np.float32), axis=1)
    gaps[ids < 0] = np.inf
    weights = rng.integers(1, 4, 300).astype(np.float32) if weighted else None
    order, place = rng.permutation(9).astype(np.int32), rng.integers(0, 10, 9).astype(np.int32)
    found, expected = ((np.zeros(9, np.int64), np.zeros(9, np.int32)) for _ in range(2))
    kernels.losses(ids, gaps, weights, ids[:, 0].copy(), order, place, 2.0**40, *found)
    reference.losses(ids, gaps, weights, ids[:, 0].copy(), order, place, 2.0**40, *expected)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])
    assert found[1].sum() >= 5


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [3, 300])
def test_segments_are_added_row_after_row(kernels: CudaKernels, weighted: bool, d: int) -> None:
    rng = np.random.default_rng(d)
    x, labels = rng.standard_normal((50, d), np.float32), rng.integers(0, 6, 50)
    labels[labels == 2] = 3
    weights = rng.uniform(0, 2, 50).astype(np.float32) if weighted else None
    order, starts = np.argsort(labels, kind="stable"), np.searchsorted(np.sort(labels), np.arange(7))
    found, expected = np.ones((6, d)), np.ones((6, d))
    kernels.add_segments(x, weights, order, starts, found)
    reference.add_segments(x, weights, order, starts, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found[2] == 1).all()
    each = np.ones(50) if weights is None else weights.astype(np.float64)
    by_hand = [sum(each[i] * x[i].astype(np.float64) for i in np.flatnonzero(labels == g)) for g in range(6)]
    np.testing.assert_allclose(found[0] - 1, by_hand[0], rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "kmeans.device.cuda_source",
        "dedup.minhash_gpu",
        "dedup.ngrams_gpu",
        "signal.text.device.checksums",
        "signal.text.device.language",
        "signal.text.device.measure",
        "signal.toward.device_ngrams",
        "signal.toward.device_soft",
    ],
)
def test_the_source_is_what_the_cuda_compiler_takes(module: str, tmp_path: Path) -> None:
    (tmp_path / "kernels.cu").write_text(import_module(f"evenkeel.tasks.{module}").SOURCE)
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("there is no CUDA compiler here")
    command = [nvcc, "-arch=sm_80", "-std=c++17", "-ptx", "-o", "kernels.ptx", "kernels.cu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
