"""Scatters along any dimension: every backend against the reference in float64."""

import functools
import sys
import types
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.ops import reference, scatter, scatter_index

ALL = pytest.mark.backends("torch", "numba", "triton")
CASES = {
    # shape of src, dim, shape of index, size of the result
    "rows": ((37, 13), 0, (37,), 5),
    "wide rows": ((21, 64), 0, (21,), 7),
    "numbers": ((50,), -1, (50,), 9),
    "last dim": ((3, 17), -1, (17,), 6),
    "middle": ((2, 11, 3), 1, (11,), 4),
    "own index each": ((9, 5), 0, (9, 5), 4),
    "own index, last": ((2, 3, 8), -1, (2, 3, 8), 5),
    "index of first dims": ((4, 6, 3), 1, (4, 6), 3),
    "one index for all": ((6, 2), 0, (1,), 2),
    "all the same": ((200, 5), 0, (200,), 1),
    "no entry": ((0, 3), 0, (0,), 4),
    "no row": ((0, 3), 0, (0,), 0),
    "no column": ((4, 0), 0, (4,), 3),
}
LOOSE = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}
REDUCTIONS = ("sum", "mean", "mul", "max", "min")


def made(case, dtype=torch.float64, index=torch.int64, seed=0):
    shape, dim, places, size = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    src = torch.randn(*shape, generator=generator, dtype=torch.float64)
    # In steps, so that there are equal ones; a tenth more, so that sums are rounded.
    src = ((2 * src).round() / 2 + 0.1).to(dtype)
    return src, torch.randint(0, max(1, size), places, generator=generator).to(index), dim, size


def spread(index, src, dim):
    """The index of every number."""
    if index.dim() == 1:
        index = index.reshape(*[1] * (dim % src.dim()), -1)
    return index.reshape(*index.shape, *[1] * (src.dim() - index.dim())).expand_as(src).long()


def on(backend, reduce):
    """The backend to ask for: only torch multiplies."""
    return "torch" if reduce == "mul" else backend


def as_exact_as_torch(got, plain, truth, dtype):
    """Error against the float64 truth is at most plain torch's in this dtype, and a bit."""
    scale = float(truth.abs().max())
    error = float((got.double() - truth).abs().max())
    assert error <= float((plain.double() - truth).abs().max()) + LOOSE[dtype] * scale


@ALL
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_reference(backend, device, case, deterministic):
    src, index, dim, size = made(case)
    there = src.to(device), index.to(device), dim
    for reduce in REDUCTIONS[:3]:
        got = scatter.scatter(
            *there,
            dim_size=size,
            reduce=reduce,
            deterministic=deterministic,
            backend=on(backend, reduce),
        )
        want = reference.scatter(src, spread(index, src, dim), dim, size, reduce)
        torch.testing.assert_close(got.cpu(), want, rtol=1e-12, atol=1e-12)
        assert got.is_contiguous()


@ALL
@pytest.mark.parametrize("case", CASES)
def test_extremes_equal_reference(backend, device, case):
    src, index, dim, size = made(case)
    there = src.to(device), index.to(device), dim
    for op, largest in ((scatter.scatter_max, True), (scatter.scatter_min, False)):
        value, arg = op(*there, dim_size=size, backend=backend)
        full = spread(index, src, dim)
        want, where = reference.scatter_extreme(src, full, dim, size, largest)
        assert torch.equal(value.cpu(), want)
        assert torch.equal(arg.cpu(), where)


