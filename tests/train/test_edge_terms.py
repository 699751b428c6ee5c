"""The edge terms by hand: neighbours in the batch, from the bank, and of unlabelled images."""

import math

import pytest
import torch
from torch_geometric.data import Data

from graphrise.nn.bank import EmbeddingBank
from graphrise.nn.regularizer import EdgeRegularizer
from graphrise.train.edge_terms import edge_terms


def embeddings():
    """Labelled images 0 and 1, unlabelled 2, neighbour 3."""
    return torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [1.0, 1.0]], requires_grad=True)


def batch_of(edges=(), cut=0, banked=(), bank_cut=0):
    """Edges and banked edges are (row, column or node, coefficient)."""
    row, col, coefficient = torch.tensor(edges, dtype=torch.float32).reshape(-1, 3).T
    batch = Data(
        edge_index=torch.stack((row, col)).long(),
        edge_coefficient=coefficient,
        batch_size=2,
        num_others=1,
        num_seed_edges=cut,
    )
    row, node, coefficient = torch.tensor(banked, dtype=torch.float32).reshape(-1, 3).T
    batch.bank_row, batch.bank_node = row.long(), node.long()
    batch.bank_coefficient, batch.num_seed_bank = coefficient, bank_cut
    return batch


@pytest.fixture
def bank():
    """Node 5 is of step 8, node 6 of step 2, node 7 was never written."""
    bank = EmbeddingBank(9, 2)
    bank.write(torch.tensor([5]), torch.tensor([[0.0, 2.0]]), 8)
    bank.write(torch.tensor([6]), torch.tensor([[4.0, 0.0]]), 2)
    return bank


def terms(batch, z=None, *args, **options):
    found = edge_terms(EdgeRegularizer(), embeddings() if z is None else z, batch, *args, **options)
    return {name: value.mean().item() for name, value in found.items()}


def test_edges_inside_the_batch():
    # d(0, 1) = 9, d(0, 3) = 2, d(1, 3) = 5; of the unlabelled image d(2, 3) = 1.
    edges = [(0, 1, 0.5), (0, 3, 2.0), (1, 3, 1.0), (2, 3, 3.0)]
    want = {"edge": (4.5 + 4 + 5) / 2, "edge_unlabelled": 3.0}
    assert terms(batch_of(edges, 3)) == pytest.approx(want)
    assert terms(batch_of(edges[:3], 3)) == pytest.approx({"edge": want["edge"]})
    assert terms(batch_of(edges[3:], 0)) == pytest.approx({"edge_unlabelled": 3.0})
    assert terms(batch_of()) == {}


def test_the_mean_is_over_all_unlabelled_images():
    batch = batch_of([(2, 3, 3.0)], 0)
    batch.num_others = 4
    assert terms(batch) == pytest.approx({"edge_unlabelled": 0.75})


# d(0, node 5) = 4, d(1, node 6) = 1, d(2, node 5) = 1, and d to node 7 would be 0, 9 and 1.
BANKED = [(0, 5, 1.0), (1, 6, 10.0), (1, 7, 100.0), (2, 5, 6.0), (2, 7, 50.0)]


@pytest.mark.parametrize(
    ("max_age", "edge", "unlabelled"),
    [(None, 4 + 10, 6.0), (8, 4 + 10, 6.0), (7, 4, 6.0), (2, 4, 6.0), (1, 0, 0.0)],
)
def test_the_bank_by_age(bank, max_age, edge, unlabelled):
    found = terms(batch_of((), 0, BANKED, 3), None, bank, step=10, max_age=max_age)
    assert found == pytest.approx({"edge": edge / 2, "edge_unlabelled": unlabelled})


def test_the_batch_and_the_bank_together(bank):
    edges = [(0, 1, 0.5), (2, 3, 3.0)]
    found = terms(batch_of(edges, 1, BANKED, 3), None, bank, step=10)
    want = {"edge": (4.5 + 4 + 10) / 2, "edge_unlabelled": 3 + 6.0}
    assert found == pytest.approx(want)
    # A batch without such edges has nothing to do with the bank.
    plain = batch_of(edges, 1)
    del plain.bank_row
    assert terms(plain, None, bank, step=10) == pytest.approx(
        {"edge": 2.25, "edge_unlabelled": 3.0}
    )


def test_gradient_goes_to_the_batch_alone(bank):
    z = embeddings()
    before = bank.table.clone()
    found = edge_terms(EdgeRegularizer(), z, batch_of((), 0, BANKED, 3), bank, step=10)
    (found["edge"].mean() + found["edge_unlabelled"].mean()).backward()
    # d/dz of c |z_0 - z_5|^2 / 2 with c = 1: (0, -2); c = 10 to node 6: (-10, 0).
    assert z.grad is not None
    assert z.grad.tolist() == [[0.0, -2.0], [-10.0, 0.0], [0.0, -12.0], [0.0, 0.0]]
    assert torch.equal(bank.table, before)
    assert not bank.table.requires_grad


