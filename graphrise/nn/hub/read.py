"""Reading a published encoder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from graphrise.config import EncoderConfig, ImageConfig
from graphrise.errors import DataError, GraphriseError

if TYPE_CHECKING:
    from graphrise.nn.encoder import Encoder

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PROJECTION = "projection.safetensors"
"""Written only where timm's own classifier cannot hold the projection."""
FORMAT = 1


@dataclass(frozen=True)
class Described:
    """What `read_config` found.

    Attributes:
        encoder: Architecture.
        folder: Where the weights are.
    """

    encoder: EncoderConfig
    folder: Path
    _preprocessing: dict[str, Any]
    _classifier: str | None

    def fill(self, encoder: Encoder) -> None:
        """Load the weights and the preprocessing into an encoder of this architecture.

        Raises:
            DataError: A file is missing, damaged or does not fit.
        """
        try:
            state = load_file(self.folder / WEIGHTS)
            if self._classifier is None:
                head = load_file(self.folder / PROJECTION)
            else:
                head = {k: state.pop(f"{self._classifier}.{k}") for k in ("weight", "bias")}
            # Some timm models have a 1 x 1 convolution as their classifier.
            encoder.projection.load_state_dict({**head, "weight": head["weight"].flatten(1)})
            encoder.backbone.load_state_dict(state)
            found = self._preprocessing
            encoder.mean, encoder.std = tuple(found["mean"]), tuple(found["std"])
            size, crop_pct = int(found["input_size"][-1]), float(found["crop_pct"])
            encoder.shown = ImageConfig(size=size, crop_pct=crop_pct)
        except (OSError, KeyError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
            raise DataError(f"{self.folder}: not a whole published encoder: {error}") from error


def read_config(folder: Path) -> Described:
    """Read `config.json` of a published encoder.

    Raises:
        DataError: It is missing, damaged, or not of a graphrise encoder.
    """
    file = folder / CONFIG
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        ours = found["graphrise"]
        if ours["format"] != FORMAT:
            raise DataError(
                f"{file}: format {ours['format']}, this version of graphrise reads {FORMAT}"
            )
        encoder = EncoderConfig(
            name=found["architecture"],
            kwargs=found["model_args"],
            dim=ours["dim"],
            normalize=ours["normalize"],
        )
        return Described(encoder, folder, found["pretrained_cfg"], ours["classifier"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: not of a graphrise encoder: {type(error).__name__}: {error}"
        ) from error


def is_published(folder: Path) -> bool:
    """Whether the folder holds a published graphrise encoder, as far as its config says."""
    try:
        read_config(folder)
    except GraphriseError:
        return False
    return True
