"""The segments of a JPEG before its first scan: size, components, rotation."""

from __future__ import annotations

import struct
from typing import NamedTuple

from graphrise.images.bad import BadImage

_SCAN, _END, _ADOBE, _JFIF, _EXIF = 0xDA, 0xD9, 0xEE, 0xE0, 0xE1
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_FILL = frozenset((0x00, 0xFF))
_segment = struct.Struct(">BBH").unpack_from
_ORIENTATION = 0x0112
_PLAIN_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


class JpegHeader(NamedTuple):
    """What the header says.

    Attributes:
        height: Pixels, as stored (before any rotation).
        width: Pixels, as stored.
        components: 1 grey, 3 colour, 4 CMYK or YCCK.
        orientation: EXIF orientation, 1..8; 1 where there is none or it makes no sense.
        scan: Offset of the first scan.
        segments: (marker, start, end) of every segment before it, marker and length included.
    """

    height: int
    width: int
    components: int
    orientation: int
    scan: int
    segments: list[tuple[int, int, int]]


def is_jpeg(data: memoryview) -> bool:
    """Whether the bytes begin as a JPEG does."""
    return data[:3] == b"\xff\xd8\xff"


def read_header(data: memoryview) -> JpegHeader:
    """Walk the segments up to the first scan.

    Args:
        data: Bytes for which `is_jpeg` holds.

    Raises:
        BadImage: The header is cut off, has no frame, or a number of components that no picture
            has.
    """
    segments: list[tuple[int, int, int]] = []
    frame, orientation, position = None, 1, 2
    try:
        while True:
            lead, marker, length = _segment(data, position)
            if lead != 0xFF or marker in _FILL:
                position += 1  # fill bytes, or junk, which every decoder skips
                continue
            if marker == _SCAN:
                break
            if marker == _END:
                raise BadImage("JPEG without a picture")
            if marker in _ALONE:
                position += 2
                continue
            end = position + 2 + length
            segments.append((marker, position, end))
            if marker in _FRAMES:
                frame = struct.unpack_from(">HHB", data, position + 5)
            elif marker == _EXIF and data[position + 4 : position + 10] == b"Exif\0\0":
                orientation = _orientation(data[position + 10 : end])
            position = end if length > 2 else position + 4
    except struct.error:
        raise BadImage("JPEG cut off in its header") from None
    if frame is None:
        raise BadImage("JPEG header without a frame")
    if frame[2] not in (1, 3, 4):
        raise BadImage(f"JPEG with {frame[2]} components")
    return JpegHeader(*frame, orientation, position, segments)


def plain(data: memoryview, header: JpegHeader) -> bytes:
    """The same picture without the parts of the header that are not needed to decode it."""
    kept = [b"\xff\xd8"]
    for marker, start, end in header.segments:
        text = bytes(data[start:end])
        if marker == _JFIF and text[4:8] == b"JFIF":
            kept.append(_PLAIN_JFIF)
        elif marker < _JFIF or (marker == _ADOBE and text[15:16] in (b"\0", b"\1", b"\2")):
            kept.append(text)
    return b"".join((*kept, data[header.scan :]))


def _orientation(tiff: memoryview) -> int:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # garbage in the EXIF block is no reason to lose the picture
        pass
    return 1
