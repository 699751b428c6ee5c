"""Reductions and softmax of segments: every backend against the reference in float64."""

import functools
import sys
import types
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.ops import reference
from graphrise.ops.segment import (
    Reduce,
    segment_max,
    segment_min,
    segment_reduce,
    segment_softmax,
)

ALL = pytest.mark.backends("torch", "numba", "triton")
CASES = {
    # lengths of the segments, trailing shape of src
    "odd": ([3, 0, 1, 17, 5], (13,)),
    "small": ([3, 0, 1], (2,)),
    "wide": ([2, 4, 40], (64,)),
    "very wide": ([2, 3], (300,)),
    "numbers": ([2, 0, 5, 1], ()),
    "many dims": ([2, 4, 0], (3, 1, 2)),
    "one huge segment": ([0, 200, 0], (5,)),
    "no entry": ([0, 0, 0], (3,)),
    "no segment": ([], (3,)),
    "no column": ([2, 1], (0,)),
}
LOOSE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}
REDUCTIONS: tuple[Reduce, ...] = ("sum", "mean", "max", "min")


def pointers(lengths, index=torch.int64):
    sums = torch.tensor(lengths, dtype=torch.int64).cumsum(0).tolist()
    return torch.tensor([0, *sums], dtype=index)


def numbers(lengths, shape, dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    # In steps, so that there are equal ones; a tenth more, so that sums are rounded.
    src = torch.randn(sum(lengths), *shape, generator=generator, dtype=torch.float64)
    return ((4 * src).round() / 4 + 0.1).to(dtype)


def as_exact_as_torch(got, plain, truth, dtype):
    """Error against the float64 truth is at most plain torch's in this dtype, and a bit."""
    scale = float(truth.abs().max())
    error = float((got.double() - truth).abs().max())
    assert error <= float((plain.double() - truth).abs().max()) + LOOSE[dtype] * scale


@ALL
@pytest.mark.parametrize("case", CASES)
def test_equals_reference(backend, device, case):
    lengths, shape = CASES[case]
    rowptr, src = pointers(lengths), numbers(lengths, shape)
    there = src.to(device), rowptr.to(device)
    for reduce in REDUCTIONS:
        got = segment_reduce(*there, reduce, backend=backend)
        want = reference.segment_reduce(src, rowptr, reduce)
        torch.testing.assert_close(got.cpu(), want, rtol=0, atol=1e-12)
    for op, largest in ((segment_max, True), (segment_min, False)):
        value, arg = op(*there, backend=backend)
        want, where = reference.segment_extreme(src, rowptr, largest)
        assert torch.equal(value.cpu(), want)
        assert torch.equal(arg.cpu(), where)
    got = segment_softmax(*there, backend=backend)
    want = reference.segment_softmax(src, rowptr)
    torch.testing.assert_close(got.cpu(), want, rtol=0, atol=1e-12)


@ALL
@pytest.mark.parametrize(
    ("dtype", "index"),
    [
        (torch.float32, torch.int32),
        (torch.float32, torch.int64),
        (torch.float16, torch.int64),
        (torch.bfloat16, torch.int32),
    ],
)
def test_as_exact_as_plain_torch(backend, device, dtype, index):
    if backend == "numba" and dtype != torch.float32:
        pytest.skip("halves are torch's")
    for case in ("odd", "one huge segment"):
        lengths, shape = CASES[case]
        rowptr, src = pointers(lengths, index), numbers(lengths, shape, dtype)
        there = src.to(device), rowptr.to(device)
        for reduce in REDUCTIONS:
            got = segment_reduce(*there, reduce, backend=backend)
            plain, truth = (
                reference.segment_reduce(x, rowptr, reduce) for x in (src, src.double())
            )
            assert got.dtype == dtype
            as_exact_as_torch(got.cpu(), plain, truth, dtype)
        got = segment_softmax(*there, backend=backend)
        plain, truth = (reference.segment_softmax(x, rowptr) for x in (src, src.double()))
        assert got.dtype == dtype
        as_exact_as_torch(got.cpu(), plain, truth, dtype)


@ALL
def test_half_precision_is_summed_wide(backend, device):
    if backend == "numba":
        pytest.skip("halves are torch's")
    # Added to 1024 one at a time, in float16 a quarter is lost.
    src = torch.tensor([1024.0, *[0.25] * 64, *[0.0] * 63], dtype=torch.float16, device=device)
    rowptr = torch.tensor([0, 128], device=device)
    assert segment_reduce(src, rowptr, backend=backend).tolist() == [1040.0]
    assert segment_reduce(src, rowptr, "mean", backend=backend).tolist() == [8.125]


@ALL
def test_long_segments_among_short_ones(backend, device, monkeypatch):
    if backend == "triton":
        monkeypatch.setattr("graphrise.ops.triton.segment.PART", 16)
    lengths = [20, 40, 1, 33, 0, 64, 32, 31, 70, 0]
    rowptr, src = pointers(lengths), numbers(lengths, (7,))
    got = segment_reduce(src.to(device), rowptr.to(device), backend=backend)
    want = reference.segment_reduce(src, rowptr)
    torch.testing.assert_close(got.cpu(), want, rtol=0, atol=1e-12)


@ALL
def test_gradients(backend, device):
    lengths, shape = [3, 0, 1], (2, 1)
    rowptr = pointers(lengths).to(device)
    generator = torch.Generator().manual_seed(3)
    src = torch.randn(4, *shape, generator=generator, dtype=torch.float64)
    src = src.to(device).requires_grad_()
    for reduce in REDUCTIONS:
        op = functools.partial(segment_reduce, rowptr=rowptr, reduce=reduce, backend=backend)
        assert torch.autograd.gradcheck(op, (src,))
    assert torch.autograd.gradcheck(lambda x: segment_softmax(x, rowptr, backend=backend), (src,))


@ALL
def test_gradient_of_ties_goes_to_the_first(backend, device):
    src = torch.tensor([1.0, 2.0, 2.0, -1.0, -1.0], device=device, requires_grad=True)
    rowptr = torch.tensor([0, 3, 3, 5], device=device)
    upstream = torch.tensor([1.0, 10.0, 100.0], device=device)
    value, arg = segment_max(src, rowptr, backend=backend)
    assert value.tolist() == [2.0, 0.0, -1.0]
    assert arg.tolist() == [1, 5, 3]
    (grad,) = torch.autograd.grad(value, src, upstream)
    assert grad.tolist() == [0.0, 1.0, 0.0, 100.0, 0.0]


@ALL
def test_no_number_and_infinities(backend, device):
    inf, nan = torch.inf, torch.nan
    src = torch.tensor([1.0, nan, nan, 3.0, -inf, -inf, inf, 0.0], device=device)
    rowptr = torch.tensor([0, 4, 6, 8], device=device)
    for op, want, where in (
        (segment_max, [nan, -inf, inf], [1, 4, 6]),
        (segment_min, [nan, -inf, 0.0], [1, 4, 7]),
    ):
        value, arg = op(src, rowptr, backend=backend)
        torch.testing.assert_close(value.cpu(), torch.tensor(want), equal_nan=True)
        assert arg.tolist() == where


# The interpreter's warnings, of what is computed and not taken.
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered")
@ALL
def test_softmax_is_stable(backend, device):
    least = -torch.inf
    src = torch.tensor([1e4, 1e4, -1e4, -1e4, least, least, 0.0, least], device=device)
    rowptr = torch.tensor([0, 3, 4, 8], device=device)
    got = segment_softmax(src, rowptr, backend=backend)
    assert got.tolist() == [0.5, 0.5, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]


# opcheck looks at the gradient of a tensor that is none of its leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@ALL
def test_registered_with_torch(backend, device):
    lengths, shape = CASES["odd"]
    rowptr = pointers(lengths).to(device)
    src = numbers(lengths, shape, torch.float32).to(device).requires_grad_()
    ops, check = torch.ops.graphrise, torch.library.opcheck
    check(ops.segment_sum.default, (src, rowptr, True, backend))
    check(ops.segment_spread.default, (src[:5], rowptr, src.size(0), backend))
    check(ops.segment_extreme.default, (src, rowptr, False, backend))
    check(ops.segment_softmax.default, (src, rowptr, backend))
    for op in (
        lambda x: segment_reduce(x, rowptr, "mean", backend=backend),
        lambda x: segment_max(x, rowptr, backend=backend)[0],
        lambda x: segment_softmax(x, rowptr, backend=backend),
    ):
        got = torch.compile(op, fullgraph=True, backend="aot_eager")(src)
        assert torch.equal(got, op(src))
        (grad,) = torch.autograd.grad(got.sum(), src)
        assert grad.shape == src.shape


@ALL
def test_not_contiguous_and_repeatable(backend, device):
    lengths = [4, 0, 9]
    whole = numbers(lengths, (6,), torch.float32).to(device)
    # Moved before it is cut: a copy to another device would be contiguous.
    src = torch.stack((whole.t(), whole.t()), 2)[:, :, 0].t()
    rowptr = torch.stack((pointers(lengths), pointers(lengths)), 1).to(device)[:, 0]
    assert not src.is_contiguous()
    assert not rowptr.is_contiguous()
    for reduce in REDUCTIONS:
        got = segment_reduce(src, rowptr, reduce, backend=backend)
        want = reference.segment_reduce(whole.cpu(), pointers(lengths), reduce)
        torch.testing.assert_close(got.cpu(), want, rtol=1e-5, atol=1e-6)
        assert torch.equal(got, segment_reduce(src, rowptr, reduce, backend=backend))
    got = segment_softmax(src, rowptr, backend=backend)
    torch.testing.assert_close(got, segment_softmax(whole, rowptr.contiguous(), backend=backend))


@pytest.mark.backends("triton")
def test_unchecked_pointers_stay_in_memory(backend, device, monkeypatch):
    for module in ("sum", "extreme", "softmax"):
        monkeypatch.setattr(f"graphrise.ops.segment_{module}.checked_mode", lambda _: False)
    monkeypatch.setattr("graphrise.ops.triton.segment.PART", 1)
    src = torch.tensor([1.0, 2.0, 4.0], device=device)
    rowptr = torch.tensor([0, 9, 2, -5, 2**40], device=device)
    # Cut to [0, 3): all, none, none, all; a piece of each entry is of one of the two.
    assert segment_max(src, rowptr, backend=backend)[1].tolist() == [2, 3, 3, 2]
    assert segment_reduce(src, rowptr, backend=backend).shape == (4,)
    assert segment_softmax(src, rowptr, backend=backend).shape == (3,)
    monkeypatch.setattr("graphrise.ops.triton.segment.PART", 2048)
    assert segment_reduce(src, rowptr, backend=backend).tolist() == [7.0, 0.0, 0.0, 7.0]


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_same_in_every_run_on_a_gpu(backend):
    lengths = [100_000, 3, 50_000]
    rowptr, src = pointers(lengths).cuda(), torch.randn(sum(lengths), 5).cuda().requires_grad_()
    found = []
    for _ in range(3):
        total = segment_reduce(src, rowptr, backend=backend)
        share = segment_softmax(src, rowptr, backend=backend)
        found.append((total, share, *torch.autograd.grad(share.square().sum(), src)))
    for again in found[1:]:
        assert all(map(torch.equal, found[0], again))


@pytest.mark.parametrize("width", [1, 3, 32])
def test_threads_change_nothing(width):
    lengths = [1000, 3, 0, 2500, 700, 41] * 4
    rowptr, src = pointers(lengths), torch.randn(sum(lengths), width)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append((segment_reduce(src, rowptr), *segment_max(src, rowptr)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 4), st.integers(0, 99))
def test_softmax_adds_up_to_one(lengths, width, seed):
    rowptr, src = pointers(lengths), numbers(lengths, (width,), seed=seed)
    total = segment_reduce(segment_softmax(src, rowptr), rowptr)
    want = (rowptr.diff() > 0).double().unsqueeze(1).expand(-1, width)
    torch.testing.assert_close(total, want)


def test_torch_scatter_where_it_is_asked_for(monkeypatch):
    calls = []

    def segment_csr(src, indptr, reduce):
        calls.append(reduce)
        return reference.segment_reduce(src, indptr, reduce)

    def extreme(largest):
        return lambda src, indptr: reference.segment_extreme(src, indptr, largest)

    fake: Any = types.ModuleType("torch_scatter")
    fake.segment_csr = segment_csr
    fake.segment_max_csr, fake.segment_min_csr = extreme(True), extreme(False)
    monkeypatch.setitem(sys.modules, "torch_scatter", fake)
    monkeypatch.delitem(sys.modules, "graphrise.ops.scatter_peer", raising=False)
    rowptr, src = pointers([3, 0, 2], torch.int32), numbers([3, 0, 2], (2,), torch.float16)
    for reduce in REDUCTIONS:
        got = segment_reduce(src, rowptr, reduce, backend="torch_scatter")
        assert torch.equal(got, segment_reduce(src, rowptr, reduce, backend="torch"))
    assert calls == ["sum", "sum"]
    monkeypatch.delitem(sys.modules, "graphrise.ops.scatter_peer")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"src": torch.tensor(1.0)}, ConfigError, r"src must be float \[E, ...\]"),
        ({"src": torch.zeros(3, 2, dtype=torch.int64)}, ConfigError, "src must be float"),
        ({"rowptr": torch.tensor([0.0, 1.0, 3.0])}, ConfigError, "rowptr must be int32 or int64"),
        ({"rowptr": torch.zeros(0, dtype=torch.int64)}, ConfigError, r"\[N \+ 1\]"),
        ({"reduce": "median"}, ConfigError, "'median' is none of sum, mean, max, min"),
        ({"backend": "scipy"}, ConfigError, "none of its triton, numba, torch"),
        ({"rowptr": torch.tensor([0, 4, 3])}, DataError, "falls from 4 to 3 at row 1"),
        ({"rowptr": torch.tensor([0, 1, 4])}, DataError, "runs from 0 to 4"),
        ({"rowptr": torch.tensor([1, 1, 3])}, DataError, "runs from 1 to 3"),
        ({"rowptr": torch.tensor([1, 1, 3]), "reduce": "max"}, DataError, "runs from 1 to 3"),
    ],
)
def test_wrong_input(change, error, message):
    args: dict[str, Any] = {"src": torch.zeros(3, 2), "rowptr": torch.tensor([0, 1, 3]), **change}
    with pytest.raises(error, match=message):
        segment_reduce(**args)


def test_wrong_pointers_of_softmax():
    with pytest.raises(DataError, match="runs from 0 to 2"):
        segment_softmax(torch.zeros(3), torch.tensor([0, 2]))
