"""Weighted sums of distances over a CSR graph: every backend against the reference in float64."""

import math
from typing import Any, get_args

import pytest
import torch

from graphrise.errors import ConfigError, DataError
from graphrise.ops import reference
from graphrise.ops.backend import interpreted
from graphrise.ops.edge_energy import edge_energy, neighbor_distance
from graphrise.ops.edge_kinds import COMPILED, Kind

KINDS = get_args(Kind)
CASES = {
    # degrees of the rows, D
    "odd": ([3, 0, 1, 17, 5], 13),
    "wide": ([2, 4, 20, 0], 64),
    "one row": ([2], 1),
    "one huge row": ([0, 300, 0], 5),
    "no entry": ([0, 0, 0], 3),
    "no row": ([], 3),
    "no column": ([2, 1], 0),
}
LOOSE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}


def graph(degrees, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rowptr = torch.tensor([0, *torch.tensor(degrees, dtype=torch.int64).cumsum(0).tolist()])
    col = torch.randint(0, max(1, len(degrees)), (int(rowptr[-1]),), generator=generator)
    return rowptr, col


def numbers(case, dtype=torch.float64, seed=1):
    degrees, dim = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(len(degrees), dim, generator=generator, dtype=torch.float64)
    weight = torch.rand(sum(degrees), generator=generator, dtype=torch.float64)
    return z.to(dtype), weight.to(dtype)


def both_ways(nodes, seed=0):
    """A graph that is its own transpose, weights too; without loops."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    dense = (dense + dense.T) * (dense + dense.T > 0.9)
    dense.fill_diagonal_(0)
    rowptr = torch.cat((torch.zeros(1), (dense > 0).sum(dim=1).cumsum(0))).long()
    return rowptr, (dense > 0).nonzero()[:, 1], dense[dense > 0]


def moved(args, device) -> dict[str, Any]:
    return {
        name: of.to(device) if isinstance(of, torch.Tensor) else of for name, of in args.items()
    }


def gradients(op, z, weight, **rest):
    """Value, and gradients of three times it."""
    leaves = [of.detach().requires_grad_() for of in (z, weight)]
    value = op(leaves[0], weight=leaves[1], **rest)
    return value.detach().cpu(), *(of.cpu() for of in torch.autograd.grad(3 * value, leaves))


def as_exact_as_torch(got, plain, truth, dtype):
    """Error against the float64 truth is at most plain torch's in this dtype, and a bit."""
    scale = float(truth.abs().max()) if truth.numel() else 0.0
    error = float((got.double() - truth).abs().max()) if truth.numel() else 0.0
    theirs = float((plain.double() - truth).abs().max()) if truth.numel() else 0.0
    # In float16 plain torch's gradient of "kl" is not even a number: no excuse.
    theirs = theirs if math.isfinite(theirs) else 0.0
    assert error <= theirs + LOOSE[dtype] * scale


def skip_what_is_torchs(backend, kind="squared_l2", dtype=torch.float64):
    if backend != "torch" and kind not in COMPILED:
        pytest.skip("that is torch's")
    if backend == "numba" and dtype in (torch.float16, torch.bfloat16):
        pytest.skip("halves are torch's")


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_reference(backend, device, case, kind):
    skip_what_is_torchs(backend, kind)
    rowptr, col = graph(CASES[case][0])
    z, weight = numbers(case)
    args = {"z": z, "rowptr": rowptr, "col": col, "weight": weight, "kind": kind}
    want = gradients(reference.edge_energy, **args)
    got = gradients(edge_energy, **moved(args, device), backend=backend)
    assert got[0].dtype == torch.float64
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    no_weight = moved({**args, "weight": None}, device)
    got = edge_energy(**no_weight, backend=backend).cpu()
    torch.testing.assert_close(got, reference.edge_energy(z, rowptr, col, None, kind))


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_as_exact_as_plain_torch(backend, device, dtype, kind):
    skip_what_is_torchs(backend, kind, dtype)
    for case in ("odd", "wide"):
        rowptr, col = graph(CASES[case][0])
        z, weight = numbers(case, dtype)
        args = {"z": z, "rowptr": rowptr, "col": col, "weight": weight, "kind": kind}
        exact = {**args, "z": z.double(), "weight": weight.double()}
        truth = gradients(reference.edge_energy, **exact)
        plain = gradients(reference.edge_energy, **args)
        args |= {"rowptr": rowptr.int(), "col": col.int()}
        got = gradients(edge_energy, **moved(args, device), backend=backend)
        assert [of.dtype for of in got] == [torch.float32, dtype, dtype]
        for ours, theirs, true in zip(got, plain, truth, strict=True):
            as_exact_as_torch(ours, theirs, true, dtype)


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("kind", KINDS)
def test_symmetric_graph_needs_no_other_side(backend, device, kind):
    skip_what_is_torchs(backend, kind)
    rowptr, col, weight = both_ways(7)
    z, _ = numbers("odd")
    z = torch.cat((z, -z[:2] + 0.5))
    args = {"z": z, "rowptr": rowptr, "col": col, "weight": weight, "kind": kind}
    want = gradients(reference.edge_energy, **args)
    got = gradients(edge_energy, **moved(args, device), symmetric=True, backend=backend)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.backends("torch", "triton")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_symmetric_gradient_of_halves_is_the_wide_one_rounded(backend, device, dtype, kind):
    skip_what_is_torchs(backend, kind)
    if dtype == torch.bfloat16 and backend == "triton" and interpreted():
        pytest.skip("Triton's interpreter cuts bits off")
    rowptr, col, weight = both_ways(7)
    z, _ = numbers("odd", dtype)
    args = {"z": torch.cat((z, -z[:2])), "weight": weight.to(dtype), "rowptr": rowptr, "col": col}
    full = args | {name: args[name].float() for name in ("z", "weight")}
    how: dict[str, Any] = {"kind": kind, "symmetric": True, "backend": backend}
    got = gradients(edge_energy, **moved(args, device), **how)[1]
    want = gradients(edge_energy, **moved(full, device), **how)[1]
    assert want.dtype == torch.float32
    assert torch.equal(got, want.to(dtype))


@pytest.mark.gpu
def test_symmetric_gradient_of_halves_takes_no_more_than_itself():
    z = torch.randn(1 << 16, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    rowptr = torch.arange((1 << 16) + 1, device="cuda")
    col = torch.arange(1 << 16, device="cuda") ^ 1
    value = edge_energy(z, rowptr, col, symmetric=True, backend="triton")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    (grad,) = torch.autograd.grad(value, z)
    torch.testing.assert_close(grad[0].float(), -grad[1].float(), rtol=0, atol=0)
    assert torch.cuda.max_memory_allocated() - before < 2 * grad.nbytes


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(backend, device, kind):
    skip_what_is_torchs(backend, kind)
    rowptr, col, weight = (of.to(device) for of in both_ways(3, seed=3))
    z = numbers("odd")[0][:3, :2].to(device).requires_grad_()
    weight.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z, weight: edge_energy(z, rowptr, col, weight, kind, backend=backend),
        (z, weight),
        nondet_tol=1e-12,
    )
    assert torch.autograd.gradcheck(
        lambda z: neighbor_distance(z, rowptr, col, kind, backend=backend), (z,), nondet_tol=1e-12
    )


# opcheck looks at the gradient of a tensor that is none of its leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.backends("torch", "numba", "triton")
def test_registered_with_torch(backend, device):
    rowptr, col = (of.to(device) for of in graph([3, 0, 1]))
    z, weight = (of.to(device) for of in numbers("wide", torch.float32))
    z, weight = z[:3].clone().requires_grad_(), weight[:4].clone().requires_grad_()
    ops = torch.ops.graphrise
    energy, apart = ops.edge_energy.default, ops.neighbor_distance.default
    torch.library.opcheck(energy, (z, rowptr, col, weight, "l2", False, backend))
    torch.library.opcheck(energy, (z, rowptr, col, None, "squared_l2", True, backend))
    torch.library.opcheck(apart, (z, rowptr, col, "cosine", backend))
    want = edge_energy(z, rowptr, col, weight, backend=backend)
    compiled = torch.compile(edge_energy, fullgraph=True, backend="aot_eager")
    got = compiled(z, rowptr, col, weight, backend=backend)
    assert torch.equal(got, want)
    grads = [torch.autograd.grad(of, (z, weight)) for of in (got, want)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("symmetric", [True, False])
def test_not_contiguous_and_repeatable(backend, device, symmetric):
    rowptr, col, weight = both_ways(6)
    z = torch.randn(4, 6, dtype=torch.float32)
    weight = weight.float()
    want = gradients(reference.edge_energy, z.T, weight, rowptr=rowptr, col=col)
    apart = torch.stack((weight, weight), 1).to(device)[:, 0]
    args: dict[str, Any] = {"rowptr": rowptr.to(device), "backend": backend}
    args |= {"col": torch.stack((col, col), 1).to(device)[:, 0], "symmetric": symmetric}
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        got = gradients(edge_energy, z.to(device).T, apart, **args)
        again = gradients(edge_energy, z.to(device).T, apart, **args)
    finally:
        torch.use_deterministic_algorithms(before)
    for ours, theirs, same in zip(got, want, again, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        assert torch.equal(ours, same)


@pytest.mark.parametrize("kind", ["squared_l2", "cosine"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_threads_change_nothing(kind, symmetric):
    rowptr, col = graph([1000, 3, 0, 2500, 700, 41] * 4)
    z, weight = torch.randn(24, 40), torch.rand(col.numel())
    args = {"rowptr": rowptr, "col": col, "kind": kind, "symmetric": symmetric}
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(gradients(edge_energy, z, weight, **args, backend="numba"))
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*found, strict=True):
        assert torch.equal(one, three)


@pytest.mark.backends("triton")
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", COMPILED)
def test_unchecked_pointers_stay_in_memory(backend, device, kind, symmetric, monkeypatch):
    monkeypatch.setattr("graphrise.ops.edge_energy.checked_mode", lambda _: False)
    z, weight = torch.randn(4, 3, device=device), torch.tensor([1.0, 2.0, 4.0], device=device)
    col = torch.tensor([1, 0, 2], device=device)
    bad = torch.tensor([0, 9, 2, -5, 2**40], device=device)
    # Cut to [0, 3): all, none, none, all.
    cut = torch.tensor([0, 3, 3, 3, 6], device=device)
    how: dict[str, Any] = {"kind": kind, "symmetric": symmetric, "backend": backend}
    got = gradients(edge_energy, z, weight, rowptr=bad, col=col, **how)
    want = gradients(edge_energy, z, weight.repeat(2), rowptr=cut, col=col.repeat(2), **how)
    for ours, theirs in zip(got[:2], want[:2], strict=True):
        torch.testing.assert_close(ours, theirs)
    far = neighbor_distance(z, bad, col, kind, backend=backend)
    assert (
        far.tolist() == neighbor_distance(z, cut, col.repeat(2), kind, backend=backend)[3:].tolist()
    )
    # Of indices too: what is left out is at no distance.
    col = torch.tensor([-1, 4, 2**40], device=device)
    assert (
        neighbor_distance(z, cut[[0, 1, 1, 1, 1]], col, kind, backend=backend).tolist() == [0.0] * 3
    )


@pytest.mark.backends("torch", "numba", "triton")
def test_small_terms_are_not_lost_in_a_large_sum(backend, device):
    """Of a row too: one entry of 2^25, and a thousand of 1, which float32 would all drop."""
    z = torch.zeros(3, 1, device=device)
    z[1], z[2] = 2.0**12.5, 1.0
    col = torch.full((1001,), 2, device=device)
    col[0] = 1
    rowptr = torch.tensor([0, 1001, 1001, 1001], device=device)
    want = float(z[1].double().square()) + 1000
    got = edge_energy(z, rowptr, col, backend=backend)
    assert got.item() == pytest.approx(want, rel=1e-7)


def test_gradient_can_be_asked_for_twice():
    rowptr, col = graph([3, 1])
    z = torch.randn(2, 5, requires_grad=True)
    energy = edge_energy(z, rowptr, col)
    once, twice = (torch.autograd.grad(energy, z, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(once, twice)
    assert bool(once.any())


@pytest.mark.parametrize("op", [edge_energy, neighbor_distance])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"z": torch.zeros(3)}, ConfigError, r"z must be float \[N, D\]"),
        ({"z": torch.zeros(2, 2, dtype=torch.int64)}, ConfigError, "z must be float"),
        ({"z": torch.zeros(3, 2)}, ConfigError, r"rowptr must be \[N \+ 1\] = \[4\], got \[3\]"),
        ({"rowptr": torch.tensor([0.0, 1.0, 2.0])}, ConfigError, "rowptr must be int32 or int64"),
        ({"col": torch.tensor([[0], [1]])}, ConfigError, "col must be int32 or int64"),
        ({"kind": "l3"}, ConfigError, "kind 'l3' is none of squared_l2"),
        ({"backend": "scipy"}, ConfigError, "none of its triton, numba, torch"),
        ({"kind": "js", "backend": "numba"}, ConfigError, "none of its torch"),
        ({"col": torch.tensor([0, 2])}, DataError, r"col\[1\] is 2; it must lie in \[0, 2\)"),
        ({"col": torch.tensor([-1, 0])}, DataError, r"col\[0\] is -1"),
        ({"rowptr": torch.tensor([0, 3, 2])}, DataError, "falls from 3 to 2 at row 1"),
        ({"rowptr": torch.tensor([0, 1, 3])}, DataError, "runs from 0 to 3"),
    ],
)
def test_wrong_input(op, change, error, message):
    args: dict[str, Any] = {
        "z": torch.zeros(2, 2),
        "rowptr": torch.tensor([0, 1, 2]),
        "col": torch.tensor([0, 1]),
        **change,
    }
    with pytest.raises(error, match=rf"{op.__name__}.*{message}"):
        op(**args)


@pytest.mark.parametrize("weight", [torch.rand(3), torch.rand(2).double()])
def test_refuses_other_weights(weight):
    with pytest.raises(ConfigError, match=r"weight must be \[2\] of z's torch.float32"):
        edge_energy(torch.zeros(2, 2), torch.tensor([0, 1, 2]), torch.tensor([0, 1]), weight)
