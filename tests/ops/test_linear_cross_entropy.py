"""Softmax over all rows of a table, never held: every backend against the dense reference."""

import math
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.ops import logit_blocks, reference
from graphrise.ops.backend import interpreted
from graphrise.ops.linear_cross_entropy import linear_cross_entropy

CASES = {
    # images, labels, D, entries
    "odd": (5, 37, 13, 12),
    "several blocks": (70, 101, 6, 90),
    "one label": (3, 1, 4, 2),
    "one image": (1, 33, 16, 3),
    "no image": (0, 7, 3, 0),
    "no entry": (4, 9, 2, 0),
    "no column": (3, 5, 0, 4),
    "nothing to choose": (2, 0, 3, 0),
}
LOOSE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Blocks of 16 labels, so that small tables have several."""
    monkeypatch.setattr(logit_blocks, "_BLOCK", {})
    monkeypatch.setattr(logit_blocks, "_DEVICE_BLOCK", 1)
    monkeypatch.setattr(logit_blocks, "_FEWEST", 16)


def drawn(case, dtype=torch.float64, *, bias=True, seed=0, device="cpu") -> dict[str, Any]:
    """Embeddings, table and bias, and entries; an image in five has none."""
    images, labels, dim, entries = CASES[case]
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        of = torch.randn(shape, generator=generator, dtype=torch.float64)
        return of.to(device, dtype).requires_grad_()

    row = torch.randint(0, max(images - images // 5, 1), (entries,), generator=generator)
    index = torch.randint(0, max(labels, 1), (entries,), generator=generator)
    share = torch.rand(entries, generator=generator, dtype=torch.float64)
    total = torch.zeros(max(images, 1), dtype=torch.float64).index_add_(0, row, share)
    return {
        "z": normal(images, dim),
        "weight": normal(labels, dim),
        "row": row.to(device),
        "index": index.to(device),
        "share": (share / total[row]).to(device),
        "bias": normal(labels) if bias else None,
    }


def wide(args):
    """In float64, to be the truth."""
    return {
        name: of.detach().double().requires_grad_(of.requires_grad)
        if isinstance(of, torch.Tensor) and of.is_floating_point()
        else of
        for name, of in args.items()
    }


def results(loss, args, upstream, **options):
    """Losses and gradients of z, weight and bias."""
    losses = loss(**args, **options)
    inputs = [args[name] for name in ("z", "weight", "bias") if args[name] is not None]
    return [losses, *torch.autograd.grad((losses * upstream.to(losses)).sum(), inputs)]


def upstream_of(args, device="cpu"):
    """Not of one sign: an image's loss may be subtracted."""
    return torch.linspace(-1, 2, args["z"].size(0), dtype=torch.float64, device=device)


def unchecked(monkeypatch):
    """Indices are not looked at, as on a GPU, whatever the device."""
    module = sys.modules["graphrise.ops.linear_cross_entropy"]
    monkeypatch.setattr(module, "checked_mode", lambda _: False)


def skip_bf16_in_interpreter(dtype, backend):
    if dtype == torch.bfloat16 and backend == "triton" and interpreted():
        pytest.skip("products of bf16 are wrong in Triton's interpreter")


@pytest.mark.backends("torch", "triton")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_reference(backend, device, case, smoothing):
    if case == "no column" and backend == "triton":
        pytest.skip("torch's")
    args = drawn(case, bias=smoothing > 0, device=device)
    upstream = upstream_of(args, device)
    got = results(linear_cross_entropy, args, upstream, smoothing=smoothing, backend=backend)
    if not args["weight"].size(0):
        assert got[0].tolist() == [0, 0]
        assert not got[1].any()
        return
    want = results(reference.linear_cross_entropy, args, upstream, smoothing=smoothing)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.backends("torch", "triton")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_as_exact_as_plain_torch(backend, device, dtype, index):
    skip_bf16_in_interpreter(dtype, backend)
    for case in ("odd", "several blocks"):
        args = drawn(case, dtype, device=device)
        args |= {"row": args["row"].to(index), "index": args["index"].to(index)}
        args["share"] = args["share"].float()
        upstream = upstream_of(args, device)
        truth = results(reference.linear_cross_entropy, wide(args), upstream, smoothing=0.1)
        plain = results(reference.linear_cross_entropy, args, upstream, smoothing=0.1)
        got = results(linear_cross_entropy, args, upstream, smoothing=0.1, backend=backend)
        assert got[0].dtype == torch.float32
        assert {of.dtype for of in got[1:]} == {dtype}
        for ours, theirs, true in zip(got, plain, truth, strict=True):
            error, allowed = ((of.double() - true).abs().max().item() for of in (ours, theirs))
            assert error <= allowed + LOOSE[dtype] * true.abs().max().item()


