"""A picture of search results: queries down, models across, right answers framed in green."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from graphrise.errors import DataError
from graphrise.evaluate.figure import INK, RIGHT_COLOUR

_CELL = 64
_FRAME = 4
_GAP = 6
_GROUP_GAP = 26
_DPI = 100
_LINE = 26


def retrieval_grid(
    query_images: Sequence[np.ndarray],
    gallery_images: Mapping[int, np.ndarray],
    neighbours: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
) -> bytes:
    """Draws each query beside the gallery images that every model holds nearest.

    Right answers have a thick green frame, wrong ones none, so that the difference shows without
    colour too. Images keep their proportions on white squares.

    Args:
        query_images: uint8 [H, W, 3] each, one a row; a dozen fits a page.
        gallery_images: Gallery row -> uint8 [H, W, 3]; the rows that `neighbours` names suffice.
        neighbours: Model name -> gallery rows [Q, n], nearest first; one column group a model.
        right: Model name -> bool [Q, n], whether the neighbour has the query's label.

    Returns:
        PNG on white.

    Raises:
        DataError: There is no query or model, shapes do not fit, a gallery image is missing, or
            an image is not uint8 [H, W, 3].
    """
    if not len(query_images) or not neighbours:
        raise DataError("a retrieval grid needs at least one query image and one model")
    for name, rows in neighbours.items():
        shape, marks = np.shape(rows), np.shape(right[name]) if name in right else ()
        if len(shape) != 2 or shape[0] != len(query_images) or shape != marks:
            raise DataError(
                f"model {name!r}: neighbours {shape} and right {marks} must both be "
                f"[{len(query_images)} queries, n]"
            )
    lefts, width = _columns([np.shape(rows)[1] for rows in neighbours.values()])
    pitch = _CELL + _GAP
    canvas = np.full((len(query_images) * pitch + _GAP, width, 3), 255, dtype=np.uint8)
    for query, image in enumerate(query_images):
        top = _GAP + query * pitch
        _paste(canvas, top, _GAP, _square(image), framed=False)
        for left, name in zip(lefts, neighbours, strict=True):
            for place, row in enumerate(neighbours[name][query]):
                if int(row) not in gallery_images:
                    raise DataError(f"gallery_images lacks row {int(row)}, near query {query}")
                framed = bool(right[name][query][place])
                cell = _square(gallery_images[int(row)])
                _paste(canvas, top, left + place * pitch, cell, framed)
    return _with_headers(canvas, ["query", *neighbours], [_GAP, *lefts])


def _columns(neighbours: Sequence[int]) -> tuple[list[int], int]:
    """Left edge of every model's group of columns, and the width of the canvas, in pixels."""
    lefts, left = [], _GAP + _CELL + _GROUP_GAP
    for count in neighbours:
        lefts.append(left)
        # Room for a short name over a single column.
        left += max(count, 2) * (_CELL + _GAP) - _GAP + _GROUP_GAP
    return lefts, left - _GROUP_GAP + _GAP


def _square(image: np.ndarray) -> np.ndarray:
    """The image scaled into a white square of the cell's inner size."""
    from PIL import Image

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(f"an image is {image.dtype} {image.shape}: expected uint8 [H, W, 3]")
    inner = _CELL - 2 * _FRAME
    scale = inner / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    small = Image.fromarray(np.ascontiguousarray(image)).resize((width, height))
    square = np.full((inner, inner, 3), 255, dtype=np.uint8)
    top, left = (inner - height) // 2, (inner - width) // 2
    square[top : top + height, left : left + width] = np.asarray(small)
    return square


def _paste(canvas: np.ndarray, top: int, left: int, square: np.ndarray, framed: bool) -> None:
    if framed:
        green = [int(RIGHT_COLOUR[at : at + 2], 16) for at in (1, 3, 5)]
        canvas[top : top + _CELL, left : left + _CELL] = green
    inside = slice(top + _FRAME, top + _CELL - _FRAME), slice(left + _FRAME, left + _CELL - _FRAME)
    canvas[inside] = square


def _with_headers(canvas: np.ndarray, names: list[str], lefts: list[int]) -> bytes:
    """The canvas under a line of group names, as PNG; long names break into lines."""
    import textwrap

    from matplotlib.figure import Figure

    height, width = canvas.shape[:2]
    rights = [*(left - _GROUP_GAP for left in lefts[1:]), width - _GAP]
    # About 11 pixels a character at this size.
    lines = [
        textwrap.wrap(name, max(6, int((right - left) / 11)))
        for name, left, right in zip(names, lefts, rights, strict=True)
    ]
    head = _LINE * max(map(len, lines)) + 4
    figure = Figure(figsize=(width / _DPI, (height + head) / _DPI), dpi=_DPI, facecolor="white")
    figure.figimage(canvas, 0, 0, origin="upper")
    for text, left in zip(lines, lefts, strict=True):
        figure.text(
            (left + _FRAME) / width, (height + 2) / (height + head), "\n".join(text),
            va="bottom", fontsize=12, color=INK["light"], fontweight="bold",
        )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
