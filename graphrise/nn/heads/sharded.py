"""The sampled softmax over a label table whose rows lie on several ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphrise.errors import ConfigError, DataError
from graphrise.nn.bank import EmbeddingBank
from graphrise.nn.heads.checks import demand_finite
from graphrise.nn.heads.collectives import (
    add_up,
    gather_embeddings,
    gather_rows,
    largest,
    world,
)
from graphrise.nn.heads.logits import LogitRule
from graphrise.nn.heads.negatives import Negatives
from graphrise.nn.heads.sampled import best_labels, chosen
from graphrise.nn.heads.shard_rows import shard_rows
from graphrise.nn.heads.table import LabelTable
from graphrise.nn.heads.views import Views, mean_and_sums
from graphrise.ops.sampled_cross_entropy import joined_losses, sampled_sums

_WRONG = (
    "nothing",
    "embeddings must be [B, D] with the table's D, and row, index and weight all [E]",
    "row must be in [0, B)",
    "labels must be in [0, C)",
)


class ShardedSoftmax(nn.Module):
    """`SampledSoftmax` or `PartialFC` of a label table that is cut into slices, one a rank.

    Each rank encodes images of its own and owns the rows `shard_bounds(C, rank, world_size)`.
    Embeddings and labels are gathered, every rank draws the same sample and computes the logits of
    all images for those of the labels that are its own; maxima and sums are reduced. The loss is
    the mean over the images of all ranks and the same on each, equal to that of the unsharded head
    on the joined batch. The gradient of a row stays with its owner, that of an embedding goes to
    the rank of its image, times the number of ranks: average the encoder's gradients, as
    DistributedDataParallel does, and they are those of the loss.

    Every rank has to call it, with or without images, and to run the backward pass; an error of one
    rank's input is raised on all. Make it after the process group (under Lightning in
    `configure_model`); without one it is the unsharded head. Before a module that holds it goes
    into DistributedDataParallel: `ignore_tables(module)`.

    A rank's table has gradients that others do not see. To clip by the norm of all gradients, call
    `nn.clip_grad_norm_`, which gives every rank the same factor. Where a slice's gradient is not
    finite, the others' are made so too in the backward pass, so that a gradient scaler skips the
    step, and changes its scale, on all ranks; without a scaler it spoils a row of each slice.

    Attributes:
        table: This rank's label vectors; update them with `nn.RowwiseRMSprop([head.table])`.
        step: int64 scalar, training steps so far; the same on all ranks.
    """

    step: Tensor

    def __init__(
        self,
        table: LabelTable,
        negatives: Negatives,
        *,
        rule: LogitRule | None = None,
        smoothing: float = 0.0,
        corrected: bool = True,
    ) -> None:
        """Make the head.

        Args:
            table: This rank's rows: `LabelTable(end - begin, D, first=begin)`.
            negatives: Draws from all C labels, with the same settings and seed on every rank.
            rule: Logits; None: inner products.
            smoothing: Label smoothing epsilon in [0, 1), spread over all C labels.
            corrected: As `SampledSoftmax` (True) or as `PartialFC`.

        Raises:
            ConfigError: The table is not this rank's slice, there are fewer labels than ranks, or
                smoothing is out of range.
        """
        super().__init__()
        rank, ranks = world()
        begin, end = shard_bounds(negatives.num_labels, rank, ranks)
        if (table.first, table.num_labels) != (begin, end - begin):
            raise ConfigError(
                f"sharded softmax: rank {rank} of {ranks} owns {end - begin} labels from {begin} "
                f"on, but its table has {table.num_labels} from {table.first} on; make it with "
                "shard_bounds, after the process group"
            )
        if not 0 <= smoothing < 1:
            raise ConfigError(f"sharded softmax: smoothing must lie in [0, 1), got {smoothing}")
        self.table, self.negatives, self._corrected = table, negatives, corrected
        self.rule, self.smoothing = rule or LogitRule(), smoothing
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(
        self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor, views: Views | None = None
    ) -> Tensor:
        """Mean over the images of all ranks of `- sum_k q_k log p_k`.

        In training mode every call is a step and has a sample of its own.

        Args:
            z: Embeddings `[B, D]` of this rank's images; B may be 0 and differ between ranks. With
                views `[B + V, D]`.
            row: int64 `[E]` in `[0, B)`, image of each label entry.
            index: int64 `[E]` in `[0, C)`, its label, whoever owns it.
            weight: float `[E]`, its share; an image's shares sum to 1, or it has none and loss 0.
            views: Further embeddings that are trained on the labels of this rank's images; V may be
                0 and differ, but either all ranks have views, of one T, or none has.

        Returns:
            Scalar loss, float32 (float64 with such tables), equal on all ranks; with views
            `[1 + T]`: that loss, and the weighted sums of all views over the images of all ranks.

        Raises:
            ConfigError: The ranks are at different steps, or not all have views.
            DataError: Shapes do not fit, or a row or a label is out of range, on any rank.
        """
        images, entries, counts, learn = self._agree(z, row, index, weight, views)
        dtype = self.table.state.dtype
        z = z.to(dtype)
        # A rank without images has perhaps no encoder pass, but the backward pass must reach it.
        z = z if z.requires_grad or not learn else z.detach().requires_grad_()
        offset = sum(images[: world()[0]])
        row, index = gather_rows(torch.stack((row + offset, index), 1).to(z.device), entries).T
        weight = gather_rows(weight.to(z), entries)
        z, rest = z[: images[world()[0]]], z[images[world()[0]] :]
        z = gather_embeddings(z, images)
        drawn = self.negatives.draw(int(self.step), index)
        if self.training:
            self.step += 1
        if views is not None:
            image = gather_rows((views.image + offset).to(z.device), counts)
            views = Views(image, gather_rows(views.weight.to(z), counts))
            row, entry = views.entries(row, len(z))
            z = torch.cat((z, gather_embeddings(rest, counts)))
            index, weight = index[entry], weight[entry]
        labels, own, count = chosen(drawn, index, corrected=self._corrected)
        # Not under autocast, as in SampledSoftmax.
        with torch.autocast(z.device.type, enabled=False):
            losses = self._losses(z, labels, count.to(dtype), row, own, weight)
        return mean_and_sums(losses, views)

    def _agree(
        self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor, views: Views | None
    ) -> tuple[list[int], list[int], list[int], bool]:
        """Images, entries and views of each rank; whether one wants a gradient of embeddings."""
        learn = torch.is_grad_enabled() and z.requires_grad
        count, sums = (0, -1) if views is None else views.weight.shape
        images = len(z) - count
        wrong = self._wrong(z, images, row, index, weight)
        mine = [images, row.numel(), count, sums, wrong, learn, int(self.step)]
        ranks = world()[1]
        heads = gather_rows(torch.tensor([mine], device=z.device), [1] * ranks)
        all_images, entries, counts, all_sums, wrongs, learns, steps = heads.T.tolist()
        for rank, of in enumerate(wrongs):
            if of:
                raise DataError(f"sharded softmax: {_WRONG[of]}; they are not on rank {rank}")
        if len(set(steps)) > 1:
            raise ConfigError(
                f"sharded softmax: the ranks are at steps {steps} and would draw different "
                "samples; load the same checkpoint on all and call the head equally often"
            )
        if len(set(all_sums)) > 1:
            raise ConfigError(
                "sharded softmax: some ranks have views and others none, or of other sums; give "
                "all of them views, empty ones where there are none"
            )
        return all_images, entries, counts, any(learns)

    def _wrong(self, z: Tensor, images: int, row: Tensor, index: Tensor, weight: Tensor) -> int:
        """Which of `_WRONG` this rank's input is."""
        flat = row.dim() == 1 and row.shape == index.shape == weight.shape
        if not flat or z.dim() != 2 or z.size(1) != self.table.dim:
            return 1
        if not row.numel():
            return 0
        # Elsewhere an image of another rank, or a label of nobody, would be meant: no error there.
        if bool((row.min() < 0) | (row.max() >= images)):
            return 2
        return 3 if bool((index.min() < 0) | (index.max() >= self.negatives.num_labels)) else 0

    def _losses(
        self, z: Tensor, labels: Tensor, count: Tensor, row: Tensor, own: Tensor, weight: Tensor
    ) -> Tensor:
        """`[B]` losses of all images: `sampled_cross_entropy` with its sums over all ranks."""
        first, size = self.table.first, self.table.num_labels
        bounds = torch.tensor((first, first + size), device=labels.device)
        begin, end = torch.searchsorted(labels, bounds).tolist()
        logits = self.rule.all(z, shard_rows(self.table, labels[begin:end] - first, z.device))
        here = (own >= begin) & (own < end)
        entries = at, column = row[here], own[here] - begin
        mine, count = self.rule.own(logits[entries]), count[begin:end]
        log_z, target, total = sampled_sums(
            logits, mine, at, column, weight[here], count, smoothing=self.smoothing
        )
        # A rank without any of the labels has next to nothing to add.
        top = largest(log_z)
        exponentials, target, total = add_up(torch.stack((torch.exp(log_z - top), target, total)))
        return joined_losses(
            top + exponentials.log(),
            target,
            total,
            row,
            smoothing=self.smoothing,
            num_labels=self.negatives.num_labels,
        )

    @torch.no_grad()
    def top_labels(self, z: Tensor, k: int, block: int = 1 << 16) -> tuple[Tensor, Tensor]:
        """The k labels, of all ranks, of the largest logits; every rank asks for its own images.

        Args:
            z: Embeddings `[B, D]`; B may be 0 and differ between ranks.
            k: At most C, the same on all ranks.
            block: Labels at a time; the memory is that of `[images of all ranks, block]` logits.

        Returns:
            Logits float `[B, k]`, falling, and labels int64 `[B, k]`.

        Raises:
            ConfigError: k is out of range.
            DataError: An embedding, of any rank, holds NaN or infinity.
        """
        if not 1 <= k <= self.negatives.num_labels:
            raise ConfigError(f"top_labels: k must be in 1..{self.negatives.num_labels}, got {k}")
        rank, ranks = world()
        images = gather_rows(torch.tensor([len(z)], device=z.device), [1] * ranks).tolist()
        z = gather_rows(z.to(self.table.state.dtype), images)
        demand_finite(z, images)
        best, rows = best_labels(self.table, self.rule, z, k, block)
        # A rank may own fewer than k; what fills up is below every logit.
        fill = (0, k - best.size(1))
        best = nn.functional.pad(best, fill, value=-torch.inf)
        label = nn.functional.pad(rows + self.table.first, fill)
        size = [len(z)] * ranks
        best = torch.cat(gather_rows(best, size).chunk(ranks), 1).split(images)[rank]
        label = torch.cat(gather_rows(label, size).chunk(ranks), 1).split(images)[rank]
        best, at = best.topk(k, dim=1)
        return best, label.gather(1, at)


