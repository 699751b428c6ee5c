"""The LightningModule: encoder, label head, edge term, and the budget that ends training."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphrise.config import RunConfig
from graphrise.errors import ConfigError
from graphrise.graph.ragged import Ragged
from graphrise.loader.augment import Augment
from graphrise.nn.bank import EmbeddingBank
from graphrise.nn.encoder import Encoder
from graphrise.nn.regularizer import EdgeRegularizer
from graphrise.train.edge_terms import edge_terms
from graphrise.train.label_head import label_head
from graphrise.train.optimizers import optimizer_of
from graphrise.train.schedule import rate

LOG_EVERY = 10


class GraphRise(lightning.LightningModule):
    """Label cross-entropy plus `alpha` times the edge term (DESIGN section 2).

    Attributes:
        passes: Images encoded for training so far, neighbours included.
        seeds: Labelled images seen so far.
        latest: Loss terms of the last step, detached scalars by name (`label_loss`, `edge_loss`).
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
    ) -> None:
        """Build the parts.

        Args:
            config: The run.
            num_labels: C, size of the vocabulary.
            num_labelled: Images with a label: an epoch.
            bank: Past embeddings by node, where neighbours come from there.
            labels: Soft labels by node; in-batch negatives need their frequencies.
        """
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.head = label_head(config, num_labels, labels)
        self.edge_term = EdgeRegularizer()
        self.bank = bank
        self.augment = Augment(config.images, self.encoder.mean, self.encoder.std)
        self._epoch_length = num_labelled
        self.passes = 0
        self.seeds = 0
        self.latest: dict[str, Tensor] = {}
        self.bad_images: dict[int, str] = {}

    def embed(self, batch: Data) -> Tensor:
        """Embeddings `[N, D]` of a batch; its last `num_forward` images without gradient."""
        x = self.augment(batch.x, batch.augment)
        if not batch.num_forward:
            return self.encoder(x)
        trained = x.size(0) - batch.num_forward
        # With gradient first: autocast keeps the weights that it casts, and must not have kept some
        # that were cast without.
        z = self.encoder(x[:trained])
        # Never one image by itself: batch normalisation wants two.
        last = max(batch.num_forward, 2)
        with torch.no_grad():
            rest = self.encoder(x[-last:])[-batch.num_forward :]
        return torch.cat((z, rest))

    def losses(self, batch: Data) -> dict[str, Tensor]:
        """Loss terms of one batch (`loader.batch.TrainingLoader` says what it holds).

        Returns:
            `label`: cross-entropy, scalar; `edge`: Omega per seed, scalar, absent if no edge was
            drawn; `edge_unlabelled`: likewise of unlabelled images.
        """
        z = self.embed(batch)
        seeds = z[: batch.batch_size]
        label = self.head(seeds, batch.label_row, batch.label_index, batch.label_weight)
        step, bank = self.global_step, self.bank
        max_age = self.config.edges.bank.max_age
        terms = edge_terms(self.edge_term, z, batch, bank, step=step, max_age=max_age)
        if bank is not None:
            nodes = batch.n_id
            # What stands for a picture that could not be read is nobody's embedding.
            kept = ~torch.isin(nodes, batch.bad_node) if "bad_node" in batch else slice(None)
            bank.write(nodes[kept], z[kept], step)
        return {"label": label, **terms}

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        """One step; counts passes and logs the terms."""
        try:
            terms = self.losses(batch)
        except ValueError as error:
            if batch.n_id.numel() - batch.num_forward > 1:
                raise
            raise ConfigError(
                f"a batch of one image cannot be trained on ({error}): raise train.batch_size, or "
                "label more images"
            ) from error
        edges = self.config.edges
        loss = terms["label"]
        for name, alpha in (("edge", edges.alpha), ("edge_unlabelled", edges.alpha_unlabelled)):
            if name in terms:
                loss = loss + alpha * terms[name]
        if "bad_node" in batch:
            found = zip(batch.bad_node.tolist(), batch.bad_reason, strict=True)
            self.bad_images.update(found)
        self.passes += int(batch.n_id.numel())
        self.seeds += int(batch.batch_size)
        self.latest = {f"{name}_loss": value.detach() for name, value in terms.items()}
        if (self.global_step + 1) % LOG_EVERY == 0:
            # Only on the steps that Lightning writes: logging costs a twentieth of a small step.
            values = self.latest | {"passes": float(self.passes)}
            self.log_dict(values, batch_size=batch.batch_size)
        return loss

    def fraction(self) -> float:
        """How much of the budget is used, 0 to 1."""
        train = self.config.train
        used = [0.0]
        if train.passes is not None:
            used.append(self.passes / train.passes)
        if train.epochs is not None:
            used.append(self.seeds / (train.epochs * self._epoch_length))
        return min(1.0, max(used))

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
        checkpoint["graphrise"] = {"passes": self.passes, "seeds": self.seeds}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counters back."""
        self.passes = checkpoint["graphrise"]["passes"]
        self.seeds = checkpoint["graphrise"]["seeds"]
