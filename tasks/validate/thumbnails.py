"""Thumbnails of rows that hold a picture, a few kilobytes each."""

import base64
import io

from PIL import Image, ImageOps

EDGE, QUALITY, PIXELS = 112, 70, 64_000_000
FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


def thumbnail(picture: bytes) -> str:
    """Return a picture scaled into 112 x 112 as a data URI, "" where the bytes are no picture that can be read.

    The foreign bytes never reach a page: they are decoded and encoded anew, without metadata, first frame only.
    Pictures of more than 64 million pixels are left out.
    """
    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as found:
            if found.width * found.height > PIXELS:
                return ""
            found.draft("RGB", (EDGE, EDGE))
            small = ImageOps.exif_transpose(found)
            small.thumbnail((EDGE, EDGE))
            out = io.BytesIO()
            small.convert("RGBA" if small.has_transparency_data else "RGB").save(out, "WEBP", quality=QUALITY)
    except Exception:  # decoders raise whatever broken bytes lead them to
        return ""
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
