"""Batch normalisation of labelled images and others apart, against statistics by hand."""

import copy

import pytest
import torch
from torch import nn

from graphrise.errors import ConfigError

ALL = list(range(6))


class Pixel(nn.Module):
    """One pixel of each image, batch-normalised: what it gives is easily said."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.norm(x[:, :, 0, 0])


def module_of(make, loop, bn="apart", **stages):
    module = loop.module(make, encoder={"bn": bn}, **stages)
    module.train()
    return module


def pixels(batch):
    return (batch.x[:, :, 0, 0].double() / 255 - 0.5) / 0.5


def normalised(x):
    return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()


@pytest.mark.parametrize("forward", [0, 2, 3])
def test_by_hand(make, loop, forward):
    """Three labelled images; of the other three some without gradient."""
    module = module_of(make, loop)
    module.encoder = Pixel()
    batch = loop.batch(ALL, seeds=3, forward=forward)
    # One trained neighbour: normalised with the last labelled image, since one has no variance.
    rest = [(2, 4, 1), (4, 6, 0)] if forward == 2 else [(3, 6, 0)]
    parts = [(0, 3, 0), *rest]
    x = pixels(batch)
    want = torch.cat([normalised(x[a:b])[skip:] for a, b, skip in parts])
    z = module.embed(batch)
    torch.testing.assert_close(z.double(), want, atol=1e-4, rtol=1e-4)
    norm = module.encoder.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean.double(), 0.1 * x[:3].mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        norm.running_var.double(), 0.9 + 0.1 * x[:3].var(0), atol=1e-5, rtol=1e-5
    )
    assert norm.num_batches_tracked == 1
    assert (norm.momentum, norm.track_running_stats) == (0.1, True)


def test_shared_normalises_all_that_are_trained_as_one(make, loop):
    module = module_of(make, loop, bn="shared")
    module.encoder = Pixel()
    batch = loop.batch(ALL, seeds=3)
    want = normalised(pixels(batch))
    torch.testing.assert_close(module.embed(batch).double(), want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("forward", [0, 1, 4])
def test_labelled_images_alone_make_the_running_statistics(make, loop, forward, size):
    module = module_of(make, loop, images={"size": size})
    alone = copy.deepcopy(module)
    batch = loop.batch(ALL, seeds=2, forward=forward, size=size)
    module.embed(batch)
    alone.embed(loop.batch(ALL[:2], size=size))
    for name, value in alone.encoder.state_dict().items():
        assert torch.equal(module.encoder.state_dict()[name], value), name


def test_neighbours_change_no_labelled_embedding(make, loop):
    module = module_of(make, loop)
    first, other = (loop.batch([0, 1, 2, *rest], seeds=3) for rest in ([3, 4], [7, 8]))
    assert torch.equal(module.embed(first)[:3], module.embed(other)[:3])
    shared = module_of(make, loop, bn="shared")
    assert not torch.equal(shared.embed(first)[:3], shared.embed(other)[:3])


@pytest.mark.parametrize("forward", [0, 1])
def test_one_neighbour(make, loop, forward):
    module = module_of(make, loop)
    z = module.embed(loop.batch([0, 1, 2], seeds=2, forward=forward))
    assert z.shape == (3, 8)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(3))
    z[2].sum().backward() if forward == 0 else z[0].sum().backward()
    assert all(p.grad is not None for p in module.encoder.parameters())


def test_one_labelled_image_says_what_to_do(make, loop):
    module = module_of(make, loop)
    with pytest.raises(ConfigError, match=r"batch of one image.*raise train\.batch_size"):
        module.training_step(loop.batch([0, 1, 2], seeds=1), 0)


def test_in_evaluation_mode_it_is_the_same(make, loop):
    embedded = []
    for bn in ("apart", "shared"):
        module = module_of(make, loop, bn=bn).eval()
        embedded.append(module.embed(loop.batch(ALL, seeds=2, forward=1)))
    torch.testing.assert_close(*embedded)


def test_without_batch_normalisation_it_does_nothing(make, loop):
    runs = []
    for bn in ("shared", "apart"):
        module = loop.module(make, encoder={"bn": bn, "name": "test_convnext"})
        calls = []
        module.encoder.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        runs.append(module.embed(loop.batch(ALL, seeds=2)))
        assert len(calls) == 1
    assert torch.equal(*runs)


def test_the_backward_pass_reaches_both_parts(make, loop):
    module = module_of(make, loop, edges={"alpha": 1.0})
    terms = module.losses(loop.batch(ALL, seeds=3))
    terms["edge"].backward()
    gradient = next(module.encoder.backbone.parameters()).grad
    assert gradient.isfinite().all()
    assert gradient.any()
