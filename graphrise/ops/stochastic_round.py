"""float32 to bfloat16 without bias."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError

_LOW = 16  # bits that bfloat16 does not have


def stochastic_round(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Round to one of the two nearest bfloat16 values, to the nearer one more often.

    The expectation of the result is `x`, so that many updates smaller than half a step of the table
    add up, where rounding to nearest would lose every one of them.

    Args:
        x: float32, any shape.
        generator: Of the random bits, on the device of `x`.

    Returns:
        bfloat16 of the shape of `x`; infinities and NaN stay.

    Raises:
        ConfigError: Another dtype.
    """
    if x.dtype != torch.float32:
        raise ConfigError(f"stochastic_round: x must be float32, got {x.dtype}")
    noise = torch.randint(
        1 << _LOW, x.shape, dtype=torch.int32, device=x.device, generator=generator
    )
    # The sign is apart from the magnitude: adding to the bits moves away from zero.
    bits = (x.contiguous().view(torch.int32) + noise) & -(1 << _LOW)
    return torch.where(x.isfinite(), bits.view(torch.float32), x).to(torch.bfloat16)
