"""The device whose stream a kernel is launched on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def device_of(x: Tensor) -> AbstractContextManager[Any]:
    """Make the tensor's device the current one: kernels are launched on that, wherever data lie.

    It costs a look at which is current where that is the right one, and nothing on a CPU, where
    kernels are interpreted.
    """
    return torch.cuda.device_of(x) if x.is_cuda else nullcontext()
