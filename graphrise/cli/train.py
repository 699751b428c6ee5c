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
    parser = ArgumentParser(
        description="Train an encoder on a graph; `train --resume RUN` goes on with a run."
    )
    parser.add_argument("dataset", type=Path, help="dataset folder")
    parser.add_argument("run", type=Path, help="run folder to write")
    parser.add_argument("--graph", type=Path, help="graph folder (default: DATASET/graph)")
    parser.add_argument("--recipe", default="catalogue", help=f"of {', '.join(sorted(RECIPES))}")
    _add_devices(parser)
    parser.add_argument("--probe", help="the same as --evaluate.probe")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run")
    parser.add_argument("--config", action="config", help="YAML of the settings below")
    parser.add_class_arguments(RunConfig)
    parser.set_defaults(to_dict(recipe))
    return parser


def resume_parser() -> ArgumentParser:
    """Arguments of `train --resume`: the settings are those of the run."""
    parser = ArgumentParser(description="Train an encoder on a graph.")
    parser.add_argument("--resume", type=Path, required=True, help="run folder to go on with")
    parser.add_argument("--dataset", type=Path, help="dataset folder, if it was moved")
    parser.add_argument("--graph", type=Path, help="graph folder, if it was moved")
    _add_devices(parser)
    return parser


def _add_devices(parser: ArgumentParser) -> None:
    parser.add_argument("--devices", type=int, help="the same as --train.devices")
    parser.add_argument("--num-nodes", type=int, help="the same as --train.num_nodes")


def _with_devices(config: RunConfig, args: Namespace) -> RunConfig:
    given = {"devices": args.devices, "num_nodes": args.num_nodes}
    change = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **change))


def run_train(args: Namespace) -> None:
    """Do what `train` does."""
    settings = {f.name: plain(args[f.name]) for f in dataclasses.fields(RunConfig)}
    if args.probe is not None:
        settings["evaluate"]["probe"] = args.probe
    graph = args.graph or args.dataset / "graph"
    config = _with_devices(from_dict(RunConfig, settings), args)
    _train(args.dataset, graph, args.run, config, overwrite=args.overwrite)


def run_resume(args: Namespace) -> None:
    """Do what `train --resume` does."""
    from graphrise.train.folder import read_settings

    config, dataset, graph = read_settings(args.resume)
    config = _with_devices(config, args)
    _train(args.dataset or dataset, args.graph or graph, args.resume, config, resume=True)


def _train(dataset: Path, graph: Path, run: Path, config: RunConfig, **how: bool) -> None:
    from lightning.pytorch.utilities import rank_zero_only

    from graphrise.evaluate.run import probe_of
    from graphrise.graph.store import open_graph
    from graphrise.train.progress import bars
    from graphrise.train.run import train

    opened = open_graph(graph)
    where = config.evaluate.probe
    probe = None if where is None else probe_of(dataset, config, where)
    with bars(shown=rank_zero_only.rank == 0) as progress:
        task = progress.add_task(run.name, total=1.0, state="starting")
        result = train(
            dataset,
            opened,
            run,
            config,
            display=lambda fraction, state: progress.update(task, completed=fraction, state=state),
            probe=probe,
            graph_folder=graph,
            **how,
        )
    if rank_zero_only.rank:
        return
    for note in result.notes:
        print(f"note: {note}")
    print(f"{run}: {result.passes:,} encoder passes in {result.seconds:.0f} s")
