"""Part of case `ops`: softmax cross-entropy over all labels, its time and its extra memory.

Forward and backward pass, with the gradients of the embeddings and of the label vectors. What a way
takes beyond inputs and gradients is measured in a process of its own.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.child import Missing, answer, first_to_go, forget_peak, own_peak_mib, reason
from benchmarks.ops_trial import Figures, attempt, freed, looked_at, near, row, timed
from benchmarks.rows import Row
from graphrise.nn.heads import LabelTable, LogUniform, SampledSoftmax
from graphrise.ops import reference
from graphrise.ops.cross_entropy import soft_cross_entropy
from graphrise.ops.linear_cross_entropy import linear_cross_entropy

DIM, NEGATIVES, ENTRIES = 64, 8192, 3
OURS, FULL = "linear_cross_entropy", "logits in memory"
COMPILED, SAMPLED = "logits in memory, torch.compile", f"sampled softmax, {NEGATIVES:,} labels"
WAYS = (OURS, FULL, COMPILED, SAMPLED)
OWN = OURS, SAMPLED
SIZES = {"cpu": (1_000_000, 256), "cuda": (40_000_000, 1024)}
"""Labels and images."""
_IMAGES, _LABELS = 4, 100
"""That are looked at: the first images; labels of theirs, and as many first and last ones."""
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What every way gets.

    Attributes:
        z: `[B, D]`.
        weight: `[C, D]`.
        row: int64 `[E]`.
        index: int64 `[E]`.
        share: float32 `[E]`.
    """

    z: Tensor
    weight: Tensor
    row: Tensor
    index: Tensor
    share: Tensor


def rows(device: torch.device, repetitions: int) -> list[Row]:
    """Measure times in turn, and extra memory in one process each.

    Args:
        device: CPU or GPU.
        repetitions: Timed calls of every way.
    """
    labels, images = SIZES[device.type]
    size = f"{labels:,} labels, D {DIM}, {images} images of {ENTRIES} labels"
    freed()
    extra = {name: _extra(name, device, labels, images) for name in WAYS}
    missing = {name: why for name, why in extra.items() if isinstance(why, Missing)}
    inputs = make(labels, images, device)
    ways: dict[str, Callable[[], object]] = {
        name: way(name, inputs) for name in WAYS if name not in missing
    }
    if OURS in ways:
        ways[OURS] = looked_at(ways[OURS], lambda: _alike(inputs))
    times: dict[str, Figures] = {**missing, **timed(ways, device, repetitions)}
    memory: dict[str, Figures] = {
        name: of if isinstance(of, Missing) else [of] for name, of in extra.items()
    }
    return [
        row(OURS, name, found, own=OWN, metric=metric, size=size, unit=unit)
        for name in WAYS[1:]
        for metric, unit, found in (
            ("exact softmax, forward and backward", "ms", times),
            ("memory beyond inputs and gradients", "MiB", memory),
        )
    ]


def make(labels: int, images: int, device: torch.device) -> Inputs:
    """Random embeddings and label vectors, and three labels of every image."""
    generator = torch.Generator(device).manual_seed(0)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    weight = torch.empty(labels, DIM, device=device, dtype=dtype).uniform_(-0.2, 0.2)
    z = torch.randn(images, DIM, device=device, generator=generator).to(dtype)
    index = torch.randint(labels, (images * ENTRIES,), device=device, generator=generator)
    index[0] = labels - 1  # as far as the table goes, of an image that is looked at
    return Inputs(
        z=z.requires_grad_(),
        weight=weight.requires_grad_(),
        row=torch.arange(images, device=device).repeat_interleave(ENTRIES),
        index=index,
        share=torch.full((index.numel(),), 1 / ENTRIES, device=device),
    )


