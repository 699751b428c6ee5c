"""A dataset folder without some sessions, to build the graph from, and triplets of those."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.config import EngineConfig, HeldOutConfig, to_dict
from graphrise.data.files import whole_folder
from graphrise.data.tables import has_table, read_images, table_files
from graphrise.errors import ConfigError
from graphrise.evaluate.triplets_clicks import draw_triplets, held_out, read_impressions
from graphrise.evaluate.triplets_file import write_triplets
from graphrise.graph.engine.base import Display, Stages, open_engine

MARK = "held_out.json"
"""Settings and counts; a folder that holds it was written by `hold_out`."""
_KEPT = "select t.session, t.query, t.image_id, t.clicked from impressions t where not ({held_out})"


def hold_out(
    dataset: Path,
    out: Path,
    config: HeldOutConfig,
    engine: EngineConfig | None = None,
    *,
    drop_unknown: bool = False,
    overwrite: bool = False,
    display: Display | None = None,
) -> dict[str, int]:
    """Write a dataset folder without the held-out sessions, and triplets of their clicks.

    A session stays on its side when the log grows: its id and the seed decide. The folder holds
    `images.parquet` (paths made absolute), `impressions.parquet` (the sessions kept, without
    further columns), `triplets.parquet` (see `click_triplets`) and `held_out.json`. Other tables
    are not taken over (`left_behind`).

    Args:
        dataset: Dataset folder: `images`, `impressions`.
        out: Dataset folder to write, whole or not at all.
        config: Which sessions, how many triplets.
        engine: Runs the SQL; None: DuckDB without limits.
        drop_unknown: As in `click_triplets`; the rows kept still have such images.
        overwrite: Replace a folder that this function wrote.
        display: Called with the stage and the fraction done, now and then.

    Returns:
        Counts: impressions, those kept, those of unknown images, triplets, and those of
        `draw_triplets`.

    Raises:
        DataError: As `click_triplets`, or `out` exists.
        ConfigError: `out` is the dataset folder, or a folder around it.
    """
    if dataset.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"{out}: is the dataset folder or holds it; choose another")
    stages = Stages(display)
    stages.start("reading images")
    images = read_images(dataset, columns=("image_id", "split"))
    with whole_folder(out, overwrite=overwrite, mark=MARK) as folder:
        with open_engine(engine or EngineConfig(), folder, stages) as (opened, spill):
            stages.start("reading impressions")
            log = read_impressions(opened, spill, dataset, images, drop_unknown=drop_unknown)
            triplets, drawn = draw_triplets(opened, spill, config, stages)
            stages.start("writing the kept sessions")
            parts = opened.export("kept", _KEPT.format(held_out=held_out(config)))
            _move(parts, folder, "impressions")
        write_triplets(folder / "triplets.parquet", triplets, images)
        kept = table_files(folder, "impressions")
        counts = {
            "impressions": log.rows,
            "impressions_kept": sum(pq.read_metadata(file).num_rows for file in kept),
            "impressions_of_unknown_images": log.unknown,
            "triplets": len(triplets.anchor),
            **drawn,
        }
        stages.start("writing images")
        _write_images(dataset, folder)
        _write_mark(folder / MARK, config, counts)
    return counts


def left_behind(dataset: Path) -> list[str]:
    """Tables of a dataset that a graph would be built from and `hold_out` does not take over.

    They know no sessions, and `clicks` counts those that are held out.
    """
    return [name for name in ("clicks", "similar_clicks", "edges") if has_table(dataset, name)]


def _write_mark(file: Path, config: HeldOutConfig, counts: dict[str, int]) -> None:
    told = {"config": to_dict(config), "counts": counts}
    file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _move(parts: list[Path], folder: Path, name: str) -> None:
    """An engine's export as a table of the dataset folder."""
    if len(parts) == 1:
        shutil.move(parts[0], folder / f"{name}.parquet")
        return
    (folder / name).mkdir()
    for number, part in enumerate(parts):
        shutil.move(part, folder / name / f"part-{number:05d}.parquet")


def _write_images(dataset: Path, folder: Path) -> None:
    """The images table with absolute paths, batch by batch: it may hold the pictures."""
    files = table_files(dataset, "images")
    home = str(dataset.resolve())
    if len(files) > 1:
        (folder / "images").mkdir()
    for number, file in enumerate(files):
        name = "images.parquet" if len(files) == 1 else f"images/part-{number:05d}.parquet"
        source = pq.ParquetFile(file)
        with pq.ParquetWriter(folder / name, source.schema_arrow) as writer:
            for batch in source.iter_batches(batch_size=1024):
                writer.write_batch(_absolute(batch, home))


def _absolute(batch: pa.RecordBatch, home: str) -> pa.RecordBatch:
    place = batch.schema.get_field_index("path")
    if place < 0:
        return batch
    paths = [p if p is None else str(Path(home, p)) for p in batch.column(place).to_pylist()]
    column = pa.array(paths, batch.schema.field(place).type)
    return batch.set_column(place, batch.schema.field(place), column)
