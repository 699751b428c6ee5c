"""Command `triplets`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from graphrise.cli.plain import plain
from graphrise.config import EngineConfig, HeldOutConfig, from_dict


def triplets_parser() -> ArgumentParser:
    """Arguments of `triplets`."""
    parser = ArgumentParser(
        description="Sessions held out of the graph, and triplets of what was clicked in them."
    )
    parser.add_argument("dataset", type=Path, help="dataset folder (images, impressions)")
    parser.add_argument(
        "out", type=Path, help="dataset folder to write: the sessions kept, and triplets.parquet"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier folder")
    parser.add_class_arguments(HeldOutConfig, "triplets")
    parser.add_argument(
        "--graph.on_unknown_image",
        choices=("error", "drop"),
        default="error",
        help="a logged image_id that images.parquet lacks: stop, or drop the row and count it",
    )
    parser.add_class_arguments(EngineConfig, "graph.engine")
    return parser


def run_triplets(args: Namespace) -> None:
    """Do what `triplets` does."""
    from graphrise.evaluate.triplets_hold_out import hold_out, left_behind
    from graphrise.graph.progress import shown_stages

    config = from_dict(HeldOutConfig, plain(args.triplets))
    engine = from_dict(EngineConfig, plain(args.graph.engine))
    with shown_stages() as display:
        counts = hold_out(
            args.dataset,
            args.out,
            config,
            engine,
            drop_unknown=args.graph.on_unknown_image == "drop",
            overwrite=args.overwrite,
            display=display,
        )
    if counts["impressions_of_unknown_images"]:
        print(f"note: {counts['impressions_of_unknown_images']:,} impressions of unknown images")
    for table in left_behind(args.dataset):
        print(f"note: {table} is not taken over: it may count the clicks of held-out sessions")
    print(
        f"{args.out}: {counts['impressions_kept']:,} of {counts['impressions']:,} impressions "
        f"kept, {counts['triplets']:,} triplets of {counts['lists_with_triplets']:,} result lists "
        f"of {counts['sessions']:,} held-out sessions"
    )
    print(f"next: graphrise build-graph {args.out}")
