"""The label table: first values, and where the gradient of read rows goes."""

import pytest
import torch

from graphrise.errors import ConfigError
from graphrise.nn.heads import LabelTable
from graphrise.nn.heads import table as module

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def small(**options):
    return LabelTable(9, 4, dtype=torch.float64, **options)


def dense_gradient(table):
    """The gradient as a table of its own."""
    return torch.zeros_like(table.weight).index_copy(0, table.touched, table.gradient.grad)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_reads_rows_and_touches_those(dtype):
    table = LabelTable(9, 4, dtype=dtype)
    rows = torch.tensor([7, 2, 5])
    found = table.gather(rows)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(found, table.weight[rows].to(found.dtype))
    slope = drawn(3, 4).to(found.dtype)
    (found * slope).sum().backward()
    assert table.touched.tolist() == [2, 5, 7]
    assert table.gradient.grad is not None
    assert torch.equal(table.gradient.grad, slope[[1, 2, 0]])
    assert table.gradient.shape == table.gradient.grad.shape
    assert not table.weight.requires_grad


def test_a_row_read_twice_is_touched_once():
    table = small()
    slope = drawn(4, 4)
    (table.gather(torch.tensor([3, 8, 3, 3])) * slope).sum().backward()
    assert table.touched.tolist() == [3, 8]
    torch.testing.assert_close(
        table.gradient.grad, torch.stack((slope[[0, 2, 3]].sum(0), slope[1]))
    )


def test_no_rows():
    table = small()
    found = table.gather(torch.empty(0, dtype=torch.long))
    assert found.shape == (0, 4)
    found.sum().backward()
    assert table.gradient.grad is not None
    assert (table.touched.numel(), table.gradient.grad.shape) == (0, (0, 4))


@pytest.mark.parametrize("both_read_first", [False, True])
def test_two_batches_add_up(both_read_first):
    table, other = small(), small()
    first, second = torch.tensor([6, 1, 4]), torch.tensor([4, 0, 8, 6])
    one, two = drawn(3, 4), drawn(4, 4, seed=1)
    if both_read_first:
        found = [table.gather(first), table.gather(second)]
        ((found[0] * one).sum() + (found[1] * two).sum()).backward()
    else:
        (table.gather(first) * one).sum().backward()
        (table.gather(second) * two).sum().backward()
    together = torch.cat((first, second))
    (other.gather(together) * torch.cat((one, two))).sum().backward()
    assert table.touched.tolist() == other.touched.tolist() == [0, 1, 4, 6, 8]
    torch.testing.assert_close(table.gradient.grad, other.gradient.grad)
    want = torch.zeros(9, 4, dtype=torch.float64).index_add(0, together, torch.cat((one, two)))
    torch.testing.assert_close(dense_gradient(table), want)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zeroed_gradients_do_not_come_back(set_to_none):
    table = small()
    optimizer = torch.optim.SGD([table.gradient], lr=0.1)
    (table.gather(torch.tensor([1, 2])) * 5).sum().backward()
    optimizer.zero_grad(set_to_none=set_to_none)
    slope = drawn(2, 4)
    (table.gather(torch.tensor([2, 3])) * slope).sum().backward()
    want = torch.zeros(9, 4, dtype=torch.float64)
    want[[2, 3]] = slope
    assert torch.equal(dense_gradient(table), want)
    if set_to_none:
        assert table.touched.tolist() == [2, 3]


def test_clips_as_a_dense_gradient():
    table, encoder = small(), torch.nn.Linear(3, 2, dtype=torch.float64)
    rows = torch.tensor([5, 0, 5])
    dense = table.weight.clone().requires_grad_()
    x = drawn(1, 3)
    for found in (table.gather(rows), dense[rows]):
        encoder.zero_grad()
        (encoder(x).square().sum() + found.pow(3).sum()).backward()
    sparse = [*encoder.parameters(), table.gradient]
    copy = [torch.zeros_like(p).requires_grad_() for p in encoder.parameters()]
    for to, parameter in zip(copy, encoder.parameters(), strict=True):
        assert parameter.grad is not None
        to.grad = parameter.grad.clone()
    norm = torch.nn.utils.clip_grad_norm_([*copy, dense], 0.01)
    assert norm > 0.01
    torch.testing.assert_close(torch.nn.utils.clip_grad_norm_(sparse, 0.01), norm)
    torch.testing.assert_close(dense_gradient(table), dense.grad)
    for to, parameter in zip(copy, encoder.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, to.grad)


def test_is_no_parameter_and_in_no_checkpoint():
    table = small()
    table.gather(torch.tensor([1])).sum().backward()
    assert list(table.parameters()) == []
    assert table.state_dict() == {}
    assert set(dict(table.named_buffers())) == {"weight", "state"}
    assert isinstance(table.gradient, torch.nn.Parameter)


def test_no_gradient_where_none_is_wanted():
    table = small()
    with torch.no_grad():
        found = table.gather(torch.tensor([1, 0]))
    assert not found.requires_grad
    assert torch.equal(found, table.weight[[1, 0]])
    # What a caller does to it must not reach the table.
    found.zero_()
    assert table.weight[[1, 0]].all()
    assert table.gradient.grad is None