def test_a_neighbour_without_gradient_gets_none():
    z = embeddings()
    moved = torch.cat((z[:3], z[3:].detach()))
    edge_terms(EdgeRegularizer(), moved, batch_of([(0, 3, 1.0)], 1))["edge"].mean().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [[-1.0, -1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]


def cosine(u, v):
    return (u[0] * v[0] + u[1] * v[1]) / math.hypot(*u) / math.hypot(*v)


@pytest.mark.parametrize("gate", [0.5, 1.0, 3.0])
def test_the_gate_counts_edges_by_agreement(bank, gate):
    # Image 0 has no direction and node 5 is at a right angle to image 1: both count nothing.
    points = [[0.0, 0.0], [3.0, 1.0], [-1.0, 1.0], [1.0, 1.0]]
    z = torch.tensor(points, requires_grad=True)
    edges = [(0, 3, 1.0), (1, 3, 2.0), (1, 2, 5.0), (2, 3, 7.0)]
    batch = batch_of(edges, 3, [(1, 5, 1.5), (1, 6, 0.5), (1, 7, 9.0)], 3)
    found = edge_terms(EdgeRegularizer(), z, batch, bank, step=10, gate=gate)
    past = {5: (0.0, 2.0), 6: (4.0, 0.0)}
    want = 2.0 * cosine(points[1], points[3]) ** gate * 4
    want += 1.5 * cosine(points[1], past[5]) ** gate * 10
    want += 0.5 * cosine(points[1], past[6]) ** gate * 2
    assert found["edge"].mean().item() == pytest.approx(want / 2, rel=1e-5)
    # Images 2 and 3 are at a right angle, and 1 and 2 at more.
    assert found["edge_unlabelled"].mean().item() == pytest.approx(0, abs=1e-5)


def test_the_gate_has_no_gradient():
    z = torch.tensor([[1.0, 0.0], [3.0, 4.0]], requires_grad=True)
    batch = batch_of([(0, 1, 2.0)], 1)
    edge_terms(EdgeRegularizer(), z, batch, gate=1.0)["edge"].mean().backward()
    # The cosine 0.6 stands before 2 |z_0 - z_1|^2 / 2 as a number does.
    assert z.grad is not None
    torch.testing.assert_close(z.grad, 0.6 * 2 * torch.tensor([[-2.0, -4.0], [2.0, 4.0]]))


def test_distances_are_between_what_is_compared():
    z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [1.0, 0.0]])
    compared = torch.tensor([[0.0], [5.0], [6.0], [8.0]])
    batch = batch_of([(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0)], 2)
    assert terms(batch, z, compared=compared) == {"edge": (25 + 1) / 2, "edge_unlabelled": 4}
    # The gate is that of the embeddings all the same.
    gated = terms(batch, z, compared=compared, gate=1.0)
    assert gated["edge"] == pytest.approx((0.6 * 25 + 0.8 * 1) / 2)


def test_parts_by_kind(bank):
    kinds = {"coclick": 1, "similar": 2, "knn": 4, "given": 8}
    batch = batch_of([(0, 1, 0.5), (0, 3, 2.0), (2, 3, 3.0)], 2, BANKED, 3)
    batch.edge_kind = torch.tensor([1, 5, 4])
    batch.bank_kind = torch.tensor([4, 2, 8, 1, 1])
    found = edge_terms(EdgeRegularizer(), embeddings(), batch, bank, step=10)
    # Of image 0's edges 0-1 is co-click (4.5), 0-3 co-click and kNN (4), that to node 5 kNN (4);
    # image 1's are similar (10) and, to what the bank has not seen, given.
    parts = found["edge"].by_kind(kinds)
    want = {"coclick": 4.25, "knn": 4.0, "similar": 5.0, "given": 0.0}
    assert {name: value.item() for name, value in parts.items()} == pytest.approx(want)
    assert not any(value.requires_grad for value in parts.values())
    assert set(found["edge_unlabelled"].by_kind(kinds)) == {"knn", "coclick"}
    # Without several kinds at once they add up to the term.
    batch.edge_kind = torch.tensor([1, 4, 4])
    found = edge_terms(EdgeRegularizer(), embeddings(), batch, bank, step=10)["edge"]
    assert sum(found.by_kind(kinds).values()).item() == pytest.approx(found.mean().item())  # pyright: ignore


def test_a_term_to_be_kept_is_without_gradient():
    found = edge_terms(EdgeRegularizer(), embeddings(), batch_of([(0, 3, 1.0)], 1))["edge"]
    assert found.distance.requires_grad
    assert not found.detached().distance.requires_grad
    assert torch.equal(found.detached().mean(), found.mean())
