"""Squared distances along edges against the plain truth."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.ops import reference
from graphrise.ops.edge_distance import edge_distance

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def drawn(nodes, dim, edges, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(nodes, dim, generator=generator, dtype=torch.float64)
    index = torch.randint(0, max(nodes, 1), (2, edges), generator=generator)
    return z, index


def test_by_hand():
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0]])
    index = torch.tensor([[0, 1, 2, 0], [1, 2, 2, 1]])
    assert edge_distance(z, index).tolist() == [25, 13, 0, 25]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize(("nodes", "dim", "edges"), [(5, 64, 40), (1, 1, 3), (17, 7, 1), (3, 5, 0)])
def test_no_worse_than_plain_torch(dtype, index_dtype, nodes, dim, edges):
    exact, index = drawn(nodes, dim, edges)
    z = exact.to(dtype)
    truth = reference.edge_distance(z.double(), index)
    got = edge_distance(z, index.to(index_dtype))
    assert got.shape == (edges,)
    assert got.dtype == (torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype)
    error = (got.double() - truth).abs()
    plain = (reference.edge_distance(z, index).double() - truth).abs()
    assert (error <= plain + 1e-6 * (1 + truth)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_near_neighbours_keep_their_distance_in_half_precision(dtype):
    z = torch.stack((torch.full((64,), 1.0), torch.full((64,), 1.0 + 2**-7))).to(dtype)
    got = edge_distance(z, torch.tensor([[0], [1]]))
    assert got.item() == pytest.approx(64 * 2**-14, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 30), st.integers(0, 99))
def test_odd_shapes_and_layouts(nodes, dim, edges, seed):
    exact, index = drawn(nodes, dim, edges, seed)
    z = exact.float()
    want = edge_distance(z, index)
    truth = reference.edge_distance(z.double(), index)
    torch.testing.assert_close(want, truth.float())
    wide = torch.stack((z, z), dim=2)[:, :, 0]
    pairs = index.T.contiguous().T
    assert dim == 1 or nodes == 1 or not wide.is_contiguous()
    torch.testing.assert_close(edge_distance(wide, pairs), want, rtol=0, atol=0)
    torch.testing.assert_close(edge_distance(z.T.contiguous().T, index.flip(0)), want)


def test_gradient():
    z, index = drawn(4, 3, 9)
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: edge_distance(x, index), (z,))
    for half in (torch.bfloat16, torch.float16):
        leaf = z.detach().to(half).requires_grad_()
        edge_distance(leaf, index).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.dtype == half


@pytest.mark.parametrize(
    ("z", "index", "message"),
    [
        (torch.ones(3), torch.zeros(2, 1, dtype=torch.long), r"z must be float \[N, D\]"),
        (torch.ones(3, 2, dtype=torch.long), torch.zeros(2, 1, dtype=torch.long), r"torch\.int64"),
        (torch.ones(3, 2), torch.zeros(4, 2, dtype=torch.long), r"edge_index must be \[2, E\]"),
        (torch.ones(3, 2), torch.zeros(2, dtype=torch.long), r"got \[2\]"),
        (torch.ones(3, 2), torch.zeros(2, 1), "int32/int64"),
    ],
)
def test_refuses_other_shapes(z, index, message):
    with pytest.raises(ConfigError, match=message):
        edge_distance(z, index)
