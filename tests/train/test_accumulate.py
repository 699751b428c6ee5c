"""Batches that make up one step: their mean counts, at the end of an epoch too."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphrise.train.accumulate import tail_factor

SGD = {"optimizer": "sgd", "momentum": 0.0, "lr": 0.05}
# Without batch normalisation: no image sees the others of its batch.
ENCODER = {"name": "test_convnext", "normalize": False}


def weights(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


@given(accumulate=st.integers(1, 9), batches=st.integers(1, 40))
def test_every_step_is_a_mean(accumulate, batches):
    shares: dict[int, float] = {}
    for i in range(batches):
        part = tail_factor(accumulate, i, batches) / accumulate
        shares[i // accumulate] = shares.get(i // accumulate, 0.0) + part
    assert list(shares.values()) == pytest.approx([1.0] * len(shares))


def test_two_batches_of_four_are_one_of_eight(make, loop, tmp_path):
    runs = []
    for accumulate in (1, 2):
        module = loop.module(make, encoder=ENCODER, train=SGD | {"accumulate": accumulate})
        size = 8 // accumulate
        batches = [loop.batch(list(range(i, i + size))) for i in range(0, 24, size)]
        trainer = loop.fit(module, batches, tmp_path)
        assert trainer.global_step == 3
        assert (module.passes, module.seeds) == (24, 24)
        runs.append(weights(module))
    start = loop.module(make, encoder=ENCODER, train=SGD).state_dict()
    whole, parts = runs
    assert any(not torch.allclose(whole[k], start[k], atol=1e-3) for k in whole)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=2e-6, rtol=1e-4)


def test_an_epoch_that_ends_early_takes_a_whole_step(make, loop, tmp_path):
    # Three batches of two by two: the last step has one batch, which counts as much as two.
    runs = []
    for accumulate, sizes in ((2, (2, 2, 2)), (1, (4, 2))):
        module = loop.module(make, encoder=ENCODER, train=SGD | {"accumulate": accumulate})
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        batches = [loop.batch(list(range(e - s, e))) for e, s in zip(ends, sizes, strict=True)]
        assert loop.fit(module, batches, tmp_path).global_step == 2
        runs.append(weights(module))
    for name, value in runs[1].items():
        torch.testing.assert_close(runs[0][name], value, atol=2e-6, rtol=1e-4)


def test_rows_of_a_sampled_head_get_both_batches(make, loop, tmp_path):
    # Three labels, all of them sampled: the loss is that of the full softmax.
    head = {"kind": "sampled", "num_negatives": 3, "negatives": "uniform", "lr": 0.1}
    head |= {"optimizer": "sgd", "smoothing": 0.0}
    tables = []
    for accumulate in (1, 2):
        module = loop.module(
            make, encoder=ENCODER, head=head, train=SGD | {"accumulate": accumulate}
        )
        size = 8 // accumulate
        batches = [loop.batch(list(range(i, i + size))) for i in range(0, 16, size)]
        loop.fit(module, batches, tmp_path)
        tables.append(module.head.table.weight.clone())
    torch.testing.assert_close(*tables, atol=2e-6, rtol=1e-4)
    first = loop.module(make, encoder=ENCODER, head=head, train=SGD).head.table.weight
    assert not torch.allclose(tables[0], first, atol=1e-3)


def test_the_edge_term_weighs_the_same(make, loop, tmp_path):
    stages = {"encoder": ENCODER, "edges": {"alpha": 0.7}}
    runs = []
    for accumulate in (1, 2):
        module = loop.module(make, **stages, train=SGD | {"accumulate": accumulate})
        pairs = [[0, 1, 2, 3], [4, 5, 6, 7]]
        # One batch of both: labelled images first.
        whole = [loop.batch([0, 1, 4, 5, 2, 3, 6, 7], seeds=4)]
        halves = [loop.batch(p, seeds=2) for p in pairs]
        loop.fit(module, whole if accumulate == 1 else halves, tmp_path)
        runs.append(weights(module))
    for name, value in runs[0].items():
        torch.testing.assert_close(runs[1][name], value, atol=2e-6, rtol=1e-4)


def test_ages_in_the_bank_are_counted_in_steps(make, loop, tmp_path):
    from graphrise.nn.bank import EmbeddingBank

    module = loop.module(make, encoder=ENCODER, train=SGD | {"accumulate": 2})
    module.bank = EmbeddingBank(8, 8)
    batches = [loop.batch([2 * i, 2 * i + 1]) for i in range(4)]
    loop.fit(module, batches, tmp_path)
    assert module.bank.step.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
