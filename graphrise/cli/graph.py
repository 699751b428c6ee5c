"""Commands `build-graph` and `graph-info`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from graphrise.cli.plain import plain
from graphrise.config import GraphConfig, from_dict
from graphrise.errors import ConfigError, DataError


def build_graph_parser() -> ArgumentParser:
    """Arguments of `build-graph`."""
    parser = ArgumentParser(description="Logs to labels and an image similarity graph.")
    parser.add_argument(
        "dataset",
        type=Path,
        help="dataset folder (images; impressions, clicks, similar_clicks, edges)",
    )
    parser.add_argument("--out", type=Path, help="graph folder (default: DATASET/graph)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier graph")
    parser.add_argument("--engine", choices=("duckdb", "spark"), help="who runs the SQL")
    parser.add_argument("--master", help="Spark's cluster address (default: local mode)")
    parser.add_class_arguments(GraphConfig, "graph")
    return parser


def run_build_graph(args: Namespace) -> None:
    """Do what `build-graph` does."""
    from graphrise.graph.build import build_graph
    from graphrise.graph.progress import shown_stages

    out = args.out or args.dataset / "graph"
    if out.exists() and not args.overwrite:
        raise ConfigError(f"{out}: exists already; give --overwrite to replace it")
    settings = plain(args.graph)
    for name, value in (("name", args.engine), ("master", args.master)):
        if value is not None:
            settings["engine"][name] = value
    config = from_dict(GraphConfig, settings)
    with shown_stages() as display:
        graph = build_graph(args.dataset, out, config, overwrite=args.overwrite, display=display)
    for warning in graph.info["warnings"]:
        print(f"note: {warning}")
    labelled = {s: int((r.counts > 0).sum()) for s, r in graph.labels.items()}
    print(
        f"{out}: {graph.num_nodes:,} images, {graph.num_edges // 2:,} edges, labelled images: "
        + ", ".join(f"{count:,} ({source})" for source, count in sorted(labelled.items()))
    )


def graph_info_parser() -> ArgumentParser:
    """Arguments of `graph-info`."""
    parser = ArgumentParser(description="What a graph looks like, and whether it is sound.")
    parser.add_argument("graph", type=Path, help="graph folder")
    parser.add_argument("--json", type=Path, help="file to write: all of it, as JSON")
    parser.add_argument("--plot", type=Path, help="file to write: degrees, as .png or .svg")
    return parser


def run_graph_info(args: Namespace) -> None:
    """Do what `graph-info` does."""
    from graphrise.graph.info.collect import graph_info
    from graphrise.graph.info.plot import plot_degrees, plot_format
    from graphrise.graph.info.table import print_info
    from graphrise.graph.progress import shown_stages
    from graphrise.graph.store import open_graph
    from graphrise.train.folder import write_json

    if args.plot:
        plot_format(args.plot)  # a wrong suffix is told before the work, not after
    with shown_stages() as display:
        display("checksums", None)
        info = graph_info(open_graph(args.graph, verify=True), display=display)
    print_info(info)
    if args.json:
        write_json(args.json, info)
    if args.plot:
        plot_degrees(info, args.plot)
    if info["problems"]:
        raise DataError(f"{args.graph}: {len(info['problems'])} problems found; build it again")
