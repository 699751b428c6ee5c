"""What every place of encoded pictures can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from graphrise.errors import DataError
from graphrise.images.bad import BadImage


class ImageStore(ABC):
    """Encoded pictures by row of images.parquet.

    Safe to read from several threads, to fork, and to pickle.

    Attributes:
        folder: Dataset or pack folder, for messages.
        width: Features of a row, where these stand for pictures; None: it is a picture.
    """

    folder: Path
    width: int | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Rows."""

    @abstractmethod
    def read(self, row: int) -> bytes | memoryview:
        """Encoded picture of a row.

        Raises:
            BadImage: There is none.
        """

    @abstractmethod
    def source(self, row: int) -> str:
        """Where the picture of a row is, for messages."""

    @abstractmethod
    def image_id(self, row: int) -> str | int:
        """Id of a row."""

    def error(self, row: int, reason: BadImage | str) -> DataError:
        """What to raise when the picture of a row is bad: names its id and place."""
        return DataError(
            f"{self.folder}: image_id {self.image_id(row)!r} ({self.source(row)}) cannot be read: "
            f"{reason}"
        )