def way(name: str, inputs: Inputs) -> Callable[[], Tensor]:
    """A forward and a backward pass that leave nothing behind."""
    entries = inputs.row, inputs.index, inputs.share
    leaves = [inputs.z, inputs.weight]

    def full(z: Tensor, weight: Tensor) -> Tensor:
        return soft_cross_entropy(z @ weight.T, *entries).sum()

    if name == SAMPLED:
        table = LabelTable(len(inputs.weight), DIM, weight=inputs.weight.detach())
        leaves.append(table.gradient)
        head = SampledSoftmax(table, LogUniform(table.num_labels, NEGATIVES))
        losses: Callable[..., Tensor] = lambda z, _: head(z, *entries)  # noqa: E731
    elif name == OURS:
        losses = lambda z, weight: linear_cross_entropy(z, weight, *entries).sum()  # noqa: E731
    else:
        losses = torch.compile(full) if name == COMPILED else full

    def run() -> Tensor:
        loss = losses(inputs.z, inputs.weight)
        loss.backward()
        for leaf in leaves:
            leaf.grad = None
        return loss.detach()

    return run


def _extra(name: str, device: torch.device, labels: int, images: int) -> float | Missing:
    """MiB that a way takes beyond inputs and gradients."""
    settings = {"name": name, "device": device.type, "labels": labels, "images": images}
    # Logits, their logarithms and a gradient, where there are any; a GPU says itself what it holds.
    logits = 3 * labels * images * 4 / 2**30 if name in (FULL, COMPILED) else 0
    need = 2 + 4 * labels * DIM * 4 / 2**30 + logits if device.type == "cpu" else 2.0

    def act() -> float | Missing:
        found = answer("benchmarks.ops_softmax", settings, need)
        return found if isinstance(found, Missing) else float(found["extra_mib"])

    return attempt(name, act)


def _alike(inputs: Inputs) -> None:
    """Losses of a few images, and the gradients of these, against the reference in float64."""
    z, weight = inputs.z, inputs.weight
    losses = linear_cross_entropy(z, weight, inputs.row, inputs.index, inputs.share)
    losses[:_IMAGES].sum().backward()
    to_z, to_weight = z.grad, weight.grad
    z.grad = weight.grad = None
    assert to_z is not None
    assert to_weight is not None
    some = torch.arange(min(_LABELS, len(weight)), device=z.device)
    labels = torch.cat((inputs.index[inputs.row < _IMAGES], some, len(weight) - 1 - some))
    truth, truth_z, truth_labels = _truth(inputs, labels)
    tolerance = 2e-2 if z.dtype.itemsize < 4 else 1e-4
    got = losses.detach()[:_IMAGES].double()
    torch.testing.assert_close(got, truth, rtol=tolerance / 10, atol=0)
    near(to_z[:_IMAGES], truth_z, tolerance)
    assert not to_z[_IMAGES:].any(), "a gradient where no loss has one"
    near(to_weight[labels], truth_labels, tolerance)


def _truth(inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of the first images, and gradients of the images and of some labels, in float64."""
    z, mine = inputs.z.detach()[:_IMAGES].double(), inputs.row < _IMAGES
    parts = inputs.weight.detach().split(_BLOCK)
    logits = torch.cat([z @ part.double().T for part in parts], dim=1).requires_grad_()
    entries = inputs.row[mine], inputs.index[mine], inputs.share[mine].double()
    losses = reference.soft_cross_entropy(logits, *entries)
    (to_logits,) = torch.autograd.grad(losses.sum(), logits)
    to_z = torch.zeros_like(z)
    for of, part in zip(to_logits.split(_BLOCK, dim=1), parts, strict=True):
        to_z += of @ part.double()
    return losses.detach(), to_z, to_logits[:, labels].T @ z


def _measure(name: str, device: str, labels: int, images: int) -> dict[str, Any]:
    place = torch.device(device)
    # What the first call of anything loads is no part of it.
    way(name, make(labels // 100 + NEGATIVES, images, place))()
    inputs = make(labels, images, place)
    kept = 0 if name == SAMPLED else inputs.weight.nbytes
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
        way(name, inputs)()
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        before = forget_peak()
        way(name, inputs)()
        peak = own_peak_mib()
    return {"extra_mib": max(0.0, peak - before - kept / 2**20)}


def main(settings: str) -> None:
    """Print what a way takes, or why it cannot."""
    first_to_go()
    try:
        found = _measure(**json.loads(settings))
    except Exception as error:
        traceback.print_exc()
        found = {"missing": reason(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
