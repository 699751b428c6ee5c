"""The encoder that scored highest while it was trained."""

from __future__ import annotations

from pathlib import Path

from graphrise.config import RunConfig
from graphrise.data.files import whole_folder
from graphrise.nn.encoder import Encoder, save_encoder
from graphrise.train.folder import write_json

MARK = "best.json"


def save_best(run: Path, config: RunConfig, encoder: Encoder, entry: dict[str, float]) -> None:
    """Write `best/` of a run folder: an encoder as the run folder has it, and `best.json`.

    Args:
        run: The run folder.
        config: The run.
        encoder: The best so far.
        entry: Its place in the curve.
    """
    with whole_folder(run / "best", overwrite=True, mark=MARK) as folder:
        save_encoder(encoder, config.encoder, config.images, folder)
        write_json(folder / MARK, entry)
