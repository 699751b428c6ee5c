"""PNG, WebP and the rest to RGB through Pillow."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

try:
    from PIL.AvifImagePlugin import AvifImageFile
except ImportError:  # Pillow before 11.3
    AvifImageFile = None

from graphrise.images.bad import BadImage, check_size

_PNG = b"\x89PNG\r\n\x1a\n"
# Opened by name, not through Image.open: that would also start Ghostscript on an EPS, and warns of
# large pictures, which is an error where warnings are.
_FORMATS = (
    (0, _PNG, PngImagePlugin.PngImageFile),
    (8, b"WEBP", WebPImagePlugin.WebPImageFile),
    (0, b"GIF8", GifImagePlugin.GifImageFile),
    (0, b"BM", BmpImagePlugin.BmpImageFile),
    (0, b"II*\0", TiffImagePlugin.TiffImageFile),
    (0, b"MM\0*", TiffImagePlugin.TiffImageFile),
    (4, b"ftypavi", AvifImageFile),
    (4, b"ftypmif1", AvifImageFile),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (0, b"\xff\x4f\xff\x51", Jpeg2KImagePlugin.Jpeg2KImageFile),
    *((0, b"P%d" % kind, PpmImagePlugin.PpmImageFile) for kind in range(1, 7)),
)
_ORIENTATION = 0x0112


def decode_other(data: memoryview, max_pixels: int) -> tuple[np.ndarray, int]:
    """Decode what is not a JPEG, unrotated; of an animation the first frame.

    Transparent parts become white; 16-bit and float grey are scaled to 0..255.

    Args:
        data: Encoded picture.
        max_pixels: Limit, checked on the header.

    Returns:
        uint8 `[height, width, 3]`, RGB, and the EXIF orientation (1..8).

    Raises:
        BadImage: It is cut off, corrupt, too large, or of no known format.
    """
    start = bytes(data[:16])
    opener = next((o for at, mark, o in _FORMATS if start[at:].startswith(mark)), None)
    if opener is None:
        raise BadImage(f"not a picture of a known format, it begins {start!r}")
    try:
        with opener(io.BytesIO(data)) as image:
            check_size(image.height, image.width, max_pixels)
            if start.startswith(_PNG):
                _check_png(data)
            image.load()
            return np.asarray(_to_rgb(image)), _orientation(image)
    except BadImage:
        raise
    except Exception as error:  # codecs raise anything on a damaged file
        raise BadImage(f"damaged {opener.format}: {error}") from error


def _check_png(data: memoryview) -> None:
    """Check the sums that Pillow does not: a damaged PNG would pass as a garbled picture."""
    position = len(_PNG)
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        name = bytes(data[position + 4 : position + 8])
        if end + 4 > len(data):
            break
        critical = name[:1].isupper() or name == b"tRNS"
        if critical and zlib.crc32(data[position + 4 : end]).to_bytes(4, "big") != data[end:][:4]:
            raise BadImage(f"PNG chunk {name!r} is corrupt (its checksum differs)")
        if name == b"IEND":
            return
        position = end + 4
    raise BadImage("PNG cut off")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_eight_bits(image)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> np.ndarray:
    """Deep grey to uint8; convert("RGB") would clip every value above 255 to white."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    highest = values.max()
    # Files do not say what white is: the smallest usual white that no value exceeds.
    whites = (1, 255, 65_535, 2**31 - 1) if image.mode == "F" else (65_535, 2**31 - 1)
    white = next((w for w in whites if highest <= w), highest)
    grey = np.clip(values * (255 / white), 0, 255).round().astype(np.uint8)
    hole = image.info.get("transparency")
    if isinstance(hole, int):
        grey[values == hole] = 255
    return grey


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # garbage in the EXIF block is no reason to lose the picture
        return 1
    return value if value in range(1, 9) else 1
