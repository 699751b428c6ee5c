"""A backbone's weights from a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models import load_state_dict
from torch import Tensor

from graphrise.errors import DataError

_PREFIX = "backbone."
"""Of the backbone's names in an encoder.safetensors of ours."""


def load_backbone(backbone: Any, file: Path) -> None:
    """Put a file's weights into a timm model without classifier.

    Args:
        backbone: The model, made with `num_classes=0`.
        file: safetensors, or what `torch.save` wrote, of which only tensors are loaded: the names
            are timm's, those of a classifier are passed over; or a run's `encoder.safetensors`, of
            which the projection is passed over.

    Raises:
        DataError: The file is missing or damaged, or it has not exactly the model's weights.
    """
    found = _of_backbone(_read(file), backbone)
    wanted = backbone.state_dict()
    # Files from before torch 0.4 have no counts of batches.
    missing = [k for k in wanted if k not in found and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in found if k not in wanted]
    other = [
        f"{k} {list(found[k].shape)} for {list(value.shape)}"
        for k, value in wanted.items()
        if k in found and found[k].shape != value.shape
    ]
    wrong = (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
    says = "; ".join(f"{what}: {_first(names)}" for what, names in wrong if names)
    if says:
        raise DataError(
            f"{file}: encoder.weights does not fit the encoder; {says}. Is it of another "
            "encoder.name, or of other encoder.kwargs?"
        )
    backbone.load_state_dict(found, strict=False)


def pixel_statistics(file: Path) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation that images of the weights' training were normalised by.

    Args:
        file: Weights. A run's `encoder.json` or timm's `config.json` beside it says.

    Returns:
        None if none of them does.

    Raises:
        DataError: The file that should say is damaged.
    """
    ours = file.name == "encoder.safetensors"
    description = file.with_name("encoder.json" if ours else "config.json")
    if not description.is_file():
        return None
    try:
        values = json.loads(description.read_text(encoding="utf-8"))
        if not ours:
            if "pretrained_cfg" not in values:
                return None
            values = values["pretrained_cfg"]
        return tuple(map(float, values["mean"])), tuple(map(float, values["std"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{description}: mean and std of encoder.weights cannot be read: {error}"
        ) from error


def _read(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise DataError(f"{file}: encoder.weights names it, and there is no such file")
    try:
        found = load_state_dict(str(file), device="cpu", weights_only=True)
    except Exception as error:  # an unpickler raises anything at bytes that are no pickle
        raise DataError(
            f"{file}: encoder.weights cannot be read, {type(error).__name__}: {error}"
        ) from error
    if not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise DataError(f"{file}: encoder.weights holds no tensors by name")
    return found


def _of_backbone(found: dict[str, Tensor], backbone: Any) -> dict[str, Tensor]:
    if any(name.startswith(_PREFIX) for name in found):
        return {k.removeprefix(_PREFIX): v for k, v in found.items() if k.startswith(_PREFIX)}
    named = backbone.default_cfg.get("classifier") or ()
    classifiers = tuple(f"{n}." for n in ((named,) if isinstance(named, str) else named))
    return {k: v for k, v in found.items() if not k.startswith(classifiers)}


def _first(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
