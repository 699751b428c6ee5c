"""A label's vector per row; only rows that are read get a gradient, and only they are updated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphrise.errors import ConfigError
from graphrise.ops.counter_random import counter_bits
from graphrise.ops.rowwise_step import summed

_BLOCK = 1 << 18
"""Rows that are made from one seed: a part of the table is the same whoever makes it."""
_DTYPES = (torch.float32, torch.bfloat16, torch.float64)


class LabelTable(nn.Module):
    """C rows of D numbers that no dense gradient and no dense optimiser state is ever made of.

    `gather` reads rows. The backward pass leaves their gradient in `gradient.grad`, `[R, D]`, and
    the rows themselves in `touched`; the optimisers of `nn.rowwise` take them from there.
    `gradient` is a parameter for what expects one: gradient scalers, clipping, `zero_grad`. It is
    none of the module's, since no other optimiser could use it, and `state_dict` holds neither it
    nor the table (`save_table` does, in parts). A table moves with a module that has it, unless it
    was given a device, as those of `mapped_table` and `open_table` are: then it stays.

    Attributes:
        weight: `[C, D]`.
        state: `[C]`, row-wise Adagrad's sums or RMSprop's means of squares; 0 of new rows.
        gradient: Its `grad` is that of the rows in `touched`.
        touched: int64 `[R]`, distinct and rising.
        first: Label of the first row; above 0 in a shard.
        seed: What the rows were made from.
    """

    weight: Tensor
    state: Tensor
    gradient: nn.Parameter
    touched: Tensor

    def __init__(
        self,
        num_labels: int,
        dim: int,
        *,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        first: int = 0,
        weight: Tensor | None = None,
        state: Tensor | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """Make the table, uniformly random with variance 1 / D.

        Args:
            num_labels: C, rows of this table.
            dim: D.
            dtype: float32, bfloat16 (half the memory, stochastic rounding) or float64; of a given
                `weight` it is that one's.
            seed: Row `first + c` is a function of it, whatever part of the labels is made here.
            first: Label of the first row.
            weight: Use this `[C, D]` and its content, for example a mapped file; None: make one.
            state: Use these `[C]` sums or means of squares, float32 (float64 with such a weight);
                None: zeros.
            device: Where it lies and stays, in its dtype, wherever a module that has it goes; the
                embeddings may be elsewhere. None: where torch makes it or the `weight` lies, and it
                goes with the module.

        Raises:
            ConfigError: No labels, another dtype, or a tensor of another shape or elsewhere.
        """
        super().__init__()
        if num_labels < 1:
            raise ConfigError("the label head needs at least one label")
        dtype = dtype if weight is None else weight.dtype
        if dtype not in _DTYPES:
            raise ConfigError(f"label table: dtype must be float32, bfloat16, float64, not {dtype}")
        made = weight is None
        if weight is None:
            weight = torch.empty(num_labels, dim, dtype=dtype, device=device)
        if state is None:
            total = torch.float64 if dtype == torch.float64 else torch.float32
            state = torch.zeros(num_labels, dtype=total, device=weight.device)
        _demand_fit(weight, state, num_labels, dim, device)
        self.first, self.seed = first, seed
        if device is None:
            self.register_buffer("weight", weight, persistent=False)
            self.register_buffer("state", state, persistent=False)
        else:
            # A module does not move what is none of its buffers: a copy of a file's rows would fill
            # the memory that they were kept out of, and training would no longer reach the file.
            self.weight, self.state = weight, state
        # Past nn.Module, which would make it one of the module's parameters.
        empty = torch.empty(0, device=weight.device)
        self.__dict__["gradient"] = nn.Parameter(empty)
        self.__dict__["touched"] = torch.empty(0, dtype=torch.long, device=weight.device)
        if made:
            self.reset(0, num_labels)

    @property
    def num_labels(self) -> int:
        """C."""
        return self.weight.size(0)

    @property
    def dim(self) -> int:
        """D."""
        return self.weight.size(1)

    @torch.no_grad()
    def reset(self, begin: int, end: int) -> None:
        """Give rows `[begin, end)` their first values: uniform, variance 1 / D."""
        bound = (3 / self.dim) ** 0.5
        start, stop = self.first + begin, self.first + end
        for block in range(start // _BLOCK, -(-stop // _BLOCK)):
            low, high = block * _BLOCK, (block + 1) * _BLOCK
            generator = torch.Generator().manual_seed(int(counter_bits(self.seed, block) >> 1))
            # Short blocks are cut from whole ones: the numbers must not depend on where one ends.
            part = slice(max(low, start) - self.first, min(high, stop) - self.first)
            whole = part.stop - part.start == _BLOCK
            if whole and self.weight.device.type == "cpu" and self.weight.dtype == torch.float32:
                self.weight[part].uniform_(-bound, bound, generator=generator)
                continue
            values = torch.empty(_BLOCK, self.dim).uniform_(-bound, bound, generator=generator)
            skip = max(low, start) - low
            self.weight[part] = values[skip : skip + part.stop - part.start].to(self.weight)
        self.state[begin:end] = 0

    def gather(self, rows: Tensor, device: torch.device | None = None) -> Tensor:
        """Some rows; their gradient goes to `gradient.grad`.

        Args:
            rows: int64 `[R]` in `[0, C)`.
            device: Of the result; None: the table's.

        Returns:
            `[R, D]`, float32 (float64 from such a table).
        """
        device = device or self.weight.device
        if torch.is_grad_enabled():
            found: Tensor = _Gather.apply(self.gradient, self, rows, device)  # type: ignore[assignment]
            return found
        return self._read(rows, device)

    def _read(self, rows: Tensor, device: torch.device) -> Tensor:
        found = self.weight.index_select(0, rows.to(self.weight.device))
        return found.to(device, self.state.dtype)

    def add_gradient(self, rows: Tensor, grads: Tensor) -> None:
        """Add to what a step will use, as a backward pass does.

        Args:
            rows: int64 `[R]`.
            grads: `[R, D]`.
        """
        # One of zeros is what zero_grad(set_to_none=False) leaves of a step that is done.
        if self.gradient.grad is not None and bool(self.gradient.grad.any()):
            rows = torch.cat((self.touched, rows.to(self.touched.device)))
            grads = torch.cat((self.gradient.grad, grads.to(self.gradient.grad)))
        self.__dict__["touched"], grads = summed(rows, grads)
        # Its own values mean nothing and take no memory; torch wants them of the gradient's shape.
        self.gradient.grad = None
        self.gradient.data = grads.new_zeros(1).expand(grads.shape)
        self.gradient.grad = grads


def _demand_fit(
    weight: Tensor, state: Tensor, num_labels: int, dim: int, device: torch.device | str | None
) -> None:
    if weight.shape != (num_labels, dim) or state.shape != (num_labels,):
        raise ConfigError(
            f"label table: weight and state are {list(weight.shape)} and {list(state.shape)}, "
            f"not {[num_labels, dim]} and {[num_labels]}"
        )
    asked = weight.device if device is None else torch.device(device)
    for here in (weight.device, state.device):
        if asked.type != here.type or asked.index not in (None, here.index):
            raise ConfigError(
                f"label table: weight lies on {weight.device} and state on {state.device}; both "
                f"must lie on {asked}"
            )


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, table: LabelTable, rows: Tensor, device: torch.device
    ) -> Tensor:
        ctx.table = table
        ctx.save_for_backward(rows)
        return table._read(rows, device)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, None]:
        (rows,) = ctx.saved_tensors
        with torch.no_grad():
            ctx.table.add_gradient(rows.to(grads[0].device), grads[0])
        return None, None, None, None
