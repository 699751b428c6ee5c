"""Tables for a vocabulary that has grown or was built again."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.nn.heads import (
    LabelTable,
    SampledSoftmax,
    Uniform,
    grow,
    load_table,
    open_table,
    rebuild,
    save_table,
)
from graphrise.nn.rowwise import RowwiseAdagrad

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def trained(num_labels, dtype=torch.float32, dim=3):
    table = LabelTable(num_labels, dim, dtype=dtype, seed=4)
    table.weight.copy_(torch.randn(num_labels, dim))
    table.state.copy_(torch.rand(num_labels))
    return table


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("more", [0, 1, 30])
def test_old_rows_stay_and_new_ones_are_as_made(dtype, more):
    old = trained(10, dtype)
    kept = old.weight.clone(), old.state.clone()
    new = grow(old, 10 + more)
    fresh = LabelTable(10 + more, 3, dtype=dtype, seed=4)
    assert torch.equal(new.weight[:10], kept[0])
    assert torch.equal(new.state[:10], kept[1])
    assert torch.equal(new.weight[10:], fresh.weight[10:])
    assert not new.state[10:].any()
    assert (new.num_labels, new.weight.dtype, new.first) == (10 + more, dtype, 0)
    # They share nothing.
    new.weight.zero_()
    new.state.zero_()
    assert torch.equal(old.weight, kept[0])
    assert torch.equal(old.state, kept[1])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.sampled_from(DTYPES), st.data())
def test_shards_of_a_grown_table(old, more, dtype, data):
    table = trained(old, dtype)
    whole = grow(table, old + more)
    first = data.draw(st.integers(0, old + more - 1))
    count = data.draw(st.integers(1, old + more - first))
    part = grow(table, old + more, first=first, count=count)
    assert (part.first, part.num_labels) == (first, count)
    assert torch.equal(part.weight, whole.weight[first : first + count])
    assert torch.equal(part.state, whole.state[first : first + count])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.sampled_from(DTYPES), st.data())
def test_a_vocabulary_that_was_built_again(old, dtype, data):
    table = trained(old, dtype)
    order = data.draw(st.permutations(range(old)))
    kept = order[: data.draw(st.integers(0, old))]
    rows = data.draw(st.permutations([*kept, *[-1] * data.draw(st.integers(0, 5))]))
    assume(rows)
    first = data.draw(st.integers(0, len(rows) - 1))
    built = rebuild(table, torch.tensor(rows), first=first)
    fresh = LabelTable(len(rows), 3, dtype=dtype, seed=4)
    assert built.num_labels == len(rows) - first
    for label, row in enumerate(rows[first:], start=first):
        want = fresh.weight[label] if row < 0 else table.weight[row]
        assert torch.equal(built.weight[label - first], want)
        assert built.state[label - first] == (0 if row < 0 else table.state[row])


def test_more_rows_than_a_block(monkeypatch):
    monkeypatch.setattr("graphrise.nn.heads.growth._BLOCK", 7)
    table = trained(50)
    longer = grow(table, 60)
    assert torch.equal(longer.weight[:50], table.weight)
    assert torch.equal(longer.state[:50], table.state)
    order = torch.cat((torch.arange(49, -1, -1), torch.full((10,), -1)))
    turned = rebuild(table, order)
    assert torch.equal(turned.weight[:50], table.weight.flip(0))
    assert torch.equal(turned.state[:50], table.state.flip(0))
    assert torch.equal(turned.weight[50:], longer.weight[50:])


def test_from_a_saved_table(tmp_path):
    table = trained(20)
    save_table(table, tmp_path / "table")
    grown = grow(open_table(tmp_path / "table"), 25)
    want = grow(table, 25)
    assert torch.equal(grown.weight, want.weight)
    assert torch.equal(grown.state, want.state)
    save_table(grown, tmp_path / "table", overwrite=True)
    assert torch.equal(load_table(tmp_path / "table").weight, want.weight)


def step(table, state=None):
    head = SampledSoftmax(table, Uniform(table.num_labels, 3, seed=1))
    optimizer = RowwiseAdagrad([table], lr=0.5)
    if state is not None:
        head.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
    before = table.weight.clone()
    loss = head(torch.ones(1, 3), *torch.tensor([[0], [table.num_labels - 1]]), torch.ones(1))
    loss.backward()
    optimizer.step()
    changed = (table.weight != before).any(dim=1)
    return changed, (head.state_dict(), optimizer.state_dict())


def test_training_goes_on_with_new_labels():
    table = trained(10)
    _, state = step(table)
    grown = grow(table, 14)
    changed, (head, optimizer) = step(grown, state)
    assert changed[13]
    assert changed.sum() <= 4
    assert (int(head["step"]), optimizer["steps"]) == (2, 2)


@pytest.mark.parametrize("count", [9, 0, -3])
def test_a_table_does_not_shrink(count):
    with pytest.raises(ConfigError, match="it cannot shrink"):
        grow(trained(10), count)


def test_a_shard_does_not_grow():
    shard = LabelTable(5, 3, first=5)
    with pytest.raises(ConfigError, match="begins at label 5"):
        grow(shard, 20)
    with pytest.raises(ConfigError, match="begins at label 5"):
        rebuild(shard, torch.arange(5))


@pytest.mark.parametrize(("first", "count"), [(-1, 2), (12, None), (3, 0), (3, 10)])
def test_rows_that_are_not_there(first, count):
    with pytest.raises(ConfigError, match="no such rows"):
        grow(trained(10), 12, first=first, count=count)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.tensor([0, 10]), "0 to 10; rows of the table are 0 to 9"),
        (torch.tensor([-2, 3]), "-2 to 3; rows of the table are 0 to 9"),
        (torch.tensor([1, 4, 1]), "names a row twice"),
        (torch.tensor([1.0]), "old_row is int64"),
        (torch.tensor([[1]]), "old_row is int64"),
        (torch.empty(0, dtype=torch.long), "no such rows"),
    ],
)
def test_an_order_that_is_none(rows, message):
    with pytest.raises(ConfigError, match=message):
        rebuild(trained(10), rows)
