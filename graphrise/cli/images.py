"""Command `pack`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def pack_parser() -> ArgumentParser:
    """Arguments of `pack`."""
    parser = ArgumentParser(description="Images made small once, for fast training.")
    parser.add_argument("dataset", type=Path, help="dataset folder")
    parser.add_argument("--out", type=Path, help="pack folder (default: DATASET/packed)")
    parser.add_argument("--side", type=int, default=256, help="short side in pixels")
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs, 1 to 100")
    parser.add_argument("--workers", type=int, help="processes (default: CPU cores)")
    parser.add_argument(
        "--on-bad-image",
        choices=("raise", "skip"),
        default="raise",
        help="an image that cannot be read ends the work, or is left out",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier pack")
    return parser


def run_pack(args: Namespace) -> None:
    """Do what `pack` does."""
    from graphrise.graph.progress import shown_stages
    from graphrise.images.pack import pack

    with shown_stages() as display:
        result = pack(
            args.dataset,
            args.out,
            side=args.side,
            quality=args.quality,
            workers=args.workers,
            overwrite=args.overwrite,
            on_bad_image=args.on_bad_image,
            display=display,
        )
    for bad in result.bad[:10]:
        print(f"note: image_id {bad['image_id']!r} ({bad['source']}) left out: {bad['reason']}")
    done = "" if result.written else "packed before with these settings, nothing to do: "
    print(
        f"{result.folder}: {done}{result.images:,} images, {result.bytes_before / 1e6:,.1f} MB -> "
        f"{result.bytes_after / 1e6:,.1f} MB, {result.kept:,} kept, {result.encoded:,} re-encoded, "
        f"{len(result.bad):,} left out"
    )
