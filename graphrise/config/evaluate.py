"""kNN and triplets."""

from __future__ import annotations

from dataclasses import dataclass

from graphrise.config.base import require


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """kNN and triplets. Image sets are `column=value` over images.parquet."""

    gallery: str = "split=gallery"
    """Images that are searched."""
    queries: tuple[str, ...] = ("split=query",)
    """Query sets, each scored by itself; the last one is the headline. A set lies outside the
    gallery or wholly in it (it may be the gallery): each query is then left out of its own
    neighbours."""
    probe: str | None = None
    """Query set whose recall@1 is taken ten times while training; it says which encoder is kept as
    the best. None: no such look."""
    label: str = "label"
    """Column that says which images are the same instance."""
    group: str | None = None
    """Column of the coarser class that triplet negatives share, and that recall@1 is broken down by
    in a report; None: negatives from anywhere."""
    k: int = 5
    """Neighbours that vote in kNN classification."""
    r_up_to: int = 128
    """R-precision and MAP@R look at as many neighbours as a label has gallery images. They are left
    out where a label has more than this; 0: always."""
    triplets_per_query: int = 5
    """Triplets drawn per query image."""
    triplets: str = "labels"
    """Where triplets come from: `labels` (drawn for each query set), or a file of image ids, judged
    by people or written by `graphrise triplets`; relative to the dataset folder or else to the
    working directory."""
    levels: tuple[str, ...] = ()
    """Columns of classes coarser than `label`, finest first (subcategory, category): triplets are
    drawn and scored also by the level that anchor and negative share, and for none shared."""
    clustering: bool = False
    """NMI and AMI of a k-means of each query set against its labels; time grows with images times
    labels, that of AMI with labels squared."""

    def __post_init__(self) -> None:
        require(self.k >= 1, "evaluate.k must be at least 1")
        require(self.r_up_to >= 0, "evaluate.r_up_to must be at least 0")
        require(self.triplets_per_query >= 1, "evaluate.triplets_per_query must be at least 1")
        require(len(self.queries) >= 1, "evaluate.queries is empty: name at least one set")
        for one in (self.gallery, *self.queries, *([] if self.probe is None else [self.probe])):
            require("=" in one, f"evaluate: {one!r} is not of the form column=value")
        require(self.triplets != "", "evaluate.triplets is empty: give `labels` or a file")
        require(
            len({self.label, *self.levels}) == 1 + len(self.levels),
            "evaluate.levels names a column twice, or evaluate.label, which is the finest anyway",
        )
