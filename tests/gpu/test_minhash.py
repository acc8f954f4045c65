"""MinHash on a device gives the buckets of the CPU: its CUDA source runs here on the CPU."""

import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.tasks.dedup import minhash_gpu
from evenkeel.tasks.dedup.config import NearConfig
from evenkeel.tasks.dedup.minhash import Bands, band_hashes
from tests.gpu.emulator import Emulated

HASHES = 132  # more than a block has threads


def buckets(backend: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(30)])
    texts = ["", "one", "two words", "...", *(" ".join(rng.choice(words, size)) for size in (3, 4, 7, 40))]
    return band_hashes(pa.chunked_array([texts]), NearConfig(shingle=3), Bands(HASHES // 4, 4), backend)  # type: ignore[arg-type]


@pytest.mark.long
def test_a_device_finds_the_buckets_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile the kernel with")
    emulated = Emulated(minhash_gpu.SOURCE, {"min_hashes": "ppppip"}, tmp_path)
    monkeypatch.setattr(minhash_gpu, "kernel", lambda: emulated.get_function("min_hashes"))
    copies = types.SimpleNamespace(asarray=np.asarray, asnumpy=np.asarray, empty=np.empty, int32=np.int32)
    monkeypatch.setitem(sys.modules, "cupy", copies)
    there, host = buckets("gpu"), buckets("cpu")
    assert np.array_equal(there[0], host[0])
    assert np.array_equal(there[1], host[1])
    assert len(np.unique(host[0])) > 150
    none = np.empty(0, np.uint32)
    assert minhash_gpu.min_hashes(none, np.zeros(1, np.int64), none, none).shape == (0, 0)


@pytest.mark.gpu
def test_a_device_finds_them_on_hardware() -> None:
    there, host = buckets("gpu"), buckets("cpu")
    assert np.array_equal(there[0], host[0])
