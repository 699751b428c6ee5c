"""Writing an encoder in timm's own form: timm alone loads it."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from graphrise.data.files import whole_file
from graphrise.errors import ConfigError, GraphriseError
from graphrise.nn.hub.read import CONFIG, FORMAT, PROJECTION, WEIGHTS

if TYPE_CHECKING:
    from graphrise.nn.encoder import Encoder

TOLERANCE = 1e-5
"""Largest difference of an embedding's element that timm may give."""
# Arguments of `timm.create_model` that say where weights come from: these weights are here.
_SOURCES = {"pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}


def write_encoder(encoder: Encoder, folder: Path) -> bool:
    """Write `config.json` and `model.safetensors` in the form of timm's own models.

    The projection becomes the classifier of the timm model (`fc`, `head.fc`, ...), so that
    `timm.create_model("hf-hub:USER/NAME", pretrained=True)` gives embeddings before their
    normalisation. Models whose head is more than one layer (LeViT, RepViT, ...) are written without
    it, the projection beside them in `projection.safetensors`. Which of the two it is, is found by
    loading the files with timm and comparing embeddings.

    Args:
        encoder: On any device; `shown` must be set.
        folder: Existing folder.

    Returns:
        Whether timm's model holds the projection, too.

    Raises:
        ConfigError: `encoder.shown` is not set, the encoder's arguments are not JSON, or it takes
            features.
        GraphriseError: timm cannot load it either way.
    """
    need_pictures(encoder)
    if encoder.shown is None:
        raise ConfigError(
            "encoder.shown is not set: say which pictures the encoder wants, as "
            "encoder.shown = ImageConfig(size=224)"
        )
    plain = copy.deepcopy(encoder).cpu().eval()
    failure = ""
    for head in (_classifier(plain), {}):
        _write(plain, head, folder)
        try:
            difference = _difference(plain, folder)
        except Exception as error:  # timm raises whatever its model's constructor does
            failure = f"{type(error).__name__}: {error}"
        else:
            if difference <= TOLERANCE:
                return bool(head)
            failure = f"its embeddings differ by {difference:.1e}"
    raise GraphriseError(f"encoder {plain.config.name!r} cannot be published for timm: {failure}")


def need_pictures(encoder: Encoder) -> None:
    """Refuse an MLP.

    Raises:
        ConfigError: The encoder takes features.
    """
    if encoder.config.takes_features:
        raise ConfigError(
            "encoder 'mlp' takes features: only an encoder of pictures, a timm model, can be "
            "exported; use the run folder (`graphrise embed`, graphrise.nn.encoder.load_encoder)"
        )


def preprocessing(encoder: Encoder) -> dict[str, Any]:
    """The encoder's pictures in timm's terms: `input_size`, `crop_pct`, `mean`, ..."""
    assert encoder.shown is not None
    size, canvas = encoder.shown.size, encoder.shown.canvas
    crop_pct = size / canvas
    while math.floor(size / crop_pct) < canvas:  # timm's way to the side it resizes to
        crop_pct = math.nextafter(crop_pct, 0)
    return {
        "input_size": [3, size, size],
        "interpolation": "bicubic",
        "crop_pct": crop_pct,
        "crop_mode": "center",
        "mean": list(encoder.mean),
        "std": list(encoder.std),
    }


def _write(encoder: Encoder, head: dict[str, Tensor], folder: Path) -> None:
    state = {**encoder.backbone.state_dict(), **head}
    _save({k: v.contiguous() for k, v in state.items()}, folder / WEIGHTS)
    if not head:
        _save(encoder.projection.state_dict(), folder / PROJECTION)
    else:
        (folder / PROJECTION).unlink(missing_ok=True)
    with whole_file(folder / CONFIG) as temporary:
        temporary.write_text(_config_text(encoder, head), encoding="utf-8")


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    with whole_file(path) as temporary:
        # What `save_file` writes is its owner's alone to read.
        temporary.write_bytes(save(tensors, metadata={"format": "pt"}))


def _config_text(encoder: Encoder, head: dict[str, Tensor]) -> str:
    built, num_classes = encoder.backbone.pretrained_cfg, encoder.dim if head else 0
    classifier = next(iter(head)).rpartition(".")[0] if head else None
    values = {
        "architecture": built["architecture"],
        "num_classes": num_classes,
        "num_features": encoder.backbone.num_features,
        "model_args": _arguments(encoder),
        "pretrained_cfg": {
            **preprocessing(encoder),
            "num_classes": num_classes,
            "fixed_input_size": bool(built.get("fixed_input_size")),
            "first_conv": built.get("first_conv"),
            "classifier": classifier,
        },
        "graphrise": {
            "format": FORMAT,
            "dim": encoder.dim,
            "normalize": encoder.normalize,
            "classifier": classifier,
            "channels": "RGB",
            "exif_orientation": "applied",
            "alpha": "composited on white",
        },
    }
    try:
        return json.dumps(values, indent=2) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"encoder.kwargs must be plain values to be published: {error}"
        ) from error


def _arguments(encoder: Encoder) -> dict[str, Any]:
    """What `timm.create_model` is to be given beside the name, to build the backbone again."""
    args = {k: v for k, v in encoder.config.kwargs.items() if k not in _SOURCES}
    built = encoder.backbone.pretrained_cfg
    if built.get("fixed_input_size"):
        # timm would take the size of the pictures, which may be another (dynamic_img_size).
        args.setdefault("img_size", list(built["input_size"][-2:]))
    return args


def _classifier(encoder: Encoder) -> dict[str, Tensor]:
    """The projection under the names of timm's classifier; empty if that is not one layer."""
    architecture = encoder.backbone.pretrained_cfg["architecture"]
    try:
        full = timm.create_model(architecture, num_classes=encoder.dim, **_arguments(encoder))
    except Exception:  # some models take no num_classes
        return {}
    added = {k: v for k, v in full.state_dict().items() if k not in encoder.backbone.state_dict()}
    layer = next(iter(added), "").rpartition(".")[0]
    projection = {f"{layer}.{k}": v for k, v in encoder.projection.state_dict().items()}
    if {k: v.numel() for k, v in added.items()} != {k: v.numel() for k, v in projection.items()}:
        return {}
    return {k: v.reshape(added[k].shape) for k, v in projection.items()}


@torch.inference_mode()
def _difference(encoder: Encoder, folder: Path) -> float:
    """Largest difference between embeddings of the encoder and of what timm loads."""
    assert encoder.shown is not None
    side = encoder.shown.size
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, side, side, generator=generator)
    # A file, not the folder: timm before 1.0.26 reads no safetensors of a folder by itself.
    file = {"source": "", "file": str(folder / WEIGHTS)}
    name = f"local-dir:{folder}"
    z = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=file).eval()(x)
    if (folder / PROJECTION).is_file():
        head = load_file(folder / PROJECTION)
        z = F.linear(z, head["weight"], head["bias"])
    z = F.normalize(z, dim=1) if encoder.normalize else z
    return float((z - encoder(x)).abs().max())
