"""Further embeddings that are trained on the labels of an image, each with a weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """V embeddings beside those of B images, for whose labels they stand too.

    A head that is called with them takes `[B + V, D]`, the images first, and label entries of the
    images alone; it draws one sample for all, the same as without them.

    Attributes:
        image: int64 `[V]` in `[0, B)`, whose labels each view is trained on.
        weight: float `[V, T]`, what each counts in each of T sums.
    """

    image: Tensor
    weight: Tensor

    def entries(self, row: Tensor, images: int) -> tuple[Tensor, Tensor]:
        """Label entries of images and views.

        Args:
            row: int64 `[E]` in `[0, B)`, image of each entry of the images.
            images: B.

        Returns:
            int64 `[F]`, place in `[0, B + V)` of what each entry is of, and int64 `[F]`, which
            entry of the images it repeats. The first E are those of the images, in their order.
        """
        order = torch.argsort(row, stable=True)
        count = torch.bincount(row, minlength=images)
        first = (count.cumsum(0) - count)[self.image]
        count = count[self.image]
        view = torch.arange(self.image.numel(), device=row.device).repeat_interleave(count)
        before = count.cumsum(0) - count
        place = torch.arange(view.numel(), device=row.device) + (first - before)[view]
        own = torch.arange(row.numel(), device=row.device)
        return torch.cat((row, images + view)), torch.cat((own, order[place]))


def mean_and_sums(losses: Tensor, views: Views | None) -> Tensor:
    """What a head gives back of its losses.

    Args:
        losses: `[B + V]`, of images and then views.
        views: None: there are none.

    Returns:
        Without views the mean over the images, scalar; with views `[1 + T]`: that mean, and each
        weighted sum of the views' losses over B.
    """
    if views is None:
        return losses.mean() if losses.numel() else losses.sum()
    images = losses.numel() - views.image.numel()
    own, others = losses[:images], losses[images:].unsqueeze(1)
    sums = (others * views.weight.to(others)).sum(dim=0) / max(images, 1)
    return torch.cat((mean_and_sums(own, None).unsqueeze(0), sums))