@pytest.mark.backends("torch", "triton")
def test_gradients(backend, device):
    args = drawn("odd", device=device)
    args["share"].requires_grad_()
    names = ("z", "weight", "bias", "share")

    def loss(*tensors):
        given = args | dict(zip(names, tensors, strict=True))
        return linear_cross_entropy(**given, smoothing=0.2, backend=backend)

    fast = backend == "triton" and interpreted()
    inputs = tuple(args[name] for name in names)
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=fast)


@pytest.mark.backends("torch", "triton")
@pytest.mark.parametrize("name", ["z", "weight", "bias"])
def test_gradient_of_one_alone(backend, device, name):
    args = drawn("odd", device=device)
    alone = {
        of: value.detach() if of in ("z", "weight", "bias") else value for of, value in args.items()
    }
    alone[name].requires_grad_()
    all_losses = linear_cross_entropy(**args, smoothing=0.1, backend=backend)
    losses = linear_cross_entropy(**alone, smoothing=0.1, backend=backend)
    (want,) = torch.autograd.grad(all_losses.sum(), args[name])
    (got,) = torch.autograd.grad(losses.sum(), alone[name])
    torch.testing.assert_close(got, want, rtol=0, atol=1e-14)


# opcheck looks at the gradient of a tensor that is none of its leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.backends("torch", "triton")
def test_registered_with_torch(backend, device):
    args = drawn("odd", torch.float32, device=device)
    args["share"] = args["share"].float()
    order = ("z", "weight", "bias", "row", "index", "share")
    given = [args[name] for name in order]
    op = torch.ops.graphrise.linear_cross_entropy.default
    torch.library.opcheck(op, (*given, 0.1, backend))
    given[2] = None
    torch.library.opcheck(op, (*given, 0.0, backend))
    compiled = torch.compile(linear_cross_entropy, fullgraph=True, backend="aot_eager")
    upstream = upstream_of(args, device)
    want = results(linear_cross_entropy, args, upstream, smoothing=0.1, backend=backend)
    got = results(compiled, args, upstream, smoothing=0.1, backend=backend)
    assert all(map(torch.equal, got, want))


@pytest.mark.backends("torch", "triton")
def test_not_contiguous_and_repeatable(backend, device):
    args = drawn("odd", torch.float32, device=device)
    upstream = upstream_of(args, device)
    want = results(linear_cross_entropy, args, upstream, backend=backend)
    strided = {
        name: torch.stack((of, of), dim=of.dim())[..., 0].detach() for name, of in args.items()
    }
    strided["weight"] = args["weight"].detach().T.contiguous().T
    assert not strided["z"].is_contiguous()
    for name in ("z", "weight", "bias"):
        strided[name].requires_grad_()
    first = results(linear_cross_entropy, strided, upstream, backend=backend)
    again = results(linear_cross_entropy, strided, upstream, backend=backend)
    for one, two, plain in zip(first, again, want, strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.backends("torch", "triton")
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_huge_and_equal_logits(backend, device, smoothing):
    # Logits of 1e4, of either sign, and 0; then all 0.
    for z in (torch.tensor([[1e4], [-1e4], [0.0]]), torch.zeros(3, 1)):
        args = {
            "z": z.double().to(device).requires_grad_(),
            "weight": torch.tensor([[1.0], [-1.0]] + 20 * [[0.0]], dtype=torch.float64).to(device),
            "row": torch.tensor([0, 1, 2], device=device),
            "index": torch.tensor([0, 0, 21], device=device),
            "share": torch.ones(3, device=device),
            "bias": None,
        }
        args["weight"].requires_grad_()
        upstream = torch.ones(3, device=device)
        want = results(reference.linear_cross_entropy, args, upstream, smoothing=smoothing)
        narrow = args | {
            name: args[name].detach().float().requires_grad_() for name in ("z", "weight")
        }
        got = results(linear_cross_entropy, narrow, upstream, smoothing=smoothing, backend=backend)
        for ours, theirs in zip(got, want, strict=True):
            assert ours.isfinite().all()
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-6)


