"""What a training run is, in full: one frozen dataclass per stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from graphrise.config.base import check_choices, require, tuples
from graphrise.config.head import HeadConfig

_HEAD = HeadConfig()  # frozen, so that all may share it


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
class BankConfig:
    """Past embeddings in the place of neighbours (edges.embeddings=bank)."""

    dtype: Literal["float16", "float32"] = "float16"
    """Of the table: 2 or 4 bytes a number."""
    mapped: bool = False
    """Keep the table in a file of the run folder, memory-mapped, instead of in memory."""
    max_age: int | None = None
    """Embeddings more steps old than this do not count; None: any that there is."""
    sweep_every: int | None = 4
    """Every so many steps unlabelled images are encoded for the table, without gradient: a batch of
    them, or fewer if that does for all of them once an epoch. Labelled ones pass anyway. None:
    never."""

    def __post_init__(self) -> None:
        check_choices(self, "edges.bank")
        for name in ("max_age", "sweep_every"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"edges.bank.{name} must be at least 1, or None")


@dataclass(frozen=True, kw_only=True)
class EdgeConfig:
    """The edge term: alpha * Omega, how its edges come into a batch, and who pays for them."""

    alpha: float = 0.0
    """Weight of the edge term in the loss; 0 draws no neighbour and costs no encoder pass."""
    alpha_unlabelled: float = 0.0
    """Weight of the mean edge term of unlabelled images over their unlabelled neighbours."""
    unlabelled_ratio: float = 0.5
    """Unlabelled images per labelled one of a batch, if alpha_unlabelled is above 0."""
    sampler: Literal["pairs", "subgraph"] = "pairs"
    """Each labelled image with drawn neighbours, or connected groups with all edges inside."""
    neighbors: int = 1
    """pairs: neighbours drawn per labelled image and step, with replacement."""
    draw: Literal["weighted", "uniform"] = "weighted"
    """pairs: draw in proportion to edge weight (each counts 1) or uniformly (each counts w)."""
    group_size: int = 4
    """subgraph: labelled images that are neighbours come into one batch, so many at a time."""
    fanouts: tuple[int, ...] = (1,)
    """subgraph: neighbours drawn per image, hop by hop; empty: labelled images only."""
    kinds: tuple[str, ...] | None = None
    """Kinds of edges used (coclick, similar, knn, given, or the edge table's own); None: all."""
    normalize: bool = True
    """Divide an image's edge weights by their sum, so that alpha does not depend on degree."""
    embeddings: Literal["encoder", "stop_gradient", "bank"] = "encoder"
    """Of neighbours: encoded with gradient, encoded without, or past ones from a table."""
    bank: BankConfig = BankConfig()

    def __post_init__(self) -> None:
        check_choices(self, "edges")
        for name in ("alpha", "alpha_unlabelled"):
            require(
                0 <= getattr(self, name) < float("inf"),
                f"edges.{name} must not be below 0 (got {getattr(self, name)}): a negative weight "
                "pushes similar images apart; use 0 for no edge term",
            )
        require(self.unlabelled_ratio > 0, "edges.unlabelled_ratio must be above 0")
        require(self.neighbors >= 1, "edges.neighbors must be at least 1; alpha 0 switches it off")
        require(self.group_size >= 1, "edges.group_size must be at least 1")
        require(all(f >= 1 for f in self.fanouts), "edges.fanouts must each be at least 1")
        require(self.kinds is None or len(self.kinds) > 0, "edges.kinds is empty; None is all")

    @property
    def used(self) -> bool:
        """Whether batches have edges at all."""
        return self.alpha > 0 or self.alpha_unlabelled > 0


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
    """Batches made ahead while the encoder is at work; 0: none."""
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
    head: HeadConfig = _HEAD
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    shuffle_graph: int | None = None
    """Control: deal the graph's nodes to images at random, by this seed. None: leave it."""
    shuffle_edges: int | None = None
    """Control: the same for the edge term alone; labels are spread over the graph as it is."""

    def __post_init__(self) -> None:
        cosines = self.head.margin == "none" or self.encoder.normalize
        require(cosines, "head.margin needs normalised embeddings: encoder.normalize")
