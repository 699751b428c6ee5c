"""Optimisers of label tables, and several optimisers as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from graphrise.errors import ConfigError
from graphrise.nn.heads.table import LabelTable
from graphrise.ops.counter_random import counter_bits
from graphrise.ops.rowwise_adagrad import rowwise_adagrad_
from graphrise.ops.rowwise_rmsprop import rowwise_rmsprop_
from graphrise.ops.rowwise_step import write_rows


class _Rowwise(Optimizer):
    """What they share: a step over the touched rows of each table."""

    def __init__(self, tables: Iterable[LabelTable], defaults: dict[str, Any], seed: int) -> None:
        self._tables = list(tables)
        super().__init__([table.gradient for table in self._tables], defaults)
        self._seed, self._steps = seed, 0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the rows that have a gradient; others keep value and state."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        by_gradient = {id(table.gradient): table for table in self._tables}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                table = by_gradient[id(parameter)]
                rows = table.touched.to(table.weight.device)
                grads = parameter.grad.to(rows.device, table.state.dtype)
                self._update(table, rows, grads, group, self._generator(table))
        self._steps += 1
        return loss

    def _update(
        self,
        table: LabelTable,
        rows: Tensor,
        grads: Tensor,
        group: dict[str, Any],
        generator: torch.Generator | None,
    ) -> None:
        raise TypeError("one of the optimisers below has a rule")

    def _generator(self, table: LabelTable) -> torch.Generator | None:
        if table.weight.dtype != torch.bfloat16:
            return None
        # By the number of the step: a resumed run rounds as the other one would have.
        bits = int(counter_bits(self._seed, self._steps, table.first) >> 1)
        return torch.Generator(table.weight.device).manual_seed(bits)

    def state_dict(self) -> dict[str, Any]:
        """Settings and the number of steps; the state of rows is saved with the table."""
        return {**super().state_dict(), "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        state = dict(state_dict)
        self._steps = int(state.pop("steps"))
        super().load_state_dict(state)


class RowwiseAdagrad(_Rowwise):
    """Adagrad with one number of state a row (`ops.rowwise_adagrad_`)."""

    def __init__(
        self,
        tables: Iterable[LabelTable],
        lr: float = 0.05,
        *,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Update the tables of some heads.

        Args:
            tables: `head.table` of each.
            lr: Step size; of the first step of a row it is the length of the change over the root
                of D.
            eps: Added to the root.
            weight_decay: Decoupled, of touched rows only.
            seed: Stochastic rounding of bfloat16 tables follows from it.
        """
        super().__init__(tables, {"lr": lr, "eps": eps, "weight_decay": weight_decay}, seed)

    def _update(
        self,
        table: LabelTable,
        rows: Tensor,
        grads: Tensor,
        group: dict[str, Any],
        generator: torch.Generator | None,
    ) -> None:
        settings = {name: group[name] for name in ("lr", "eps", "weight_decay")}
        rowwise_adagrad_(table.weight, table.state, rows, grads, generator=generator, **settings)


class RowwiseRMSprop(_Rowwise):
    """RMSprop with one number of state a row (`ops.rowwise_rmsprop_`)."""

    def __init__(
        self,
        tables: Iterable[LabelTable],
        lr: float = 0.06,
        *,
        alpha: float = 0.99,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Update the tables of some heads.

        Args:
            tables: `head.table` of each.
            lr: Step size; of the first step of a row it is the length of the change over the root
                of D, and of later ones about that.
            alpha: Smoothing constant of a row's mean of squares, counted by its updates.
            eps: Added to the root.
            weight_decay: Decoupled, of touched rows only.
            seed: Stochastic rounding of bfloat16 tables follows from it.
        """
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(tables, defaults, seed)

    def _update(
        self,
        table: LabelTable,
        rows: Tensor,
        grads: Tensor,
        group: dict[str, Any],
        generator: torch.Generator | None,
    ) -> None:
        settings = {name: group[name] for name in ("lr", "alpha", "eps", "weight_decay")}
        rowwise_rmsprop_(table.weight, table.state, rows, grads, generator=generator, **settings)


class RowwiseSGD(_Rowwise):
    """Plain SGD on the touched rows."""

    def __init__(
        self,
        tables: Iterable[LabelTable],
        lr: float = 0.1,
        *,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Update the tables of some heads; arguments as `RowwiseAdagrad`."""
        super().__init__(tables, {"lr": lr, "weight_decay": weight_decay}, seed)

    def _update(
        self,
        table: LabelTable,
        rows: Tensor,
        grads: Tensor,
        group: dict[str, Any],
        generator: torch.Generator | None,
    ) -> None:
        settings = {name: group[name] for name in ("lr", "weight_decay")}
        write_rows(table.weight, rows, grads, generator=generator, **settings)


class Together(Optimizer):
    """Several optimisers as one, for what takes only one (Lightning's automatic optimisation).

    Schedulers, gradient scalers and clipping see the parameter groups of all.
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        """Join optimisers of different parameters.

        Raises:
            ConfigError: There is none.
        """
        if not optimizers:
            raise ConfigError("Together: at least one optimizer is needed")
        self.optimizers = optimizers
        super().__init__([g for o in optimizers for g in o.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of each."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Those of the parts."""
        return {"optimizers": [o.state_dict() for o in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back.

        Raises:
            ConfigError: They are of another number of optimizers.
        """
        states = state_dict["optimizers"]
        if len(states) != len(self.optimizers):
            raise ConfigError(f"Together: {len(states)} states for {len(self.optimizers)}")
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        # Loading makes new groups; both must go on sharing them.
        self.param_groups = [g for o in self.optimizers for g in o.param_groups]
