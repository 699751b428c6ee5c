"""From a run's settings to its label head and what updates it."""

from __future__ import annotations

import numpy as np
import torch
from torch.optim import Optimizer

from graphrise.config import HeadConfig, RunConfig
from graphrise.errors import ConfigError
from graphrise.graph.ragged import Ragged
from graphrise.nn.heads import (
    FullSoftmax,
    InBatch,
    LabelTable,
    LogitRule,
    LogUniform,
    Mixed,
    PartialFC,
    SampledSoftmax,
    Uniform,
)
from graphrise.nn.heads.negatives import Negatives
from graphrise.nn.rowwise import RowwiseAdagrad, RowwiseSGD


def label_head(
    config: RunConfig, num_labels: int, labels: Ragged | None = None
) -> FullSoftmax | SampledSoftmax:
    """The head that `config.head` describes.

    Args:
        config: The run.
        num_labels: C.
        labels: Soft labels by node, whose frequencies in-batch negatives are corrected by.

    Raises:
        ConfigError: More negatives than labels, or in-batch ones without `labels`.
    """
    head = config.head
    rule = LogitRule(
        scale=head.scale if config.encoder.normalize else None,
        margin=None if head.margin == "none" else head.margin,
        margin_size=head.margin_size,
    )
    dim = config.encoder.dim
    if not head.sampled(num_labels):
        return FullSoftmax(dim, num_labels, rule=rule, smoothing=head.smoothing)
    seed = config.train.seed
    table = LabelTable(num_labels, dim, dtype=getattr(torch, head.dtype), seed=seed)
    if head.kind == "partial_fc":
        count = head.num_negatives
        return PartialFC(table, count, rule=rule, smoothing=head.smoothing, seed=seed)
    negatives = _negatives(head, num_labels, labels, seed)
    return SampledSoftmax(table, negatives, rule=rule, smoothing=head.smoothing)


def _negatives(head: HeadConfig, num_labels: int, labels: Ragged | None, seed: int) -> Negatives:
    count, replacement = head.num_negatives, head.replacement
    if head.negatives == "uniform":
        return Uniform(num_labels, count, replacement=replacement, seed=seed)
    if head.negatives == "log_uniform":
        return LogUniform(num_labels, count, replacement=replacement, seed=seed)
    if labels is None:
        raise ConfigError(f"head.negatives={head.negatives} needs the labels' frequencies")
    frequency = np.bincount(labels.index, weights=labels.weight, minlength=num_labels)
    in_batch = InBatch(torch.from_numpy(frequency))
    if head.negatives == "in_batch":
        return in_batch
    return Mixed(in_batch, LogUniform(num_labels, count, seed=seed))


def row_optimizer(config: RunConfig, head: FullSoftmax | SampledSoftmax) -> Optimizer | None:
    """What updates the head's rows; None if its weights are parameters as others are."""
    if isinstance(head, FullSoftmax):
        return None
    settings, seed = config.head, config.train.seed
    kind = RowwiseAdagrad if settings.optimizer == "adagrad" else RowwiseSGD
    decay = settings.weight_decay
    return kind([head.table], lr=settings.lr, weight_decay=decay, seed=seed)
