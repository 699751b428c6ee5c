"""The encoder as a torch.export program."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from graphrise.errors import GraphriseError
from graphrise.export.checks import largest_difference
from graphrise.export.pixels import PixelEncoder, sample_pixels

PROGRAM = "model.pt2"


def traced(model: PixelEncoder, side: int) -> torch.export.ExportedProgram:
    """The program of an encoder, for batches of any size.

    Args:
        model: The encoder.
        side: Of its pictures.

    Raises:
        GraphriseError: torch.export cannot trace it so.
    """
    batch = torch.export.Dim("batch", min=1)
    try:
        return torch.export.export(
            model, (sample_pixels(2, side),), dynamic_shapes={"pixels": {0: batch}}
        )
    except Exception as error:  # whatever tracing runs into
        raise GraphriseError(
            f"torch.export cannot trace this encoder: {type(error).__name__}: {error}"
        ) from error


def save_program(
    program: torch.export.ExportedProgram, model: PixelEncoder, side: int, folder: Path
) -> float:
    """Write `model.pt2`, load it again and compare.

    Returns:
        Largest difference of an embedding's element.

    Raises:
        GraphriseError: The embeddings differ.
    """
    torch.export.save(program, folder / PROGRAM)
    with warnings.catch_warnings():
        # Of torch 2.11, about a buffer of its own.
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        loaded = torch.export.load(folder / PROGRAM).module()
    return largest_difference(PROGRAM, model, loaded, side)
