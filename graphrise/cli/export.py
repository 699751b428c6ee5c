"""Command `export`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def export_parser() -> ArgumentParser:
    """Arguments of `export`."""
    parser = ArgumentParser(description="A run's encoder as a folder that timm loads.")
    parser.add_argument("run", type=Path, help="run folder, or its best/")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--onnx", action="store_true", help="also model.onnx, pixels to embeddings")
    parser.add_argument("--torch-export", action="store_true", help="also model.pt2, the same")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    return parser


def run_export(args: Namespace) -> None:
    """Do what `export` does."""
    from graphrise.export import export_run

    result = export_run(
        args.run,
        args.out,
        onnx=args.onnx,
        program=args.torch_export,
        overwrite=args.overwrite,
    )
    for name, difference in result.differences.items():
        if difference is None:
            print(f"note: {name} was not compared with the encoder: pip install graphrise[onnx]")
        else:
            print(f"{name}: embeddings differ from the encoder's by {difference:.0e} at most")
    print(f"{args.out}: {', '.join(result.files)}")
