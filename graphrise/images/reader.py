"""Image rows to uint8 batches, decoded by several threads."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from graphrise.errors import ConfigError
from graphrise.images.bad import BadImage
from graphrise.images.base import ImageStore
from graphrise.images.decode import MAX_PIXELS, decode
from graphrise.images.recycled import Recycled

GREY = 128
"""Every pixel of the picture that stands for a bad one."""
_MOST_THREADS = 8
_CHUNKS_PER_THREAD = 4


class ImageReader:
    """Decodes rows of images.parquet to square RGB pictures.

    Short side resized (bicubic, antialiased), centre cropped; alpha composited on white, EXIF
    rotation applied.

    Attributes:
        cached: Whether decoded pictures are kept, which is so if all of `rows` fit in the cache.
    """

    def __init__(
        self,
        store: ImageStore,
        rows: np.ndarray,
        size: int,
        *,
        cache_mib: int = 512,
        threads: int | None = None,
        on_bad_image: Literal["raise", "skip"] = "raise",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Prepare to read; nothing is decoded yet.

        Args:
            store: Encoded pictures.
            rows: int64 `[N]`, row of each position that `read` will be asked for.
            size: Side of the picture in pixels.
            cache_mib: Limit of the decoded cache; 0 keeps nothing.
            threads: Decoders of one batch; None: up to 8, and 1 in a loader's worker process.
            on_bad_image: What a picture that cannot be read is: an error, or grey.
            max_pixels: Larger pictures are bad.

        Raises:
            ConfigError: `threads` below 1, or `on_bad_image` is neither.
        """
        if threads is not None and threads < 1:
            raise ConfigError("threads must be at least 1")
        if on_bad_image not in ("raise", "skip"):
            raise ConfigError(f"on_bad_image is 'raise' or 'skip', not {on_bad_image!r}")
        self.size = size
        self._store = store
        self._rows = rows
        self._threads = threads
        self._skip = on_bad_image == "skip"
        self._max_pixels = max_pixels
        self.cached = rows.size * 3 * size * size <= cache_mib * 2**20
        self._forget()

    def _forget(self) -> None:
        count = self._rows.size if self.cached else 0
        # Pages of an empty array cost nothing until a picture is written to them.
        self._cache = np.empty((count, self.size, self.size, 3), dtype=np.uint8)
        self._filled = np.zeros(count, dtype=bool)
        self._reasons: dict[int, str] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._pool_owner = 0
        self._recycled = Recycled()

    def __getstate__(self) -> dict[str, Any]:
        ours = ("_cache", "_filled", "_reasons", "_pool", "_pool_owner", "_recycled")
        return {name: value for name, value in self.__dict__.items() if name not in ours}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __len__(self) -> int:
        return self._rows.size

    @property
    def width(self) -> int | None:
        """Features of an image, where the store has these and no picture to decode."""
        return self._store.width

    def source(self, position: int) -> str:
        """Where the picture at a position is: a path, or "column 'image'"."""
        return self._store.source(int(self._rows[position]))

    def read(self, positions: Tensor) -> Tensor:
        """Pictures at some positions.

        Args:
            positions: int64 `[B]` in `[0, N)`.

        Returns:
            uint8 `[B, 3, size, size]`, RGB, channels_last.

        Raises:
            DataError: A picture is missing, damaged, not an image, or too large, and bad images
                raise; names its id and place.
        """
        return self.read_noting(positions)[0]

    def read_noting(self, positions: Tensor) -> tuple[Tensor, dict[int, str]]:
        """Pictures as `read` gives them, and for each bad position among them the reason."""
        wanted = positions.numpy()
        batch = self._new(wanted.size)
        into = batch.numpy()
        if self.cached:
            self._fill(wanted)
            np.take(self._cache, wanted, axis=0, out=into, mode="clip")
            bad = self._reasons
            reasons = {p: bad[p] for p in wanted.tolist() if p in bad} if bad else {}
        else:
            reasons = self._decode(wanted, into, np.arange(wanted.size))
        return batch.permute(0, 3, 1, 2), reasons

    def _fill(self, wanted: np.ndarray) -> None:
        """Decode what the cache lacks."""
        missing = wanted[~self._filled[wanted]]
        if missing.size:
            missing = np.unique(missing)
            self._reasons.update(self._decode(missing, self._cache, missing))
            self._filled[missing] = True

    def _new(self, count: int) -> Tensor:
        """A place for a batch, uint8 `[count, size, size, 3]`."""
        shape = (count, self.size, self.size, 3)
        if get_worker_info():
            # Seen by other processes too, as in torch's collate: it is sent without a copy.
            shared = torch.UntypedStorage._new_shared(math.prod(shape))
            return torch.empty(0, dtype=torch.uint8).set_(shared).view(shape)
        return torch.from_numpy(self._recycled.take(shape))

    def _decode(
        self, positions: np.ndarray, into: np.ndarray, places: np.ndarray
    ) -> dict[int, str]:
        """Decode `positions[i]` into `into[places[i]]`; the reasons of the bad ones."""
        jobs = list(zip(positions.tolist(), places.tolist(), strict=True))
        threads = self._threads or _default_threads()
        size = max(1, -(-len(jobs) // (_CHUNKS_PER_THREAD * threads)))
        chunks = [jobs[i : i + size] for i in range(0, len(jobs), size)]
        if threads == 1 or len(chunks) < 2:
            found = [self._decode_chunk(jobs, into)]
        else:
            pool = self._pool_of(threads)
            found = list(pool.map(self._decode_chunk, chunks, [into] * len(chunks)))
        reasons = {p: reason for part in found for p, reason in part.items()}
        if reasons and not self._skip:
            position, reason = next(iter(reasons.items()))
            raise self._store.error(int(self._rows[position]), reason)
        return reasons

    def _decode_chunk(self, jobs: list[tuple[int, int]], into: np.ndarray) -> dict[int, str]:
        reasons: dict[int, str] = {}
        for position, place in jobs:
            try:
                data = self._store.read(int(self._rows[position]))
                decode(data, self.size, into[place], max_pixels=self._max_pixels)
            except BadImage as error:
                into[place] = GREY
                reasons[position] = str(error)
                if not self._skip:
                    break
        return reasons

    def _pool_of(self, threads: int) -> ThreadPoolExecutor:
        # A forked process has the object, but not its threads.
        if self._pool is None or self._pool_owner != os.getpid():
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
            self._pool_owner = os.getpid()
        return self._pool


def _default_threads() -> int:
    # Worker processes are one for each core already.
    return 1 if get_worker_info() else min(_MOST_THREADS, os.cpu_count() or 1)
