"""Texts on a device give the numbers of the CPU, bit for bit: the kernels' CUDA source runs here on the CPU."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.compute import Backend, Compute
from evenkeel.infra.errors import ResourceError
from evenkeel.tasks.embed import device_texts
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.kinds.gopher_quality import GopherQuality
from evenkeel.tasks.signal.kinds.language_confidence import LanguageConfidence
from evenkeel.tasks.signal.kinds.personal_data import PersonalData
from evenkeel.tasks.signal.kinds.text_statistics import TextStatistics
from evenkeel.tasks.signal.signal import Signal
from evenkeel.tasks.signal.text.language import languages_of
from evenkeel.tasks.signal.text.measure import GROUPS, text_statistics
from evenkeel.tasks.signal.text.personal import count_personal
from evenkeel.tasks.signal.text.statistics import STATISTICS, Measures
from evenkeel.tasks.step import InProcess
from tests.gpu.standin import StandIn
from tests.sample.pools import make_run, write_pool
from tests.signal.text.test_language import TEXTS
from tests.signal.text.test_measure import PIECES, SPACES
from tests.signal.text.test_personal import CLEAN, PLANTED

BACKENDS: tuple[Backend, ...] = ("cpu", "gpu")

pytestmark = pytest.mark.long


def made_texts(count: int) -> list[str | None]:
    """Return texts in which rules meet, that repeat themselves, of few characters, of other scripts, and none."""
    rng = np.random.default_rng(0)
    kinds = ((PIECES, SPACES), (["a", "b", "ab"], [" ", " ", "\n"]), (["one. ", "Two "], ["\n\n", ""]))
    texts: list[str | None] = [
        "",
        None,
        "\n",
        " \n\n ",
        "x",
        "…",
        "a\r\nb\r",
        "漢字かな交じり文。",
        "x\u0301 é Ω\u2028- y",
    ]
    for at in range(count):
        words, gaps = kinds[at % 3]
        size = rng.integers(1, 60)
        texts.append("".join(map("".join, zip(rng.choice(words, size), rng.choice(gaps, size), strict=True))))
    return texts


def same(array: pa.Array | pa.ChunkedArray, names: list[str], measures: Measures | None = None) -> None:
    host, there = (text_statistics(array, names, measures, backend) for backend in BACKENDS)
    for name in names:
        assert there[name].tobytes() == host[name].tobytes(), name


def test_statistics_are_those_of_the_cpu(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = made_texts(200)
    array = pa.array(texts, pa.large_string())
    same(array, list(STATISTICS))
    every, size = len(texts), sum(len((text or "").encode()) for text in texts)
    assert device.traffic.down < every * len(STATISTICS) * 8 + 100
    assert size < device.traffic.up < size + (1 << 21)
    for group in GROUPS:
        same(array.slice(3, 40), [list(group)[-1]])
    same(array, ["stop_words", "short_line_share", "c4_lines"], Measures(("a", "cat"), 5, 2, 4))
    same(pa.chunked_array([texts[:3], [], texts[3:9]], pa.string()), ["words", "top_2_gram_share"])
    same(pa.array([], pa.string()), ["words"])
    same(pa.array([None, ""], pa.string()), ["words"])


def test_bytes_that_are_no_utf8_and_long_texts(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = np.array([0, 5, 9, 12, 17, 20], np.int32)
    data = b"a \xff\xfe bc\xe2\x80.\xf4\x90\x80 \xed\xa0\x80 .\xc2x\xf0\x9f"
    broken = pa.StringArray.from_buffers(5, pa.py_buffer(offsets), pa.py_buffer(data))
    same(broken, list(STATISTICS))
    monkeypatch.setattr("evenkeel.tasks.signal.text.device.measure.LONGEST", 40)
    same(pa.array(made_texts(30)), list(STATISTICS))


def test_memory_that_does_not_suffice_makes_parts_smaller(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, sound = list[int](), device.put

    def put(array: np.ndarray) -> np.ndarray:
        if array.dtype == np.uint8 and len(array) < 1 << 20:
            parts.append(len(array))
            if len(array) > 8000:
                raise MemoryError
        return sound(array)  # type: ignore[no-any-return]

    monkeypatch.setattr(device, "put", put)
    monkeypatch.setattr(device_texts, "PART_BYTES", 20_000)
    same(pa.array(["the cat sat. " * 2] * 1000), ["words", "c4_sentences"])
    assert max(parts) > 8000
    assert device.released


def test_only_texts_that_are_worked_on_travel(device: StandIn) -> None:
    texts = ["abc", "long" * 1000, "", "défg", None, "long" * 2000, "hi"]
    array = pa.array(["before", *texts], pa.large_string()).slice(1)
    offsets = np.frombuffer(array.buffers()[1], np.int64)[1:]
    data = np.frombuffer(array.buffers()[2], np.uint8)
    read = list[bytes]()

    def work(part: device_texts.Part) -> None:
        content, begins = device.get(part.data), device.get(part.offsets)
        read.extend(bytes(content[begins[one] : begins[one + 1]]) for one in range(part.last - part.first))

    chosen = np.diff(offsets) <= 100
    device_texts.for_each_part(data, offsets, chosen, 1, work)
    assert read == [b"abc", b"", b"", "défg".encode(), b"", b"", b"hi"]
    assert device.traffic.up == 10 + 8 * 8 + 4 * 5
    device_texts.for_each_part(data, offsets, np.diff(offsets) == 0, 1, work)
    assert read[7:] == 7 * [b""]


def test_too_little_memory_for_texts_says_what_helps(device: StandIn) -> None:
    def refuse(part: device_texts.Part) -> None:
        raise MemoryError

    with pytest.raises(ResourceError, match="too little memory to read texts") as caught:
        device_texts.for_each_part(np.ones(3, np.uint8), np.array([0, 1, 3]), np.ones(2, bool), 1, refuse)
    assert "clustering" not in str(caught.value)
    assert "centroids" not in str(caught.value)


@pytest.mark.slow
def test_languages_are_those_of_the_cpu(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*TEXTS.values(), *made_texts(20), "x" * 300, "\u00e9" * 50 + " und der die das " * 20]
    array = pa.array(texts, pa.string())
    host = languages_of(array, 2000)
    for longest in (device_texts.LONGEST, 90):
        monkeypatch.setattr("evenkeel.tasks.signal.text.device.language.LONGEST", longest)
        there = languages_of(array, 2000, "gpu")
        assert there.found.tolist() == host.found.tolist()
        assert there.confidence.tobytes() == host.confidence.tobytes()
    assert (host.found < 0).sum() > 3


def numbers(count: int) -> pa.Array:
    """Return texts with numbers of cards and accounts, whose check digits are right one time in ten, and lookalikes."""
    rng, texts = np.random.default_rng(0), [None, "", *(f"{text} {text}" for _, text in PLANTED), *CLEAN]
    for at in range(count):
        prefix = rng.choice(["4", "51", "2300", "34", "37", "300", "36", "38", "3530", "6011", "65", "62", "9", "59"])
        body = f"{prefix}{rng.integers(10**18):018d}"[: rng.integers(12, 20)]
        gap = " - "[at % 3]
        sizes = [(4, 4, 4, 4, 4), (4, 6, 5), (20,), (4, 4, 3, 4, 4)][at % 4]
        ends = np.cumsum((0, *sizes))
        for digit in range(10):
            number = body[:-1] + str(digit)
            texts.append(gap.join(filter(None, (number[a:b] for a, b in pairwise(ends.tolist())))))
        account = f"{rng.integers(10**18):018d}"
        check = 98 - int(account + "131400") % 97 + at % 2  # every other one is right; DE is 1314
        texts.append(f"{['DE', 'DE', 'XX', 'NO'][at % 4]}{check:02d} {account}"[: 25 - at % 5 // 4])
    return pa.array(texts, pa.string())


@pytest.mark.slow
def test_numbers_with_check_digits_are_those_of_the_cpu(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    array = numbers(60)
    for longest in (device_texts.LONGEST, 40):
        monkeypatch.setattr("evenkeel.tasks.signal.text.device.checksums.LONGEST", longest)
        for kinds in (["card"], ["iban"], ["email", "card", "iban"]):
            host, there = (count_personal(array, kinds, backend=backend) for backend in BACKENDS)
            assert there.tobytes() == host.tobytes()
            assert np.nansum(host) > 3
    assert np.isnan(host[0])


@pytest.mark.parametrize(
    "signals",
    [
        [
            TextStatistics(name="grams", of="duplicate_5_gram_share"),
            GopherQuality(name="gopher", min_words=3, min_stop_words=None),
        ],
        pytest.param([LanguageConfidence(name="sure"), PersonalData(name="pii", of=["card"])], marks=pytest.mark.slow),
    ],
    ids=["statistics", "others"],
)
def test_signals_are_measured_there_under_the_same_key(
    device: StandIn, tmp_path: Path, signals: Sequence[Signal]
) -> None:
    texts = [text or "" for text in made_texts(91)]
    found = {}
    done = write_pool(tmp_path, np.zeros((100, 2)), levels=[np.zeros(100, int)], texts=texts)
    for backend in BACKENDS:
        compute = Compute(threads=1, backend=backend, driver_device=True)
        run = InProcess(replace(make_run(tmp_path / backend), compute=compute))
        refs = {one.name: compute_signal(one, done, run) for one in signals}
        pool = Pool.open(done["ingest"], signals=refs)
        found[backend] = [(ref.key, pool.column(f"score.{name}").tobytes()) for name, ref in refs.items()]
        assert (device.traffic.up > 0) == (backend == "gpu")
    assert found["cpu"] == found["gpu"]
    assert len(set(found["cpu"])) == 2


@pytest.mark.gpu
def test_statistics_on_hardware_are_those_of_the_cpu() -> None:
    texts = pa.array(made_texts(3000))
    same(texts, list(STATISTICS))
    host, there = (count_personal(numbers(300), ["card", "iban"], backend=backend) for backend in BACKENDS)
    assert there.tobytes() == host.tobytes()
    assert languages_of(texts, 2000, "gpu").confidence.tobytes() == languages_of(texts, 2000).confidence.tobytes()
