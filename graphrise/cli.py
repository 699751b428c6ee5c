"""The command line: one command per verb, over the same dataclasses; no logic."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from graphrise import __version__
from graphrise.config import EvaluateConfig, GraphConfig, RunConfig, from_dict, to_dict
from graphrise.errors import ConfigError, DataError, GraphriseError
from graphrise.recipes import RECIPES


def _plain(value: Any) -> Any:
    """Jsonargparse's namespaces as plain dicts."""
    if isinstance(value, Namespace):
        return {k: _plain(v) for k, v in vars(value).items()}
    return value


def _recipe(argv: Sequence[str]) -> RunConfig:
    """The recipe named on the command line: its values are the defaults that options override."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--recipe", default="catalogue")
    name = peek.parse_known_args(argv)[0].recipe
    if name not in RECIPES:
        raise ConfigError(f"no recipe {name!r}; there are {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()


def _parser(recipe: RunConfig) -> tuple[ArgumentParser, dict[str, Callable[[Namespace], None]]]:
    parser = ArgumentParser(prog="graphrise", description="Image embeddings from click logs.")
    parser.add_argument("--version", action="version", version=f"graphrise {__version__}")
    commands = parser.add_subcommands(required=True, dest="command")
    verbs = {
        "demo": (_demo_parser, _demo),
        "build-graph": (_build_graph_parser, _build_graph),
        "graph-info": (_graph_info_parser, _graph_info),
        "pack": (_pack_parser, _pack),
        "train": (lambda: _train_parser(recipe), _train),
        "evaluate": (_evaluate_parser, _evaluate),
        "embed": (_embed_parser, _embed),
    }
    for name, (make, _) in verbs.items():
        sub = make()
        commands.add_subcommand(name, sub, help=sub.description)
    return parser, {name: act for name, (_, act) in verbs.items()}


def _demo_parser() -> ArgumentParser:
    parser = ArgumentParser(description="Everything on a packaged set of real images.")
    parser.add_argument("--out", type=Path, default=Path("graphrise-demo"), help="folder to fill")
    parser.add_argument("--data", choices=("emoji", "digits"), default="emoji", help="which images")
    parser.add_argument("--fast", action="store_true", help="a subset, two minutes")
    parser.add_argument("--seeds", type=int, default=2, help="seeds per model, at least 1")
    parser.add_argument("--jobs", type=int, help="trainings side by side (default: CPU cores)")
    return parser


def _demo(args: Namespace) -> None:
    from graphrise.demo import demo

    report = demo(args.out, data=args.data, fast=args.fast, seeds=args.seeds, jobs=args.jobs)
    print(f"\nreport: {report}")


def _build_graph_parser() -> ArgumentParser:
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


def _build_graph(args: Namespace) -> None:
    from graphrise.graph.build import build_graph
    from graphrise.graph.progress import shown_stages

    out = args.out or args.dataset / "graph"
    if out.exists() and not args.overwrite:
        raise ConfigError(f"{out}: exists already; give --overwrite to replace it")
    settings = _plain(args.graph)
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


def _graph_info_parser() -> ArgumentParser:
    parser = ArgumentParser(description="What a graph looks like, and whether it is sound.")
    parser.add_argument("graph", type=Path, help="graph folder")
    parser.add_argument("--json", type=Path, help="file to write: all of it, as JSON")
    parser.add_argument("--plot", type=Path, help="file to write: degrees, as .png or .svg")
    return parser


def _graph_info(args: Namespace) -> None:
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


def _pack_parser() -> ArgumentParser:
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


def _pack(args: Namespace) -> None:
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


def _train_parser(recipe: RunConfig) -> ArgumentParser:
    parser = ArgumentParser(description="Train an encoder on a graph.")
    parser.add_argument("dataset", type=Path, help="dataset folder")
    parser.add_argument("run", type=Path, help="run folder to write")
    parser.add_argument("--graph", type=Path, help="graph folder (default: DATASET/graph)")
    parser.add_argument("--recipe", default="catalogue", help=f"of {', '.join(sorted(RECIPES))}")
    parser.add_argument("--probe", help="column=value: recall@1 of these queries while training")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run")
    parser.add_argument("--config", action="config", help="YAML of the settings below")
    parser.add_class_arguments(RunConfig)
    parser.set_defaults(to_dict(recipe))
    return parser


def _train(args: Namespace) -> None:
    from graphrise.evaluate.run import probe_of
    from graphrise.graph.store import open_graph
    from graphrise.train.progress import bars
    from graphrise.train.run import train

    settings = {f.name: _plain(args[f.name]) for f in dataclasses.fields(RunConfig)}
    config = from_dict(RunConfig, settings)
    graph = open_graph(args.graph or args.dataset / "graph")
    probe = None
    if args.probe is not None:
        probe = probe_of(args.dataset, config, args.probe)
    with bars() as progress:
        task = progress.add_task(args.run.name, total=1.0, state="starting")
        result = train(
            args.dataset,
            graph,
            args.run,
            config,
            display=lambda fraction, state: progress.update(task, completed=fraction, state=state),
            probe=probe,
            overwrite=args.overwrite,
        )
    for note in result.notes:
        print(f"note: {note}")
    print(f"{args.run}: {result.passes:,} encoder passes in {result.seconds:.0f} s")


def _evaluate_parser() -> ArgumentParser:
    parser = ArgumentParser(description="kNN and triplets of a run: metrics, plots, report.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--dataset", type=Path, help="dataset folder (default: the run's)")
    parser.add_argument("--gallery", help="column=value, images searched (default: the run's)")
    parser.add_argument("--queries", nargs="+", help="column=value ..., the last is the headline")
    parser.add_argument("--k", type=int, help="neighbours that vote in kNN (default: the run's)")
    return parser


def _evaluate(args: Namespace) -> None:
    from graphrise.evaluate.run import evaluate_run
    from graphrise.evaluate.table import print_table
    from graphrise.train.folder import read_run

    config: EvaluateConfig = read_run(args.run)[0].evaluate
    if args.gallery:
        config = dataclasses.replace(config, gallery=args.gallery)
    if args.queries:
        config = dataclasses.replace(config, queries=tuple(args.queries))
    if args.k is not None:
        config = dataclasses.replace(config, k=args.k)
    print_table(evaluate_run(args.run, args.dataset, config))
    print(f"report: {args.run / 'report.html'}")


def _embed_parser() -> ArgumentParser:
    parser = ArgumentParser(description="Embeddings of a dataset's images, as Parquet.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("dataset", type=Path, help="dataset folder")
    parser.add_argument("out", type=Path, help="Parquet file to write: image_id, embedding")
    parser.add_argument("--where", help="column=value: only these images")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier file")
    return parser


def _embed(args: Namespace) -> None:
    from graphrise.evaluate.embed import embed_dataset

    count = embed_dataset(args.run, args.dataset, args.out, args.where, overwrite=args.overwrite)
    print(f"{args.out}: {count:,} embeddings")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit code: 0 done, 1 an error (one line on stderr), 2 wrong arguments, 130 Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    # timm and PyG script functions at import, which torch 2.14 calls deprecated.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    try:
        parser, actions = _parser(_recipe(argv))
        args = parser.parse_args(argv)
        actions[args.command](args[args.command])
    except (GraphriseError, OSError) as error:  # OSError: no permission, disk full, ...
        print(f"graphrise: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("graphrise: interrupted", file=sys.stderr)
        return 130
    return 0
