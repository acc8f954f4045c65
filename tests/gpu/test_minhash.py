"""MinHash and listed n-grams on a device are those of the CPU: its CUDA source runs here on the CPU."""

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.infra.compute import Backend
from evenkeel.tasks.dedup.config import NearConfig
from evenkeel.tasks.dedup.minhash import Bands, band_hashes
from evenkeel.tasks.dedup.ngrams import listed_ngrams, listed_ngrams_of
from evenkeel.tasks.embed import device_texts
from evenkeel.tasks.embed.words import word_hashes
from tests.gpu.standin import StandIn

BACKENDS: tuple[Backend, ...] = ("cpu", "gpu")
HASHES = 132  # more than a block has threads
ODD = [
    "",
    "one",
    "two words",
    "...",
    None,
    "漢字かな kana",
    "ÄÖ straße\u2014x",
    "ไทย ab\u00a0c",
    "🙂 word🙂",
    "K\u212a e\u0301",
    "ქართული ខ្មែរ",
]


def texts() -> pa.ChunkedArray:
    """Return texts of every length, in two chunks: some without a word, of other scripts, longer than a block."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" if i % 3 else f"Ümläut{i}" for i in range(30)])
    made = [" ".join(rng.choice(words, size)) for size in (3, 4, 7, 40, 127, 130, 131, 300)]
    return pa.chunked_array([pa.array([*ODD, *made[:3]]), pa.array(made[3:])])


def same(config: NearConfig) -> np.ndarray:
    host, there = (band_hashes(texts(), config, Bands(HASHES // 4, 4), backend) for backend in BACKENDS)
    assert np.array_equal(there[0], host[0])
    assert np.array_equal(there[1], host[1])
    return host[0]


@pytest.mark.long
def test_a_device_finds_the_buckets_of_the_cpu(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    count, size = len(texts()), texts().nbytes
    assert len(np.unique(same(NearConfig(shingle=3)))) > 300
    traffic = device.traffic
    assert traffic.up < 2 * size + 8 * (count + 2) + 4 * count + 2 * 8 * HASHES, "bytes of texts, and no words"
    assert traffic.down == count * (HASHES // 4 * 8 + 4), "buckets, and which texts have words"
    same(NearConfig(shingle=1, seed=3))
    same(NearConfig(shingle=5, max_characters=1024))
    monkeypatch.setattr(device_texts, "LONGEST", 200)
    same(NearConfig(shingle=3))
    none = band_hashes(pa.chunked_array([], pa.string()), NearConfig(), Bands(2, 2), "gpu")
    assert (none[0].shape, none[1].shape) == ((2, 0), (0,))


def same_counts(longest: int) -> None:
    words, offsets = word_hashes(texts(), longest)
    listed = listed_ngrams(words, offsets, 4, 1)
    part = {length: hashes[::2] if length == 4 else hashes for length, hashes in listed.items()}
    host, there = (listed_ngrams_of(texts(), longest, part, backend) for backend in BACKENDS)
    assert np.array_equal(there, host)
    assert host.sum() > 50


@pytest.mark.long
def test_a_device_counts_listed_ngrams_as_the_cpu(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    same_counts(262_144)
    monkeypatch.setattr(device_texts, "LONGEST", 200)
    same_counts(1024)


@pytest.mark.gpu
def test_a_device_finds_them_on_hardware() -> None:
    same(NearConfig(shingle=3))
    same_counts(262_144)
