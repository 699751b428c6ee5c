"""Sums of neighbours' rows: every backend against the reference in float64."""

from typing import Any

import pytest
import torch

from graphrise.errors import ConfigError, DataError
from graphrise.ops import reference
from graphrise.ops.neighbor import neighbor_mean, neighbor_sum

CASES = {
    # degrees of the rows, rows of z, D
    "odd": ([3, 0, 1, 17, 5], 7, 13),
    "small": ([3, 0, 1], 3, 2),
    "wide": ([2, 4, 40], 9, 64),
    "one row": ([1], 1, 1),
    "one huge row": ([0, 300, 0], 11, 5),
    "no entry": ([0, 0, 0], 4, 3),
    "no row": ([], 4, 3),
    "no column": ([2, 1], 3, 0),
}
LOOSE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}


def graph(degrees, num_z, index=torch.int64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rowptr = torch.tensor([0, *torch.tensor(degrees, dtype=torch.int64).cumsum(0).tolist()])
    col = torch.randint(0, num_z, (int(rowptr[-1]),), generator=generator)
    return rowptr.to(index), col.to(index)


def numbers(case, dtype=torch.float64, seed=1):
    degrees, num_z, dim = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(num_z, dim, generator=generator, dtype=torch.float64)
    weight = torch.rand(sum(degrees), generator=generator, dtype=torch.float64)
    return z.to(dtype), weight.to(dtype)


def moved(args, device) -> dict[str, Any]:
    return {name: None if of is None else of.to(device) for name, of in args.items()}


def as_exact_as_torch(got, plain, truth, dtype):
    """Error against the float64 truth is at most plain torch's in this dtype, and a bit."""
    scale = float(truth.abs().max()) if truth.numel() else 0.0
    error = (got.double() - truth).abs().max() if truth.numel() else torch.zeros(())
    theirs = (plain.double() - truth).abs().max() if truth.numel() else torch.zeros(())
    assert float(error) <= float(theirs) + LOOSE[dtype] * scale


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weighted", [True, False])
def test_equals_reference(backend, device, case, weighted):
    rowptr, col = graph(*CASES[case][:2])
    z, weight = numbers(case)
    weight = weight if weighted else None
    want = reference.neighbor_sum(z, rowptr, col, weight)
    args = {"z": z, "rowptr": rowptr, "col": col, "weight": weight}
    got = neighbor_sum(**moved(args, device), backend=backend)
    torch.testing.assert_close(got.cpu(), want, rtol=0, atol=1e-12)


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_as_exact_as_plain_torch(backend, device, dtype, index):
    if backend == "numba" and dtype != torch.float32:
        pytest.skip("halves are torch's")
    for case in ("odd", "wide", "one huge row"):
        degrees, num_z, _ = CASES[case]
        rowptr, col = graph(degrees, num_z, index)
        z, weight = numbers(case, dtype)
        truth = reference.neighbor_sum(z.double(), rowptr, col, weight.double())
        plain = reference.neighbor_sum(z, rowptr, col, weight)
        args = {"z": z, "rowptr": rowptr, "col": col, "weight": weight}
        got = neighbor_sum(**moved(args, device), backend=backend)
        assert got.dtype == dtype
        as_exact_as_torch(got.cpu(), plain, truth, dtype)


@pytest.mark.backends("torch", "numba", "triton")
def test_gradients(backend, device):
    rowptr, col = (of.to(device) for of in graph(*CASES["small"][:2]))
    z, weight = (of.to(device).requires_grad_() for of in numbers("small"))

    def weighted(z, weight):
        return neighbor_sum(z, rowptr, col, weight, backend=backend)

    assert torch.autograd.gradcheck(weighted, (z, weight))
    assert torch.autograd.gradcheck(lambda z: neighbor_mean(z, rowptr, col, backend=backend), (z,))
    assert torch.autograd.gradcheck(
        lambda z, weight: neighbor_mean(z, rowptr, col, weight, backend=backend), (z, weight)
    )


# opcheck looks at the gradient of a tensor that is none of its leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.backends("torch", "numba", "triton")
def test_registered_with_torch(backend, device):
    rowptr, col = (of.to(device) for of in graph(*CASES["odd"][:2]))
    z, weight = (of.to(device).requires_grad_() for of in numbers("odd", torch.float32))
    op = torch.ops.graphrise.neighbor_sum.default
    torch.library.opcheck(op, (z, rowptr, col, weight, False, False, backend))
    torch.library.opcheck(op, (z, rowptr, col, None, False, True, backend))
    want = neighbor_sum(z, rowptr, col, weight, backend=backend)
    compiled = torch.compile(neighbor_sum, fullgraph=True, backend="aot_eager")
    got = compiled(z, rowptr, col, weight, backend=backend)
    assert torch.equal(got, want)
    got.sum().backward()
    assert z.grad is not None


@pytest.mark.backends("torch", "numba", "triton")
def test_not_contiguous_and_repeatable(backend, device):
    rowptr, col = graph([4, 0, 9], 6)
    z, weight = torch.randn(5, 6), torch.rand(2 * col.numel())
    want = reference.neighbor_sum(z.t().contiguous(), rowptr, col, weight[::2].contiguous())
    args = {"z": z.t(), "rowptr": rowptr, "col": torch.stack((col, col), 1)[:, 0]}
    # Moved before it is cut: a copy to another device would be contiguous.
    args = {**moved(args, device), "weight": weight.to(device)[::2]}
    got = neighbor_sum(**args, backend=backend)
    torch.testing.assert_close(got.cpu(), want, rtol=1e-5, atol=1e-6)
    assert torch.equal(got, neighbor_sum(**args, backend=backend))


def test_symmetric_graph_needs_no_transpose():
    rowptr = torch.tensor([0, 2, 3, 4])
    col, weight = torch.tensor([1, 2, 0, 0]), torch.tensor([0.5, 2.0, 0.5, 2.0])
    z = torch.randn(3, 4, requires_grad=True)
    upstream = torch.randn(3, 4)
    grads = []
    for symmetric in (False, True):
        out = neighbor_sum(z, rowptr, col, weight, symmetric=symmetric)
        grads.append(torch.autograd.grad(out, z, upstream)[0])
    assert torch.equal(*grads)


def test_threads_change_nothing():
    rowptr, col = graph([1000, 3, 0, 2500, 700, 41] * 4, 50)
    z, weight = torch.randn(50, 32), torch.rand(col.numel())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = neighbor_sum(z, rowptr, col, weight)
        torch.set_num_threads(3)
        assert torch.equal(one, neighbor_sum(z, rowptr, col, weight))
    finally:
        torch.set_num_threads(before)


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("weighted", [True, False])
def test_mean_is_the_sum_by_the_sum_of_weights(backend, device, weighted):
    rowptr, col = graph([3, 0, 5000, 1], 7)
    z, weight = torch.randn(7, 3), torch.rand(col.numel()) if weighted else None
    every = torch.ones(col.numel()) if weight is None else weight
    args = {"z": z, "rowptr": rowptr, "col": col, "weight": weight}
    shares = rowptr, col, every.double()
    share = reference.neighbor_sum(torch.ones(7, 1).double(), *shares)
    want = reference.neighbor_sum(z.double(), *shares) / torch.where(share == 0, 1, share)
    got = neighbor_mean(**moved(args, device), backend=backend)
    torch.testing.assert_close(got.cpu().double(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_same_in_every_run_on_a_gpu(backend):
    rowptr, col = (of.cuda() for of in graph([100_000, 3, 50_000], 1000))
    z, weight = torch.randn(1000, 33).cuda().requires_grad_(), torch.rand(col.numel()).cuda()
    found = []
    for _ in range(3):
        mean = neighbor_mean(z, rowptr, col, weight, backend=backend)
        found.append((mean, *torch.autograd.grad(mean.square().sum(), z)))
    for again in found[1:]:
        assert all(map(torch.equal, found[0], again))


def test_mean_of_half_precision_is_of_wide_sums():
    rowptr, col = torch.tensor([0, 4000]), torch.zeros(4000, dtype=torch.int64)
    z = torch.full((1, 2), 3.0, dtype=torch.bfloat16)
    weight = torch.full((4000,), 0.125, dtype=torch.bfloat16)
    assert torch.equal(neighbor_mean(z, rowptr, col, weight), z)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"z": torch.zeros(3)}, ConfigError, r"z must be float \[M, D\]"),
        ({"z": torch.zeros(3, 2, dtype=torch.int64)}, ConfigError, "z must be float"),
        ({"rowptr": torch.tensor([0.0, 1.0, 2.0])}, ConfigError, "rowptr must be int32 or int64"),
        ({"rowptr": torch.zeros(0, dtype=torch.int64)}, ConfigError, r"\[N \+ 1\]"),
        ({"col": torch.tensor([[0], [1]])}, ConfigError, "col must be int32 or int64"),
        ({"weight": torch.rand(3)}, ConfigError, "weight must be"),
        ({"weight": torch.rand(2).double()}, ConfigError, "weight must be"),
        ({"symmetric": True}, ConfigError, "a graph of 2 rows on 3 z"),
        ({"backend": "scipy"}, ConfigError, "none of its triton, numba, torch"),
        ({"col": torch.tensor([0, 3])}, DataError, r"col\[1\] is 3; it must lie in \[0, 3\)"),
        ({"col": torch.tensor([-1, 0])}, DataError, r"col\[0\] is -1"),
        ({"rowptr": torch.tensor([0, 3, 2])}, DataError, "falls from 3 to 2 at row 1"),
        ({"rowptr": torch.tensor([0, 1, 3])}, DataError, "runs from 0 to 3"),
        ({"rowptr": torch.tensor([1, 1, 2])}, DataError, "runs from 1 to 2"),
    ],
)
def test_wrong_input(change, error, message):
    args: dict[str, Any] = {
        "z": torch.zeros(3, 2),
        "rowptr": torch.tensor([0, 1, 2]),
        "col": torch.tensor([0, 1]),
        **change,
    }
    with pytest.raises(error, match=message):
        neighbor_sum(**args)
