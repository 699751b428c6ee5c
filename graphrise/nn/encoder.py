"""phi(x): a timm CNN or an MLP, a projection to D dimensions, optionally L2-normalised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from graphrise.config import EncoderConfig, ImageConfig, from_dict, to_dict
from graphrise.data.files import whole_file
from graphrise.errors import ConfigError, DataError
from graphrise.nn.hub import HubMixin
from graphrise.nn.mlp import MLP
from graphrise.nn.weights import load_backbone, pixel_statistics


class Encoder(HubMixin, nn.Module):
    """Images to embeddings.

    Attributes:
        dim: Embedding dimension D.
        mean: Per-channel mean that inputs are normalised by, on the 0..1 scale; empty for features,
            which the backbone normalises.
        std: Per-channel standard deviation likewise.
        shown: Size and crop of the pictures it was trained on; None: not known.
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Build the backbone and the projection.

        Args:
            config: Model name, arguments, D, normalisation; of an MLP `kwargs` have `features`
                (`nn.inputs.fitted`).

        Raises:
            ConfigError: timm does not know the name, refuses the arguments, cannot get weights, or
                has no checkpointing for it; or an MLP's arguments are wrong.
            DataError: The file of weights is missing, damaged, or of another model.
        """
        super().__init__()
        self.backbone: Any = _mlp(config) if config.takes_features else _timm_model(config)
        # Statistics of the pretrained weights; without weights there is nothing to match.
        self.mean: tuple[float, ...] = () if config.takes_features else (0.5, 0.5, 0.5)
        self.std: tuple[float, ...] = self.mean
        if (config.pretrained or config.weights) and not config.takes_features:
            data = resolve_data_config({}, model=self.backbone)
            self.mean, self.std = tuple(data["mean"]), tuple(data["std"])
        if config.weights:
            file = Path(config.weights).expanduser()
            load_backbone(self.backbone, file)
            if not config.takes_features:
                self.mean, self.std = pixel_statistics(file) or (self.mean, self.std)
        if config.checkpointing:
            _checkpoint(self.backbone, config.name)
        # Some models widen the pooled features further (MobileNetV3, VGG).
        features = getattr(self.backbone, "head_hidden_size", self.backbone.num_features)
        self.projection = nn.Linear(features, config.dim)
        self.config = config
        self.shown: ImageConfig | None = None
        self.dim = config.dim
        self.normalize = config.normalize

    def forward(self, x: Tensor, *, finish: bool = True) -> Tensor:
        """Embed.

        Args:
            x: Normalised images, float `[B, 3, H, W]`; of an MLP features, float `[B, F]`.
            finish: Whether an encoder that normalises does so; else `finished` can follow.

        Returns:
            float32 `[B, D]`; unit length if the encoder normalises.
        """
        z = self.projection(self.backbone(x))
        z = z.to(torch.float32) if z.dtype in (torch.bfloat16, torch.float16) else z
        return self.finished(z) if finish else z

    def finished(self, z: Tensor) -> Tensor:
        """Embeddings of projections `[B, D]`: of unit length if the encoder normalises."""
        return F.normalize(z, dim=1) if self.normalize else z


def _timm_model(config: EncoderConfig) -> Any:
    try:
        return timm.create_model(
            config.name, pretrained=config.pretrained, num_classes=0, **config.kwargs
        )
    except Exception as error:  # timm raises whatever its model's constructor does
        raise ConfigError(
            f"encoder {config.name!r} with {config.kwargs or 'no arguments'}: "
            f"timm says {type(error).__name__}: {error}"
        ) from error


def _mlp(config: EncoderConfig) -> MLP:
    try:
        return MLP(**config.kwargs)
    except TypeError as error:
        raise ConfigError(
            "encoder.kwargs of 'mlp' are features, which training takes from the dataset, hidden, "
            f"layers and dropout; got {', '.join(config.kwargs) or 'none'}"
        ) from error


def _checkpoint(backbone: Any, name: str) -> None:
    try:
        backbone.set_grad_checkpointing(True)
    except (AttributeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"encoder.checkpointing: timm has none for encoder {name!r}; leave it at false"
        ) from error


def save_encoder(
    encoder: Encoder, config: EncoderConfig, images: ImageConfig, folder: Path
) -> None:
    """Write `encoder.safetensors` and `encoder.json` (architecture, preprocessing) to `folder`."""
    state = {
        name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()
    }
    with whole_file(folder / "encoder.safetensors") as temporary:
        save_file(state, temporary)
    description = {
        "encoder": to_dict(config),
        "image_size": images.size,
        "crop_pct": images.crop_pct,
        "mean": encoder.mean,
        "std": encoder.std,
    }
    with whole_file(folder / "encoder.json") as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_encoder(folder: Path) -> tuple[Encoder, ImageConfig]:
    """The encoder of a run folder, in evaluation mode, and the size and crop of its images.

    Nothing is unpickled: weights are safetensors, the rest is JSON.

    Raises:
        DataError: A file is missing or does not fit the architecture.
    """
    description, weights = folder / "encoder.json", folder / "encoder.safetensors"
    for file in (description, weights):
        if not file.is_file():
            raise DataError(f"{folder}: not a finished run ({file.name} is missing)")
    try:
        found = json.loads(description.read_text(encoding="utf-8"))
        here = {"pretrained": False, "weights": None, "checkpointing": False}
        config = from_dict(EncoderConfig, {**found["encoder"], **here})
        encoder = Encoder(config)
        encoder.load_state_dict(load_file(weights))
        encoder.mean, encoder.std = tuple(found["mean"]), tuple(found["std"])
        size, crop_pct = int(found["image_size"]), float(found.get("crop_pct", 1.0))
        encoder.shown = images = ImageConfig(size=size, crop_pct=crop_pct)
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: encoder.json or encoder.safetensors is damaged: {error}"
        ) from error
    return encoder.eval(), images
