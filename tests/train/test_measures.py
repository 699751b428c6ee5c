"""Figures of a step on hand-made cases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from graphrise.nn.heads import FullSoftmax, LabelTable, LogUniform, SampledSoftmax
from graphrise.nn.rowwise import RowwiseSGD, Together
from graphrise.train.measures import embedding_measures, gradient_norms, learning_rates


def measured(rows):
    found = embedding_measures(torch.tensor(rows))
    return {name: float(value) for name, value in found.items()}


def test_orthogonal_embeddings_are_spread_over_all_directions():
    found = measured([[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]])
    assert found["embedding_norm"] == pytest.approx(4.0)
    assert found["embedding_spread"] == pytest.approx(1.0)
    # Three points differ in two directions, equally.
    assert found["embedding_rank"] == pytest.approx(2.0)


def test_equal_directions_are_collapse_whatever_their_lengths():
    found = measured([[1.0, 2.0], [2.0, 4.0], [0.5, 1.0]])
    assert found["embedding_spread"] == pytest.approx(0.0, abs=1e-6)
    assert measured([[3.0, 4.0]] * 5)["embedding_rank"] == pytest.approx(0.0, abs=1e-3)


def test_opposite_embeddings_are_spread_most():
    found = measured([[1.0, 0.0], [-1.0, 0.0]])
    assert found["embedding_spread"] == pytest.approx(2.0)
    assert found["embedding_rank"] == pytest.approx(1.0)


def test_spread_is_by_pairs_of_different_images():
    # Cosines of the three pairs: 0, 1 / sqrt(2), 1 / sqrt(2).
    found = measured([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert found["embedding_spread"] == pytest.approx(1 - math.sqrt(2) / 3)


def test_one_image_has_a_length_only():
    assert measured([[3.0, 4.0]]) == {"embedding_norm": pytest.approx(5.0)}


def test_zeros_and_half_precision_are_measured():
    assert all(math.isfinite(v) for v in measured([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]).values())
    half = embedding_measures(torch.eye(4, dtype=torch.float16))
    assert float(half["embedding_spread"]) == pytest.approx(1.0, abs=1e-3)


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 99))
def test_spread_and_rank_of_any_batch_are_those_of_the_definition(count, dim, seed):
    z = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)).double() + 0.3
    found = embedding_measures(z)
    unit = z / z.norm(dim=1, keepdim=True)
    cosines = [float(unit[i] @ unit[j]) for i in range(count) for j in range(count) if i != j]
    expected = 1 - sum(cosines) / len(cosines)
    assert float(found["embedding_spread"]) == pytest.approx(expected, abs=1e-5)
    values = torch.linalg.eigvalsh((unit - unit.mean(0)).T @ (unit - unit.mean(0)))
    if float(values.sum()) > 1e-3:
        rank = float(values.sum() ** 2 / values.square().sum())
        assert float(found["embedding_rank"]) == pytest.approx(rank, rel=1e-3)
        assert 0.999 <= rank <= min(dim, count - 1) + 1e-3


def test_gradient_norms_are_apart():
    encoder, head = nn.Linear(2, 2), FullSoftmax(2, 3)
    encoder.weight.grad = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    encoder.bias.grad = torch.tensor([0.0, 4.0])
    head.weight.grad = torch.full((3, 2), 2.0)
    found = gradient_norms(encoder, head)
    assert float(found["grad_norm/encoder"]) == pytest.approx(5.0)
    assert float(found["grad_norm/head"]) == pytest.approx(math.sqrt(6 * 4))


def test_rows_of_a_label_table_have_a_gradient_too():
    head = sampled_head()
    assert float(gradient_norms(nn.Linear(2, 2), head)["grad_norm/head"]) == 0
    head.table.add_gradient(torch.tensor([1, 4]), torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    assert float(gradient_norms(nn.Linear(2, 2), head)["grad_norm/head"]) == pytest.approx(5.0)


class Parts(nn.Module):
    """An encoder of a backbone and a projection."""

    def __init__(self):
        super().__init__()
        self.backbone, self.projection = nn.Linear(2, 2), nn.Linear(2, 2)


def sampled_head():
    return SampledSoftmax(LabelTable(6, 2), LogUniform(6, 2, seed=0))


def test_rates_are_named_by_what_they_move():
    encoder, head = Parts(), FullSoftmax(2, 3)
    every = [*encoder.parameters(), *head.parameters()]
    one = torch.optim.SGD([{"params": every[:3]}, {"params": every[3:]}], lr=0.5)
    assert learning_rates(one, encoder, head) == {"lr": 0.5}
    groups = [
        {"params": list(encoder.backbone.parameters()), "lr": 0.1},
        {"params": [*encoder.projection.parameters(), *head.parameters()]},
        {"params": []},
    ]
    apart = torch.optim.SGD(groups, lr=0.5)
    assert learning_rates(apart, encoder, head) == {"lr/backbone": 0.1, "lr": 0.5}


def test_a_table_has_its_own_rate():
    encoder, head = Parts(), sampled_head()
    optimizer = Together(
        torch.optim.SGD(encoder.parameters(), lr=0.5), RowwiseSGD([head.table], lr=0.8)
    )
    assert learning_rates(optimizer, encoder, head) == {"lr": 0.5, "lr/head": 0.8}
