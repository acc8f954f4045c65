"""Images are decoded upright and as RGB; one that cannot be decoded has a reason, and nothing crashes."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenkeel.tasks.embed.decode import decode_image

Image = pytest.importorskip("PIL.Image")
NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def saved(form: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 x 60,000."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("PNG", "1"), ("PNG", "I;16"), ("JPEG", "CMYK"),
     ("GIF", "P"), ("WEBP", "RGB"), ("BMP", "RGB"), ("TIFF", "F"), ("PPM", "RGB")],
)  # fmt: skip
def test_every_form_and_mode_becomes_rgb(form: str, mode: str) -> None:
    if mode == "I;16":
        stream = io.BytesIO()
        Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256).save(stream, form)
        data = stream.getvalue()
    else:
        data = saved(form, mode)
    image = decode_image(data, 10**6)
    assert not isinstance(image, str)
    assert (image.mode, image.size) == ("RGB", (60, 40))


def test_an_image_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode_image(saved("JPEG", exif=exif), 10**6)
    assert not isinstance(image, str)
    assert image.size == (40, 60)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "missing"),
        (b"", "empty"),
        (b"\0" * 100, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (saved("PNG")[:200], "truncated"),
        (saved("JPEG")[:-300], "truncated"),
        (saved("PNG")[:8], "not an image"),
        (bomb(), "too large"),
    ],
)
def test_an_image_that_cannot_be_decoded_has_a_reason(data: bytes | None, why: str) -> None:
    assert decode_image(data, 10**6) == why


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]), st.data())
def test_damaged_bytes_never_raise(form: str, data: st.DataObject) -> None:
    damaged = bytearray(saved(form))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    found = decode_image(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]), 10**6)
    assert isinstance(found, str) or found.mode == "RGB"