def test_by_hand():
    # Exponentials of the logits: (3, 4, 2) of 9, and (1, 1, 2) of 4.
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    bias = torch.tensor([0.0, 0.0, math.log(2)])
    z = torch.tensor([[math.log(3), math.log(4)], [0.0, 0.0]])
    row, index = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
    share = torch.tensor([0.25, 0.75, 1.0])
    plain = [0.25 * math.log(9 / 3) + 0.75 * math.log(9 / 4), math.log(4 / 2)]
    got = linear_cross_entropy(z, weight, row, index, share, bias=bias)
    assert got.tolist() == pytest.approx(plain)
    smooth = [
        0.275 * math.log(3) + 0.625 * math.log(9 / 4) + 0.1 * math.log(9 / 2),
        0.2 * math.log(4) + 0.8 * math.log(2),
    ]
    got = linear_cross_entropy(z, weight, row, index, share, bias=bias, smoothing=0.3)
    assert got.tolist() == pytest.approx(smooth)


@settings(max_examples=30, deadline=None)
@given(
    images=st.integers(1, 5),
    labels=st.integers(1, 40),
    entries=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 39), st.floats(0.01, 1)), max_size=12
    ),
    smoothing=st.sampled_from([0.0, 0.5]),
)
def test_any_entries_in_any_order(images, labels, entries, smoothing):
    # Duplicates of an entry add up; shares need not sum to 1.
    generator = torch.Generator().manual_seed(len(entries))
    z, weight = (
        torch.randn(n, 3, generator=generator, dtype=torch.float64, requires_grad=True)
        for n in (images, labels)
    )
    args = {
        "z": z,
        "weight": weight,
        "row": torch.tensor([r % images for r, _, _ in entries], dtype=torch.long),
        "index": torch.tensor([k % labels for _, k, _ in entries], dtype=torch.long),
        "share": torch.tensor([w for _, _, w in entries], dtype=torch.float64),
        "bias": None,
    }
    upstream = upstream_of(args)
    want = results(reference.linear_cross_entropy, args, upstream, smoothing=smoothing)
    got = results(linear_cross_entropy, args, upstream, smoothing=smoothing)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.backends("torch", "triton")
