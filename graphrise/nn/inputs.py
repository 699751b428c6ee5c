"""Whether an encoder takes what a dataset holds: pictures, or features of a width."""

from __future__ import annotations

import dataclasses

from graphrise.config import EncoderConfig
from graphrise.errors import ConfigError


def fitted(config: EncoderConfig, width: int | None) -> EncoderConfig:
    """An encoder's settings for the images of a dataset.

    Args:
        config: The encoder.
        width: Features of an image; None: it is a picture.

    Returns:
        The settings, those of an MLP with `kwargs["features"]`.

    Raises:
        ConfigError: The encoder takes the other kind, or features of another width.
    """
    if not config.takes_features:
        if width is None:
            return config
        raise ConfigError(
            f"encoder {config.name!r} takes pictures, and the images of this dataset are rows of "
            "features.npy: train with encoder.name=mlp"
        )
    if width is None:
        raise ConfigError(
            "encoder 'mlp' takes features, and the images of this dataset are pictures: set "
            "encoder.name to a model of timm"
        )
    asked = config.kwargs.get("features", width)
    if asked != width:
        raise ConfigError(
            f"the encoder takes {asked} features (encoder.kwargs), features.npy of this dataset "
            f"has {width}"
        )
    return dataclasses.replace(config, kwargs={**config.kwargs, "features": width})
