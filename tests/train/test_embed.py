"""Images encoded without gradient beside those that are trained."""

import pytest
import torch
from torch_geometric.data import Data

from graphrise.errors import ConfigError
from graphrise.loader.augment import DRAWS
from graphrise.train.module import GraphRise

COUNT = 6


@pytest.fixture
def size():
    return 16


@pytest.fixture
def module(make, size):
    torch.manual_seed(0)
    images = {"size": size, "scale": 0.0, "shift": 0.0, "rotate": 0.0, "colour": 0.0}
    return GraphRise(make.small_run(images=images, edges={"alpha": 1.0}), 2, 4)


def batch_of(forward, count=COUNT, size=16):
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    return Data(
        x=x.contiguous(memory_format=torch.channels_last),
        augment=torch.full((count, DRAWS), 0.5),
        n_id=torch.arange(count),
        batch_size=min(2, count - forward),
        num_others=0,
        num_forward=forward,
        num_seed_edges=1,
        edge_index=torch.tensor([[0], [count - 1]]),
        edge_coefficient=torch.ones(1),
        label_row=torch.tensor([0]),
        label_index=torch.tensor([1]),
        label_weight=torch.ones(1),
    )


def gradients(module):
    return {n: p.grad for n, p in module.encoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("forward", [0, 1, 2, 4])
def test_every_image_has_its_embedding(module, forward):
    module.eval()
    z = module.embed(batch_of(forward))
    whole = module.embed(batch_of(0))
    assert z.shape == (COUNT, 8)
    torch.testing.assert_close(z, whole, atol=1e-5, rtol=1e-5)
    if forward:
        assert z.requires_grad
        torch.autograd.grad(z[: COUNT - forward].sum(), module.encoder.projection.weight)


@pytest.mark.parametrize("forward", [1, 2, 4])
def test_gradient_comes_from_the_trained_part_only(module, forward):
    module.eval()
    z = module.embed(batch_of(forward))
    (z[COUNT - forward :] * 5.0).sum().backward()
    assert not any(g.any() for g in gradients(module).values())
    module.zero_grad()
    weight = torch.randn(COUNT, 8)
    (module.embed(batch_of(forward)) * weight).sum().backward()
    found = gradients(module)
    module.zero_grad()
    trained = COUNT - forward
    (module.embed(batch_of(0))[:trained] * weight[:trained]).sum().backward()
    want = gradients(module)
    assert len(found) == len(list(module.encoder.parameters()))
    assert any(g.any() for g in found.values())
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, want[name], atol=1e-4, rtol=1e-3)


# 32 px and not 16: over a 1 x 1 map the bf16 weight gradient of a strided convolution (torch 2.14)
# reads memory that nobody wrote.
@pytest.mark.parametrize("size", [32])
@pytest.mark.parametrize("forward", [1, 3])
def test_under_autocast_the_encoder_still_learns(module, forward, size):
    module.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = module.losses(batch_of(forward, size=size))
    (terms["label"] + terms["edge"]).backward()
    found = gradients(module)
    assert len(found) == len(list(module.encoder.parameters()))
    assert all(g.isfinite().all() for g in found.values())
    assert found["projection.weight"].any()
    assert found[next(iter(found))].any()


def test_one_image_without_gradient_and_batch_normalisation(module):
    module.train()
    z = module.embed(batch_of(1))
    assert z.shape == (COUNT, 8)
    assert z.isfinite().all()
    # Normalised together with its predecessor, whose embedding is the trained one.
    torch.testing.assert_close(z.norm(dim=1), torch.ones(COUNT))
    z.sum().backward()
    assert gradients(module)


def test_one_trained_image_says_what_to_do(module):
    module.train()
    for forward, count in ((0, 1), (1, 2), (3, 4)):
        with pytest.raises(ConfigError, match=r"batch of one image.*raise train\.batch_size"):
            module.training_step(batch_of(forward, count), 0)
