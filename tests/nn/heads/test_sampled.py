"""The sampled head: what its loss is, and that it is the full softmax on average."""

import functools
import math

import pytest
import torch

from graphrise.errors import ConfigError, DataError
from graphrise.nn.heads import (
    FullSoftmax,
    InBatch,
    LabelTable,
    LogitRule,
    LogUniform,
    Mixed,
    PartialFC,
    SampledSoftmax,
    Uniform,
)
from graphrise.ops import reference

LABELS, DIM = 30, 4
RULES = {
    "linear": LogitRule(),
    "temperature": LogitRule(temperature=0.5),
    "cosine": LogitRule(scale=6),
    "arcface": LogitRule(scale=6, margin="arcface", margin_size=0.3),
    "cosface": LogitRule(scale=6, margin="cosface", margin_size=0.2),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Two would only wait for each other on products as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def table_of(labels=LABELS, **options):
    """Label vectors longer than the first ones, so that a softmax is far from even."""
    table = LabelTable(labels, DIM, dtype=torch.float64, **options)
    table.weight.mul_(2)
    return table


def batch():
    """Five images: soft labels, a label of three images, an image without one."""
    row = torch.tensor([4, 0, 0, 1, 2, 2, 2])
    index = torch.tensor([7, 7, 29, 3, 0, 7, 12])
    weight = torch.tensor([1, 0.25, 0.75, 1, 0.5, 0.3, 0.2], dtype=torch.float64)
    return drawn(5, DIM, seed=1), row, index, weight


def dense_gradient(table):
    return torch.zeros_like(table.weight).index_copy(0, table.touched, table.gradient.grad)


def gradients(head, z, *labels):
    """Loss, and the gradients of the embeddings and of the whole table."""
    z = z.clone().requires_grad_()
    head.table.gradient.grad = None
    loss = head(z, *labels)
    loss.backward()
    assert z.grad is not None
    return loss.detach(), z.grad, dense_gradient(head.table)


def full_gradients(table, rule, z, row, index, weight, smoothing=0.0):
    """The same of the softmax over all labels."""
    z, vectors = z.clone().requires_grad_(), table.weight.clone().requires_grad_()
    logits = rule.all(z, vectors)
    logits = logits.index_put((row, index), rule.own(logits[row, index]))
    loss = reference.soft_cross_entropy(logits, row, index, weight, smoothing).mean()
    loss.backward()
    assert z.grad is not None
    assert vectors.grad is not None
    return loss.detach(), z.grad, vectors.grad


@pytest.mark.parametrize("sampler", [Uniform, LogUniform])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_labels_sampled_is_the_full_softmax(sampler, rule, smoothing):
    head = SampledSoftmax(
        table_of(), sampler(LABELS, LABELS), rule=RULES[rule], smoothing=smoothing
    )
    for _ in range(2):
        found = gradients(head, *batch())
        want = full_gradients(head.table, RULES[rule], *batch(), smoothing)
        for got, true in zip(found, want, strict=True):
            torch.testing.assert_close(got, true, rtol=1e-10, atol=1e-12)
    assert head.table.touched.tolist() == list(range(LABELS))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_of_a_batch_of_all_labels_partial_fc_is_the_full_softmax(smoothing):
    # Labels of the batch are negatives of its other images, sampled or not, as in InsightFace's.
    head = PartialFC(table_of(), 1, smoothing=smoothing)
    index = torch.arange(LABELS).flip(0)
    given = drawn(LABELS, DIM, seed=1), torch.arange(LABELS), index, torch.ones_like(index) * 1.0
    found = gradients(head, *given)
    want = full_gradients(head.table, LogitRule(), *given, smoothing)
    for got, true in zip(found, want, strict=True):
        torch.testing.assert_close(got, true, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rule", ["linear", "temperature", "cosine"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_agrees_with_the_full_head(rule, smoothing):
    z, *labels = batch()
    rule = RULES[rule]
    full = FullSoftmax(DIM, LABELS, rule=rule, smoothing=smoothing).double()
    for sampler in (Uniform, LogUniform):
        table = LabelTable(LABELS, DIM, weight=full.weight.detach().clone())
        head = SampledSoftmax(table, sampler(LABELS, LABELS), rule=rule, smoothing=smoothing)
        full.zero_grad()
        want = full(z, *labels)
        want.backward()
        got, _, gradient = gradients(head, z, *labels)
        torch.testing.assert_close(got, want.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient, full.weight.grad, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(head.logits(z), full.logits(z).detach())


def loop(head, z, row, index, weight, step):
    """The loss label by label from the sample of a step."""
    sample = head.negatives.draw(step, index)
    uncorrected = isinstance(head, PartialFC)
    logits = head.rule.all(z, head.table.weight)
    losses = []
    for image in range(len(z)):
        own = {int(k): float(w) for r, k, w in zip(row, index, weight, strict=True) if r == image}
        if not own:
            losses.append(0.0)
            continue
        score = {k: head.rule.own(logits[image, k]).item() for k in own}
        z_sum = sum(math.exp(s) for s in score.values())
        spread = sum(score.values())
        others = sample.index.tolist()
        if uncorrected:
            others = sorted({*others, *index.tolist()})
        for k in others:
            if k not in own:
                times = 1 if uncorrected else 1 / sample.expected(torch.tensor([k])).item()
                z_sum += times * math.exp(logits[image, k])
                spread += times * logits[image, k].item()
        hard = math.log(z_sum) - sum(w * score[k] for k, w in own.items())
        even = math.log(z_sum) - spread / head.table.num_labels
        losses.append((1 - head.smoothing) * hard + head.smoothing * even)
    return sum(losses) / len(losses)


SAMPLERS = {
    "uniform": Uniform(LABELS, 20),
    "replacement": Uniform(LABELS, 50, replacement=True),
    "log-uniform": LogUniform(LABELS, 12),
    "one": LogUniform(LABELS, 1),
    "log-uniform, replacement": LogUniform(LABELS, 12, replacement=True),
    "in batch": InBatch(torch.arange(LABELS).flip(0) + 1),
    "mixed": Mixed(LogUniform(LABELS, 6), InBatch(torch.ones(LABELS))),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_equals_a_loop_over_images_and_labels(sampler, rule, smoothing):
    # Own labels are among the sampled ones here, and count once.
    table = table_of()
    head = SampledSoftmax(table, SAMPLERS[sampler], rule=RULES[rule], smoothing=smoothing)
    for step in range(4):
        want = loop(head, *batch(), step)
        assert head(*batch()).item() == pytest.approx(want, rel=1e-10)
    assert int(head.step) == 4


@pytest.mark.parametrize("rule", RULES)
def test_partial_fc_equals_a_loop(rule):
    head = PartialFC(table_of(), 11, rule=RULES[rule], smoothing=0.1, seed=3)
    for step in range(3):
        want = loop(head, *batch(), step)
        assert head(*batch()).item() == pytest.approx(want, rel=1e-10)
    with pytest.raises(ConfigError, match="31 of 30 labels"):
        PartialFC(table_of(), 31)


def test_only_rows_of_the_batch_and_the_sample_are_read():
    head = SampledSoftmax(table_of(), Uniform(LABELS, 3))
    _, row, index, weight = batch()
    sampled = head.negatives.draw(0, index).index
    want = head(*batch())
    rows = torch.cat((index, sampled)).unique()
    others = torch.ones(LABELS, dtype=torch.bool).index_fill(0, rows, False)
    assert others.any()
    head.table.weight[others] = torch.nan
    head.step.zero_()
    loss, *_ = gradients(head, batch()[0], row, index, weight)
    assert torch.equal(loss, want.detach())
    assert head.table.touched.tolist() == rows.tolist()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_no_label_no_loss(sampler, smoothing):
    z, row, index, weight = batch()
    head = SampledSoftmax(table_of(), SAMPLERS[sampler], smoothing=smoothing)
    for images in (len(z), 0):
        loss, of_z, of_table = gradients(head, z[:images], row[:0], index[:0], weight[:0])
        assert loss.item() == 0
        assert of_z.shape == (images, DIM)
        assert not of_z.any()
        assert not of_table.any()


@pytest.mark.parametrize("rule", ["linear", "cosine"])
def test_one_label(rule):
    one = torch.zeros(3, dtype=torch.long)
    for sampler in (Uniform(1, 1), LogUniform(1, 1), InBatch(torch.ones(1))):
        head = SampledSoftmax(table_of(1), sampler, rule=RULES[rule], smoothing=0.1)
        found = gradients(
            head, drawn(3, DIM), torch.arange(3), one, torch.ones(3, dtype=torch.float64)
        )
        for value in found:
            torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-14)
        score, label = head.top_labels(drawn(3, DIM), 1)
        assert torch.equal(label, one[:, None])
        assert torch.equal(score, head.logits(drawn(3, DIM)))


MANY = 80
ZIPF = 1 / (torch.arange(MANY) + 3.0)
COUNTED = {
    "uniform": (lambda n: Uniform(MANY, n), 72),
    "uniform, replacement": (lambda n: Uniform(MANY, n, replacement=True), 400),
    "log-uniform": (lambda n: LogUniform(MANY, n), 72),
    "log-uniform, replacement": (lambda n: LogUniform(MANY, n, replacement=True), 400),
    "mixed": (lambda n: Mixed(Uniform(MANY, n), InBatch(ZIPF)), 72),
    "mixed of log-uniform": (lambda n: Mixed(LogUniform(MANY, n), InBatch(ZIPF)), 72),
}


@functools.cache
def batches(images, number=200):
    """Batches with one label an image, as often as it is in the data, and the full gradients."""
    generator = torch.Generator().manual_seed(2)
    one, made = torch.ones(images, dtype=torch.float64), []
    table = LabelTable(MANY, DIM, dtype=torch.float64)
    for _ in range(number):
        index = torch.multinomial(ZIPF, images, True, generator=generator)
        labels = drawn(images, DIM, seed=1), torch.arange(images), index, one
        want = full_gradients(table, LogitRule(), *labels)[1:]
        made.append((labels, torch.cat([w.ravel() for w in want])))
    return made


def bias(negatives, images=8, corrected=True):
    """How far the mean gradient is from the full one, its Monte Carlo error, and the full one."""
    head = SampledSoftmax(LabelTable(MANY, DIM, dtype=torch.float64), negatives)
    head._corrected = corrected
    found = [torch.cat([g.ravel() for g in gradients(head, *b)[1:]]) for b, _ in batches(images)]
    want = torch.stack([w for _, w in batches(images)])
    errors = torch.stack(found) - want
    spread = (errors.var(dim=0).sum() / len(errors)).sqrt()
    return errors.mean(dim=0).norm(), spread, want.mean(dim=0).norm()


@pytest.mark.parametrize("name", COUNTED)
def test_the_mean_gradient_approaches_that_of_the_full_softmax(name):
    sampler, large = COUNTED[name]
    far, _, _ = bias(sampler(4))
    error, spread, full = bias(sampler(large))
    assert error < far / 4
    # The log of an unbiased estimate is off by a part 1 / n.
    assert error <= 3 * spread + full / large


def test_in_batch_the_mean_gradient_approaches_too():
    few, some, many = (bias(InBatch(ZIPF), images) for images in (4, 16, 96))
    # As parts, for the mean gradient of more images is smaller.
    assert few[0] / few[2] > some[0] / some[2] > many[0] / many[2]
    error, spread, full = many
    assert error <= 3 * spread + full / 96


def test_without_the_right_counts_it_does_not():
    # So that the two tests above could fail.
    error, spread, full = bias(InBatch(torch.ones(MANY)), 96)
    assert error > 3 * spread + full / 96
    many = LogUniform(MANY, 400, replacement=True)
    error, spread, full = bias(many, corrected=False)
    assert error > 3 * spread + full / 400


def test_every_training_step_has_its_sample():
    head = SampledSoftmax(table_of(), Uniform(LABELS, 5))
    first, second = head(*batch()), head(*batch())
    assert first.item() != second.item()
    assert int(head.step) == 2
    other = SampledSoftmax(head.table, Uniform(LABELS, 5))
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(*batch()), head(*batch()))
    assert set(head.state_dict()) == {"step"}
    assert list(head.parameters()) == []
    head.eval()
    assert torch.equal(head(*batch()), head(*batch()))
    assert int(head.step) == 3


@pytest.mark.parametrize("rule", RULES)
def test_single_precision_is_no_worse_than_plain_torch(rule):
    z, row, index, weight = batch()
    table = LabelTable(LABELS, DIM)
    head = SampledSoftmax(table, Uniform(LABELS, LABELS), rule=RULES[rule], smoothing=0.1)
    single, share = z.float(), weight.float()
    losses = []
    for dtype in (torch.float64, torch.float32):
        copy = LabelTable(LABELS, DIM, weight=table.weight.to(dtype))
        inputs = single.to(dtype), row, index, share.to(dtype)
        losses.append(full_gradients(copy, RULES[rule], *inputs, 0.1)[0].item())
    got = head(single, row, index, share)
    assert got.dtype == torch.float32
    assert abs(got.item() - losses[0]) <= abs(losses[1] - losses[0]) + 1e-6 * losses[0]


def test_autocast_and_half_precision_embeddings_change_little():
    z, row, index, weight = batch()
    half = z.bfloat16()
    for dtype in (torch.float32, torch.bfloat16):
        head = SampledSoftmax(LabelTable(LABELS, DIM, dtype=dtype), Uniform(LABELS, 9)).eval()
        exact = LabelTable(LABELS, DIM, weight=head.table.weight.double())
        want = SampledSoftmax(exact, Uniform(LABELS, 9)).eval()(half.double(), row, index, weight)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = head(half.requires_grad_(), row, index, weight.float())
        assert got.dtype == torch.float32
        assert got.item() == pytest.approx(want.item(), rel=1e-6)
        got.backward()
        assert head.table.gradient.grad is not None
        assert head.table.gradient.grad.dtype == torch.float32


def test_any_stride():
    z, row, index, weight = batch()
    head = SampledSoftmax(table_of(), Uniform(LABELS, 9)).eval()
    strided = torch.stack((z, z), dim=2)[:, :, 1]
    assert not strided.is_contiguous()
    torch.testing.assert_close(head(strided, row, index, weight), head(z, row, index, weight))


@pytest.mark.parametrize("rule", ["linear", "arcface"])
@pytest.mark.parametrize("block", [1, 7, 30, 31, 1 << 16])
def test_top_labels_are_those_of_the_logits(rule, block):
    head = SampledSoftmax(table_of(), Uniform(LABELS, 5), rule=RULES[rule])
    z = drawn(6, DIM, seed=8)
    for k in (1, 5, LABELS):
        score, label = head.top_labels(z, k, block)
        want = head.logits(z).topk(k, dim=1)
        torch.testing.assert_close(score, want.values)
        assert torch.equal(label, want.indices)
    score, label = head.top_labels(z[:0], 3, block)
    assert (score.shape, label.shape) == ((0, 3), (0, 3))
    assert not head.top_labels(z.requires_grad_(), 2, block)[0].requires_grad


def test_logits_are_the_rules_without_a_gradient_of_the_table():
    for rule in RULES.values():
        head = SampledSoftmax(table_of(), Uniform(LABELS, 5), rule=rule)
        z = drawn(3, DIM).requires_grad_()
        got = head.logits(z)
        torch.testing.assert_close(got, rule.all(z, head.table.weight))
        got.sum().backward()
        assert z.grad is not None
        assert head.table.gradient.grad is None


def test_refuses():
    with pytest.raises(ConfigError, match="a sampler of 29 labels for a table of 30"):
        SampledSoftmax(table_of(), Uniform(29, 3))
    for smoothing in (-0.1, 1.0):
        with pytest.raises(ConfigError, match=rf"smoothing must lie in \[0, 1\), got {smoothing}"):
            SampledSoftmax(table_of(), Uniform(LABELS, 3), smoothing=smoothing)
    head = SampledSoftmax(table_of(), Uniform(LABELS, 3))
    for k in (0, -1, 31):
        with pytest.raises(ConfigError, match=rf"k must be in 1..30, got {k}"):
            head.top_labels(drawn(2, DIM), k)


@pytest.mark.parametrize("label", [-1, LABELS])
def test_a_label_out_of_range(label):
    head = SampledSoftmax(LabelTable(LABELS, DIM), Uniform(LABELS, 3))
    with pytest.raises(
        DataError, match=rf"from {min(label, 2)} to {max(label, 2)}; .*0, {LABELS}\)"
    ):
        head(torch.ones(2, DIM), torch.tensor([0, 1]), torch.tensor([2, label]), torch.ones(2))
    assert int(head.step) == 0
