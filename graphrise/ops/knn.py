"""Exact nearest neighbours of vectors: FAISS on a CPU, blocks of torch elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from typing import Literal, overload

import numpy as np
import torch
from torch import Tensor

from graphrise.errors import ConfigError, DataError

Metric = Literal["cosine", "l2", "ip"]

# 1024 x 16384 float32 scores are 64 MiB: enough to keep a matmul busy, small beside a gallery.
_QUERY_BLOCK = 1024
_GALLERY_BLOCK = 16384

# Squared norms up to here keep |q|^2 + |g|^2 - 2 q.g inside float32.
_LARGEST_SQUARED_NORM = 8e37


@overload
def knn(
    queries: Tensor,
    gallery: Tensor | np.ndarray,
    k: int,
    metric: Metric = "cosine",
    exclude_self: bool = False,
) -> tuple[Tensor, Tensor]: ...


@overload
def knn(
    queries: np.ndarray,
    gallery: Tensor | np.ndarray,
    k: int,
    metric: Metric = "cosine",
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray]: ...


@torch.no_grad()
def knn(
    queries: Tensor | np.ndarray,
    gallery: Tensor | np.ndarray,
    k: int,
    metric: Metric = "cosine",
    exclude_self: bool = False,
) -> tuple[Tensor | np.ndarray, Tensor | np.ndarray]:
    """Finds the `k` gallery rows nearest to every query, exactly.

    On a CPU with FAISS installed its flat search runs; otherwise, and on a GPU, blocks of a torch
    matmul with a running top-k, whose memory beside inputs and outputs stays at a few times 64 MiB.
    The two agree up to float32 rounding (on a GPU: unless torch is set to TF32 matmuls).

    Equal scores: the torch path puts the lowest gallery row first and keeps it at the k-th place;
    FAISS promises no order between equal scores, and which of several rows tied at the k-th place
    it returns is its own choice.

    Args:
        queries: Vectors [Q, D] of any real dtype, computed in float32. Q may be 0.
        gallery: Vectors [N, D], N at least 1; moved to the device of the queries.
        k: Neighbours wanted, at least 1; clipped to the gallery rows there are.
        metric: `cosine` (rows are normalised here; a zero row has cosine 0 to all), `ip` (inner
            product) or `l2` (SQUARED Euclidean distance, as in FAISS).
        exclude_self: Leaves row i out of the neighbours of query i. Only when the very same
            object is passed as queries and gallery; `k` is then clipped to N - 1.

    Returns:
        Scores float32 [Q, min(k, N)], similarities falling or (`l2`) distances rising along a
        row, and gallery rows int64 of the same shape. Tensors on the queries' device if the
        queries are a tensor, else numpy arrays.

    Raises:
        DataError: An input is not a finite [rows, D] array of equal D, has norms above 9e18, or
            the gallery is empty.
        ConfigError: `k` is below 1, the metric is unknown, or `exclude_self` is asked for two
            different arrays.
    """
    if k < 1:
        raise ConfigError(f"k is {k}: ask for at least 1 neighbour")
    if metric not in ("cosine", "l2", "ip"):
        raise ConfigError(f"metric is {metric!r}: use 'cosine', 'l2' or 'ip'")
    if exclude_self and queries is not gallery:
        raise ConfigError("exclude_self needs the same array as queries and as gallery")
    q = _rows("queries", queries, metric)
    g = q if queries is gallery else _rows("gallery", gallery, metric).to(q.device)
    if len(g) == 0:
        raise DataError("gallery has no rows: there is nothing to find neighbours in")
    if q.shape[1] != g.shape[1]:
        raise DataError(f"queries have {q.shape[1]} columns, the gallery has {g.shape[1]}")
    k = min(k, len(g) - exclude_self)
    search = _faiss_knn if q.device.type == "cpu" and _has_faiss() else _blockwise_knn
    scores, index = search(q, g, k, metric, exclude_self)
    if isinstance(queries, np.ndarray):
        return scores.numpy(), index.numpy()
    return scores, index


def _rows(name: str, values: Tensor | np.ndarray, metric: Metric) -> Tensor:
    """`values` as a contiguous float32 tensor fit for the metric, or a DataError."""
    if isinstance(values, np.ndarray):
        array = np.ascontiguousarray(values, dtype=np.float32)
        # torch warns about read-only memory, which is what a memory-mapped file gives.
        x = torch.from_numpy(array if array.flags.writeable else array.copy())
    else:
        x = values.detach().to(torch.float32).contiguous()
    if x.ndim != 2 or x.shape[1] == 0:
        raise DataError(f"{name} has shape {tuple(x.shape)}: expected [rows, columns]")
    bad = (~torch.isfinite(x)).any(dim=1)
    if bad.any():
        raise DataError(
            f"{name} holds NaN or infinity in {int(bad.sum())} of {len(x)} rows, "
            f"first in row {int(bad.nonzero()[0])}"
        )
    if metric == "cosine":
        # The largest entry first: the norm of huge or tiny rows would leave float32.
        x = x / x.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        return torch.nn.functional.normalize(x, dim=1)
    if len(x) and float(x.square().sum(dim=1).max()) > _LARGEST_SQUARED_NORM:
        raise DataError(f"{name} holds a row with a norm above 9e18: scale the vectors down")
    return x


def _has_faiss() -> bool:
    if "faiss" in sys.modules:
        return sys.modules["faiss"] is not None
    return importlib.util.find_spec("faiss") is not None


def _faiss_knn(
    queries: Tensor, gallery: Tensor, k: int, metric: Metric, exclude_self: bool
) -> tuple[Tensor, Tensor]:
    import faiss

    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    width = k + exclude_self
    found, rows = faiss.knn(queries.numpy(), gallery.numpy(), width, metric=kind)
    scores, index = torch.from_numpy(found), torch.from_numpy(rows)
    if metric == "l2":
        scores.clamp_min_(0)
    if not exclude_self:
        return scores, index
    keep = index != torch.arange(len(queries))[:, None]
    # Among more than k copies of itself a row may miss from its own list: then the last one goes.
    keep[keep.all(dim=1), -1] = False
    return scores[keep].view(len(queries), k), index[keep].view(len(queries), k)


def _blockwise_knn(
    queries: Tensor, gallery: Tensor, k: int, metric: Metric, exclude_self: bool
) -> tuple[Tensor, Tensor]:
    scores = queries.new_empty((len(queries), k))
    index = torch.empty((len(queries), k), dtype=torch.int64, device=queries.device)
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = queries[start : start + _QUERY_BLOCK]
        own = start + torch.arange(len(block), device=block.device) if exclude_self else None
        stop = start + len(block)
        # In a training loop under autocast the matmul would round to 8 bits of mantissa.
        with torch.autocast(queries.device.type, enabled=False):
            scores[start:stop], index[start:stop] = _scan(block, gallery, k, metric, own)
    return (scores.neg_() if metric == "l2" else scores), index


def _scan(
    queries: Tensor, gallery: Tensor, k: int, metric: Metric, own: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Running top k over blocks of the gallery; larger is nearer for every metric."""
    best = queries.new_empty((len(queries), 0))
    index = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
    for start in range(0, len(gallery), _GALLERY_BLOCK):
        block = gallery[start : start + _GALLERY_BLOCK]
        near = _nearness(queries, block, metric)
        if own is not None:
            here = ((own >= start) & (own < start + len(block))).nonzero().squeeze(1)
            near[here, own[here] - start] = -torch.inf
        values, columns = _top_k(near, min(k, len(block)))
        # Earlier blocks stand first, so a stable sort keeps the lowest row first among ties.
        best, order = torch.cat([best, values], 1).sort(dim=1, descending=True, stable=True)
        best = best[:, :k]
        index = torch.cat([index, columns + start], 1).gather(1, order[:, :k])
    return best, index


def _nearness(queries: Tensor, gallery: Tensor, metric: Metric) -> Tensor:
    product = queries @ gallery.T
    if metric != "l2":
        return product
    norms = queries.square().sum(1)[:, None] + gallery.square().sum(1)
    return (norms - 2 * product).clamp_min_(0).neg_()


def _top_k(near: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Largest k of every row [Q, N], the lowest column first among equals; k is at most N."""
    if k == near.shape[1]:
        return near.sort(dim=1, descending=True, stable=True)
    top, columns = near.topk(k + 1, dim=1)
    columns = columns[:, :k]
    # topk picks any of the columns tied at the k-th place; only rows with such a tie need care.
    tied = (top[:, k - 1] == top[:, k]).nonzero().squeeze(1)
    if len(tied):
        columns = columns.index_copy(0, tied, _lowest_columns(near[tied], top[tied, k - 1], k))
    columns = columns.sort(dim=1).values
    values, order = near.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def _lowest_columns(near: Tensor, kth: Tensor, k: int) -> Tensor:
    """Columns of all values above the k-th and of the first that equal it, k a row, rising."""
    above = near > kth[:, None]
    equal = near == kth[:, None]
    room = k - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
    return chosen.nonzero()[:, 1].view(len(near), k)