@ALL
@pytest.mark.parametrize("case", ["rows", "numbers", "last dim", "own index each", "no entry"])
def test_softmax_equals_reference(backend, device, case):
    src, index, dim, size = made(case)
    full = spread(index, src, dim)
    same = full.movedim(dim, -1).unsqueeze(-1) == full.movedim(dim, -1).unsqueeze(-2)
    power = src.exp().movedim(dim, -1)
    total = (same * power.unsqueeze(-2)).sum(-1)
    want = (power / total).movedim(-1, dim)
    there = src.to(device), index.to(device), dim, size
    got = scatter.scatter_softmax(*there, backend=backend)
    torch.testing.assert_close(got.cpu(), want, rtol=0, atol=1e-12)
    got = scatter.scatter_log_softmax(*there, backend=backend)
    torch.testing.assert_close(got.cpu(), want.log(), rtol=0, atol=1e-12)


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
    for case in ("rows", "own index each", "all the same"):
        src, place, dim, size = made(case, dtype, index)
        full = spread(place, src, dim)
        there = src.to(device), place.to(device), dim
        for reduce in ("sum", "mean"):
            got = scatter.scatter(*there, dim_size=size, reduce=reduce, backend=backend)
            plain = reference.scatter(src, full, dim, size, reduce)
            truth = reference.scatter(src.double(), full, dim, size, reduce)
            assert got.dtype == dtype
            as_exact_as_torch(got.cpu(), plain, truth, dtype)
        got, _ = scatter.scatter_max(*there, dim_size=size, backend=backend)
        assert torch.equal(got.cpu(), reference.scatter_extreme(src, full, dim, size, True)[0])
        whole = scatter.scatter_softmax(*there, size, backend=backend)
        truth = scatter.scatter_softmax(src.double(), place, dim, size)
        as_exact_as_torch(whole.cpu(), truth.to(dtype), truth, dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_product_of_halves_is_made_wide(dtype):
    src, index, dim, size = made("rows", dtype)
    full = spread(index, src, dim)
    got = scatter.scatter_mul(src, index, dim, dim_size=size)
    truth = reference.scatter(src.double(), full, dim, size, "mul")
    as_exact_as_torch(got, reference.scatter(src, full, dim, size, "mul"), truth, dtype)


@ALL
def test_gradients(backend, device):
    generator = torch.Generator().manual_seed(5)
    src = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    src = src.to(device).requires_grad_()
    for index in (torch.tensor([2, 0, 2, 2]), torch.tensor([[2, 0, 2, 2], [1, 1, 1, 0]])):
        args = {"index": index.to(device), "dim": 1, "dim_size": 4}
        for reduce in REDUCTIONS:
            for deterministic in (False, True) if reduce in ("sum", "mul") else (False,):
                op = functools.partial(
                    scatter.scatter,
                    **args,
                    reduce=reduce,
                    deterministic=deterministic,
                    backend=on(backend, reduce),
                )
                assert torch.autograd.gradcheck(op, (src,))
        for op in (scatter.scatter_softmax, scatter.scatter_log_softmax):
            assert torch.autograd.gradcheck(functools.partial(op, **args, backend=backend), (src,))


@pytest.mark.parametrize("deterministic", [False, True])
def test_gradient_of_products_beside_zeros(deterministic):
    src = torch.tensor([2.0, 0.0, 3.0, 0.0, 0.0, 5.0], requires_grad=True)
    index = torch.tensor([0, 0, 0, 1, 1, 2])
    out = scatter.scatter_mul(src, index, deterministic=deterministic)
    assert out.tolist() == [0.0, 0.0, 5.0]
    (grad,) = torch.autograd.grad(out.sum(), src)
    assert grad.tolist() == [0.0, 6.0, 0.0, 0.0, 0.0, 1.0]


@ALL
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_into_out(backend, device, reduce):
    src, index, dim, _ = made("last dim")
    size, flat = 8, made("last dim")[1]
    before = made("last dim", seed=4)[0][:, :size].contiguous()
    # The same as if what is there were entries of their own, which a mean does not count.
    both = torch.cat((before, src), 1)
    full = spread(torch.cat((torch.arange(size), flat)), both, dim)
    if reduce in ("max", "min"):
        want, where = reference.scatter_extreme(both, full, dim, size, reduce == "max")
        where = where.where(where >= size, size + src.size(dim)) - size
    else:
        want, where = reference.scatter(both, full, dim, size, reduce), None
    if reduce == "mean":
        count = torch.bincount(flat, minlength=size)
        want = want * (count + 1) / count.clamp(min=1)
    out = before.to(device)
    args = src.to(device), index.to(device), dim, out
    if where is None:
        got = scatter.scatter(*args, reduce=reduce, backend=on(backend, reduce))
    else:
        got, arg = getattr(scatter, f"scatter_{reduce}")(*args, backend=backend)
        assert torch.equal(arg.cpu(), where)
    assert got is out
    torch.testing.assert_close(out.cpu(), want, rtol=1e-12, atol=1e-12)


def test_gradient_flows_through_out():
    src = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    start = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 2, 2, 0])
    for reduce in ("sum", "mean", "mul"):

        def op(src, start, how=reduce):
            return scatter.scatter(src, index, 0, start.clone(), reduce=how)

        assert torch.autograd.gradcheck(op, (src, start))


