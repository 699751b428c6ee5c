"""Clipping under the trainer: by the norm of all gradients, a sampled head's rows included."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision

from graphrise.nn.heads import FullSoftmax

SGD = {"optimizer": "sgd", "momentum": 0.0, "lr": 1.0}
ENCODER = {"name": "test_convnext", "normalize": False}
SAMPLED = {"kind": "sampled", "num_negatives": 3, "negatives": "uniform"}
SAMPLED |= {"optimizer": "sgd", "lr": 1.0, "weight_decay": 0.0}


class Norms(Callback):
    """Joint norm of what a step changed, learning rate 1."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.before = {k: v.clone() for k, v in everything(pl_module).items()}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        moved = [v - self.before[k] for k, v in everything(pl_module).items()]
        self.norm = torch.linalg.vector_norm(torch.cat([m.flatten() for m in moved])).item()


def everything(module):
    found = {k: v.detach() for k, v in module.named_parameters()}
    if not isinstance(module.head, FullSoftmax):
        found["table"] = module.head.table.weight
    return found


@pytest.mark.parametrize("head", [{}, SAMPLED])
def test_a_step_is_no_longer_than_the_bound(make, loop, tmp_path, head):
    norms = {}
    for clip in (None, 1e4, 0.01):
        module = loop.module(make, encoder=ENCODER, head=head, train=SGD | {"clip": clip})
        watch = Norms()
        loop.fit(module, [loop.batch([0, 1, 2, 3])], tmp_path, watch)
        norms[clip] = watch.norm
    assert norms[None] > 0.05
    assert norms[1e4] == norms[None]
    assert norms[0.01] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("head", [{}, SAMPLED])
def test_scaled_gradients_are_clipped_as_they_are_unscaled(make, loop, tmp_path, head):
    train = SGD | {"clip": 0.01, "precision": "16-mixed"}
    module = loop.module(make, encoder=ENCODER, head=head, train=train)
    watch = Norms()
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    loop.fit(module, [loop.batch([0, 1, 2, 3])], tmp_path, watch, plugins=[plugin])
    assert watch.norm == pytest.approx(0.01, rel=1e-2)
