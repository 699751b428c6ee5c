"""What distances are between: embeddings, projections, predictions."""

from typing import Any

import pytest
import torch

from graphrise.config import EdgeConfig
from graphrise.errors import ConfigError
from graphrise.nn.heads import FullSoftmax, LabelTable, SampledSoftmax, Uniform
from graphrise.train.compared import check_compared, compared


def edges_of(of, **more):
    return EdgeConfig(alpha=1.0, of=of, **more)


class Finish:
    """Stands in for the encoder: to finish is to halve."""

    @staticmethod
    def finished(z):
        return z / 2


ENCODER: Any = Finish()
Z = torch.tensor([[2.0, 0.0], [0.0, 4.0], [1.0, 1.0]])


@pytest.fixture
def head():
    torch.manual_seed(0)
    return FullSoftmax(2, 5)


def test_embeddings_are_as_found(head):
    z, points = compared(edges_of("embedding"), ENCODER, head, Z)
    assert z is points is Z


def test_projections_are_finished_for_the_head_only(head):
    z, points = compared(edges_of("unnormalized"), ENCODER, head, Z)
    assert torch.equal(z, Z / 2)
    assert points is Z


@pytest.mark.parametrize("distance", ["squared_l2", "l1", "l2", "cosine"])
def test_predictions_are_probabilities(head, distance):
    z, points = compared(edges_of("predictions", distance=distance), ENCODER, head, Z)
    assert z is Z
    torch.testing.assert_close(points, (Z @ head.weight.T + head.bias).softmax(dim=1))


@pytest.mark.parametrize("distance", ["js", "kl"])
def test_divergences_take_the_softmax_themselves(head, distance):
    _, points = compared(edges_of("predictions", distance=distance), ENCODER, head, Z)
    torch.testing.assert_close(points, Z @ head.weight.T + head.bias)


def test_predictions_of_neighbours_without_gradient_have_none(head):
    z = Z.clone().requires_grad_()
    _, points = compared(edges_of("predictions"), ENCODER, head, z, forward=1)
    both = (points[2] ** 2).sum(), (points[:2] ** 2).sum()
    gradients = [torch.autograd.grad(x, head.weight, retain_graph=True)[0] for x in both]
    assert [bool(g.any()) for g in gradients] == [False, True]


def test_predictions_under_autocast_are_float32(head):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, points = compared(edges_of("predictions"), ENCODER, head, Z)
    assert points.dtype == torch.float32
    torch.testing.assert_close(points.sum(dim=1), torch.ones(3))


def test_where_no_distance_is_asked_for_nothing_is_computed(head):
    _, points = compared(EdgeConfig(of="predictions"), ENCODER, head, Z)
    assert points is Z


def test_predictions_of_a_sampled_head_are_refused(head):
    sampled = SampledSoftmax(LabelTable(5, 2), Uniform(5, 2))
    with pytest.raises(ConfigError, match=r"edges\.of=predictions .* set head\.kind to full"):
        check_compared(edges_of("predictions"), sampled)
    check_compared(edges_of("predictions"), head)
    check_compared(edges_of("unnormalized"), sampled)
    check_compared(EdgeConfig(of="predictions"), sampled)
