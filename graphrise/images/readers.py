"""What turns rows of images.parquet to batches: pictures are decoded, features are taken."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from graphrise.images.base import ImageStore
from graphrise.images.features import FeatureStore
from graphrise.images.reader import ImageReader

_NOT_FINITE = "holds NaN or infinity"


class FeatureReader:
    """Rows of features where `ImageReader` gives pictures; nothing is decoded, scaled or cached.

    Attributes:
        width: D.
    """

    def __init__(
        self,
        store: FeatureStore,
        rows: np.ndarray,
        *,
        on_bad_image: Literal["raise", "skip"] = "raise",
    ) -> None:
        """Prepare to read.

        Args:
            store: The matrix.
            rows: int64 `[N]`, row of each position that `read` will be asked for.
            on_bad_image: What a row with NaN or infinity is: an error, or zeros.
        """
        self.width = store.width
        self._store, self._rows, self._skip = store, rows, on_bad_image == "skip"

    def __len__(self) -> int:
        return self._rows.size

    def source(self, position: int) -> str:
        """File and row of the features at a position."""
        return self._store.source(int(self._rows[position]))

    def read(self, positions: Tensor) -> Tensor:
        """Features at some positions.

        Args:
            positions: int64 `[B]` in `[0, N)`.

        Returns:
            float32 `[B, D]`.

        Raises:
            DataError: A row holds NaN or infinity, and bad images raise; names its id.
        """
        return self.read_noting(positions)[0]

    def read_noting(self, positions: Tensor) -> tuple[Tensor, dict[int, str]]:
        """Features as `read` gives them, and for each bad position among them the reason."""
        wanted = positions.numpy()
        batch = self._store.take(self._rows[wanted])
        bad = np.flatnonzero(~np.isfinite(batch).all(axis=1))
        if bad.size and not self._skip:
            raise self._store.error(int(self._rows[wanted[bad[0]]]), _NOT_FINITE)
        batch[bad] = 0
        return torch.from_numpy(batch), {int(wanted[at]): _NOT_FINITE for at in bad}


Reader = ImageReader | FeatureReader


def reader_of(
    store: ImageStore,
    rows: np.ndarray,
    size: int,
    *,
    cache_mib: int = 512,
    threads: int | None = None,
    on_bad_image: Literal["raise", "skip"] = "raise",
) -> Reader:
    """The reader of a dataset's images.

    Args:
        store: Pictures, or a matrix of features, for which `size`, `cache_mib` and `threads` mean
            nothing.
        rows: See `ImageReader`, as for the others.
        size: Side of the picture in pixels.
        cache_mib: Limit of the decoded cache.
        threads: Decoders of one batch.
        on_bad_image: What an image that cannot be read is.
    """
    if isinstance(store, FeatureStore):
        return FeatureReader(store, rows, on_bad_image=on_bad_image)
    return ImageReader(
        store, rows, size, cache_mib=cache_mib, threads=threads, on_bad_image=on_bad_image
    )
