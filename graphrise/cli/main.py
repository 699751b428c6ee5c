"""The command line: one command per verb, over the same dataclasses; no logic."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from graphrise import __version__
from graphrise.cli import demo, evaluate, export, graph, images, study, train, triplets
from graphrise.config import RunConfig
from graphrise.errors import ConfigError, GraphriseError, Stopped
from graphrise.recipes import RECIPES


def _recipe(argv: Sequence[str]) -> RunConfig:
    """The recipe named on the command line: its values are the defaults that options override."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--recipe", default="catalogue")
    name = peek.parse_known_args(argv)[0].recipe
    if name not in RECIPES:
        raise ConfigError(f"no recipe {name!r}; there are {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()


def _resumes(argv: Sequence[str]) -> bool:
    """Whether `train` goes on with a run, and so takes no settings."""
    return any(one.split("=")[0] == "--resume" for one in argv)


def _parser(
    recipe: RunConfig, *, resume: bool = False
) -> tuple[ArgumentParser, dict[str, Callable[[Namespace], None]]]:
    parser = ArgumentParser(prog="graphrise", description="Image embeddings from click logs.")
    parser.add_argument("--version", action="version", version=f"graphrise {__version__}")
    commands = parser.add_subcommands(required=True, dest="command")
    verbs = {
        "demo": (demo.demo_parser, demo.run_demo),
        "build-graph": (graph.build_graph_parser, graph.run_build_graph),
        "graph-info": (graph.graph_info_parser, graph.run_graph_info),
        "pack": (images.pack_parser, images.run_pack),
        "train": (
            (train.resume_parser, train.run_resume)
            if resume
            else (lambda: train.train_parser(recipe), train.run_train)
        ),
        "evaluate": (evaluate.evaluate_parser, evaluate.run_evaluate),
        "embed": (evaluate.embed_parser, evaluate.run_embed),
        "triplets": (triplets.triplets_parser, triplets.run_triplets),
        "export": (export.export_parser, export.run_export),
        "study": (study.study_parser, study.run_study),
    }
    for name, (make, _) in verbs.items():
        sub = make()
        commands.add_subcommand(name, sub, help=sub.description)
    return parser, {name: act for name, (_, act) in verbs.items()}


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
        parser, actions = _parser(_recipe(argv), resume=_resumes(argv))
        args = parser.parse_args(argv)
        actions[args.command](args[args.command])
    except Stopped as stopped:
        print(f"graphrise: {stopped}", file=sys.stderr)
    except (GraphriseError, OSError) as error:  # OSError: no permission, disk full, ...
        print(f"graphrise: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"graphrise: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 130
    return 0
