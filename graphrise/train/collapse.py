"""Notices an encoder that gives every image the same embedding."""

from __future__ import annotations

SPREAD = 0.02
"""Below this `measures.embedding_measures`'s spread is taken for collapse: cosines above 0.98."""
ROWS = 5
"""So many rows of figures in a row."""


class Collapse:
    """Counts rows of figures whose embeddings have no spread.

    Attributes:
        now: Whether the last `ROWS` rows all were so.
        note: What to tell the user; None while it has not happened. It stays when it is over.
    """

    def __init__(self) -> None:
        self.now = False
        self.note: str | None = None
        self._rows = 0

    def see(self, spread: float, step: int) -> None:
        """Take a row's figure.

        Args:
            spread: Of the embeddings.
            step: Of the row.
        """
        self._rows = self._rows + 1 if spread < SPREAD else 0
        self.now = self._rows >= ROWS
        if self.now and self.note is None:
            self.note = (
                f"at step {step} embeddings of different images were all but equal (mean cosine "
                f"above {1 - SPREAD:g} in {ROWS} rows of figures): the encoder has collapsed; "
                "lower edges.alpha or train.lr"
            )
