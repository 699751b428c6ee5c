"""Exact softmax with the table's update in one pass: against the loss, its gradient and a step."""

from typing import Any

import pytest
import torch

from graphrise.errors import ConfigError, DataError
from graphrise.ops import logit_blocks, reference
from graphrise.ops.linear_cross_entropy import linear_cross_entropy
from graphrise.ops.linear_cross_entropy_step import linear_cross_entropy_step_

OPTIONS = [{"lr": 0.1}, {"lr": 0.5, "eps": 0.01, "weight_decay": 0.2}]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Blocks of 16 labels, so that small tables have several."""
    monkeypatch.setattr(logit_blocks, "_BLOCK", {})
    monkeypatch.setattr(logit_blocks, "_DEVICE_BLOCK", 1)
    monkeypatch.setattr(logit_blocks, "_FEWEST", 16)


def drawn(
    dtype=torch.float64, *, images=5, labels=37, dim=6, seed=0, device="cpu"
) -> dict[str, Any]:
    """z, table, state and entries; the last image has none."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(images, dim, generator=generator, dtype=torch.float64)
    table = torch.randn(labels, dim, generator=generator, dtype=torch.float64)
    entries = 2 * max(images - 1, 0)
    total = torch.float64 if dtype == torch.float64 else torch.float32
    given = {
        "z": z.to(dtype),
        "table": table.to(dtype),
        "state": torch.rand(labels, generator=generator).to(total),
        "row": torch.arange(entries) // 2,
        "index": torch.randint(0, labels, (entries,), generator=generator),
        "share": torch.tensor([0.3, 0.7], dtype=torch.float64).repeat(entries // 2),
    }
    return {name: of.to(device) for name, of in given.items()}


def expected(given, upstream, smoothing, options):
    """Losses, gradient of z, new table and state in float64, all of it in memory."""
    z, table = (given[name].double().requires_grad_() for name in ("z", "table"))
    entries = (given[name] for name in ("row", "index", "share"))
    losses = reference.linear_cross_entropy(z, table, *entries, smoothing=smoothing)
    objective = losses.mean() if upstream is None else (upstream * losses).sum()
    to_z, to_table = torch.autograd.grad(objective, (z, table))
    state = given["state"].double()
    step = reference.rowwise_adagrad(table.detach(), state, to_table, **options)
    return losses.detach(), to_z, *step


@pytest.mark.backends("torch", "triton")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_dense_step(backend, device, options, smoothing, weighted):
    given = drawn(device=device)
    upstream = torch.linspace(-1, 2, 5, dtype=torch.float64, device=device) if weighted else None
    want = expected(given, upstream, smoothing, options)
    got = linear_cross_entropy_step_(
        **given, smoothing=smoothing, upstream=upstream, backend=backend, **options
    )
    for ours, theirs in zip((*got, given["table"], given["state"]), want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.backends("triton")
@pytest.mark.parametrize("rows", [7, 40, 101])
def test_a_table_of_several_blocks_equals_the_dense_step(backend, device, monkeypatch, rows):
    monkeypatch.setattr("graphrise.ops.triton.linear_cross_entropy._ROWS", rows)
    given = drawn(images=40, labels=101, device=device)
    # Blocks without an entry, and entries at both ends of one.
    given["index"] = torch.tensor([0, 6, 7, 39, 80, 100], device=device).repeat(13)
    options: dict[str, Any] = OPTIONS[1]
    want = expected(given, None, 0.1, options)
    got = linear_cross_entropy_step_(**given, smoothing=0.1, backend=backend, **options)
    for ours, theirs in zip((*got, given["table"], given["state"]), want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.backends("torch", "triton")
def test_float32_is_as_exact_as_the_dense_step(backend, device):
    given = drawn(torch.float32, device=device)
    want = expected(given, None, 0.1, OPTIONS[0])
    z, table = (given[name].clone().requires_grad_() for name in ("z", "table"))
    entries = [given[name] for name in ("row", "index", "share")]
    losses = reference.linear_cross_entropy(z, table, *entries, smoothing=0.1)
    to_z, to_table = torch.autograd.grad(losses.mean(), (z, table))
    step = reference.rowwise_adagrad(table.detach(), given["state"], to_table, lr=0.1)
    plain = losses.detach(), to_z, *step
    got = linear_cross_entropy_step_(**given, smoothing=0.1, backend=backend, lr=0.1)
    for ours, theirs, true in zip((*got, given["table"], given["state"]), plain, want, strict=True):
        assert ours.dtype == torch.float32
        error, allowed = ((of.double() - true).abs().max().item() for of in (ours, theirs))
        assert error <= allowed + 1e-6 * true.abs().max().item()


def test_encoders_part_is_that_of_the_differentiable_loss():
    given = drawn()
    z = given["z"].clone().requires_grad_()
    entries = [given[name] for name in ("row", "index", "share")]
    linear_cross_entropy(z, given["table"], *entries).mean().backward()
    _, to_z = linear_cross_entropy_step_(**given, lr=0.1)
    torch.testing.assert_close(to_z, z.grad, rtol=1e-12, atol=1e-14)


def test_bfloat16_lands_within_a_step_and_right_on_average():
    given = drawn(torch.bfloat16)
    losses, to_z, table, state = expected(given, None, 0.0, {"lr": 0.01})
    results = []
    for seed in range(1000):
        work = given | {name: given[name].clone() for name in ("table", "state")}
        generator = torch.Generator().manual_seed(seed)
        got = linear_cross_entropy_step_(**work, lr=0.01, generator=generator)
        results.append(work["table"].double())
    torch.testing.assert_close(got[0].double(), losses, rtol=1e-5, atol=1e-5)
    assert got[1].dtype == torch.bfloat16
    torch.testing.assert_close(got[1].double(), to_z, rtol=2**-7, atol=1e-4)
    torch.testing.assert_close(work["state"].double(), state, rtol=1e-5, atol=1e-6)
    every = torch.stack(results)
    # 8 bits of mantissa: a step is at most 2^-7 of the value.
    assert ((every - table).abs() <= 2**-7 * table.abs() + 1e-6).all()
    spread = every.std(dim=0)
    assert (spread > 0).any()
    assert ((every.mean(dim=0) - table).abs() <= 5 * spread / 1000**0.5 + 1e-5).all()
    again = given | {name: given[name].clone() for name in ("table", "state")}
    linear_cross_entropy_step_(**again, lr=0.01, generator=torch.Generator().manual_seed(999))
    assert torch.equal(again["table"], work["table"])


@pytest.mark.parametrize(("images", "labels"), [(1, 1), (1, 40), (3, 16)])
def test_odd_sizes(images, labels):
    given = drawn(images=images, labels=labels)
    want = expected(given, None, 0.1, {"lr": 0.1})
    got = linear_cross_entropy_step_(**given, lr=0.1, smoothing=0.1)
    for ours, theirs in zip((*got, given["table"], given["state"]), want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_no_image_changes_nothing_but_by_decay():
    given = drawn(images=0, labels=7)
    before = {name: given[name].clone() for name in ("table", "state")}
    losses, to_z = linear_cross_entropy_step_(**given, lr=0.1, weight_decay=0.5)
    assert losses.shape == (0,)
    assert to_z.shape == (0, 6)
    torch.testing.assert_close(given["table"], before["table"] * 0.95)
    assert torch.equal(given["state"], before["state"])


def test_a_table_that_is_a_part_of_another():
    given, whole = drawn(), torch.zeros(37, 12, dtype=torch.float64)
    whole[:, ::2] = given["table"]
    linear_cross_entropy_step_(
        **given | {"table": whole[:, ::2], "state": given["state"].clone()}, lr=0.1
    )
    linear_cross_entropy_step_(**given, lr=0.1)
    torch.testing.assert_close(whole[:, ::2], given["table"], rtol=1e-12, atol=1e-14)
    assert not whole[:, 1::2].any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"table": torch.zeros(5, 3).half(), "z": torch.zeros(2, 3).half()},
            ConfigError,
            "bfloat16",
        ),
        ({"state": torch.zeros(4)}, ConfigError, r"state torch.float32 \[C\]; got .*\[4\]"),
        ({"state": torch.zeros(5).double()}, ConfigError, r"got .* and torch.float64 \[5\]"),
        ({"z": torch.zeros(2, 3).double()}, ConfigError, "of one float dtype"),
        ({"upstream": torch.ones(3)}, ConfigError, r"upstream must be \[B\], got \[3\]"),
        ({"smoothing": 1.0}, ConfigError, "smoothing must lie in"),
        ({"index": torch.tensor([0, 5])}, DataError, r"step_: index\[1\] is 5"),
        ({"row": torch.tensor([0, 2])}, DataError, r"step_: row\[1\] is 2"),
    ],
)
def test_wrong_input_changes_nothing(change, error, message):
    args = {
        "z": torch.zeros(2, 3),
        "table": torch.ones(5, 3),
        "state": torch.zeros(5),
        "row": torch.tensor([0, 1]),
        "index": torch.tensor([4, 0]),
        "share": torch.ones(2),
        **change,
    }
    before = args["table"].clone()
    with pytest.raises(error, match=message):
        linear_cross_entropy_step_(**args, lr=0.1)
    assert torch.equal(args["table"], before)
