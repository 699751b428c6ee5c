"""Commands `evaluate` and `embed`: what is done with a finished run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from graphrise.config import EvaluateConfig


def evaluate_parser() -> ArgumentParser:
    """Arguments of `evaluate`."""
    parser = ArgumentParser(
        description="kNN search and triplets of a run: metrics with intervals, hubs, groups; plots "
        "and a page. --gallery and --queries may name one set, or queries that lie in the gallery: "
        "each query is then left out of its own neighbours (recall@1 is precision@1)."
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--dataset", type=Path, help="dataset folder (default: the run's)")
    parser.add_argument("--gallery", help="column=value, images searched (default: the run's)")
    parser.add_argument("--queries", nargs="+", help="column=value ..., the last is the headline")
    parser.add_argument("--k", type=int, help="neighbours that vote in kNN (default: the run's)")
    parser.add_argument("--triplets", help="`labels`, or a file of triplets (default: the run's)")
    parser.add_argument(
        "--levels", nargs="+", help="columns of coarser classes, finest first: triplets by level"
    )
    parser.add_argument(
        "--group",
        help="column of coarser classes: recall@1 by group, and negatives of triplets share it",
    )
    parser.add_argument(
        "--clustering", action="store_true", help="also NMI and AMI of k-means against labels"
    )
    return parser


def run_evaluate(args: Namespace) -> None:
    """Do what `evaluate` does."""
    from graphrise.evaluate.detail_table import print_details
    from graphrise.evaluate.run import evaluate_run
    from graphrise.train.folder import read_run

    config: EvaluateConfig = read_run(args.run)[0].evaluate
    if args.gallery:
        config = dataclasses.replace(config, gallery=args.gallery)
    if args.queries:
        config = dataclasses.replace(config, queries=tuple(args.queries))
    if args.k is not None:
        config = dataclasses.replace(config, k=args.k)
    if args.triplets is not None:
        config = dataclasses.replace(config, triplets=args.triplets)
    if args.levels:
        config = dataclasses.replace(config, levels=tuple(args.levels))
    if args.group is not None:
        config = dataclasses.replace(config, group=args.group)
    if args.clustering:
        config = dataclasses.replace(config, clustering=True)
    print_details(evaluate_run(args.run, args.dataset, config))
    print(f"report: {args.run / 'report.html'}")


def embed_parser() -> ArgumentParser:
    """Arguments of `embed`."""
    parser = ArgumentParser(description="Embeddings of a dataset's images, as Parquet.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("dataset", type=Path, help="dataset folder")
    parser.add_argument("out", type=Path, help="Parquet file to write: image_id, embedding")
    parser.add_argument("--where", help="column=value: only these images")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier file")
    return parser


def run_embed(args: Namespace) -> None:
    """Do what `embed` does."""
    from graphrise.evaluate.embed import embed_dataset

    count = embed_dataset(args.run, args.dataset, args.out, args.where, overwrite=args.overwrite)
    print(f"{args.out}: {count:,} embeddings")
