"""Distances along edges: every kind and backend against the plain truth."""

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.ops import reference
from graphrise.ops.edge_distance import edge_distance
from graphrise.ops.edge_kinds import COMPILED, Kind

KINDS = get_args(Kind)
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
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("nodes", "dim", "edges"), [(5, 64, 40), (1, 1, 3), (17, 7, 1), (3, 5, 0)])
@pytest.mark.backends("torch", "numba")
def test_no_worse_than_plain_torch(backend, device, dtype, kind, nodes, dim, edges):
    if backend == "numba" and (kind not in COMPILED or dtype in (torch.float16, torch.bfloat16)):
        pytest.skip("that is torch's")
    exact, index = drawn(nodes, dim, edges)
    z = exact.to(dtype).to(device)
    truth = reference.edge_distance(z.double(), index, kind)
    # Loops of float64 are compiled for one type of index.
    given = index if dtype == torch.float64 else index.int()
    got = edge_distance(z, given, kind, backend=backend)
    assert got.shape == (edges,)
    assert got.dtype == (torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype)
    error = (got.double() - truth).abs()
    plain = (reference.edge_distance(z, index, kind).double() - truth).abs()
    assert (error <= plain + 1e-6 * (1 + truth)).all()


def test_kinds_by_hand():
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0], [4.0, -3.0], [6.0, 8.0]], dtype=torch.float64)
    index = torch.tensor([[1, 1, 1], [0, 2, 3]])
    assert edge_distance(z, index, "squared_l2").tolist() == [25, 50, 25]
    assert edge_distance(z, index, "l2").tolist() == [5, math.sqrt(50), 5]
    assert edge_distance(z, index, "l1").tolist() == [7, 8, 7]
    assert edge_distance(z, index, "cosine").tolist() == pytest.approx([1, 1, 0])
    p, q = 1 / (1 + math.e), 0.5
    kl = p * math.log(p / q) + (1 - p) * math.log((1 - p) / q)
    assert edge_distance(z, index, "kl")[0].item() == pytest.approx(kl)
    apart = torch.tensor([[0.0, 1000.0], [1000.0, 0.0]])
    assert edge_distance(apart, torch.tensor([[0], [1]]), "js").item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_near_neighbours_keep_their_distance_in_half_precision(dtype):
    z = torch.stack((torch.full((64,), 1.0), torch.full((64,), 1.0 + 2**-7))).to(dtype)
    got = edge_distance(z, torch.tensor([[0], [1]]))
    assert got.item() == pytest.approx(64 * 2**-14, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.backends("torch", "numba")
def test_rows_without_distance_or_direction(backend, device, kind):
    """Equal rows have gradient 0; a row of zeros has cosine 0 and no gradient; nothing is NaN."""
    if backend == "numba" and kind not in COMPILED:
        pytest.skip("that is torch's")
    z = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [1e-30, 0.0]], device=device)
    z.requires_grad_()
    index = torch.tensor([[0, 2, 3], [1, 0, 2]], device=device)
    far = edge_distance(z, index, kind, backend=backend)
    # By edge, since a row has several.
    for edge, (first, second) in enumerate(index.T.tolist()):
        (grad,) = torch.autograd.grad(far[edge], z, retain_graph=True)
        assert bool(grad.isfinite().all())
        if first == 0:
            torch.testing.assert_close(grad, torch.zeros_like(z), rtol=0, atol=1e-6)
        if kind == "cosine" and second in (0, 2):
            assert far[edge].item() == 1
            assert not grad.any()


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.backends("torch", "numba")
def test_gradient(backend, device, kind):
    if backend == "numba" and kind not in COMPILED:
        pytest.skip("that is torch's")
    z, index = (of.to(device) for of in drawn(4, 3, 9))
    # A node's distance to itself has no derivative where it is a root or a sum of absolutes.
    index = index[:, index[0] != index[1]]
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: edge_distance(x, index, kind, backend=backend), (z,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_gradient_no_worse_than_plain_torch(dtype, kind):
    exact, index = drawn(6, 13, 40)
    upstream = torch.rand(40, dtype=torch.float64).to(dtype)

    def gradient(of, x, up):
        leaf = x.detach().requires_grad_()
        (of(leaf, index, kind) * up).sum().backward()
        assert leaf.grad.dtype == x.dtype
        return leaf.grad.double()

    z = exact.to(dtype)
    truth = gradient(reference.edge_distance, z.double(), upstream.double())
    plain = (gradient(reference.edge_distance, z, upstream) - truth).abs().max()
    got = gradient(edge_distance, z, upstream.to(torch.float32))
    plain = plain if bool(plain.isfinite()) else 0.0
    assert float((got - truth).abs().max()) <= float(plain) + 1e-6 * float(truth.abs().max())


# opcheck looks at the gradient of a tensor that is none of its leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.backends("torch", "numba")
def test_registered_with_torch(backend, device):
    z, index = (of.to(device) for of in drawn(6, 5, 20))
    z.requires_grad_()
    op = torch.ops.graphrise.edge_distance.default
    torch.library.opcheck(op, (z, index, "l2", backend))
    want = edge_distance(z, index, backend=backend)
    compiled = torch.compile(edge_distance, fullgraph=True, backend="aot_eager")
    got = compiled(z, index, backend=backend)
    assert torch.equal(got, want)
    (grad,) = torch.autograd.grad(got.sum(), z)
    assert torch.equal(grad, torch.autograd.grad(want.sum(), z)[0])


@pytest.mark.parametrize("kind", ["squared_l2", "cosine"])
def test_threads_change_nothing(kind):
    z, index = drawn(50, 40, 5000)
    z = z.requires_grad_()
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3, 3):
            torch.set_num_threads(threads)
            far = edge_distance(z, index, kind, backend="numba")
            found.append((far, torch.autograd.grad(far.sum(), z)[0]))
    finally:
        torch.set_num_threads(before)
    for far, grad in found[1:]:
        assert torch.equal(far, found[0][0])
        assert torch.equal(grad, found[0][1])


def test_large_batches_are_compiled_and_small_ones_are_not(monkeypatch):
    from graphrise.ops.cpu import edge_distance as loops

    ran = []
    monkeypatch.setattr(loops, "distances_", lambda out, *rest: ran.append(out.numel()))
    edge_distance(torch.zeros(2, 64), torch.zeros(2, 4096, dtype=torch.int64))
    assert ran == []
    edge_distance(torch.zeros(2, 64), torch.zeros(2, 4097, dtype=torch.int64))
    assert ran == [4097]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_refuses_indices_out_of_range(backend, place):
    index = torch.tensor([[0, 1], [1, 2]])
    index[place, 1] = 3
    with pytest.raises(DataError, match=rf"edge_index\[{place}\]\[1\] is 3; it must lie in"):
        edge_distance(torch.zeros(3, 2), index, backend=backend)


def test_refuses_unknown_kinds_and_backends():
    z, index = torch.zeros(3, 2), torch.tensor([[0], [1]])
    unknown: Any = "l3"
    with pytest.raises(ConfigError, match="kind 'l3' is none of squared_l2, l2, l1, cosine"):
        edge_distance(z, index, unknown)
    with pytest.raises(ConfigError, match="none of its torch"):
        edge_distance(z, index, "kl", backend="numba")


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
