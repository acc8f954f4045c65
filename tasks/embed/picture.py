"""From the bytes of a file to a picture, or to the reason why there is none."""

import io
from typing import Any, Literal

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none that starts another program to be read
MOST_BYTES = 256 << 20
Unreadable = Literal["missing", "empty", "not an image", "truncated", "too large"]


def read_picture(data: bytes | None, most_pixels: int) -> Any | Unreadable:
    """Return an RGB `PIL.Image.Image`, upright, of the first frame; or why there is none. Never raises for bad bytes.

    data: JPEG, PNG, WebP, GIF, BMP, TIFF or PPM. A picture of more than `most_pixels` is not decoded: the size is known
    from its first bytes, so a small file that would fill the memory is refused.
    """
    from PIL import Image, ImageOps

    if data is None:
        return "missing"
    if not data:
        return "empty"
    if len(data) > MOST_BYTES:
        return "too large"
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        return "too large"
    except Exception:  # readers of damaged files raise whatever the damage led them to
        return "not an image"
    if picture.width * picture.height > most_pixels:
        return "too large"
    try:
        return ImageOps.exif_transpose(picture).convert("RGB")
    except Exception:
        return "truncated"
