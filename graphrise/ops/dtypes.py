"""What numbers are computed in."""

from __future__ import annotations

import torch


def wide(dtype: torch.dtype) -> torch.dtype:
    """What numbers of a float dtype are subtracted and summed in: float32 of halves, else it."""
    return torch.float32 if dtype.itemsize < 4 else dtype
