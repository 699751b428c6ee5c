"""Row-wise Adagrad and RMSprop on some rows against the dense step over all of them."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.ops import reference
from graphrise.ops.rowwise_adagrad import rowwise_adagrad_
from graphrise.ops.rowwise_rmsprop import rowwise_rmsprop_
from graphrise.ops.rowwise_step import summed, write_rows

ADAGRAD = rowwise_adagrad_, reference.rowwise_adagrad
RMSPROP = rowwise_rmsprop_, reference.rowwise_rmsprop
SETTINGS = [
    (ADAGRAD, {"lr": 0.1}),
    (ADAGRAD, {"lr": 0.5, "eps": 0.01, "weight_decay": 0.2}),
    (RMSPROP, {"lr": 0.1}),
    (RMSPROP, {"lr": 0.5, "alpha": 0.5, "eps": 0.01, "weight_decay": 0.2}),
    (RMSPROP, {"lr": 0.1, "alpha": 0.0}),
]
RULES = pytest.mark.parametrize("rule", [ADAGRAD, RMSPROP], ids=["adagrad", "rmsprop"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def dense(rows, grads, num_rows):
    return grads.new_zeros(num_rows, grads.size(1)).index_add_(0, rows, grads)


@pytest.mark.backends("torch", "numba", "triton")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize(("rule", "options"), SETTINGS)
@pytest.mark.parametrize(
    "rows",
    [[5, 1, 3], [0, 1, 2], [6], [2, 4, 2, 2, 0, 4], [], [3, 3]],
    ids=["shuffled", "rising", "one", "repeated", "none", "same"],
)
def test_equals_the_dense_step_on_touched_rows_only(
    backend, device, dtype, index, rule, options, rows
):
    if (backend, dtype) == ("triton", torch.float64):
        pytest.skip("float64 tables on a GPU are torch's")
    rows = torch.tensor(rows, dtype=torch.long)
    table, state = drawn((7, 5), dtype=dtype), torch.zeros(7, dtype=dtype)
    true, plain = (table.double(), state.double()), (table.clone(), state.clone())
    others = torch.ones(7, dtype=torch.bool).index_fill(0, rows, False)
    untouched = table[others].clone()
    for step in range(4):
        grads = drawn((rows.numel(), 5), step + 1, dtype)
        there = [of.to(device) for of in (table, state, rows.to(index), grads)]
        update_, truth = rule
        update_(*there, **options, backend=backend)
        table, state = (of.cpu() for of in there[:2])
        true = truth(*true, dense(rows, grads.double(), 7), **options)
        plain = truth(*plain, dense(rows, grads, 7), **options)
    assert torch.equal(table[others], untouched)
    assert not state[others].any()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    for got, want, naive in zip((table, state), true, plain, strict=True):
        assert got.dtype == dtype
        error = (got.double() - want)[rows].abs()
        allowed = (naive.double() - want)[rows].abs() + tolerance * (1 + want[rows].abs())
        assert (error <= allowed).all()


def test_by_hand():
    table, state = torch.tensor([[1.0, 2.0], [5.0, 5.0]]), torch.tensor([0.0, 7.0])
    rowwise_adagrad_(table, state, torch.tensor([0]), torch.tensor([[1.0, 7.0]]), lr=0.5)
    # mean(1, 49) = 25, its root 5.
    assert state.tolist() == [25, 7]
    assert table.tolist() == [[pytest.approx(0.9), pytest.approx(1.3)], [5, 5]]
    rowwise_adagrad_(table, state, torch.tensor([0]), torch.zeros(1, 2), lr=0.5, weight_decay=0.2)
    assert table.tolist() == [[pytest.approx(0.81), pytest.approx(1.17)], [5, 5]]


def test_rmsprop_by_hand():
    table, state = torch.tensor([[1.0, 2.0], [5.0, 5.0]]), torch.tensor([0.0, 7.0])
    step = partial(rowwise_rmsprop_, table, state, torch.tensor([0]), lr=0.5, alpha=0.75)
    step(torch.tensor([[1.0, 7.0]]))
    # The first mean counts whole: mean(1, 49) = 25, its root 5.
    assert state.tolist() == [25, 7]
    assert table.tolist() == [[pytest.approx(0.9), pytest.approx(1.3)], [5, 5]]
    step(torch.tensor([[6.0, 8.0]]))
    # Then a quarter: 0.75 * 25 + 0.25 * mean(36, 64).
    assert state.tolist() == [31.25, 7]
    assert table[0].tolist() == pytest.approx([0.9 - 3 / 31.25**0.5, 1.3 - 4 / 31.25**0.5])


def test_rmsprop_is_torchs_where_rows_have_one_number():
    # But for torch's first mean, which starts from 0: set to what ours starts from.
    gradients = drawn((20, 5, 1))
    dense, table = (drawn((5, 1)) for _ in range(2))
    dense.requires_grad_()
    theirs = torch.optim.RMSprop([dense], lr=0.1, alpha=0.9, eps=1e-10)
    dense.grad = gradients[0]
    theirs.step()
    theirs.state[dense]["square_avg"] = gradients[0].square()
    state = gradients[0, :, 0].square()
    with torch.no_grad():
        dense.copy_(table)
    for gradient in gradients[1:]:
        dense.grad = gradient
        theirs.step()
        rowwise_rmsprop_(table, state, torch.arange(5), gradient, lr=0.1, alpha=0.9)
        torch.testing.assert_close(table, dense.detach(), rtol=1e-12, atol=1e-14)


def test_rmsprop_refuses_another_alpha():
    args = torch.ones(3, 2), torch.zeros(3), torch.arange(2), torch.ones(2, 2)
    for alpha in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"alpha must lie in \[0, 1\)"):
            rowwise_rmsprop_(*args, lr=1.0, alpha=alpha)


@RULES
def test_the_first_step_has_the_length_promised(rule):
    # However long the gradient: lr times the root of D.
    grads = drawn((4, 9)) * torch.tensor([[1e-4], [1.0], [10.0], [1e5]])
    table = torch.zeros(4, 9, dtype=torch.float64)
    state = torch.zeros(4, dtype=torch.float64)
    rule[0](table, state, torch.arange(4), grads, lr=0.1)
    assert table.norm(dim=1).tolist() == pytest.approx([0.3] * 4, rel=1e-5)


@RULES
def test_a_row_without_gradient_stays(rule):
    # Also the first time, where the root is 0.
    table, state = drawn((3, 2)), torch.zeros(3, dtype=torch.float64)
    before = table.clone()
    rule[0](table, state, torch.tensor([1, 2]), torch.zeros(2, 2), lr=1.0)
    assert torch.equal(table, before)


@RULES
@pytest.mark.backends("torch", "triton")
def test_bfloat16_lands_within_a_step_and_right_on_average(backend, device, rule):
    update_, truth = rule
    draws = 2000 if device == "cpu" and backend == "torch" else 150
    table = drawn((6, 4), dtype=torch.bfloat16)
    rows, grads = torch.tensor([4, 1, 4]), drawn((3, 4), 1, torch.float32)
    options = {"lr": 0.01, "weight_decay": 0.1}
    gradient = dense(rows, grads, 6).double()
    want, new_state = truth(
        table.double(), torch.full((6,), 0.25, dtype=torch.float64), gradient, **options
    )
    results = []
    rows_there, grads_there = rows.to(device), grads.to(device)
    for seed in range(draws):
        got, state = table.to(device, copy=True), torch.full((6,), 0.25, device=device)
        coin = torch.Generator(device).manual_seed(seed)
        update_(got, state, rows_there, grads_there, generator=coin, backend=backend, **options)
        got, state = got.cpu(), state.cpu()
        results.append(got.double())
        assert torch.equal(got[[0, 2, 3, 5]], table[[0, 2, 3, 5]])
        torch.testing.assert_close(state[rows].double(), new_state[rows], rtol=1e-6, atol=0)
    every, touched = torch.stack(results)[:, [1, 4]], want[[1, 4]]
    # 8 bits of mantissa: a step is at most 2^-7 of the value.
    assert ((every - touched).abs() <= 2**-7 * touched.abs() + 1e-7).all()
    spread = every.std(dim=0)
    assert (spread > 0).all()
    assert ((every.mean(dim=0) - touched).abs() <= 4 * spread / draws**0.5 + 1e-6).all()
    again, state = table.to(device, copy=True), torch.full((6,), 0.25, device=device)
    coin = torch.Generator(device).manual_seed(draws - 1)
    update_(again, state, rows_there, grads_there, generator=coin, backend=backend, **options)
    assert torch.equal(again.cpu().double(), results[-1])


@RULES
@pytest.mark.backends("torch", "numba", "triton")
def test_registered_with_torch_and_repeatable(backend, device, rule):
    update_ = rule[0]
    args = [
        drawn((7, 5), dtype=torch.float32),
        torch.zeros(7),
        torch.tensor([2, 4, 2, 2, 0, 4]),
        drawn((6, 5), 1, torch.float32),
    ]
    args = [of.to(device) for of in args]
    op = torch.ops.graphrise.rowwise_step_.default
    torch.library.opcheck(op, (*args, 0.1, 1e-10, 0.0, 0.9, 0.1, None, "rowwise_step_", backend))
    compiled = torch.compile(update_, fullgraph=True, backend="aot_eager")
    results = []
    for function in (update_, compiled, update_):
        table, state = args[0].clone(), args[1].clone()
        function(table, state, *args[2:], lr=0.1, backend=backend)
        results.append((table, state))
    for table, state in results[1:]:
        assert torch.equal(table, results[0][0])
        assert torch.equal(state, results[0][1])


def test_a_row_out_of_range_changes_nothing():
    table, state = torch.ones(3, 2), torch.zeros(3)
    with pytest.raises(DataError, match=r"rows\[1\] is 3; it must lie in \[0, 3\)"):
        rowwise_adagrad_(table, state, torch.tensor([0, 3]), torch.ones(2, 2), lr=0.1)
    assert torch.equal(table, torch.ones(3, 2))
    assert not state.any()


def test_threads_change_nothing():
    rows = torch.randint(0, 9000, (12_000,), generator=generator())
    grads = drawn((12_000, 96), dtype=torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            table, state = drawn((9000, 96), 1, torch.float32), torch.zeros(9000)
            rowwise_adagrad_(table, state, rows, grads, lr=0.1)
            results.append(table)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_gradients_of_another_dtype_and_stride():
    rows = torch.tensor([2, 0])
    wide = drawn((4, 6), dtype=torch.float32)
    results = []
    for grads in (wide.T[:2, :], wide.T[:2, :].contiguous(), wide.T[:2, :].double()):
        table, state = torch.zeros(3, 4), torch.zeros(3)
        rowwise_adagrad_(table, state, rows, grads, lr=0.1)
        results.append(table)
    assert results[0][rows].all()
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    # A table that is a part of another.
    whole = torch.zeros(3, 8)
    rowwise_adagrad_(whole[:, ::2], torch.zeros(3), rows, wide.T[:2, :], lr=0.1)
    torch.testing.assert_close(whole[:, ::2], results[0])
    assert not whole[:, 1::2].any()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=9))
def test_summed_is_rising_and_adds_up(rows):
    rows = torch.tensor(rows, dtype=torch.long)
    grads = drawn((rows.numel(), 3))
    distinct, total = summed(rows, grads)
    assert distinct.tolist() == sorted(set(rows.tolist()))
    torch.testing.assert_close(dense(distinct, total, 6), dense(rows, grads, 6))


def test_write_rows_by_hand():
    table = torch.tensor([[10.0], [20.0], [30.0]])
    step = torch.tensor([[1.0], [2.0]])
    write_rows(table, torch.tensor([2, 0]), step, lr=0.5, weight_decay=0.1)
    assert table.ravel().tolist() == [8.5, 20.0, 28.0]
    assert step.ravel().tolist() == [1, 2]


def test_refuses_other_shapes():
    table, state, rows, grads = torch.ones(3, 2), torch.zeros(3), torch.arange(2), torch.ones(2, 2)
    for bad in (
        (table, state[:2], rows, grads),
        (table, state, rows, grads[:1]),
        (table, state, rows, grads[:, :1]),
        (table, state, rows[:0], grads),
    ):
        with pytest.raises(ConfigError, match=r"table \[C, D\], state \[C\].*; got \[3, 2\]"):
            rowwise_adagrad_(*bad, lr=0.1)
    assert torch.equal(table, torch.ones(3, 2))
