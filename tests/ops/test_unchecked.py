"""Indices and pointers out of range where nobody looks at them, as on a GPU: what is left out.

On a CPU they are always looked at, so the looking is taken away here.
"""

import itertools
import sys
from typing import Any

import pytest
import torch

from graphrise.ops import scatter_index
from graphrise.ops.csr import csr_transpose, row_index, row_lengths
from graphrise.ops.edge_distance import edge_distance
from graphrise.ops.edge_energy import edge_energy, neighbor_distance
from graphrise.ops.edge_kinds import COMPILED
from graphrise.ops.neighbor import neighbor_mean, neighbor_sum
from graphrise.ops.rowwise_adagrad import rowwise_adagrad_
from graphrise.ops.scatter import scatter, scatter_max, scatter_softmax
from graphrise.ops.segment import segment_max, segment_reduce, segment_softmax

BOTH = pytest.mark.backends("torch", "triton")
KINDS = (*COMPILED, "js", "kl")
FAR = 2**62  # times a width of 4 it is 0
POINTERS, COLUMNS = [0, 4, 4, 6], [1, -1, 0, 3, 2, FAR]
"""A graph of three rows; columns out of range at entries 1, 3 and 5."""
LEFT_OUT = torch.tensor([False, True, False, True, False, True])


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    for name, module in list(sys.modules.items()):
        if name.startswith("graphrise.ops") and hasattr(module, "checked_mode"):
            monkeypatch.setattr(module, "checked_mode", lambda _: False)
        if name.startswith("graphrise.ops") and hasattr(module, "by_row"):
            monkeypatch.setattr(module, "by_row", scatter_index.by_sorting)
    # Compiled loops, of CPUs alone, take what was looked at.
    monkeypatch.setattr("graphrise.ops.csr.installed", lambda _: False)


def drawn(*shape, device="cpu"):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator).double().to(device).requires_grad_()


def graph(device):
    """The graph above, and the one that has only what is in range."""
    rowptr, col = (torch.tensor(of, device=device) for of in (POINTERS, COLUMNS))
    lengths = [sum(~LEFT_OUT[a:b]) for a, b in itertools.pairwise(POINTERS)]
    rest = torch.tensor([0, *lengths], device=device).cumsum(0), col[~LEFT_OUT.to(device)]
    return (rowptr, col), rest


def same_gradients(got, want, z, weight):
    """Of results with all entries and of those without what is left out."""
    upstream = torch.randn(want.shape, dtype=want.dtype).to(want)
    torch.testing.assert_close(got, want)
    grads = [torch.autograd.grad(of, (z, weight), upstream) for of in (got, want)]
    torch.testing.assert_close(grads[0][0], grads[1][0])
    torch.testing.assert_close(grads[0][1], grads[1][1])
    assert not grads[0][1][LEFT_OUT.to(z.device)].any()


@BOTH
@pytest.mark.parametrize("symmetric", [False, True])
def test_neighbours(backend, device, symmetric):
    wrong, rest = graph(device)
    z, weight = drawn(3, 5, device=device), drawn(6, device=device)
    how = {"symmetric": symmetric, "backend": backend}
    kept = weight[~LEFT_OUT.to(device)]
    got, want = neighbor_sum(z, *wrong, weight, **how), neighbor_sum(z, *rest, kept, **how)
    same_gradients(got, want, z, weight)
    # What is left out counts.
    count = row_lengths(wrong[0], 6).clamp(min=1).unsqueeze(1)
    plain = neighbor_sum(z, *rest, **how) / count
    torch.testing.assert_close(neighbor_mean(z, *wrong, **how), plain)
    assert not neighbor_sum(z[:0], *wrong, backend=backend).any()


@BOTH
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_energy(backend, device, kind, symmetric):
    if kind not in COMPILED and backend != "torch":
        pytest.skip("that is torch's")
    wrong, rest = graph(device)
    z, weight = drawn(3, 5, device=device), drawn(6, device=device)
    how: dict[str, Any] = {"kind": kind, "backend": backend}
    kept = weight[~LEFT_OUT.to(device)]
    got = edge_energy(z, *wrong, weight, symmetric=symmetric, **how)
    want = edge_energy(z, *rest, kept, symmetric=symmetric, **how)
    same_gradients(got, want, z, weight)
    far = neighbor_distance(z, *wrong, **how)
    torch.testing.assert_close(far[~LEFT_OUT.to(device)], neighbor_distance(z, *rest, **how))
    assert not far[LEFT_OUT.to(device)].any()


@BOTH
@pytest.mark.parametrize("kind", COMPILED)
def test_pointers_of_distances_stay_in_memory(backend, device, kind):
    z = drawn(4, 3, device=device)
    col = torch.tensor([1, 0, 2], device=device)
    # Cut to [0, 3) two rows have all entries and two have none.
    wrong = torch.tensor([0, 9, 2, -5, 2**40], device=device)
    far = neighbor_distance(z, wrong, col, kind, backend=backend)
    assert far.shape == (3,)
    energy = edge_energy(z, wrong, col, kind=kind, backend=backend)
    (grad,) = torch.autograd.grad(energy, z)
    assert grad.shape == z.shape
    # Entries before the first row and past the last are of none.
    wrong = torch.tensor([1, 1, 2, 2, 2], device=device)
    far = neighbor_distance(z, wrong, col, kind, backend=backend)
    only = edge_distance(z, torch.tensor([[1], [0]], device=device), kind, backend="torch")
    torch.testing.assert_close(far, torch.cat((only.new_zeros(1), only, only.new_zeros(1))))


