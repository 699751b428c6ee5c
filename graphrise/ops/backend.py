"""Which implementation of an op runs: chosen here for all of them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from graphrise.errors import ConfigError

Backend = Literal["torch", "numba", "triton", "torch_scatter"]

VARIABLE = "GRAPHRISE_BACKEND"
"""Environment variable that forces a backend wherever an op has it."""

_PACKAGES: dict[Backend, str] = {
    "numba": "numba",
    "triton": "triton",
    "torch_scatter": "torch_scatter",
}
_INSTALL: dict[Backend, str] = {
    "numba": "pip install numba",
    "triton": "it comes with PyTorch for CUDA on Linux",
    "torch_scatter": "pip install graphrise[scatter]",
}
_COMPILED_DTYPES = (torch.float32, torch.float64)


def choose(
    op: str, x: Tensor, backends: Sequence[Backend], asked: Backend | None = None
) -> Backend:
    """The backend that computes an op.

    Args:
        op: Its name, for errors.
        x: The op's main input: its device and dtype decide.
        backends: What the op has for inputs of this size, best first; "torch" among them.
        asked: The caller's wish, which must be one of them. None: `GRAPHRISE_BACKEND` where the op
            has that, else the first that can run.

    Raises:
        ConfigError: What is asked for is unknown, not of this op, or cannot run here.
    """
    if asked is not None:
        if asked not in backends:
            raise ConfigError(f"{op}: backend {asked!r} is none of its {', '.join(backends)}")
        _demand(op, asked, x)
        return asked
    forced = os.environ.get(VARIABLE, "")
    if forced:
        known: tuple[Backend, ...] = ("torch", *_PACKAGES)
        if forced not in known:
            raise ConfigError(f"{VARIABLE}={forced}: no such backend; there are {', '.join(known)}")
        for backend in backends:
            if backend == forced:
                _demand(op, backend, x)
                return backend
    # torch-scatter is a peer to compare with; it runs only where it is asked for.
    for backend in backends:
        if backend != "torch_scatter" and _cannot(backend, x) is None:
            return backend
    return "torch"


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def interpreted() -> bool:
    """Whether Triton's kernels run in its interpreter (`TRITON_INTERPRET=1`), on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def _demand(op: str, backend: Backend, x: Tensor) -> None:
    why = _cannot(backend, x)
    if why is not None:
        raise ConfigError(f"{op}: backend {backend!r} cannot run here: {why}")


def _cannot(backend: Backend, x: Tensor) -> str | None:
    """Why a backend cannot take a tensor; None if it can."""
    if backend == "torch":
        return None
    if not installed(_PACKAGES[backend]):
        return f"{_PACKAGES[backend]} is not installed ({_INSTALL[backend]})"
    if backend == "numba":
        if x.device.type != "cpu":
            return f"it computes on CPUs, the input is on {x.device}"
        if x.dtype not in _COMPILED_DTYPES:
            return f"it has float32 and float64, the input is {x.dtype}"
    if backend == "triton" and x.device.type != ("cpu" if interpreted() else "cuda"):
        return f"it computes on CUDA devices, the input is on {x.device}"
    return None
