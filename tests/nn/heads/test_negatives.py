"""Samples of labels: what is drawn, and that the expected counts are right."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.nn.heads import InBatch, LogUniform, Mixed, Uniform

NOBODY = torch.empty(0, dtype=torch.long)
LABELS, ENTRIES = 120, 30
ZIPF = 1 / (torch.arange(LABELS) + 3.0)
SAMPLERS = {
    "uniform": Uniform(LABELS, 12),
    "uniform, replacement": Uniform(LABELS, 12, replacement=True),
    "uniform, more than there are": Uniform(LABELS, 200, replacement=True),
    "log-uniform, arrivals": LogUniform(LABELS, 12),
    "log-uniform, nearly all": LogUniform(LABELS, LABELS - 1),
    "log-uniform, first distinct": LogUniform(LABELS, 7),
    "log-uniform, replacement": LogUniform(LABELS, 12, replacement=True),
    "all": LogUniform(LABELS, LABELS),
    "in batch": InBatch(ZIPF),
    "uniform and in batch": Mixed(Uniform(LABELS, 8), InBatch(ZIPF)),
    "log-uniform and uniform": Mixed(LogUniform(LABELS, 12), Uniform(LABELS, 12)),
}


def batches(number, seed=0):
    """Labels of batches as they come from the data: `[number, ENTRIES]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(ZIPF.expand(number, LABELS), ENTRIES, True, generator=generator)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sum_over_the_sample_is_unbiased(name):
    # Of several functions, among them such as weigh the head, the tail and one label.
    label = torch.arange(LABELS, dtype=torch.float64)
    functions = torch.stack((torch.ones_like(label), (label * 7).sin().exp(), 1 / (label + 1),
                             label, (label == 0).double(), (label == 90).double()))  # fmt: skip
    # Uniform draws spread less and take longer.
    draws = 5000 if "in batch" in name or name.startswith("log") else 2000
    estimates = torch.empty(draws, len(functions), dtype=torch.float64)
    for step, own in enumerate(batches(draws)):
        drawn = SAMPLERS[name].draw(step, own)
        estimates[step] = functions[:, drawn.index] @ (1 / drawn.expected(drawn.index))
    error = (estimates.mean(dim=0) - functions.sum(dim=1)).abs()
    assert (error <= 4 * estimates.std(dim=0) / draws**0.5 + 1e-9).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_draw_is_a_function_of_seed_and_step(name):
    sampler, own = SAMPLERS[name], batches(1)[0]
    first = sampler.draw(3, own)
    sampler.draw(4, own)
    again = sampler.draw(3, own)
    assert torch.equal(first.index, again.index)
    assert torch.equal(first.expected(own), again.expected(own))
    assert first.index.dtype == torch.int64
    assert bool((first.index >= 0).all())
    assert bool((first.index < LABELS).all())
    expected = first.expected(torch.arange(LABELS))
    assert (expected.shape, expected.dtype) == ((LABELS,), torch.float64)
    assert (expected > 0).all()
    assert first.expected(NOBODY).shape == (0,)
    if name not in ("all", "in batch"):
        assert set(first.index.tolist()) != set(sampler.draw(4, own).index.tolist())


@pytest.mark.parametrize("kind", [Uniform, LogUniform])
@pytest.mark.parametrize("replacement", [False, True])
def test_the_seed_decides(kind, replacement):
    one, same, other = (kind(90, 20, replacement=replacement, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.draw(0, NOBODY).index, same.draw(0, NOBODY).index)
    assert not torch.equal(one.draw(0, NOBODY).index, other.draw(0, NOBODY).index)
    # The batch's own labels do not matter to these.
    assert torch.equal(one.draw(0, NOBODY).index, one.draw(0, torch.arange(9)).index)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_without_replacement_gives_as_many_different_labels(data):
    labels = data.draw(st.integers(1, 400), label="labels")
    count = data.draw(st.integers(1, labels), label="count")
    step, seed = data.draw(st.integers(0, 2**40)), data.draw(st.integers(0, 2**60))
    for kind in (Uniform, LogUniform):
        drawn = kind(labels, count, seed=seed).draw(step, NOBODY)
        assert drawn.index.shape == (count,)
        assert drawn.index.unique().numel() == count
        assert 0 <= drawn.index.min() <= drawn.index.max() < labels
        expected = drawn.expected(torch.arange(labels))
        assert ((expected > 0) & (expected <= 1)).all()
        if count == labels:
            assert (expected == 1).all()


@pytest.mark.parametrize("kind", [Uniform, LogUniform])
def test_with_replacement_the_expected_counts_add_up(kind):
    for labels, count in ((1, 5), (7, 3), (50, 400)):
        drawn = kind(labels, count, replacement=True).draw(0, NOBODY)
        assert drawn.index.shape == (count,)
        expected = drawn.expected(torch.arange(labels))
        assert expected.sum().item() == pytest.approx(count, rel=1e-12)


def test_log_uniform_follows_its_formula():
    labels, count = 60, 400_000
    drawn = LogUniform(labels, count, replacement=True).draw(0, NOBODY)
    share = [math.log((c + 2) / (c + 1)) / math.log(labels + 1) for c in range(labels)]
    expected = drawn.expected(torch.arange(labels))
    assert expected.tolist() == pytest.approx([count * p for p in share], rel=1e-12)
    found = torch.bincount(drawn.index, minlength=labels)
    error = (expected * (1 - expected / count)).sqrt()
    assert ((found - expected).abs() <= 4 * error).all()
    # Falling with the rank, as the vocabulary.
    assert (expected[1:] < expected[:-1]).all()


@pytest.mark.parametrize("count", [3, 20])
def test_log_uniform_is_successive_sampling(count):
    # One distinct label after the other; few of many and many of few go different ways.
    labels, draws = 100, 4000
    with_all = LogUniform(labels, count)
    found = torch.zeros(labels)
    for step in range(draws):
        found[with_all.draw(step, NOBODY).index] += 1
    generator = torch.Generator().manual_seed(1)
    share = torch.log1p(1 / (torch.arange(labels) + 1.0))
    other = torch.multinomial(share.expand(draws, labels), count, generator=generator)
    want = torch.bincount(other.ravel(), minlength=labels) / draws
    found /= draws
    error = ((found * (1 - found) + want * (1 - want)) / draws).sqrt()
    assert ((found - want).abs() <= 4 * error + 1e-3).all()


def test_in_batch_takes_the_labels_of_the_batch():
    sampler = InBatch(torch.tensor([8, 1, 0, 1]))
    drawn = sampler.draw(0, torch.tensor([3, 0, 0, 3, 0]))
    assert drawn.index.tolist() == [0, 3]
    want = [1 - 0.2**5, 1 - 0.9**5, 0.0, 1 - 0.9**5]
    assert drawn.expected(torch.arange(4)).tolist() == pytest.approx(want, rel=1e-6)
    assert sampler.num_labels == 4
    assert sampler.draw(0, NOBODY).index.tolist() == []
    # A label that all data has is surely there.
    assert InBatch(torch.ones(1)).draw(0, torch.zeros(1).long()).expected(
        torch.zeros(1).long()
    ).item() == pytest.approx(1)


def test_in_batch_counts_rare_labels_exactly():
    frequency = torch.ones(30_000_000)
    frequency[0] = 1e9
    drawn = InBatch(frequency).draw(0, torch.arange(256))
    want = -math.expm1(256 * math.log1p(-1 / (1e9 + 30e6 - 1)))
    assert drawn.expected(torch.tensor([5])).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_in_batch_moves_the_shares_of_a_batch_only():
    sampler, own = InBatch(1 / (torch.arange(1_000_000) + 3.0)), torch.arange(0, 1_000_000, 9973)
    want = sampler.draw(0, own).expected(own)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    drawn = sampler.draw(0, own.cuda())
    got = drawn.expected(own.cuda())
    assert torch.cuda.max_memory_allocated() - before < 1_000_000
    assert torch.equal(drawn.index, own)
    torch.testing.assert_close(got.cpu(), want, rtol=1e-12, atol=0)


def test_mixed_is_the_union():
    one, other = Uniform(50, 10), InBatch(torch.arange(50).flip(0) + 1.0)
    own = torch.tensor([7, 1, 7])
    drawn = Mixed(one, other).draw(2, own)
    parts = one.draw(2, own), other.draw(2, own)
    want = set(parts[0].index.tolist()) | {1, 7}
    assert drawn.index.tolist() == sorted(want)
    every = torch.arange(50)
    missing = (1 - parts[0].expected(every)) * (1 - parts[1].expected(every))
    torch.testing.assert_close(drawn.expected(every), 1 - missing)


@pytest.mark.parametrize("kind", [Uniform, LogUniform])
def test_refuses_more_than_there_are(kind):
    with pytest.raises(ConfigError, match=r"1,001 of 1,000 labels.*FullSoftmax.*replacement=True"):
        kind(1000, 1001)
    assert kind(1000, 1001, replacement=True).draw(0, NOBODY).index.numel() == 1001
    for labels, count in ((0, 1), (1, 0), (5, -1)):
        for replacement in (False, True):
            with pytest.raises(ConfigError, match="both must be at least 1"):
                kind(labels, count, replacement=replacement)


@pytest.mark.parametrize(
    "frequency", [torch.zeros(3), torch.tensor([1.0, -1.0, 3.0]), torch.ones(2, 2), torch.ones(0)]
)
def test_refuses_what_is_no_frequency(frequency):
    with pytest.raises(ConfigError, match=r"frequency must be \[C\], not negative, not all 0"):
        InBatch(frequency)


def test_refuses_what_does_not_mix():
    with pytest.raises(ConfigError, match="of 10 and 11 labels"):
        Mixed(Uniform(10, 2), Uniform(11, 2))
    for pair in (
        (Uniform(10, 2, replacement=True), Uniform(10, 2)),
        (Uniform(10, 2), LogUniform(10, 2, replacement=True)),
    ):
        with pytest.raises(ConfigError, match="both without replacement"):
            Mixed(*pair)
