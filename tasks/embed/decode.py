"""Decode the bytes of an image file, or say why they cannot be decoded."""

import io
from typing import TYPE_CHECKING, Literal, Union

if TYPE_CHECKING:
    from PIL.Image import Image as RgbImage

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none that starts another program to be read
MAX_BYTES = 256 << 20
Unreadable = Literal["missing", "empty", "not an image", "truncated", "too large"]


def decode_image(data: bytes | None, max_pixels: int) -> Union["RgbImage", Unreadable]:
    """Decode the first frame as an upright RGB image, or return why that is impossible. Never raises for bad bytes.

    data: JPEG, PNG, WebP, GIF, BMP, TIFF or PPM. An image of more than `max_pixels` is not decoded: its size is known
    from its first bytes, so a small file that would fill the memory is refused.
    """
    from PIL import Image, ImageOps

    if data is None:
        return "missing"
    if not data:
        return "empty"
    if len(data) > MAX_BYTES:
        return "too large"
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        return "too large"
    except Exception:  # readers of damaged files raise whatever the damage led them to
        return "not an image"
    if image.width * image.height > max_pixels:
        return "too large"
    try:
        return ImageOps.exif_transpose(image).convert("RGB")
    except Exception:
        return "truncated"
