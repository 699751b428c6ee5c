"""What kernels compute in."""

from __future__ import annotations

import torch
import triton.language as tl


def wide(dtype: torch.dtype) -> tl.dtype:
    """What numbers of a dtype are summed in."""
    return tl.float64 if dtype == torch.float64 else tl.float32
