"""Exact neighbours in a gallery that does not fit memory, one block of it at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import overload

import numpy as np
import torch
from torch import Tensor

from graphrise.errors import ConfigError, DataError
from graphrise.ops.knn import Metric, knn

# Numbers in a block of the gallery: 64 MiB as float32, and a few times that while it is normalised.
_GALLERY_BLOCK = 1 << 24
_QUERY_BLOCK = 1 << 16

Gallery = np.ndarray | Iterable[np.ndarray]


@overload
def search_blocks(
    queries: Tensor, gallery: Gallery, k: int, metric: Metric = "cosine", exclude_self: bool = False
) -> tuple[Tensor, Tensor]: ...


@overload
def search_blocks(
    queries: np.ndarray,
    gallery: Gallery,
    k: int,
    metric: Metric = "cosine",
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray]: ...


@torch.no_grad()
def search_blocks(
    queries: Tensor | np.ndarray,
    gallery: Gallery,
    k: int,
    metric: Metric = "cosine",
    exclude_self: bool = False,
) -> tuple[Tensor | np.ndarray, Tensor | np.ndarray]:
    """The `k` gallery rows nearest to every query, exactly, reading the gallery once.

    Every block is searched by `graphrise.ops.knn` (FAISS on a CPU, torch on a GPU), so scores and
    neighbours are its own up to float32 rounding. Between blocks equal scores go to the lower row,
    within a block they fall as `knn` says. Beside the results, memory holds one block of the
    gallery and one of the queries: some 300 MiB for any number of rows.

    Args:
        queries: Vectors [Q, D] of any real dtype; may be a memory-mapped array. A tensor's device
            is where the search runs.
        gallery: Vectors [N, D], such as `np.load(file, mmap_mode="r")`, or an iterator over blocks
            [rows, D] of them in order; each block is held whole. N is at least 1.
        k: Neighbours wanted, at least 1; clipped to the gallery rows there are.
        metric: As in `knn`; rows are normalised here for `cosine`.
        exclude_self: Leaves row i out of the neighbours of query i: queries and gallery must be the
            same array, or map the same file.

    Returns:
        Scores float32 [Q, min(k, N)], similarities falling or (`l2`) squared distances rising along
        a row, and gallery rows int64 of the same shape; tensors if the queries are, else arrays.

    Raises:
        DataError: An input is not a finite [rows, D] array of equal D, has norms above 9e18, or
            the gallery is empty.
        ConfigError: `k` is below 1, the metric unknown, or `exclude_self` has two arrays.
    """
    if k < 1:
        raise ConfigError(f"k is {k}: ask for at least 1 neighbour")
    if exclude_self and not _same(queries, gallery):
        raise ConfigError("exclude_self needs the same array, or file, as queries and as gallery")
    if isinstance(gallery, np.ndarray):
        k = min(k, max(1, len(gallery)))
    device = queries.device if isinstance(queries, Tensor) else torch.device("cpu")
    # Larger is nearer in here, whatever the metric.
    best = torch.full((len(queries), k), -torch.inf, device=device)
    index = torch.full((len(queries), k), -1, dtype=torch.int64, device=device)
    start = 0
    for block in _blocks(gallery):
        rows = torch.from_numpy(block).to(device)
        for first in range(0, max(1, len(queries)), _QUERY_BLOCK):
            some = slice(first, first + _QUERY_BLOCK)
            scores, found = _search(queries[some], rows, k + exclude_self, metric, start)
            if exclude_self:
                own = first + torch.arange(len(found), device=device)
                scores[found == own[:, None]] = -torch.inf
            _merge(best[some], index[some], scores, found)
        start += len(block)
    if start == 0:
        raise DataError("gallery has no rows: there is nothing to find neighbours in")
    best, index = (x[:, : min(k, start - exclude_self)] for x in (best, index))
    best = -best if metric == "l2" else best
    return (best, index) if isinstance(queries, Tensor) else (best.numpy(), index.numpy())


def _blocks(gallery: Gallery) -> Iterator[np.ndarray]:
    """Blocks in memory of a size that the search can afford; empty ones left out."""
    if not isinstance(gallery, np.ndarray):
        for block in gallery:
            if len(block):
                yield _in_memory(np.asarray(block))
        return
    step = max(1, _GALLERY_BLOCK // max(1, gallery[:1].size))
    for start in range(0, len(gallery), step):
        yield _in_memory(gallery[start : start + step])


def _in_memory(block: np.ndarray) -> np.ndarray:
    """float32 rows; a read-only (mapped) block is copied, as torch takes only writable memory."""
    block = np.ascontiguousarray(block, dtype=np.float32)
    return block if block.flags.writeable else block.copy()


def _search(
    queries: Tensor | np.ndarray, block: Tensor, k: int, metric: Metric, start: int
) -> tuple[Tensor, Tensor]:
    """Neighbours in one block as similarities and rows of the whole gallery."""
    if not isinstance(queries, Tensor):
        queries = torch.from_numpy(_in_memory(queries))
    try:
        scores, found = knn(queries, block, k, metric)
    except DataError as error:
        raise DataError(f"gallery block from row {start}: {error}") from error
    return (-scores if metric == "l2" else scores), found + start


def _merge(best: Tensor, index: Tensor, scores: Tensor, found: Tensor) -> None:
    """Put the best of both into `best` and `index`.

    Earlier rows stand first, so a stable sort keeps them among equals.
    """
    merged, order = torch.cat([best, scores], 1).sort(dim=1, descending=True, stable=True)
    width = best.shape[1]
    index.copy_(torch.cat([index, found], 1).gather(1, order[:, :width]))
    best.copy_(merged[:, :width])


def _same(queries: Tensor | np.ndarray, gallery: Gallery) -> bool:
    """Whether both are one array, or two whole maps of the same part of one file."""
    if queries is gallery:
        return True
    if not (isinstance(queries, np.memmap) and isinstance(gallery, np.memmap)):
        return False
    # A slice of a map keeps the file and offset of the whole: only whole maps can be compared.
    whole = isinstance(queries.base, mmap) and isinstance(gallery.base, mmap)
    return whole and all(
        getattr(queries, name) == getattr(gallery, name)
        for name in ("filename", "offset", "shape", "dtype", "strides")
    )
