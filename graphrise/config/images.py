"""Decoding, size and augmentation of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphrise.config.base import check_choices, require


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """Decoding, size and augmentation."""

    size: int = 224
    """Side of the square the encoder sees, in pixels (short side resized, centre cropped)."""
    crop_pct: float = 1.0
    """Share of a picture's side that the encoder sees, 0.5 to 1; pictures are read at `canvas`."""
    cache_mib: int = 512
    """Decoded images are kept in memory while all of them fit in this many MiB."""
    workers: int = 0
    """Loader worker processes; 0 makes batches in this process, by threads, which mostly is enough.
    The batches are the same whatever their number."""
    threads: int | None = None
    """Threads that decode; None: up to 8, and 1 in a worker process."""
    prefetch: int = 2
    """Batches made ahead while the encoder is at work; 0: none. An encoder on a CPU that leaves no
    core free gets none of pictures that are in memory."""
    on_bad_image: Literal["raise", "skip"] = "raise"
    """A picture that cannot be read ends the run, or counts nothing and is listed in
    bad_images.csv of the run folder."""
    scale: float = 0.2
    """Random zoom by up to this fraction, in and out."""
    shift: float = 0.1
    """Random shift by up to this fraction of the side."""
    rotate: float = 10.0
    """Random rotation by up to this many degrees."""
    flip: bool = False
    """Mirror left-right with probability one half."""
    crop_scale: tuple[float, float] | None = None
    """Random resized crop: range of its area, as a share of the picture's. None: no such crop."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Random resized crop: range of its width over its height, drawn evenly in the logarithm."""
    rand_augment: int = 0
    """RandAugment: operations per image, 0 to 4, each drawn of 14. Follows the crop; 0 is off."""
    rand_magnitude: int = 9
    """RandAugment: strength of every operation, 0 to 30."""
    colour: float = 0.3
    """Strength of random brightness, contrast, saturation and hue; 0 is off."""
    grey: float = 0.0
    """Probability of dropping the colour of an image."""
    erase: float = 0.0
    """Probability of blanking one random rectangle of an image."""

    def __post_init__(self) -> None:
        require(self.size >= 8, "images.size must be at least 8 pixels")
        require(0.5 <= self.crop_pct <= 1, "images.crop_pct must lie in [0.5, 1]")
        check_choices(self, "images")
        require(self.workers >= 0, "images.workers must not be negative")
        require(self.threads is None or self.threads >= 1, "images.threads must be at least 1")
        require(self.prefetch >= 0, "images.prefetch must not be negative")
        require(self.cache_mib >= 0, "images.cache_mib must not be negative")
        require(0 <= self.scale < 1, "images.scale must lie in [0, 1)")
        require(0 <= self.shift < 1, "images.shift must lie in [0, 1)")
        require(self.rotate >= 0, "images.rotate must not be negative")
        require(0 <= self.colour < 1, "images.colour must lie in [0, 1)")
        for name in ("grey", "erase"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"images.{name} is a probability, got {value}")
        require(
            self.crop_scale is None
            or (len(self.crop_scale) == 2 and 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1),
            f"images.crop_scale must be (low, high) in (0, 1], got {self.crop_scale}",
        )
        require(
            len(self.crop_ratio) == 2
            and 0 < self.crop_ratio[0] <= self.crop_ratio[1] < float("inf"),
            f"images.crop_ratio must be (low, high) above 0, got {self.crop_ratio}",
        )
        require(0 <= self.rand_augment <= 4, "images.rand_augment must lie in [0, 4]")
        require(0 <= self.rand_magnitude <= 30, "images.rand_magnitude must lie in [0, 30]")

    @property
    def canvas(self) -> int:
        """Side in pixels at which pictures are read: `size / crop_pct`, rounded."""
        return round(self.size / self.crop_pct)
