"""Encoding parts of the backbone again in the backward pass changes no number."""

import pytest
import torch

from graphrise.config import EncoderConfig
from graphrise.errors import ConfigError
from graphrise.nn.encoder import Encoder


@pytest.mark.parametrize("bn", ["shared", "apart"])
@pytest.mark.parametrize("forward", [0, 2])
def test_trains_bit_for_bit_the_same(make, loop, tmp_path, forward, bn):
    runs = []
    for checkpointing in (False, True):
        encoder = {"checkpointing": checkpointing, "bn": bn}
        module = loop.module(make, encoder=encoder, edges={"alpha": 1.0}, train={"lr": 0.01})
        batches = [
            loop.batch([i, i + 1, i + 2, i + 3, 9, 8], seeds=3, forward=forward) for i in range(3)
        ]
        loop.fit(module, batches, tmp_path)
        runs.append(module.state_dict())
    # Running statistics too: an image that is encoded twice counts once in them.
    for name, value in runs[0].items():
        assert torch.equal(runs[1][name], value), name


def test_less_is_kept_for_the_backward_pass():
    sizes = []
    for checkpointing in (False, True):
        encoder = Encoder(EncoderConfig(name="test_resnet", checkpointing=checkpointing))
        kept = []

        def keep(tensor, kept=kept):
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            encoder(torch.randn(2, 3, 64, 64))
        sizes.append(sum(kept))
    assert sizes[1] < 0.6 * sizes[0]


def test_a_model_that_has_none_says_so():
    with pytest.raises(ConfigError, match=r"encoder\.checkpointing: timm has none for .*.dla46_c"):
        Encoder(EncoderConfig(name="dla46_c", checkpointing=True))
