"""A picture that cannot be used, and why."""

from __future__ import annotations

from graphrise.errors import DataError

_LONGEST = 200


class BadImage(DataError):
    """One picture is missing, damaged, not a picture, or too large; the text is one short line."""

    def __init__(self, reason: object) -> None:
        """Take a reason; a codec's message may have several lines."""
        super().__init__(" ".join(str(reason).split())[:_LONGEST] or type(reason).__name__)


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Refuse a size before memory is taken for it.

    Raises:
        BadImage: A side is 0, or there are over `max_pixels` pixels.
    """
    if height < 1 or width < 1:
        raise BadImage(f"{width} x {height} pixels")
    if height * width > max_pixels:
        raise BadImage(f"{width} x {height} pixels is over {max_pixels:,}")
