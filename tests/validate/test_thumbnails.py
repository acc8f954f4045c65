"""Rows with pictures show them small: in results, however large, broken or many the pictures are."""

import base64
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evenkeel.expectations.data_docs import Subject, render_data_docs
from evenkeel.infra import storage
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.examples import read_thumbnails
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.offenders import PICTURE_BYTES
from evenkeel.tasks.validate.results import results_of
from evenkeel.tasks.validate.step import VALIDATE
from evenkeel.tasks.validate.thumbnails import EDGE, thumbnail
from tests.validate.pools import PIXEL, Curated, curate


def picture(kind: str, size: tuple[int, int] = (900, 600), mode: str = "RGB", seed: int = 0) -> bytes:
    out = io.BytesIO()
    depth = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], depth), dtype=np.uint8)
    Image.fromarray(noise.squeeze(), mode).save(out, kind)
    return out.getvalue()


def opened(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


KINDS = ("PNG RGB", "PNG RGBA", "PNG L", "JPEG RGB", "JPEG CMYK", "GIF P", "WEBP RGB")


@pytest.mark.parametrize(("kind", "mode"), [one.split() for one in KINDS], ids=KINDS)
@pytest.mark.long
def test_any_picture_becomes_a_small_one(kind: str, mode: str) -> None:
    found = opened(thumbnail(picture(kind, mode=mode)))
    assert max(found.size) == EDGE
    assert found.size[0] / found.size[1] == pytest.approx(1.5, abs=0.02)
    assert ("A" in found.mode) == (mode == "RGBA")


def test_a_small_picture_is_not_blown_up() -> None:
    assert opened(thumbnail(PIXEL)).size == (1, 1)


def bomb() -> bytes:
    """Return the head of a PNG that claims to be 60,000 x 60,000."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize(
    "data",
    [b"", b"<svg onload='alert(1)'/>", picture("PNG")[:999], picture("JPEG")[:40], bomb(), b"RIFF" + bytes(60)],
    ids=["nothing", "svg", "cut PNG", "cut JPEG", "bomb", "no WebP"],
)
def test_what_is_no_picture_is_left_out(data: bytes) -> None:
    assert thumbnail(data) == ""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """A pool of large noisy pictures as `datasets` stores them, without texts, some of them missing or broken."""
    folder = tmp_path_factory.mktemp("gallery")
    rng = np.random.default_rng(0)
    topic = rng.integers(0, 20, 600)
    vectors = rng.normal(0, 5, (20, 8))[topic] + rng.normal(0, 0.3, (600, 8))
    noisy = [picture("JPEG", (320, 240), seed=seed) for seed in range(20)]
    held = [None if i % 7 == 0 else b"\x89PNG broken" if i % 7 == 1 else noisy[t] for i, t in enumerate(topic)]
    table = pa.table(
        {
            "picture": pa.array(
                [None if one is None else {"bytes": one, "path": f"{i}.jpg"} for i, one in enumerate(held)],
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            ),
            "label": [f"label-{t}" for t in topic],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 8),
        }
    )
    (folder / "shards").mkdir()
    pq.write_table(table, folder / "shards" / "a.parquet")
    return curate(folder, folder / "shards", target=400, levels=(20, 4), groups=["label"])


@pytest.mark.long
def test_offenders_of_a_pool_of_pictures_are_shown_within_bounds(gallery: Curated) -> None:
    alarms = [
        {"expect": "smallest_share", "scope": scope, "at_least": 0.9} for scope in ("group.label", "level-1", "level-2")
    ]
    gates = GatesConfig.model_validate({"add": alarms, "examples": 20})
    ref = VALIDATE(gates, ValidateInputs.of(gallery.done), gallery.run)
    results = [one for one in results_of(ref) if one.expectation == "smallest_share"]
    shown = [row for one in results for item in one.offenders for row in item.examples]
    pictures = [row.thumbnail for row in shown if row.thumbnail]
    assert len(pictures) > 30
    assert max(opened(one).size[0] for one in pictures) == EDGE
    assert sum(map(len, pictures)) <= PICTURE_BYTES
    assert len(storage.read_bytes(storage.join(ref.uri, "results.json"))) < 3 * PICTURE_BYTES
    assert all("label=label-" in row.text for row in shown)
    assert "\\x" not in json.dumps([row.text for row in shown])
    page = render_data_docs(results_of(ref), Subject("gallery", ""))["balance.html"]
    assert page.count('src="data:image/webp;base64,') == len(pictures)
    assert page.count("label=label-") == len(shown)


def test_rows_without_a_picture_have_none(gallery: Curated, tmp_path: Path) -> None:
    pool = Pool.open(gallery.done["ingest"])
    rows = pool.row_ids()[:21].tolist()
    assert set(read_thumbnails(pool, rows)) == {row for i, row in enumerate(rows) if i % 7 > 1}
