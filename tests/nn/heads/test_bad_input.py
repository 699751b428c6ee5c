"""What every head does with labels that are not there, none at all, and embeddings of no number."""

import pytest
import torch

from graphrise.errors import ConfigError, DataError
from graphrise.nn.heads import (
    FullSoftmax,
    InBatch,
    LabelTable,
    LogitRule,
    LogUniform,
    PartialFC,
    SampledSoftmax,
    ShardedSoftmax,
    Uniform,
    full,
)

LABELS, DIM = 30, 4
ARCFACE = LogitRule(scale=5.0, margin="arcface", margin_size=0.3)


def table():
    return LabelTable(LABELS, DIM)


HEADS = {
    "full": lambda: FullSoftmax(DIM, LABELS),
    "full, no logits held": lambda: FullSoftmax(DIM, LABELS),
    "full, margin": lambda: FullSoftmax(DIM, LABELS, rule=ARCFACE),
    "sampled": lambda: SampledSoftmax(table(), LogUniform(LABELS, 5), smoothing=0.1),
    "in batch": lambda: SampledSoftmax(table(), InBatch(torch.ones(LABELS))),
    "partial": lambda: PartialFC(table(), 5, rule=ARCFACE),
    "sharded": lambda: ShardedSoftmax(table(), Uniform(LABELS, 5)),
    "sharded, in batch": lambda: ShardedSoftmax(table(), InBatch(torch.ones(LABELS))),
}


@pytest.fixture(params=HEADS)
def head(request, monkeypatch):
    if "no logits" in request.param:
        monkeypatch.setattr(full, "_LARGE", 1)
    torch.manual_seed(0)
    return HEADS[request.param]()


def entries(labels=(2, 3), rows=(0, 1)):
    return torch.tensor(rows), torch.tensor(labels), torch.ones(len(labels))


def embeddings():
    return torch.arange(8.0).view(2, DIM) / 8


@pytest.mark.parametrize("label", [-1, -LABELS, LABELS, LABELS + 7])
def test_a_label_out_of_range(head, label):
    with pytest.raises(DataError, match=rf"must (be|lie) in \[0, ({LABELS}|C)\)"):
        head(embeddings(), *entries((2, label)))
    head(embeddings(), *entries((0, LABELS - 1)))
    if not isinstance(head, FullSoftmax):
        assert int(head.step) == 1  # of the good batch alone


@pytest.mark.parametrize("row", [-1, 2])
@pytest.mark.parametrize("rule", [None, ARCFACE])
def test_an_image_out_of_range(row, rule):
    with pytest.raises(DataError, match=rf"full softmax: row\[1\] is {row}; .* in \[0, 2\)"):
        FullSoftmax(DIM, LABELS, rule=rule)(embeddings(), *entries(rows=(0, row)))


@pytest.mark.parametrize("rule", [None, ARCFACE])
def test_where_labels_are_not_looked_at_a_negative_one_is_none_from_the_end(monkeypatch, rule):
    monkeypatch.setattr(full, "checked_mode", lambda z: False)
    head = FullSoftmax(DIM, LABELS, rule=rule)
    with pytest.raises(IndexError, match=f"{LABELS} is out of bounds"):
        head(embeddings(), *entries((2, -1)))
    monkeypatch.undo()
    want = head(embeddings(), *entries())
    monkeypatch.setattr(full, "checked_mode", lambda z: False)
    assert torch.equal(head(embeddings(), *entries()), want)


@pytest.mark.parametrize("images", [2, 0])
def test_a_batch_without_labels(head, images):
    z = embeddings()[:images].requires_grad_()
    loss = head(z, *(of[:0] for of in entries()))
    assert loss.item() == 0
    loss.backward()
    assert z.grad is not None
    assert not z.grad.any()
    for weight in head.parameters():
        assert weight.grad is not None
        assert not weight.grad.any()
    if not isinstance(head, FullSoftmax):
        grad = head.table.gradient.grad
        assert grad is None or not grad.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_of_no_number_is_left_to_who_scales_it(head, value):
    z = embeddings()
    z[1, 2] = value
    assert not bool(head(z, *entries()).isfinite())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_embedding_of_no_number_has_no_top_labels(head, value):
    z = torch.ones(5, DIM)
    z[3, 1] = z[4, 0] = value
    with pytest.raises(DataError, match="NaN or infinity in 2 of 5 rows, first in row 3; look at"):
        head.top_labels(z, 2)
    assert head.top_labels(z[:3], 2)[1].shape == (3, 2)
    assert head.top_labels(z[:0], 2)[1].shape == (0, 2)


NOTHING = {
    "full": (lambda: FullSoftmax(DIM, 0), "at least one label"),
    "table": (lambda: LabelTable(0, DIM), "at least one label"),
    "uniform": (lambda: Uniform(0, 1), "1 of 0 labels; both must be at least 1"),
    "log-uniform": (lambda: LogUniform(0, 1), "1 of 0 labels; both must be at least 1"),
    "in batch": (lambda: InBatch(torch.empty(0)), "not all 0"),
}


@pytest.mark.parametrize(("make", "message"), NOTHING.values(), ids=NOTHING)
def test_no_labels_at_all(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
