"""Pictures of a packed dataset, mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from graphrise.errors import DataError
from graphrise.images.bad import BadImage
from graphrise.images.base import ImageStore
from graphrise.images.binary import BinaryView
from graphrise.images.pack_format import AGAIN, MANIFEST, part_name, read_json


class _Part(NamedTuple):
    ids: pa.Array
    images: BinaryView


class PackedStore(ImageStore):
    """A finished pack; opening it reads pack.json only, parts are mapped when first asked for."""

    def __init__(self, folder: Path) -> None:
        """Open a finished pack.

        Raises:
            DataError: pack.json is missing, damaged, or of another version.
        """
        self.folder = folder
        self._manifest = read_json(folder / MANIFEST)
        try:
            self.digest: str = self._manifest["digest"]
            self._count = int(self._manifest["images"])
            self._part_rows = int(self._manifest["part_rows"])
            self._sizes = [int(part["bytes"]) for part in self._manifest["parts"]]
            self._bad = {int(bad["row"]): bad for bad in self._manifest["bad"]}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder / MANIFEST}: damaged ({error!r}); {AGAIN}") from error
        self._parts: dict[int, _Part] = {}

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        # Another process maps the files itself; pickled, a map would be its content.
        return {**self.__dict__, "_parts": {}}

    def read(self, row: int) -> bytes | memoryview:
        """Encoded picture of a row, a view of the mapped file.

        Raises:
            BadImage: It was bad when packed.
            DataError: Its part is missing or damaged.
        """
        part, at = divmod(row, self._part_rows)
        data = self._part(part).images[at]
        if data is None:
            raise BadImage(self._bad.get(row, {}).get("reason", "left out of the pack"))
        return data

    def source(self, row: int) -> str:
        """The part's file; of a picture that was bad when packed, where it was."""
        if row in self._bad:
            return str(self._bad[row].get("source"))
        return str(self.folder / part_name(row // self._part_rows))

    def image_id(self, row: int) -> str | int:
        """Id of a row."""
        part, at = divmod(row, self._part_rows)
        return self._part(part).ids[at].as_py()

    def _part(self, part: int) -> _Part:
        mapped = self._parts.get(part)
        if mapped is None:
            mapped = self._parts[part] = self._map(part)
        return mapped

    def _map(self, part: int) -> _Part:
        file = self.folder / part_name(part)
        rows = min(self._part_rows, self._count - part * self._part_rows)
        try:
            if file.stat().st_size != self._sizes[part]:
                raise DataError(f"{file}: its size is not the one in {MANIFEST}; {AGAIN}")
            # Closed again: the map stays, and thousands of parts would run out of descriptors.
            with pa.memory_map(str(file)) as mapped:
                batch = pa.ipc.open_file(mapped).get_batch(0)
            batch.validate(full=True)
            if batch.num_rows != rows or batch.schema.field("image").type != pa.large_binary():
                raise DataError(f"{file}: not as {MANIFEST} says; {AGAIN}")
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DataError(f"{file}: cannot be read ({error}); {AGAIN}") from error
        return _Part(batch.column("image_id"), BinaryView(batch.column("image")))