# opcheck looks at the gradient of a tensor that is none of its leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@ALL
def test_registered_with_torch(backend, device):
    src, index, _, size = made("own index each", torch.float32)
    src, index = src.to(device).requires_grad_(), index.to(device)
    ops, check = torch.ops.graphrise, torch.library.opcheck
    check(ops.scatter_sum.default, (src, index[:, 0], size, True, True, backend))
    check(ops.scatter_sum.default, (src, index, size, False, True, backend))
    check(ops.scatter_extreme.default, (src, index[:, 0], size, True, backend))
    for op in (scatter.scatter_mean, scatter.scatter_softmax):
        call = functools.partial(op, index=index, dim=0, dim_size=size, backend=backend)
        got = torch.compile(call, fullgraph=True, backend="aot_eager")(src)
        torch.testing.assert_close(got, call(src))
        (grad,) = torch.autograd.grad(got.sum(), src)
        assert grad.shape == src.shape


@ALL
def test_not_contiguous_and_repeatable(backend, device):
    src, index, dim, size = made("middle", torch.float32)
    full = spread(index, src, dim)
    there = src.to(device).transpose(0, 2), torch.stack((index, index), 1).to(device)[:, 0]
    assert not there[1].is_contiguous()
    for reduce in REDUCTIONS:
        how = {"reduce": reduce, "deterministic": True, "backend": on(backend, reduce)}
        got = scatter.scatter(*there, 1, dim_size=size, **how)
        if reduce in ("max", "min"):
            want, _ = reference.scatter_extreme(src, full, dim, size, reduce == "max")
        else:
            want = reference.scatter(src, full, dim, size, reduce)
        torch.testing.assert_close(got.cpu(), want.transpose(0, 2), rtol=1e-5, atol=1e-6)
        assert torch.equal(got, scatter.scatter(*there, 1, dim_size=size, **how))


@ALL
def test_no_number_is_an_extreme_and_ties_are_the_first(backend, device):
    nan = torch.nan
    src = torch.tensor([1.0, nan, 5.0, 2.0, nan, 2.0], device=device)
    index = torch.tensor([0, 0, 2, 3, 0, 3], device=device)
    value, arg = scatter.scatter_max(src, index, backend=backend)
    want = torch.tensor([nan, 0.0, 5.0, 2.0])
    torch.testing.assert_close(value.cpu(), want, equal_nan=True)
    assert arg.tolist() == [1, 6, 2, 3]


def test_sorted_as_counted():
    index = torch.tensor([2, 0, 2, 4, 0], dtype=torch.int32)
    for got, want in zip(
        scatter_index.by_sorting(index, 5), scatter_index.by_row(index, 5), strict=True
    ):
        assert torch.equal(got, want)


def test_size_of_the_result():
    src, index = torch.ones(3, 2), torch.tensor([0, 4, 1])
    assert scatter.scatter(src, index, 0).shape == (5, 2)
    assert scatter.scatter_add(src, index, 0, dim_size=9).shape == (9, 2)
    assert scatter.scatter(src[:0], index[:0], 0).shape == (0, 2)


def test_asked_of_torch_it_is_deterministic(monkeypatch):
    sorted_ = []
    monkeypatch.setattr(scatter, "sums", lambda *args: sorted_.append(args[4]) or torch.zeros(2, 1))
    src, index = torch.ones(2), torch.tensor([0, 1])
    torch.use_deterministic_algorithms(True)
    try:
        scatter.scatter_sum(src, index)
        scatter.scatter_sum(src, index, deterministic=False)
    finally:
        torch.use_deterministic_algorithms(False)
    scatter.scatter_sum(src, index)
    assert sorted_ == [True, False, False]


