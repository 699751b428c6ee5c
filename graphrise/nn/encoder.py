"""phi(x): any timm CNN, a projection to D dimensions, optionally L2-normalised."""

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


class Encoder(nn.Module):
    """Images to embeddings.

    Attributes:
        dim: Embedding dimension D.
        mean: Per-channel mean that inputs are normalised by, on the 0..1 scale.
        std: Per-channel standard deviation likewise.
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Build the timm model and the projection.

        Args:
            config: Model name, arguments, D, normalisation.

        Raises:
            ConfigError: timm does not know the name, refuses the arguments, or cannot get weights.
        """
        super().__init__()
        try:
            self.backbone: Any = timm.create_model(
                config.name, pretrained=config.pretrained, num_classes=0, **config.kwargs
            )
        except Exception as error:  # timm raises whatever its model's constructor does
            raise ConfigError(
                f"encoder {config.name!r} with {config.kwargs or 'no arguments'}: "
                f"timm says {type(error).__name__}: {error}"
            ) from error
        data = resolve_data_config({}, model=self.backbone)
        # Statistics of the pretrained weights; without weights there is nothing to match.
        trained = config.pretrained
        self.mean: tuple[float, ...] = tuple(data["mean"]) if trained else (0.5, 0.5, 0.5)
        self.std: tuple[float, ...] = tuple(data["std"]) if trained else (0.5, 0.5, 0.5)
        self.projection = nn.Linear(self.backbone.num_features, config.dim)
        self.dim = config.dim
        self.normalize = config.normalize

    def forward(self, x: Tensor) -> Tensor:
        """Embed.

        Args:
            x: Normalised images, float `[B, 3, H, W]`.

        Returns:
            float32 `[B, D]`; unit length if the encoder normalises.
        """
        z = self.projection(self.backbone(x))
        z = z.to(torch.float32) if z.dtype in (torch.bfloat16, torch.float16) else z
        return F.normalize(z, dim=1) if self.normalize else z


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
        config = from_dict(EncoderConfig, {**found["encoder"], "pretrained": False})
        encoder = Encoder(config)
        encoder.load_state_dict(load_file(weights))
        encoder.mean, encoder.std = tuple(found["mean"]), tuple(found["std"])
        size, crop_pct = int(found["image_size"]), float(found.get("crop_pct", 1.0))
        images = ImageConfig(size=size, crop_pct=crop_pct)
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: encoder.json or encoder.safetensors is damaged: {error}"
        ) from error
    return encoder.eval(), images
