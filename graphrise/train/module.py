"""The LightningModule: encoder, label head, edge term, and the budget that ends training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphrise.config import RunConfig
from graphrise.errors import ConfigError
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import KINDS
from graphrise.loader.as_read import AsRead
from graphrise.loader.augment import Augment
from graphrise.nn.bank import EmbeddingBank
from graphrise.nn.batch_norm import BatchNorm, batch_norms, statistics_kept
from graphrise.nn.encoder import Encoder
from graphrise.nn.heads import LabelHead, ShardedSoftmax, ignore_tables
from graphrise.nn.heads.collectives import world
from graphrise.nn.regularizer import EdgeRegularizer
from graphrise.train.accumulate import tail_factor
from graphrise.train.adversary import AdversarialPairs, adversarial_pairs
from graphrise.train.average import average_of
from graphrise.train.compared import check_compared, compared
from graphrise.train.compiled import compiler_error
from graphrise.train.edge_terms import EdgeTerm, edge_terms
from graphrise.train.label_head import label_head, recount
from graphrise.train.label_terms import label_terms
from graphrise.train.optimizers import optimizer_of
from graphrise.train.ranks import averaged, gathered, joined, ranks_of, step_counts
from graphrise.train.schedule import edge_ramp, rate
from graphrise.train.step import StepModule


class GraphRise(StepModule):
    """Label cross-entropy plus `alpha` times the edge term (DESIGN section 2).

    Attributes:
        passes: Images encoded for training so far, neighbours included.
        seeds: Labelled images seen so far.
        latest: Loss terms of the last step, detached scalars by name (`label_loss`, `edge_loss`),
            and their weighted sum, `loss`; where they are logged also the parts of `edge_loss` by
            kind of edge (`edge_loss/coclick`), where an edge of several kinds is in each of them.
        embeddings: Of the last step's labelled images, detached `[B, D]`.
        bad_images: Pictures that could not be read so far: node and reason.
    """

    def __init__(
        self,
        config: RunConfig,
        num_labels: int,
        num_labelled: int,
        *,
        bank: EmbeddingBank | None = None,
        labels: Ragged | None = None,
        kinds: Mapping[str, int] = KINDS,
    ) -> None:
        """Build the parts.

        Args:
            config: The run.
            num_labels: C, size of the vocabulary.
            num_labelled: Images with a label: an epoch.
            bank: Past embeddings by node, where neighbours come from there.
            labels: Soft labels by node; in-batch negatives need their frequencies.
            kinds: Bits of the graph's kinds of edges, by name.

        Raises:
            ConfigError: Distances are between predictions, and the head samples labels.
        """
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self._head_of = partial(label_head, config, num_labels, labels)
        # Of several ranks each makes its part of a sampled head, once they know each other.
        later = ranks_of(config.train) > world()[1] and config.head.sampled(num_labels)
        self.head: LabelHead = nn.Identity() if later else self._head_of()  # type: ignore[assignment]
        check_compared(config.edges, self.head)
        self.edge_term = EdgeRegularizer(config.edges.distance)
        self.kinds = dict(kinds)
        self.bank = bank
        self.bank_of: Callable[[], EmbeddingBank | None] = lambda: None
        pictures = not config.encoder.takes_features
        mean, std = self.encoder.mean, self.encoder.std
        self.augment = Augment(config.images, mean, std) if pictures else AsRead()
        ema = config.train.ema
        self.average = None if ema is None else average_of(self.encoder, ema)
        if config.train.compile:
            self.encoder.compile()
        self._epoch_length, self._ahead = num_labelled, 0
        self.passes = 0
        self.seeds = 0
        self.latest: dict[str, Tensor] = {}
        self.embeddings: Tensor | None = None
        self._drawn: EdgeTerm | None = None
        self.bad_images: dict[int, str] = {}

    def configure_model(self) -> None:
        """Of several ranks: make this one's part of the head and tell DDP what is not for it."""
        if isinstance(self.head, nn.Identity):
            self.head = self._head_of()
        if self.bank is None:
            self.bank = self.bank_of()
        if world()[1] > 1:
            ignore_tables(self)

    def embed(self, batch: Data) -> Tensor:
        """Embeddings `[N, D]` of a batch; its last `num_forward` images without gradient.

        With `edges.of` at unnormalized they are not normalised yet.
        """
        x = self._augmented(batch, batch.n_id.numel())
        count = x.size(0)
        trained, norms = count - batch.num_forward, self._norms_apart()
        first = batch.batch_size if norms else trained
        # With gradient first: autocast keeps the weights that it casts, and must not have kept some
        # that were cast without.
        parts = [self._encoded(x[:first])]
        with statistics_kept(norms):
            if first < trained:
                parts.append(self._encode(x, first, trained))
            if trained < count:
                with torch.no_grad():
                    parts.append(self._encode(x, trained, count))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _augmented(self, batch: Data, count: int) -> Tensor:
        """The first images of a batch, unless its loader has done that."""
        if "augmented" in batch:
            return batch.augmented[:count]
        return self.augment(batch["x"][:count], batch.augment[:count])

    def _encode(self, x: Tensor, first: int, end: int) -> Tensor:
        # Never one image by itself: batch normalisation wants two.
        start = max(0, min(first, end - 2))
        return self._encoded(x[start:end])[first - start :]

    def _encoded(self, x: Tensor) -> Tensor:
        if self.config.edges.compares == "unnormalized":
            return self.encoder(x, finish=False)
        return self.encoder(x)

    def _norms_apart(self) -> list[BatchNorm]:
        """Layers by whose statistics labelled images and others are normalised each apart."""
        return batch_norms(self.encoder) if self.config.encoder.bn == "apart" else []

    def losses(self, batch: Data) -> dict[str, Tensor]:
        """Loss terms of one batch (`loader.batch.TrainingLoader` says what it holds).

        Returns:
            Scalars: `label`, cross-entropy of labelled images, and where they are asked for and an
            edge was drawn `edge`, Omega per labelled image; `edge_unlabelled`, likewise of
            unlabelled ones; `edge_label`, cross-entropy of neighbours on the labels of whom they
            are drawn for; `adversarial`, mean distance to adversarial neighbours;
            `adversarial_label`, their cross-entropy.
        """
        edges, step, bank = self.config.edges, self.global_step, self.bank
        z, points = compared(edges, self.encoder, self.head, self.embed(batch), batch.num_forward)
        self.embeddings = z[: batch.batch_size].detach()
        drawn = edge_terms(
            self.edge_term, z, batch, bank,
            compared=points, step=step, max_age=edges.bank.max_age, gate=edges.gate,
        )  # fmt: skip
        pairs = self._adversarial(batch) if self.adversarial_passes(batch) else None
        first = drawn.get("edge")
        self._drawn = None if first is None else first.detached()
        terms = label_terms(
            self.head, z, batch,
            neighbors=edges.label_alpha > 0, edges=first, adversarial=pairs and pairs.z,
        )  # fmt: skip
        terms |= {name: term.mean() for name, term in drawn.items()}
        if pairs is not None:
            terms["adversarial"] = pairs.distance.sum() / batch.batch_size
        if bank is not None:
            nodes = batch.n_id
            # What stands for a picture that could not be read is nobody's embedding.
            kept = ~torch.isin(nodes, batch.bad_node) if "bad_node" in batch else slice(None)
            written, vectors = gathered(nodes[kept], points[kept].detach())
            bank.write(written, vectors, step)
        return terms

    def _adversarial(self, batch: Data) -> AdversarialPairs:
        """Adversarial neighbours of the labelled images, away from running statistics."""
        x = self._augmented(batch, batch.batch_size)
        with statistics_kept(batch_norms(self.encoder)):
            return adversarial_pairs(
                self.config.edges.adversarial, self.edge_term, self.head, batch, x,
                lambda x: compared(self.config.edges, self.encoder, self.head, self._encoded(x)),
                seed=self.config.train.seed, step=self.global_step,
            )  # fmt: skip

    def adversarial_passes(self, batch: Data) -> int:
        """Encoder passes that adversarial neighbours of a batch cost at this part of the budget."""
        made = edge_ramp(self.config.edges, self.fraction()) > 0
        return self.config.edges.adversarial.passes * batch.batch_size if made else 0

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss: labels, and other terms by their weights at this part of the budget.

        Args:
            terms: Scalars by name, as `losses` gives them.
        """
        loss, ramp = terms["label"], edge_ramp(self.config.edges, self.fraction())
        for name, weight in self.config.edges.weights.items():
            if name in terms and ramp * weight > 0:
                loss = loss + ramp * weight * terms[name]
        return loss

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        """One step; counts passes and keeps the terms. `watch.Watch` logs them."""
        try:
            terms = self.losses(batch)
        except ValueError as error:
            apart = bool(self._norms_apart()) or self.adversarial_passes(batch) > 0
            if (batch.batch_size if apart else batch.n_id.numel() - batch.num_forward) > 1:
                raise
            raise ConfigError(
                f"a batch of one image cannot be trained on ({error}): raise train.batch_size, or "
                "label more images"
            ) from error
        except Exception as error:
            if (of_compiler := compiler_error(error)) is not None:
                raise of_compiler from error
            raise
        counts = step_counts(batch, self.adversarial_passes(batch))
        terms = counts.weighed(terms, sharded=isinstance(self.head, ShardedSoftmax))
        loss = self.total(terms)
        if counts.bad:
            bad = "bad_node" in batch
            found = zip(batch.bad_node.tolist(), batch.bad_reason, strict=True) if bad else ()
            self.bad_images.update(joined(dict(found)))
        self.passes += counts.passes
        self.seeds += counts.seeds
        found = self._drawn.by_kind(self.kinds) if self._drawn and self.is_logged() else {}
        parts = {f"edge/{kind}": value for kind, value in found.items()}
        names = ("label", *self.config.edges.weights, *(f"edge/{k}" for k in self.kinds), "loss")
        shown = {**terms, **counts.weighed(parts, sharded=False), "loss": loss}
        self.latest = {_logged_as(name): value for name, value in averaged(shown, names).items()}
        if self.config.train.accumulate > 1:
            batches = int(self.trainer.num_training_batches)
            return loss * tail_factor(self.config.train.accumulate, batch_idx, batches)
        return loss

    def is_logged(self) -> bool:
        """Whether the present step's figures are written: every `watch.every`, and at the end."""
        return (self.global_step + 1) % self.config.watch.every == 0 or self.fraction() >= 1

    def fraction(self) -> float:
        """How much of the budget is used, 0 to 1."""
        train = self.config.train
        used = [0.0]
        if train.passes is not None:
            used.append(self.passes / train.passes)
        if train.epochs is not None:
            used.append((self.seeds + self._ahead) / (train.epochs * self._epoch_length))
        return min(1.0, max(used))

    def relabel(self, labels: Ragged, epochs: int, seeds: int) -> None:
        """Go on with other soft labels: epochs have another length from now on.

        Args:
            labels: Soft labels by node.
            epochs: Epochs that were over when they were made.
            seeds: Labelled images seen by then.
        """
        self._epoch_length = int((labels.counts > 0).sum())
        # What would have been seen by then in epochs of that length.
        self._ahead = epochs * self._epoch_length - seeds
        recount(self.config, self.head, labels)

    def configure_optimizers(self) -> dict[str, Any]:
        """One optimiser of all, whose learning rates follow the budget."""
        optimizer = optimizer_of(self.config, self, self.head)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda _: rate(self.config.train, self.fraction())
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the counters that the budget is measured by."""
        checkpoint["graphrise"] = {
            "passes": self.passes,
            "seeds": self.seeds,
            "bad_images": self.bad_images,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counters back."""
        found = checkpoint["graphrise"]
        self.passes, self.seeds = found["passes"], found["seeds"]
        self.bad_images = dict(found["bad_images"])


def _logged_as(term: str) -> str:
    """`edge` as `edge_loss`, `edge/knn` as `edge_loss/knn`."""
    name, slash, part = term.partition("/")
    return name if name == "loss" else f"{name}_loss{slash}{part}"
