"""Part of case `ops`: softmax cross-entropy over all labels, its time and its extra memory.

Forward and backward pass, with the gradients of the embeddings and of the label vectors. What a way
takes beyond inputs and gradients is measured in a process of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.child import Missing, answer, first_to_go, forget_peak, own_peak_mib
from benchmarks.rows import Row
from benchmarks.timing import in_turn
from graphrise.nn.heads import LabelTable, LogUniform, SampledSoftmax
from graphrise.ops.cross_entropy import soft_cross_entropy
from graphrise.ops.linear_cross_entropy import linear_cross_entropy

DIM, NEGATIVES, ENTRIES = 64, 8192, 3
OURS, FULL = "linear_cross_entropy", "logits in memory"
COMPILED, SAMPLED = "logits in memory, torch.compile", f"sampled softmax, {NEGATIVES:,} labels"
WAYS = (OURS, FULL, COMPILED, SAMPLED)
SIZES = {"cpu": (1_000_000, 256), "cuda": (40_000_000, 1024)}
"""Labels and images."""


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
    extra = {name: _extra(name, device, labels, images) for name in WAYS}
    able = [name for name, found in extra.items() if not isinstance(found, Missing)]
    inputs = make(labels, images, device)
    times = in_turn({name: way(name, inputs) for name in able}, device, repetitions)
    found = []
    for name in WAYS[1:]:
        theirs = extra[name]
        why = f": MISSING, {theirs.why}" if isinstance(theirs, Missing) else ""
        memory = [float("nan")] if isinstance(theirs, Missing) else [theirs]
        for metric, unit, ours, other in (
            ("exact softmax, forward and backward", "ms", times.get(OURS, [float("nan")]), times),
            ("memory beyond inputs and gradients", "MiB", [_number(extra[OURS])], memory),
        ):
            values = other.get(name, [float("nan")]) if isinstance(other, dict) else other
            found.append(
                Row(
                    case="ops",
                    variant=OURS,
                    metric=metric,
                    values=ours,
                    unit=unit,
                    baseline=name + why,
                    baseline_values=values,
                    higher_is_better=False,
                    size=size,
                )
            )
    return found


def make(labels: int, images: int, device: torch.device) -> Inputs:
    """Random embeddings and label vectors, and three labels of every image."""
    generator = torch.Generator(device).manual_seed(0)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    weight = torch.empty(labels, DIM, device=device, dtype=dtype).uniform_(-0.2, 0.2)
    z = torch.randn(images, DIM, device=device, generator=generator).to(dtype)
    index = torch.randint(labels, (images * ENTRIES,), device=device, generator=generator)
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

    def full(z: Tensor, weight: Tensor) -> Tensor:
        return soft_cross_entropy(z @ weight.T, *entries).sum()

    if name == SAMPLED:
        table = LabelTable(len(inputs.weight), DIM, weight=inputs.weight.detach())
        head = SampledSoftmax(table, LogUniform(table.num_labels, NEGATIVES))
        losses: Callable[..., Tensor] = lambda z, _: head(z, *entries)  # noqa: E731
    elif name == OURS:
        losses = lambda z, weight: linear_cross_entropy(z, weight, *entries).sum()  # noqa: E731
    else:
        losses = torch.compile(full) if name == COMPILED else full

    def run() -> Tensor:
        loss = losses(inputs.z, inputs.weight)
        loss.backward()
        inputs.z.grad = inputs.weight.grad = None
        return loss.detach()

    return run


def _extra(name: str, device: torch.device, labels: int, images: int) -> float | Missing:
    """MiB that a way takes beyond inputs and gradients."""
    settings = {"name": name, "device": device.type, "labels": labels, "images": images}
    # Logits, their logarithms and a gradient, where there are any; a GPU says itself what it holds.
    logits = 3 * labels * images * 4 / 2**30 if name in (FULL, COMPILED) else 0
    need = 2 + 4 * labels * DIM * 4 / 2**30 + logits if device.type == "cpu" else 2.0
    found = answer("benchmarks.ops_softmax", settings, need)
    return found if isinstance(found, Missing) else float(found["extra_mib"])


def _number(found: float | Missing) -> float:
    return float("nan") if isinstance(found, Missing) else found


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
    except (RuntimeError, MemoryError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        found = {"missing": first[:120]}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
