"""What an optimiser step is made of, beside the loss."""

from __future__ import annotations

from typing import Any

import lightning
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor
from torch.optim import Optimizer

from graphrise.config import RunConfig
from graphrise.nn.batch_norm import batch_norms, statistics_kept
from graphrise.nn.clip import clip_grad_norm_
from graphrise.nn.encoder import Encoder
from graphrise.nn.heads import FullSoftmax, LabelHead


class StepModule(lightning.LightningModule):
    """Backward pass, clipping, and the average of the weights.

    Attributes:
        config: The run.
        encoder: What is trained.
        head: What scores its embeddings; one that is no `FullSoftmax` has a `table` of rows.
        average: Of the encoder's weights, if there is to be one.
    """

    config: RunConfig
    encoder: Encoder
    head: LabelHead
    average: ModelEmaV3 | None

    @property
    def exported(self) -> Encoder:
        """The encoder that is judged and kept: the average of its weights, if there is one."""
        return self.encoder if self.average is None else self.average.module

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """The backward pass, in which checkpointed parts of the encoder run once more."""
        # Their images have been counted in the running statistics already.
        again = batch_norms(self.encoder) if self.config.encoder.checkpointing else []
        with statistics_kept(again):
            super().backward(loss, *args, **kwargs)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the joint norm of all gradients, those of a sampled head's rows too."""
        if self.config.train.clip is not None:
            trained = [p for p in self.parameters() if p.requires_grad]
            tables = [] if isinstance(self.head, FullSoftmax) else [self.head.table]
            clip_grad_norm_(trained, tables, self.config.train.clip)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One step, after which the average follows."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update(self.encoder, step=self.global_step + 1)
