"""Rows added to, or compared with, the rows of a result in any order.

Each thread has a range of the result's rows and goes through all entries: nothing is shared, and
the order of additions does not depend on the number of threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrise.ops.cpu.jit import SMALL, compiled, run_parts


@compiled
def _add(first: int, last: int, out: np.ndarray, src: np.ndarray, index: np.ndarray) -> None:
    for e in range(index.size):
        i = index[e]
        if first <= i < last:
            total, row = out[i], src[e]
            for d in range(total.size):
                total[d] += row[d]


@compiled
def _extreme(
    first: int,
    last: int,
    out: np.ndarray,
    arg: np.ndarray,
    src: np.ndarray,
    index: np.ndarray,
    sign: float,
) -> None:
    s = src.dtype.type(sign)
    for e in range(index.size):
        i = index[e]
        if first <= i < last:
            best, at, row = out[i], arg[i], src[e]
            for d in range(best.size):
                x, b = row[d], best[d]
                better = (at[d] == index.size) | (s * x > s * b) | ((x != x) & (b == b))
                best[d] = x if better else b
                at[d] = e if better else at[d]


def scatter_sum_(out: Tensor, src: Tensor, index: Tensor) -> None:
    """Add row e of `src` `[E, D]` to row `index[e]` of `out`; contiguous, indices in range."""
    _over(_add, out, src, out.numpy(), src.numpy(), index.long().numpy())


def scatter_extreme_(out: Tensor, arg: Tensor, src: Tensor, index: Tensor, largest: bool) -> None:
    """Write extremes to `out` and int64 `arg`, which are 0 and E where no entry is; as above."""
    sign = 1.0 if largest else -1.0
    _over(_extreme, out, src, out.numpy(), arg.numpy(), src.numpy(), index.long().numpy(), sign)


def _over(loop: Callable[..., Any], out: Tensor, src: Tensor, *args: Any) -> None:
    threads = torch.get_num_threads() if src.numel() >= SMALL else 1
    edges = np.unique(np.linspace(0, out.size(0), threads + 1).astype(np.int64)).tolist()
    run_parts(loop, list(itertools.pairwise(edges)), *args)