def test_threads_change_nothing():
    src, index = torch.randn(5000, 33), torch.randint(0, 70, (5000,))
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append((scatter.scatter(src, index, 0), *scatter.scatter_min(src, index, 0)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 3), st.integers(0, 99))
def test_sum_of_sums_is_the_sum(places, width, seed):
    index = torch.tensor(places, dtype=torch.int64)
    generator = torch.Generator().manual_seed(seed)
    src = torch.randn(len(places), width, generator=generator, dtype=torch.float64)
    out = scatter.scatter(src, index, 0, dim_size=6)
    torch.testing.assert_close(out.sum(0), src.sum(0))
    mean = scatter.scatter(src, index, 0, dim_size=6, reduce="mean")
    torch.testing.assert_close(mean * torch.bincount(index, minlength=6).unsqueeze(1), out)


def test_torch_scatter_where_it_is_asked_for(monkeypatch):
    calls = []

    def scatter_sum(src, index, dim, dim_size):
        calls.append("sum")
        return reference.scatter(src, spread(index, src, dim), dim, dim_size, "sum")

    def extreme(largest):
        def of(src, index, dim, dim_size):
            calls.append(largest)
            full = spread(index, src, dim)
            return reference.scatter_extreme(src, full, dim, dim_size, largest)

        return of

    fake: Any = types.ModuleType("torch_scatter")
    fake.scatter_sum, fake.scatter_max, fake.scatter_min = (
        scatter_sum,
        extreme(True),
        extreme(False),
    )
    monkeypatch.setitem(sys.modules, "torch_scatter", fake)
    monkeypatch.delitem(sys.modules, "graphrise.ops.scatter_peer", raising=False)
    src, index, dim, size = made("own index each", torch.float32, torch.int32)
    for reduce in ("sum", "max", "min"):
        args: dict[str, Any] = {"dim": dim, "dim_size": size, "reduce": reduce}
        got = scatter.scatter(src, index, **args, backend="torch_scatter")
        assert torch.equal(got, scatter.scatter(src, index, **args, backend="torch"))
    assert calls == ["sum", True, False]
    monkeypatch.delitem(sys.modules, "graphrise.ops.scatter_peer")


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"src": torch.zeros(3, 2, dtype=torch.int64)}, ConfigError, r"src must be float \[...\]"),
        ({"src": torch.tensor(1.0)}, ConfigError, r"src must be float \[...\]"),
        ({"index": torch.zeros(3)}, ConfigError, "index must be int32 or int64, got torch.float32"),
        (
            {"index": torch.tensor([0, 1])},
            ConfigError,
            r"index \[2\] does not go with src \[3, 2\]",
        ),
        ({"index": torch.zeros(3, 2, 1).long()}, ConfigError, "does not go with src"),
        ({"dim": 2}, ConfigError, r"src has 2 dimension\(s\), there is no dim 2"),
        ({"dim_size": -1}, ConfigError, "dim_size must be 0 or more, got -1"),
        ({"out": torch.zeros(4, 3)}, ConfigError, "out must be src's"),
        ({"out": torch.zeros(4, 2).double()}, ConfigError, "out must be src's"),
        ({"backend": "scipy"}, ConfigError, "none of its"),
        ({"dim_size": 2}, DataError, r"index\[1\] is 2; it must lie in \[0, 2\)"),
        ({"index": torch.tensor([0, -1, 2])}, DataError, r"index\[1\] is -1"),
        ({"out": torch.zeros(1, 2)}, DataError, r"index\[1\] is 2; it must lie in \[0, 1\)"),
    ],
)
def test_wrong_input(reduce, change, error, message):
    args: dict[str, Any] = {
        "src": torch.zeros(3, 2),
        "index": torch.tensor([0, 2, 1]),
        "dim": 0,
        "reduce": reduce,
        **change,
    }
    with pytest.raises(error, match=message):
        scatter.scatter(**args)


def test_wrong_reduction_and_wrong_index_of_softmax():
    with pytest.raises(ConfigError, match="'div' is none of sum, add, mean, mul, max, min"):
        scatter.scatter(torch.zeros(2), torch.tensor([0, 1]), reduce="div")
    with pytest.raises(DataError, match=r"index\[1\] is 1"):
        scatter.scatter_softmax(torch.zeros(2), torch.tensor([0, 1]), dim_size=1)
