"""What a training run is, in full: one frozen dataclass per stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from graphrise.config.base import check_choices, require, tuples


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """What an image is trained to be recognised as."""

    source: Literal["given", "queries"] = "given"
    """The `label` column of images.parquet, or the clicked queries of the log."""
    spread: bool = False
    """Mix every image's labels with its neighbours' before training, one step over the graph."""
    spread_power: float = 2.0
    """Exponent s that sharpens the mixed distribution; 1 leaves it as mixed."""
    spread_top: int = 8
    """Labels kept per image after the mix."""

    def __post_init__(self) -> None:
        check_choices(self, "labels")
        require(self.spread_power > 0, "labels.spread_power must be above 0")
        require(self.spread_top >= 1, "labels.spread_top must be at least 1")


@dataclass(frozen=True, kw_only=True)
class EdgeConfig:
    """The edge term: alpha * Omega, and how neighbours are drawn for it."""

    alpha: float = 0.0
    """Weight of the edge term in the loss; 0 draws no neighbour and costs no encoder pass."""
    neighbors: int = 1
    """Neighbours drawn per labelled image and step, with replacement."""
    draw: Literal["weighted", "uniform"] = "weighted"
    """Draw neighbours in proportion to edge weight (each counts 1) or uniformly (each counts w)."""
    normalize: bool = True
    """Divide an image's edge weights by their sum, so that alpha does not depend on degree."""

    def __post_init__(self) -> None:
        check_choices(self, "edges")
        require(
            self.alpha >= 0,
            f"edges.alpha must not be below 0 (got {self.alpha}): a negative weight pushes "
            "similar images apart; use 0 for no edge term",
        )
        require(self.neighbors >= 1, "edges.neighbors must be at least 1; alpha 0 switches it off")


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """Decoding, size and augmentation."""

    size: int = 224
    """Side of the square the encoder sees, in pixels (short side resized, centre cropped)."""
    cache_mib: int = 512
    """Decoded images are kept in memory while all of them fit in this many MiB."""
    workers: int = 0
    """Loader worker processes; the batches are the same whatever their number."""
    scale: float = 0.2
    """Random zoom by up to this fraction, in and out."""
    shift: float = 0.1
    """Random shift by up to this fraction of the side."""
    rotate: float = 10.0
    """Random rotation by up to this many degrees."""
    flip: bool = False
    """Mirror left-right with probability one half."""
    colour: float = 0.3
    """Strength of random brightness, contrast, saturation and hue; 0 is off."""
    grey: float = 0.0
    """Probability of dropping the colour of an image."""
    erase: float = 0.0
    """Probability of blanking one random rectangle of an image."""

    def __post_init__(self) -> None:
        require(self.size >= 8, "images.size must be at least 8 pixels")
        require(self.workers >= 0, "images.workers must not be negative")
        require(self.cache_mib >= 0, "images.cache_mib must not be negative")
        require(0 <= self.scale < 1, "images.scale must lie in [0, 1)")
        require(0 <= self.shift < 1, "images.shift must lie in [0, 1)")
        require(self.rotate >= 0, "images.rotate must not be negative")
        require(0 <= self.colour < 1, "images.colour must lie in [0, 1)")
        for name in ("grey", "erase"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"images.{name} is a probability, got {value}")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """phi(x): a timm CNN and a projection."""

    name: str = "resnet50"
    """Any name `timm.create_model` knows."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Further arguments for `timm.create_model`."""
    pretrained: bool = False
    """Load timm's weights (needs a network, or a local file in kwargs)."""
    dim: int = 64
    """Embedding dimension D; 64 is the paper's."""
    normalize: bool = True
    """L2-normalise the embedding."""

    def __post_init__(self) -> None:
        require(self.dim >= 1, "encoder.dim must be at least 1")
        object.__setattr__(self, "kwargs", tuples(self.kwargs))


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Label cross-entropy."""

    smoothing: float = 0.1
    """Label smoothing epsilon, spread evenly over all labels; 0.1 is implied by the paper."""
    scale: float = 16.0
    """Logit scale (inverse temperature) of normalised embeddings; unused without normalisation."""

    def __post_init__(self) -> None:
        require(0 <= self.smoothing < 1, "head.smoothing must lie in [0, 1)")
        require(self.scale > 0, "head.scale must be above 0")


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


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """kNN and triplets. Image sets are `column=value` over images.parquet."""

    gallery: str = "split=gallery"
    """Images that are searched."""
    queries: tuple[str, ...] = ("split=query",)
    """Query sets, each scored by itself; the last one is the headline."""
    label: str = "label"
    """Column that says which images are the same instance."""
    group: str | None = None
    """Column of the coarser class that triplet negatives share; None: negatives from anywhere."""
    k: int = 5
    """Neighbours that vote in kNN classification."""
    triplets_per_query: int = 5
    """Triplets drawn per query image."""

    def __post_init__(self) -> None:
        require(self.k >= 1, "evaluate.k must be at least 1")
        require(self.triplets_per_query >= 1, "evaluate.triplets_per_query must be at least 1")
        require(len(self.queries) >= 1, "evaluate.queries is empty: name at least one set")
        for one in (self.gallery, *self.queries):
            require("=" in one, f"evaluate: {one!r} is not of the form column=value")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run and its evaluation, complete: the run folder keeps exactly this."""

    labels: LabelConfig = LabelConfig()
    edges: EdgeConfig = EdgeConfig()
    images: ImageConfig = ImageConfig()
    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig = HeadConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    shuffle_graph: int | None = None
    """Control: deal the graph's nodes to images at random, by this seed. None: leave it."""
