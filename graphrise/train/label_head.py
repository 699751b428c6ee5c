"""From a run's settings to its label head and what updates it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch.optim import Optimizer

from graphrise.config import HeadConfig, RunConfig
from graphrise.errors import ConfigError
from graphrise.graph.ragged import Ragged
from graphrise.nn.heads import (
    FullSoftmax,
    InBatch,
    LabelHead,
    LabelTable,
    LogitRule,
    LogUniform,
    Mixed,
    PartialFC,
    SampledSoftmax,
    ShardedSoftmax,
    Uniform,
    shard_bounds,
)
from graphrise.nn.heads.collectives import world
from graphrise.nn.heads.negatives import Negatives
from graphrise.nn.rowwise import RowwiseAdagrad, RowwiseRMSprop, RowwiseSGD


def label_head(config: RunConfig, num_labels: int, labels: Ragged | None = None) -> LabelHead:
    """The head that `config.head` describes; of several ranks each owns a slice of sampled labels.

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
    (rank, ranks), seed, corrected = world(), config.train.seed, head.kind != "partial_fc"
    begin, end = shard_bounds(num_labels, rank, ranks)
    dtype = getattr(torch, head.dtype)
    table = LabelTable(end - begin, dim, dtype=dtype, seed=seed, first=begin)
    if ranks == 1 and not corrected:
        count = head.num_negatives
        return PartialFC(table, count, rule=rule, smoothing=head.smoothing, seed=seed)
    uniform = dataclasses.replace(head, negatives="uniform", replacement=False)
    negatives = _negatives(head if corrected else uniform, num_labels, labels, seed)
    if ranks == 1:
        return SampledSoftmax(table, negatives, rule=rule, smoothing=head.smoothing)
    return ShardedSoftmax(
        table, negatives, rule=rule, smoothing=head.smoothing, corrected=corrected
    )


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


def recount(config: RunConfig, head: LabelHead, labels: Ragged) -> None:
    """Correct in-batch negatives by the frequencies of other soft labels, if the head has some.

    Args:
        config: The run.
        head: Its label head.
        labels: Soft labels by node.
    """
    of_batch = config.head.negatives in ("in_batch", "mixed")
    if of_batch and config.head.kind != "partial_fc" and not isinstance(head, FullSoftmax):
        count, seed = head.negatives.num_labels, config.train.seed
        head.negatives = _negatives(config.head, count, labels, seed)


def row_optimizer(config: RunConfig, head: LabelHead) -> Optimizer | None:
    """What updates the head's rows; None if its weights are parameters as others are."""
    if isinstance(head, FullSoftmax):
        return None
    settings, seed = config.head, config.train.seed
    kinds = {"adagrad": RowwiseAdagrad, "rmsprop": RowwiseRMSprop, "sgd": RowwiseSGD}
    kind = kinds[settings.optimizer]
    decay = settings.weight_decay
    return kind([head.table], lr=settings.lr, weight_decay=decay, seed=seed)
