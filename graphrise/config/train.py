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
    """Labelled images per batch; drawn neighbours come on top."""
    accumulate: int = 1
    """Batches per optimiser step, whose gradients are averaged. Negatives are drawn and batch
    normalisation is done batch by batch."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Of all but a sampled head's label vectors (head.optimizer); sgd has Nesterov momentum."""
    momentum: float = 0.9
    """Of sgd."""
    lr: float = 2e-3
    """Peak learning rate. sgd wants a larger one than adamw."""
    weight_decay: float = 0.05
    """Weight decay on matrices and filters (not on biases and norms): decoupled in adamw, added to
    the gradient in sgd, which wants a far smaller one."""
    clip: float | None = None
    """Largest L2 norm of a step's gradients, those of the label vectors included; above it all are
    scaled down. None: any."""
    schedule: Literal["cosine", "one_cycle", "constant"] = "cosine"
    """After the warm-up: to zero along a cosine, to zero along a line (one_cycle, whose warm-up
    begins at 1/25), or as it is. The head's rate follows."""
    warmup: float = 0.1
    """Fraction of the budget over which the learning rate rises, along a line; one_cycle usually
    has 0.3."""
    ema: float | None = None
    """Decay per step of an exponential moving average of the encoder's weights, which then is what
    is exported, probed and judged; 0.999 is usual. None: no average."""
    seed: int = 0
    """Everything random in the run follows from it."""
    devices: int = 1
    """Processes on this machine, each with a device of its own (on CPUs: some of the cores). The
    batch is batch_size of each; label vectors of a sampled head are dealt out. torchrun sets it."""
    num_nodes: int = 1
    """Machines; one process group is made of all, as Lightning does. torchrun sets it."""
    sync_batchnorm: bool = False
    """On GPUs: batch normalisation over the images of all processes, not of each by itself."""
    accelerator: str = "auto"
    """Lightning accelerator: auto, cpu, cuda, ..."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16 autocast where the device has bf16 instructions, else fp32. 16-mixed: fp16 with
    scaled losses, for GPUs without bf16."""
    compile: bool = False
    """Compile the encoder (torch.compile): the first steps take a minute or more. Needs a compiler:
    of C++ on a CPU, Triton on a GPU."""
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
        require(self.devices >= 1, "train.devices must be at least 1")
        require(self.num_nodes >= 1, "train.num_nodes must be at least 1")
        require(self.accumulate >= 1, "train.accumulate must be at least 1")
        require(0 <= self.momentum < 1, "train.momentum must lie in [0, 1)")
        require(self.lr > 0, "train.lr must be above 0")
        require(self.weight_decay >= 0, "train.weight_decay must not be negative")
        require(
            self.clip is None or self.clip > 0,
            "train.clip must be above 0; None clips nothing",
        )
        require(0 <= self.warmup < 1, "train.warmup must lie in [0, 1)")
        require(
            self.ema is None or 0 < self.ema < 1,
            "train.ema must lie between 0 and 1 (0.999 is usual); None keeps no average",
        )
        require(self.threads is None or self.threads >= 1, "train.threads must be at least 1")
