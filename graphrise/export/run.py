"""From run folder to a folder that others can use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphrise.data.files import whole_folder
from graphrise.errors import DataError
from graphrise.export.onnx import ONNX, need_onnx, save_onnx
from graphrise.export.pixels import PixelEncoder
from graphrise.export.program import PROGRAM, save_program, traced
from graphrise.nn.encoder import Encoder, load_encoder
from graphrise.nn.hub.mixin import publish
from graphrise.nn.hub.read import CONFIG, is_published
from graphrise.nn.hub.write import need_pictures
from graphrise.train.best import MARK
from graphrise.train.folder import read_run, read_settings, versions


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        files: Names in the folder, sorted.
        differences: Of `model.onnx` and `model.pt2`, where asked for: largest absolute difference
            of an embedding's element from the encoder's; None: not compared.
    """

    files: list[str]
    differences: dict[str, float | None]


def export_run(
    run: Path, out: Path, *, onnx: bool = False, program: bool = False, overwrite: bool = False
) -> ExportResult:
    """Write the encoder of a run as a folder that timm, or ONNX Runtime, loads without graphrise.

    The folder gets `model.safetensors` and `config.json` in timm's form (see
    `nn.hub.write.write_encoder`) and `README.md`, a model card with code to load them. It appears
    whole or not at all.

    Args:
        run: Finished run folder, or its `best`.
        out: Folder to write.
        onnx: Also write `model.onnx`, from uint8 pixels to embeddings.
        program: Also write `model.pt2`, the same as a torch.export program.
        overwrite: Replace an earlier export.

    Raises:
        ConfigError: The encoder takes features.
        DataError: The run is not finished, or `out` exists and is not to be replaced.
        GraphriseError: A package is missing, the encoder cannot be exported so, or what was written
            gives other embeddings.
    """
    if onnx:
        need_onnx()
    origin = _origin(run.resolve())
    encoder, shown = load_encoder(run)
    need_pictures(encoder)
    if overwrite and out.is_dir() and any(out.iterdir()) and not is_published(out):
        raise DataError(f"{out}: is not an exported encoder, so it is not overwritten")
    with whole_folder(out, overwrite=overwrite, mark=CONFIG) as folder:
        differences = _compiled(encoder, shown.size, folder, onnx=onnx, program=program)
        exported = {name: _sentence(found) for name, found in differences.items()}
        publish(encoder, folder, origin, exported)
        return ExportResult(sorted(f.name for f in folder.iterdir()), differences)


def _compiled(
    encoder: Encoder, side: int, folder: Path, *, onnx: bool, program: bool
) -> dict[str, float | None]:
    if not onnx and not program:
        return {}
    model = PixelEncoder(encoder)
    trace = traced(model, side)
    differences: dict[str, float | None] = {}
    if onnx:
        differences[ONNX] = save_onnx(trace, model, side, folder)
    if program:
        differences[PROGRAM] = save_program(trace, model, side, folder)
    return differences


def _sentence(difference: float | None) -> str:
    if difference is None:
        return "It was not compared with the encoder."
    return (
        f"Its embeddings were compared with the encoder's: they differ by {difference:.0e} at most."
    )


def _origin(run: Path) -> dict[str, str]:
    """Where the encoder comes from, for the model card: names of folders, never paths."""
    home = run.parent if (run / MARK).is_file() else run
    config, _, result = read_run(home)
    _, dataset, graph = read_settings(home)
    labels, edges, installed = config.labels, config.edges, versions(("torch", "timm"))
    return {
        "run": home.name if home == run else f"{home.name}, its best encoder by the probe",
        "data set": dataset.name,
        "graph": graph.name,
        "labels": labels.source + (", spread over the graph" if labels.spread else ""),
        "edge term": f"alpha {edges.alpha:g}, {edges.embeddings}" if edges.used else "none",
        "images encoded in training": f"{result.passes:,}",
        "exported by": ", ".join(f"{k} {installed[k]}" for k in ("graphrise", "torch", "timm")),
    }
