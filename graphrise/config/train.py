"""Budget and optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphrise.config.base import check_choices, require


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Budget and optimiser. Training ends at `passes` or `epochs`, whichever comes first."""

    epochs: float | None = 40.0
    """Times every labelled image is a seed; None leaves the budget to `passes`."""
    passes: int | None = None
    """Encoder passes (images encoded, neighbours included); what runs are compared at."""
    batch_size: int = 128
    """Labelled images per step; drawn neighbours come on top."""
    lr: float = 2e-3
    """Peak learning rate of AdamW; warm-up, then cosine to zero over the budget."""
    weight_decay: float = 0.05
    """Decoupled weight decay on matrices and filters (not on biases and norms)."""
    warmup: float = 0.1
    """Fraction of the budget over which the learning rate rises."""
    seed: int = 0
    """Everything random in the run follows from it."""
    checkpoint_minutes: float = 5.0
    """Time between checkpoints; an interrupted run keeps the last one."""
    accelerator: str = "auto"
    """Lightning accelerator: auto, cpu, cuda, ..."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """auto: bf16 autocast where the device has bf16 instructions, else fp32."""
    threads: int | None = None
    """CPU threads of torch; None leaves torch's choice. Part of a bit-for-bit repetition."""

    def __post_init__(self) -> None:
        check_choices(self, "train")
        require(
            self.epochs is not None or self.passes is not None,
            "train.epochs and train.passes are both None: give training an end",
        )
        require(self.epochs is None or self.epochs > 0, "train.epochs must be above 0")
        require(self.passes is None or self.passes >= 1, "train.passes must be at least 1")
        require(self.batch_size >= 1, "train.batch_size must be at least 1")
        require(self.lr > 0, "train.lr must be above 0")
        require(self.weight_decay >= 0, "train.weight_decay must not be negative")
        require(0 <= self.warmup < 1, "train.warmup must lie in [0, 1)")
        require(self.checkpoint_minutes > 0, "train.checkpoint_minutes must be above 0")
        require(self.threads is None or self.threads >= 1, "train.threads must be at least 1")
