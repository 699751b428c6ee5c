"""Cross-entropy of ragged soft labels where the softmax is over a weighted sample of labels."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError


def sampled_cross_entropy(
    logits: Tensor,
    own: Tensor,
    row: Tensor,
    column: Tensor,
    weight: Tensor,
    count: Tensor,
    *,
    smoothing: float = 0.0,
    num_labels: int | None = None,
) -> Tensor:
    """Per-image `- sum_k q_k log(exp(s_k) / Z)`.

    `Z = sum_own exp(own) + sum_c count_c exp(logits_c)`, the second sum over the columns that are
    not the image's own. With counts `1 / P(c is sampled)` of sampled columns (0 of others) Z is an
    unbiased estimate of the sum over all labels; with all columns sampled and counts 1 the loss is
    that of `soft_cross_entropy`.

    Args:
        logits: `[B, R]`.
        own: `[E]`, the logits of the images' own labels (`logits[row, column]`, or less by a
            margin).
        row: int64 `[E]` in `[0, B)`, image of each entry; a pair (row, column) must not repeat.
        column: int64 `[E]` in `[0, R)`, its label's column.
        weight: `[E]`, its share; an image's shares sum to 1, or it has none and loss 0.
        count: `[R]`, what each column counts, not negative.
        smoothing: Epsilon in [0, 1): `q = (1 - epsilon) q_row + epsilon / num_labels`, its sum over
            all labels estimated from the sample.
        num_labels: C, needed with smoothing.

    Returns:
        `[B]` losses.

    Raises:
        ConfigError: Shapes do not fit.
    """
    if (
        logits.dim() != 2
        or count.shape != logits.shape[1:]
        or not (own.shape == row.shape == column.shape == weight.shape)
    ):
        raise ConfigError(
            "sampled_cross_entropy: logits [B, R], count [R], own, row, column, weight [E]; got "
            f"{list(logits.shape)}, {list(count.shape)}, {list(own.shape)}, {list(row.shape)}, "
            f"{list(column.shape)}, {list(weight.shape)}"
        )
    if smoothing and num_labels is None:
        raise ConfigError("sampled_cross_entropy: smoothing needs num_labels")
    log_z, target, total = sampled_sums(
        logits, own, row, column, weight, count, smoothing=smoothing
    )
    return joined_losses(log_z, target, total, row, smoothing=smoothing, num_labels=num_labels or 1)


def sampled_sums(
    logits: Tensor,
    own: Tensor,
    row: Tensor,
    column: Tensor,
    weight: Tensor,
    count: Tensor,
    *,
    smoothing: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """What a part of the columns adds to the loss of each image; arguments as the loss's.

    Returns:
        `log Z` `[B]` of these columns (very low, but finite, without any), the sum of `weight own`
        `[B]`, and with smoothing the estimated sum of the logits `[B]`, else zeros.
    """
    # Finite, so that a row of nothing has a gradient, of 0.
    nothing = torch.finfo(logits.dtype).min / 2
    entries = (row, column)
    shifted = (logits + count.log().clamp(min=nothing)).index_put_(entries, own)
    log_z = shifted.logsumexp(dim=1).clamp(min=nothing)
    zeros = log_z.new_zeros(logits.size(0))
    target = zeros.index_add(0, row, weight * own)
    if smoothing == 0:
        return log_z, target, zeros
    total = logits @ count - zeros.index_add(0, row, count[column] * logits[entries] - own)
    return log_z, target, total


def joined_losses(
    log_z: Tensor,
    target: Tensor,
    total: Tensor,
    row: Tensor,
    *,
    smoothing: float,
    num_labels: int,
) -> Tensor:
    """`[B]` losses from the sums over all columns; of images that no entry names it is 0.

    Args:
        log_z: `[B]`.
        target: `[B]`.
        total: `[B]`.
        row: int64 `[E]`, image of each entry.
        smoothing: Epsilon.
        num_labels: C.
    """
    labelled = torch.zeros_like(log_z, dtype=torch.bool).index_fill(0, row, True)
    log_z = torch.where(labelled, log_z, 0)
    loss = log_z - target
    if smoothing == 0:
        return loss
    mean = torch.where(labelled, total / num_labels, 0)
    return (1 - smoothing) * loss + smoothing * (log_z - mean)
