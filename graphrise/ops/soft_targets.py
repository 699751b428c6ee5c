"""What ragged soft labels ask of a softmax over all labels: losses, and where gradients pull."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SoftTargets:
    """Label entries of a batch, by rising label.

    Attributes:
        row: int64 `[E]`, image of each.
        index: int64 `[E]`, its label, rising.
        share: `[E]`.
        order: int64 `[E]`, the place that each had before it was sorted.
        labelled: `[B]`, 1 of an image with an entry, else 0.
        smoothing: Epsilon.
        classes: C.
    """

    row: Tensor
    index: Tensor
    share: Tensor
    order: Tensor
    labelled: Tensor
    smoothing: float
    classes: int

    @classmethod
    def of(
        cls,
        row: Tensor,
        index: Tensor,
        share: Tensor,
        *,
        smoothing: float,
        images: int,
        classes: int,
    ) -> SoftTargets:
        """Sort entries; those out of range are left out, without a look at how many there are.

        Args:
            row: int32 or int64 `[E]`.
            index: int32 or int64 `[E]`.
            share: float32 or float64 `[E]`.
            smoothing: Epsilon.
            images: B.
            classes: C.
        """
        index, order = torch.sort(index.long(), stable=True)
        row, share = row.long()[order], share[order]
        labelled = share.new_zeros(images)
        if images == 0 or classes == 0:
            empty = index[:0]
            return cls(empty, empty, share[:0], empty, labelled, smoothing, classes)
        there = inside(row, index, images=images, classes=classes)
        share = torch.where(there, share, 0)
        row, index = row.clamp(0, images - 1), index.clamp(0, classes - 1)
        labelled = add_rows_(labelled, row, there.to(share.dtype)).clamp_(max=1)
        return cls(row, index, share, order, labelled, smoothing, classes)

    def bounds(self, step: int) -> list[int]:
        """Where the entries of every `step` labels begin, and E at the end."""
        starts = torch.arange(0, self.classes, step, device=self.index.device)
        return [*torch.searchsorted(self.index, starts).tolist(), self.index.numel()]

    def losses(self, log_z: Tensor, own: Tensor, mean: Tensor | None) -> Tensor:
        """`[B]` losses.

        Args:
            log_z: `[B]`, log of the sum of all exponentials.
            own: `[E]`, the logits of the entries.
            mean: `[B]`, mean of all logits; needed with smoothing.
        """
        gap = (log_z[self.row] - own) * self.share
        loss = add_rows_(torch.zeros_like(log_z), self.row, gap)
        if mean is None:
            return loss
        even = torch.where(self.labelled > 0, log_z - mean, 0)
        return (1 - self.smoothing) * loss + self.smoothing * even

    def pull(self, grad: Tensor, log_z: Tensor) -> Pull:
        """The gradient of `(grad * losses).sum()` to the logits, in parts; grad and log_z `[B]`."""
        mass = add_rows_(torch.zeros_like(grad), self.row, self.share) * (1 - self.smoothing)
        push = grad * (mass + self.smoothing * self.labelled)
        size = push.abs().amax() if push.numel() else push.sum()
        size = size.clamp(min=torch.finfo(push.dtype).tiny)
        return Pull(
            offset=(push.abs() / size).log() - log_z,
            sign=push.sign(),
            size=size,
            coefficient=(1 - self.smoothing) * grad[self.row] * self.share,
            even=grad * self.labelled * self.smoothing / max(self.classes, 1),
        )


@dataclass(frozen=True)
class Pull:
    """`size sign_b exp(logit_bc + offset_b) - even_b`, less `coefficient_e` at each entry.

    The weight of an image is inside of the exponential: no pass over the logits multiplies by it.

    Attributes:
        offset: `[B]`, minus infinity where nothing pulls; the exponentials are at most 1.
        sign: `[B]`, -1, 0 or 1.
        size: Scalar above 0.
        coefficient: `[E]`, in the order of `SoftTargets`.
        even: `[B]`, 0 without smoothing.
    """

    offset: Tensor
    sign: Tensor
    size: Tensor
    coefficient: Tensor
    even: Tensor

    def to(self, dtype: torch.dtype) -> Pull:
        """The same of another dtype."""
        return Pull(**{name: of.to(dtype) for name, of in vars(self).items()})


def inside(row: Tensor, index: Tensor, *, images: int, classes: int) -> Tensor:
    """Which entries are of an image and a label that there are: bool `[E]`."""
    return (row >= 0) & (row < images) & (index >= 0) & (index < classes)


def add_rows_(out: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """`out[index_e] += values_e`, in an order that is always the same."""
    if out.device.type == "cpu":
        return out.index_add_(0, index, values)
    # index_add_ has atomics there; this sorts.
    return out.index_put_((index,), values, accumulate=True)
