"""Command `train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from graphrise.cli.plain import plain
from graphrise.config import RunConfig, from_dict, to_dict
from graphrise.recipes import RECIPES


def train_parser(recipe: RunConfig) -> ArgumentParser:
    """Arguments of `train`."""
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


def run_train(args: Namespace) -> None:
    """Do what `train` does."""
    from graphrise.evaluate.run import probe_of
    from graphrise.graph.store import open_graph
    from graphrise.train.progress import bars
    from graphrise.train.run import train

    settings = {f.name: plain(args[f.name]) for f in dataclasses.fields(RunConfig)}
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
