"""Image rows to uint8 batches."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from graphrise.data.tables import ImageTable
from graphrise.errors import DataError

MAX_PIXELS = 178_956_970
"""Larger pictures are refused (decompression bombs); Pillow's own error limit."""


class ImageReader:
    """Decodes rows of images.parquet to square RGB pictures.

    Short side resized (bicubic, antialiased), centre cropped; alpha composited on white, EXIF
    rotation applied. Decoded pictures are kept while all of `rows` fit in the cache.
    """

    def __init__(
        self, table: ImageTable, rows: np.ndarray, size: int, cache_mib: int = 512
    ) -> None:
        """Prepare to read; nothing is decoded yet.

        Args:
            table: The checked images.parquet.
            rows: int64 `[N]`, row of each position that `read` will be asked for.
            size: Side of the picture in pixels.
            cache_mib: Limit of the decoded cache; 0 keeps nothing.
        """
        self.size = size
        self._folder = table.folder
        self._rows = rows
        names = table.table.column_names
        self._ids = table.table.column("image_id")
        self._bytes = table.table.column("image") if "image" in names else None
        self._paths = table.table.column("path") if "path" in names else None
        fits = rows.size * 3 * size * size <= cache_mib * 2**20
        # Pages of an empty tensor cost nothing until a picture is written to them.
        self._cache = torch.empty(rows.size, 3, size, size, dtype=torch.uint8) if fits else None
        self._filled = np.zeros(rows.size if fits else 0, dtype=bool)

    def __len__(self) -> int:
        return self._rows.size

    def read(self, positions: Tensor) -> Tensor:
        """Pictures at some positions.

        Args:
            positions: int64 `[B]` in `[0, N)`.

        Returns:
            uint8 `[B, 3, size, size]`, RGB.

        Raises:
            DataError: A picture is missing, truncated, not an image, or too large; names its id
                and path.
        """
        wanted = positions.tolist()
        if self._cache is None:
            return torch.stack([self._decode(p) for p in wanted])
        for p in wanted:
            if not self._filled[p]:
                self._cache[p] = self._decode(p)
                self._filled[p] = True
        return self._cache[positions]

    def _decode(self, position: int) -> Tensor:
        row = int(self._rows[position])
        data = None if self._bytes is None else self._bytes[row].as_py()
        path: Path | None = None
        if data is None and self._paths is not None:
            path = self._folder / self._paths[row].as_py()
        source = "column 'image'" if path is None else str(path)
        try:
            with Image.open(path if path is not None else io.BytesIO(data or b"")) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(f"{image.width} x {image.height} pixels is over {MAX_PIXELS:,}")
                picture = ImageOps.fit(
                    _to_rgb(ImageOps.exif_transpose(image)),
                    (self.size, self.size),
                    Image.Resampling.BICUBIC,
                )
        except Exception as error:  # codecs raise anything on a damaged file
            image_id = self._ids[row].as_py()
            raise DataError(
                f"{self._folder}: image_id {image_id!r} ({source}) cannot be read: {error}"
            ) from error
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit grey: convert("RGB") would clip every value above 255 to white.
        return Image.fromarray((np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