def test_one_entry_named_often(backend, device):
    args = drawn("odd", device=device)
    args |= {
        "row": torch.full((300,), 2, device=device),
        "index": torch.full((300,), 36, dtype=torch.int32, device=device),
        "share": torch.full((300,), 1 / 300, dtype=torch.float64, device=device),
    }
    upstream = upstream_of(args, device)
    got = results(linear_cross_entropy, args, upstream, backend=backend)
    once = {name: args[name][:1] for name in ("row", "index")}
    once["share"] = torch.ones(1, dtype=torch.float64, device=device)
    want = results(linear_cross_entropy, args | once, upstream, backend=backend)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_under_autocast_nothing_is_rounded():
    args = drawn("odd", torch.float32)
    upstream = upstream_of(args)
    want = results(linear_cross_entropy, args, upstream, smoothing=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = results(linear_cross_entropy, args, upstream, smoothing=0.1)
    assert all(map(torch.equal, got, want))


@pytest.mark.gpu
def test_kernels_do_not_follow_torch_to_tf32():
    args = drawn("several blocks", torch.float32, device="cuda")
    # Learnt: the two parts of the gradient of an image's own labels almost cancel.
    args["weight"] = (8 * args["weight"].detach()).requires_grad_()
    upstream = upstream_of(args, "cuda")
    before, found = torch.get_float32_matmul_precision(), []
    try:
        for precision in ("highest", "high"):
            torch.set_float32_matmul_precision(precision)
            found.append(results(linear_cross_entropy, args, upstream, backend="triton"))
    finally:
        torch.set_float32_matmul_precision(before)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


@pytest.mark.backends("triton")
def test_gradient_of_a_bias_alone_in_several_blocks(backend, device, monkeypatch):
    monkeypatch.setattr("graphrise.ops.triton.linear_cross_entropy._ROWS", 40)
    args = drawn("several blocks", device=device)
    upstream = upstream_of(args, device)
    want = results(reference.linear_cross_entropy, args, upstream, smoothing=0.1)
    alone = args | {name: args[name].detach() for name in ("z", "weight")}
    losses = linear_cross_entropy(**alone, smoothing=0.1, backend=backend)
    (got,) = torch.autograd.grad((losses * upstream).sum(), args["bias"])
    torch.testing.assert_close(losses, want[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got, want[3], rtol=1e-12, atol=1e-12)


@pytest.mark.backends("torch", "triton")
def test_entries_out_of_range_are_left_out_unchecked(backend, device, monkeypatch):
    unchecked(monkeypatch)
    args = drawn("odd", device=device)
    more = {
        "row": torch.tensor([5, -1, 4, 4], device=device),
        "index": torch.tensor([0, 0, 37, -1], device=device),
        "share": torch.ones(4, dtype=torch.float64, device=device),
    }
    wrong = args | {name: torch.cat((args[name], of)) for name, of in more.items()}
    upstream = upstream_of(args, device)
    results_of = []
    for batch in (wrong, args):
        batch["share"].requires_grad_()
        losses = linear_cross_entropy(**batch, smoothing=0.1, backend=backend)
        inputs = [batch[name] for name in ("z", "weight", "bias", "share")]
        results_of.append([losses, *torch.autograd.grad((losses * upstream).sum(), inputs)])
    results_of[1][4] = torch.cat((results_of[1][4], torch.zeros_like(more["share"])))
    for ours, theirs in zip(*results_of, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ["no image", "nothing to choose"])
def test_entries_of_nothing_are_left_out_unchecked(case, monkeypatch):
    unchecked(monkeypatch)
    args = drawn(case, bias=False)
    entries = torch.zeros(2, dtype=torch.long)
    share = torch.ones(2, dtype=torch.float64, requires_grad=True)
    losses = linear_cross_entropy(args["z"], args["weight"], entries, entries, share)
    losses.sum().backward()
    assert not losses.any()
    assert share.grad is not None
    assert share.grad.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"z": torch.zeros(3)}, ConfigError, r"z must be \[B, D\]"),
        (
            {"z": torch.zeros(2, 4)},
            ConfigError,
            r"weight \[C, D\] of one float dtype; got.*\[2",
        ),
        ({"z": torch.zeros(2, 3).half()}, ConfigError, r"got torch.float16 \[2, 3\] and torch.fl"),
        ({"weight": torch.zeros(5)}, ConfigError, r"weight \[C, D\]"),
        ({"row": torch.zeros(2)}, ConfigError, "row must be int32 or int64"),
        ({"index": torch.zeros(1, 2).long()}, ConfigError, "index must be int32 or int64"),
        ({"share": torch.ones(3)}, ConfigError, r"must be \[E\]; got \[2\], \[2\], .*\[3\]"),
        ({"share": torch.ones(2).long()}, ConfigError, r"share \(float\)"),
        ({"bias": torch.zeros(4)}, ConfigError, r"bias must be torch.float32 \[5\]"),
        ({"bias": torch.zeros(5).half()}, ConfigError, "bias must be torch.float32"),
        ({"smoothing": 1.0}, ConfigError, r"smoothing must lie in \[0, 1\), got 1"),
        ({"smoothing": -0.1}, ConfigError, r"got -0\.1"),
        ({"backend": "numba"}, ConfigError, "none of its triton, torch"),
        ({"row": torch.tensor([0, 2])}, DataError, r"row\[1\] is 2; it must lie in \[0, 2\)"),
        ({"index": torch.tensor([-1, 0])}, DataError, r"index\[0\] is -1.*\[0, 5\)"),
    ],
)
def test_wrong_input(change, error, message):
    args = {
        "z": torch.zeros(2, 3),
        "weight": torch.zeros(5, 3),
        "row": torch.tensor([0, 1]),
        "index": torch.tensor([4, 0]),
        "share": torch.ones(2),
        **change,
    }
    with pytest.raises(error, match=message):
        linear_cross_entropy(**args)


def test_a_row_too_wide_for_the_kernels_is_torchs():
    z = torch.zeros(2, 200)
    with pytest.raises(ConfigError, match="'triton' is none of its torch"):
        linear_cross_entropy(z, z, *no_entries(), backend="triton")
    assert linear_cross_entropy(z, z, *no_entries()).tolist() == [0, 0]


def no_entries():
    none = torch.empty(0, dtype=torch.long)
    return none, none, torch.empty(0)
