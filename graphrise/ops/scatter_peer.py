"""torch-scatter as a backend (extra `scatter`): to compare with, where it is asked for by name.

Its conventions are ours, but that NaN is no extreme to it, and that on a GPU any of equal extremes
is the one it names. Halves it sums in their own precision; they are given to it as float32.
"""

from __future__ import annotations

import torch_scatter  # pyright: ignore[reportMissingImports]
from torch import Tensor

from graphrise.ops.dtypes import wide


def segment_sum_(out: Tensor, src: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[N, D]`."""
    rows = src.to(wide(src.dtype))
    out.copy_(torch_scatter.segment_csr(rows, rowptr.long(), reduce="sum"))


def segment_extreme_(out: Tensor, arg: Tensor, src: Tensor, rowptr: Tensor, largest: bool) -> None:
    """Write `out` and `arg` `[N, D]`."""
    take = torch_scatter.segment_max_csr if largest else torch_scatter.segment_min_csr
    value, at = take(src, rowptr.long())
    out.copy_(value)
    arg.copy_(at)


def scatter_sum_(out: Tensor, src: Tensor, index: Tensor) -> None:
    """Write `out` `[N, D]`; one index a row."""
    rows = src.to(wide(src.dtype))
    out.copy_(torch_scatter.scatter_sum(rows, index.long(), dim=0, dim_size=out.size(0)))


def scatter_extreme_(out: Tensor, arg: Tensor, src: Tensor, index: Tensor, largest: bool) -> None:
    """Write `out` and `arg` `[N, D]`; one index a row."""
    take = torch_scatter.scatter_max if largest else torch_scatter.scatter_min
    value, at = take(src, index.long(), dim=0, dim_size=out.size(0))
    out.copy_(value)
    arg.copy_(at)