@pytest.mark.backends("torch")
@pytest.mark.parametrize("kind", KINDS)
def test_edges(backend, device, kind):
    z = drawn(3, 5, device=device)
    wrong = torch.tensor([[0, 1, -1, 2, 1], [2, FAR, 0, 3, 0]], device=device)
    far = edge_distance(z, wrong, kind, backend=backend)
    want = edge_distance(z, wrong[:, [0, 4]], kind, backend=backend)
    torch.testing.assert_close(far[[0, 4]], want)
    assert not far[1:4].any()
    grads = [torch.autograd.grad(of.square().sum(), z)[0] for of in (far, want)]
    torch.testing.assert_close(*grads)
    assert not edge_distance(z[:0], wrong, kind, backend=backend).any()


@BOTH
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("reduce", ["sum", "mean", "mul", "max", "min"])
def test_scatter(backend, device, reduce, deterministic):
    index = torch.tensor([-1, 0, 7, 1, 0, FAR], device=device)
    backend = "torch" if reduce == "mul" else backend
    how = {"dim_size": 2, "reduce": reduce, "deterministic": deterministic, "backend": backend}
    src = drawn(6, 4, device=device)
    src.data[0] = torch.inf  # it must not be met, in gradients neither
    kept = (index >= 0) & (index < 2)
    want = scatter(src[kept], index[kept], 0, **how)
    for to in (index, index.unsqueeze(1).repeat(1, 4)):
        got = scatter(src, to, 0, **how)
        torch.testing.assert_close(got, want)
        grads = [torch.autograd.grad(of.sum(), src, retain_graph=True)[0] for of in (got, want)]
        torch.testing.assert_close(*grads)
        assert not grads[0][~kept].any()


@BOTH
def test_extremes_are_of_entries_that_are_in_range(backend, device):
    index = torch.tensor([-1, 0, 7, 1, 0, 2**40], device=device)
    src = torch.tensor([9.0, 1.0, 9.0, 2.0, 3.0, 9.0], device=device)
    value, arg = scatter_max(src, index, 0, None, 3, backend=backend)
    assert (value.tolist(), arg.tolist()) == ([3.0, 2.0, 0.0], [4, 3, 6])


@BOTH
def test_softmax_in_any_order(backend, device):
    index = torch.tensor([-1, 0, 7, 1, 0, FAR], device=device)
    src = drawn(6, 4, device=device)
    kept = (index >= 0) & (index < 2)
    got = scatter_softmax(src, index, 0, 2, backend=backend)
    want = torch.zeros_like(got)
    want[kept] = scatter_softmax(src[kept], index[kept], 0, 2, backend=backend)
    torch.testing.assert_close(got, want)
    grads = [torch.autograd.grad(of.square().sum(), src)[0] for of in (got, want)]
    torch.testing.assert_close(*grads)


@BOTH
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_segments(backend, device, dtype):
    """The first entry is before all, the last two are past all."""
    rowptr = torch.tensor([1, 3, 3, 4], dtype=dtype, device=device)
    src = drawn(6, 3, device=device)
    mine = rowptr - 1, src[1:4]
    for reduce in ("sum", "mean", "max", "min"):
        got = segment_reduce(src, rowptr, reduce, backend=backend)
        want = segment_reduce(mine[1], mine[0], reduce, backend=backend)
        torch.testing.assert_close(got, want)
        grads = [torch.autograd.grad(of.square().sum(), src)[0] for of in (got, want)]
        torch.testing.assert_close(*grads)
    arg = segment_max(src, rowptr, backend=backend)[1]
    assert arg[1].tolist() == [6] * 3
    got, want = segment_softmax(src, rowptr, backend=backend), src.new_zeros(6, 3)
    want[1:4] = segment_softmax(mine[1], mine[0], backend=backend)
    torch.testing.assert_close(got, want)
    grads = [torch.autograd.grad(of.square().sum(), src)[0] for of in (got, want)]
    torch.testing.assert_close(*grads)


@BOTH
def test_pointers_of_means_are_cut(backend, device):
    src = torch.tensor([1.0, 2.0, 6.0], device=device)
    rowptr = torch.tensor([0, 2, 9], device=device)
    assert segment_reduce(src, rowptr, "mean", backend=backend).tolist() == [1.5, 6.0]


@BOTH
def test_rows_of_a_table(backend, device):
    table, state = torch.ones(3, 2, device=device), torch.zeros(3, device=device)
    rows, grads = torch.tensor([-1, 2, 3, 2, FAR], device=device), torch.ones(5, 2, device=device)
    rowwise_adagrad_(table, state, rows, grads, lr=0.5, backend=backend)
    assert state.tolist() == [0.0, 0.0, 4.0]
    assert table.tolist() == [[1.0] * 2, [1.0] * 2, [0.5] * 2]


def test_rows_of_entries():
    rowptr = torch.tensor([1, 3, 3, 4], dtype=torch.int32)
    assert row_index(rowptr, 6).tolist() == [3, 0, 0, 2, 3, 3]
    assert row_lengths(rowptr, 6).tolist() == [2, 0, 1]
    falling = torch.tensor([0, 9, 2, -5, 2**40])
    assert all(0 <= row <= 4 for row in row_index(falling, 3).tolist())
    assert row_lengths(falling, 3).tolist() == [3, 0, 0, 3]


def test_transposed():
    start, row, order = csr_transpose(torch.tensor(POINTERS), torch.tensor(COLUMNS), 3)
    assert start.tolist() == [1, 2, 3, 4]
    assert order[1:4].tolist() == [2, 0, 4]
    assert row[1:4].tolist() == [0, 0, 2]
    assert sorted(order.tolist()) == list(range(6))