def test_rows_do_not_depend_on_how_the_table_is_cut(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 16)
    for dtype in DTYPES:
        whole = LabelTable(100, 3, dtype=dtype, seed=4).weight
        assert whole.unique(dim=0).size(0) == 100
        for first, count in (
            (0, 1),
            (0, 16),
            (5, 9),
            (5, 11),
            (15, 2),
            (16, 32),
            (31, 69),
            (99, 1),
        ):
            part = LabelTable(count, 3, dtype=dtype, seed=4, first=first).weight
            assert torch.equal(part, whole[first : first + count]), (dtype, first, count)
        # The fast path of float32 is only a faster one.
        single = LabelTable(100, 3, seed=4).weight
        assert torch.equal(whole, single.to(dtype))


def test_rows_of_a_real_block_boundary():
    edge = module._BLOCK
    whole = LabelTable(edge + 3, 1).weight
    part = LabelTable(5, 1, first=edge - 2).weight
    assert torch.equal(part, whole[edge - 2 :])
    assert torch.equal(LabelTable(2, 1, first=edge).weight, part[2:4])


def test_reset_renews_some_rows(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 8)
    table = small(seed=3)
    first = table.weight.clone()
    table.weight.fill_(7)
    table.state.fill_(2)
    table.reset(2, 9)
    assert torch.equal(table.weight[2:], first[2:])
    assert (table.weight[:2] == 7).all()
    assert table.state.tolist() == [2, 2, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("dim", [2, 8, 50])
def test_first_values_are_uniform_with_variance_1_over_d(dim):
    weight = LabelTable(20_000, dim).weight.double()
    n = weight.numel()
    assert weight.abs().max() <= (3 / dim) ** 0.5
    assert abs(weight.mean()) <= 4 * (1 / dim / n) ** 0.5
    # The square of a uniform number has variance 0.8 of its squared mean.
    assert abs(weight.square().mean() - 1 / dim) <= 4 / dim * (0.8 / n) ** 0.5


def test_the_seed_decides():
    assert torch.equal(small(seed=1).weight, small(seed=1).weight)
    assert not (small(seed=1).weight == small(seed=2).weight).any()


def test_a_table_that_is_given_is_used_as_it_is():
    weight = drawn(3, 2)
    table = LabelTable(3, 2, weight=weight)
    assert table.weight is weight
    assert torch.equal(weight, drawn(3, 2))
    assert (table.num_labels, table.dim, table.state.dtype) == (3, 2, torch.float64)
    assert table.state.tolist() == [0, 0, 0]


@pytest.mark.parametrize("given", [False, True])
def test_a_table_with_a_device_stays_when_its_module_is_moved(given):
    weight = drawn(9, 4) if given else None
    table = LabelTable(9, 4, dtype=torch.float64, weight=weight, device="cpu")
    kept = table.weight, table.state
    model = torch.nn.ModuleDict({"encoder": torch.nn.Linear(4, 4), "head": table})
    for moved in (model.to(torch.bfloat16), model.to("meta"), model.to_empty(device="cpu")):
        assert moved["head"].weight is kept[0]
        assert moved["head"].state is kept[1]
    assert model["encoder"].weight.dtype == torch.bfloat16
    table.gather(torch.tensor([3])).sum().backward()
    assert table.touched.tolist() == [3]


def test_a_table_without_a_device_moves_with_its_module():
    table = small()
    model = torch.nn.Sequential(table).to(torch.float32)
    assert (table.weight.dtype, table.state.dtype) == (torch.float32, torch.float32)
    model.to("meta")
    assert table.weight.device.type == table.state.device.type == "meta"


def test_refuses():
    with pytest.raises(ConfigError, match="at least one label"):
        LabelTable(0, 4)
    for dtype in (torch.float16, torch.int64):
        with pytest.raises(ConfigError, match=f"float32, bfloat16, float64, not {dtype}"):
            LabelTable(3, 4, dtype=dtype)
    with pytest.raises(ConfigError, match=r"are \[3, 2\] and \[3\], not \[3, 4\] and \[3\]"):
        LabelTable(3, 4, weight=drawn(3, 2))
    with pytest.raises(ConfigError, match=r"are \[3, 2\] and \[2\], not \[3, 2\] and \[3\]"):
        LabelTable(3, 2, weight=drawn(3, 2), state=torch.zeros(2))
    with pytest.raises(ConfigError, match=r"not torch.float16"):
        LabelTable(3, 2, weight=torch.zeros(3, 2, dtype=torch.float16))
    with pytest.raises(ConfigError, match="on cpu and state on cpu; both must lie on meta"):
        LabelTable(3, 2, weight=drawn(3, 2), device="meta")
    with pytest.raises(ConfigError, match="on cpu and state on meta; both must lie on cpu"):
        LabelTable(3, 2, weight=drawn(3, 2), state=torch.zeros(3, device="meta"))


def test_zeroed_gradients_are_no_touched_rows():
    table = LabelTable(9, 2)
    table.gather(torch.tensor([1, 4])).sum().backward()
    assert table.gradient.grad is not None
    table.gradient.grad.zero_()  # zero_grad(set_to_none=False)
    table.gather(torch.tensor([7])).sum().backward()
    assert table.touched.tolist() == [7]
    assert table.gradient.grad.tolist() == [[1, 1]]
