"""The encoder as an ONNX graph."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from graphrise.errors import GraphriseError
from graphrise.export.checks import largest_difference
from graphrise.export.pixels import PixelEncoder

ONNX = "model.onnx"
_ONE_FILE = 2**31 - 2**24  # a protobuf message ends at 2 GiB


def need_onnx() -> None:
    """Refuse before the work.

    Raises:
        GraphriseError: A package that the export needs is not installed.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise GraphriseError(f"--onnx needs {' and '.join(missing)}: pip install graphrise[onnx]")


def save_onnx(
    program: torch.export.ExportedProgram, model: PixelEncoder, side: int, folder: Path
) -> float | None:
    """Write `model.onnx` and compare what ONNX Runtime makes of it.

    Weights of 2 GiB or more are beside it, in `model.onnx.data`.

    Args:
        program: Of `program.traced`.
        model: The encoder.
        side: Of its pictures.
        folder: Existing folder.

    Returns:
        Largest difference of an embedding's element; None: ONNX Runtime is not installed.

    Raises:
        GraphriseError: The encoder has an operation that ONNX lacks, or the embeddings differ.
    """
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    try:
        exported = torch.onnx.export(
            program,
            input_names=["pixels"],
            output_names=["embedding"],
            dynamo=True,
            external_data=size > _ONE_FILE,
            verbose=False,
        )
        assert exported is not None
        exported.save(folder / ONNX, external_data=size > _ONE_FILE)
    except Exception as error:  # whatever the exporter runs into
        raise GraphriseError(
            f"torch.onnx cannot export this encoder: {type(error).__name__}: {error}"
        ) from error
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])
    return largest_difference(
        ONNX,
        model,
        lambda x: torch.from_numpy(session.run(None, {"pixels": x.numpy()})[0]),
        side,
    )