def shard_bounds(num_labels: int, rank: int, world_size: int) -> tuple[int, int]:
    """The labels `[begin, end)` that a rank owns; the numbers of labels differ by at most one.

    Args:
        num_labels: C.
        rank: In `[0, world_size)`.
        world_size: At most C.

    Raises:
        ConfigError: There are fewer labels than ranks, or the rank is none of them.
    """
    if not 0 <= rank < world_size:
        raise ConfigError(f"shard_bounds: rank must be in [0, {world_size}), got {rank}")
    if num_labels < world_size:
        raise ConfigError(
            f"shard_bounds: {num_labels} labels for {world_size} ranks; each must own at least "
            "one, take fewer ranks"
        )
    return rank * num_labels // world_size, (rank + 1) * num_labels // world_size


def ignore_tables(module: nn.Module) -> None:
    """Tell DistributedDataParallel to leave alone the tables that a module holds.

    It copies rank 0's buffers to all ranks, which would overwrite slices of labels or fail at their
    shapes, and send a bank's embeddings around at every step.

    Args:
        module: What is going to be wrapped; names it already ignores stay ignored.
    """
    kept = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
    for path, part in module.named_modules():
        if isinstance(part, (LabelTable, EmbeddingBank)):
            kept |= {f"{path}.{name}" if path else name for name, _ in part.named_buffers()}
    # What DistributedDataParallel reads; torch has no public way to set it.
    module._ddp_params_and_buffers_to_ignore = sorted(kept)  # type: ignore[assignment]
