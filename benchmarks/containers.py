"""The same pictures in several containers, to be read in random order."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.images.pack import pack
from graphrise.images.packed_store import PackedStore

Act = Callable[[int], Any]
"""Does the work for one picture, by its number."""
_GROUP = 64
"""Rows of a Parquet row group: small, as that is what random access must read."""


@contextmanager
def containers(data: list[bytes], folder: Path) -> Iterator[dict[str, Act]]:
    """Write every container; each gives a picture's bytes, in memory of their own.

    Args:
        data: Encoded pictures, in row order.
        folder: Empty folder; the containers lie there.
    """
    table = pa.table(
        {
            "image_id": pa.array(range(len(data))),
            "split": pa.array(["x"] * len(data)),
            "image": pa.array(data, pa.large_binary()),
        }
    )
    pq.write_table(table, folder / "images.parquet", row_group_size=_GROUP, compression="none")
    pack(folder, side=10_000, workers=1)
    store = PackedStore(folder / "packed")
    with ExitStack() as stack:
        yield {
            "plain files": _plain_files(data, folder),
            "Arrow IPC, mapped (ours)": lambda row: bytes(store.read(row)),
            f"Parquet, row groups of {_GROUP}": _parquet(folder, stack),
            **optional("LMDB", "lmdb", lambda module: _lmdb(module, data, folder, stack)),
            **optional("Hugging Face datasets", "datasets", lambda m: _datasets(m, table, folder)),
        }


def optional(name: str, module: str, make: Callable[[Any], Act]) -> dict[str, Act]:
    """An act that needs a package which may be missing; that it is missing is told."""
    try:
        return {name: make(importlib.import_module(module))}
    except (ImportError, OSError, RuntimeError) as error:
        print(f"missing: {name} ({str(error).strip().splitlines()[0]})")
        return {}


def _plain_files(data: list[bytes], folder: Path) -> Act:
    (folder / "files").mkdir()
    paths = [folder / "files" / f"{row:06d}.jpg" for row in range(len(data))]
    for path, content in zip(paths, data, strict=True):
        path.write_bytes(content)
    return lambda row: paths[row].read_bytes()


def _parquet(folder: Path, stack: ExitStack) -> Act:
    file = stack.enter_context(pq.ParquetFile(folder / "images.parquet", memory_map=True))

    def read(row: int) -> bytes:
        group = file.read_row_group(row // _GROUP, columns=["image"], use_threads=False)
        return group.column("image")[row % _GROUP].as_py()

    return read


def _lmdb(module: Any, data: list[bytes], folder: Path, stack: ExitStack) -> Act:
    size = 2 * sum(map(len, data)) + 2**24
    environment = stack.enter_context(module.open(str(folder / "lmdb"), map_size=size))
    with environment.begin(write=True) as transaction:
        for row, content in enumerate(data):
            transaction.put(row.to_bytes(8, "big"), content)
    reading = stack.enter_context(environment.begin())
    return lambda row: reading.get(row.to_bytes(8, "big"))


def _datasets(module: Any, table: pa.Table, folder: Path) -> Act:
    if not hasattr(module, "load_from_disk"):  # the folder `datasets` of this repository
        raise ImportError("No module named 'datasets'")
    module.Dataset(table).save_to_disk(str(folder / "datasets"))
    opened = module.load_from_disk(str(folder / "datasets"))
    return lambda row: opened[row]["image"]
