"""Adversarial neighbours of functions whose gradients are known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.nn.adversarial import fgsm, random_directions, steepest, vat


def pictures(count=3, seed=0):
    return torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def norm_of(move, norm):
    return torch.linalg.vector_norm(move.flatten(1), ord=2 if norm == "l2" else math.inf, dim=1)


def test_steepest_by_hand():
    gradient = torch.tensor([[3.0, -4.0], [0.0, 0.0], [0.0, 1e-30], [math.nan, 2.0]])
    want = torch.tensor([[0.6, -0.8], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(steepest(gradient, "l2"), want)
    signs = torch.tensor([[1.0, -1.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert torch.equal(steepest(gradient, "infinity"), signs)
    infinite = torch.tensor([[math.inf, -math.inf, 5.0]])
    assert torch.equal(steepest(infinite, "l2"), torch.tensor([[0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("norm", ["l2", "infinity"])
def test_fgsm_of_a_linear_loss(norm):
    # <w, x>: up its gradient w, each picture by itself, however much its loss is weighted.
    x, w, weight = pictures(), pictures(1, seed=1), torch.tensor([1.0, 1e-3, 7.0])
    x.requires_grad_()
    moved = fgsm(x, lambda y: ((y * w).flatten(1).sum(1) * weight).sum(), size=0.5, norm=norm)
    step = w / w.norm() if norm == "l2" else w.sign()
    torch.testing.assert_close(moved, (x + 0.5 * step).detach())
    assert not moved.requires_grad
    assert x.grad is None


@settings(max_examples=30, deadline=None)
@given(
    norm=st.sampled_from(["l2", "infinity"]),
    size=st.floats(1e-3, 10),
    seed=st.integers(0, 100),
)
def test_steps_are_of_the_length_asked_for_and_raise_the_loss(norm, size, seed):
    x = pictures(seed=seed)
    aim = pictures(seed=seed + 1)

    def loss(y):
        return ((y - aim) ** 2).flatten(1).sum(1)

    moved = fgsm(x, loss, size=size, norm=norm)
    torch.testing.assert_close(
        norm_of(moved - x, norm), torch.full((3,), size), rtol=1e-3, atol=1e-5
    )
    # The loss is convex: no step up its gradient can lower it.
    assert (loss(moved) > loss(x)).all()


def linear_distance(x, matrix):
    """`|A (y - x)|^2`, whose most sensitive direction is A's first singular vector."""
    return lambda y: ((y - x).flatten(1) @ matrix.T).square().sum(1)


def test_vat_is_the_power_iteration():
    x, start = pictures(2), pictures(2, seed=5)
    matrix = torch.randn(6, 48, generator=torch.Generator().manual_seed(2))
    direction = start.flatten(1)
    for steps in (1, 2, 5):
        moved = vat(x, linear_distance(x, matrix), start, size=0.3, norm="l2", steps=steps)
        want = direction.clone()
        for _ in range(steps):
            want = want @ matrix.T @ matrix
            want = want / want.norm(dim=1, keepdim=True)
        torch.testing.assert_close((moved - x).flatten(1), 0.3 * want, atol=1e-5, rtol=1e-4)
        assert not moved.requires_grad
    first = torch.linalg.svd(matrix)[2][0]
    moved = vat(x, linear_distance(x, matrix), start, size=1.0, norm="l2", steps=200)
    torch.testing.assert_close(
        ((moved - x).flatten(1) @ first).abs(), torch.ones(2), atol=1e-3, rtol=0
    )


def test_vat_within_a_cube():
    x, start = pictures(2), pictures(2, seed=5)
    matrix = torch.randn(6, 48, generator=torch.Generator().manual_seed(2))
    moved = vat(x, linear_distance(x, matrix), start, size=0.3, norm="infinity")
    want = (start.flatten(1).sign() @ matrix.T @ matrix).sign()
    torch.testing.assert_close((moved - x).flatten(1), 0.3 * want)


def test_vat_asks_once_a_step():
    seen = []

    def distance(y):
        seen.append(y.shape)
        return (y**2).flatten(1).sum(1)

    vat(pictures(), distance, pictures(seed=1), size=1.0, norm="l2", steps=4)
    assert seen == [(3, 3, 4, 4)] * 4


def test_a_distance_that_nothing_changes_moves_nothing():
    x = pictures()
    moved = vat(x, lambda y: 0 * y.flatten(1).sum(1), pictures(seed=1), size=1.0, norm="l2")
    assert torch.equal(moved, x)


def test_the_layout_of_pictures_stays():
    x = pictures().contiguous(memory_format=torch.channels_last)
    start = random_directions(x, 0, 0)
    for moved in (
        fgsm(x, lambda y: (y**2).sum(), size=1.0, norm="l2"),
        vat(x, lambda y: (y**2).flatten(1).sum(1), start, size=1.0, norm="infinity"),
    ):
        assert moved.is_contiguous(memory_format=torch.channels_last)


def test_no_picture():
    x = pictures()[:0]
    assert fgsm(x, lambda y: (y**2).sum(), size=1.0, norm="l2").shape == x.shape


def test_random_directions_follow_from_seed_and_step():
    x, before = pictures(40), torch.get_rng_state()
    first = random_directions(x, 3, 7)
    assert torch.equal(first, random_directions(x, 3, 7))
    for seed, step in ((3, 8), (4, 7), (7, 3)):
        assert not torch.equal(first, random_directions(x, seed, step))
    # Of 1,920 normal numbers mean and deviation lie within five of their own deviations.
    assert abs(first.mean().item()) < 5 / math.sqrt(1920)
    assert abs(first.std().item() - 1) < 5 / math.sqrt(2 * 1920)
    assert torch.equal(torch.get_rng_state(), before)
